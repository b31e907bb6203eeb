// SPDX-License-Identifier: Apache-2.0

import DMAEngineKit

/// Tracks the memory that engines may access at present, and records accesses outside it.
///
/// The test opens the ranges of a cargo when a channel accepts it and closes them when it is returned. An engine asks before
/// each access, and skips what is refused, so that a wrapper's bug is found without corrupting the process.
public final class MemoryOracle: Sendable {
    private struct Window {
        let range: Range<UInt64>
        let isWritable: Bool
    }

    private struct State {
        var windows: [UInt64: [Window]] = [:]
        /// Ranges that an engine reported as done, although it was not.
        var skipped: Set<UInt64> = []
        var violations: [String] = []
        var moved: UInt64 = 0
    }

    private let state = Locked(State())

    /// Nothing may be touched.
    public init() {}

    /// The ranges of `name` belong to an engine until ``close(_:)``.
    public func open(_ name: UInt64, read: Range<UInt64>?, written: Range<UInt64>?) {
        state.withLock { state in
            state.windows[name] =
                (read.map { [Window(range: $0, isWritable: false)] } ?? [])
                + (written.map { [Window(range: $0, isWritable: true)] } ?? [])
        }
    }

    /// They belong to the client again. True where an engine falsely reported that it was done with them.
    @discardableResult
    public func close(_ name: UInt64) -> Bool {
        state.withLock { state in
            state.windows.removeValue(forKey: name)
            return state.skipped.remove(name) != nil
        }
    }

    /// Whether an engine may access that many bytes at `address`.
    func permits(_ address: UInt64, _ count: UInt64, writes: Bool) -> Bool {
        if count == 0 { return true }
        let (end, overflow) = address.addingReportingOverflow(count)
        return state.withLock { state in
            let isOpen =
                !overflow
                && state.windows.values.joined().contains {
                    $0.range.lowerBound <= address && end <= $0.range.upperBound && ($0.isWritable || !writes)
                }
            if !isOpen {
                state.violations.append("\(writes ? "writes" : "reads") \(count) bytes at 0x\(String(address, radix: 16))")
            }
            return isOpen
        }
    }

    /// A report ends a transaction that writes to `address`, and the engine does not execute it.
    func skip(_ address: UInt64) {
        state.withLock { state in
            for (name, windows) in state.windows where windows.contains(where: { $0.isWritable && $0.range.contains(address) })
            {
                state.skipped.insert(name)
            }
        }
    }
    func move(_ bytes: UInt64) { state.withLock { $0.moved += bytes } }

    /// Accesses of engines outside their memory.
    public var violations: [String] { state.withLock { $0.violations } }
    /// Bytes that engines wrote.
    public var moved: UInt64 { state.withLock { $0.moved } }
}
