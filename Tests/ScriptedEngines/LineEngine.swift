// SPDX-License-Identifier: Apache-2.0

public import DMACore
public import DMAEngineKit

/// A ring that completes one transaction for each interrupt that other code raises on its line. It moves nothing. It serves to
/// count the cost of a wait that really suspends.
public struct LineEngine: ~Copyable, Engine {
    public var addressing: EngineAddressing { ring.addressing }
    public var isGone: Bool { ring.isGone }
    public mutating func willBeParked() { ring.willBeParked() }
    private var ring: RingEngine
    private let line: InterruptLine
    private var seen: UInt64 = 0

    /// A ring of `entries` entries, a power of two, whose device is the code that raises `line`.
    public init(entries: Int, line: InterruptLine) {
        ring = RingEngine(entries: entries)
        self.line = line
    }

    public var capabilities: Capabilities {
        var capabilities = ring.capabilities
        capabilities.hasInterrupts = true
        return capabilities
    }
    public var interruptLine: InterruptLine? { line }
    @unsafe public mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        unsafe ring.enqueue(descriptor, tag: tag)
    }
    public mutating func issuePending() { ring.issuePending() }
    public mutating func next() -> Completion? {
        guard line.count > seen, let completion = ring.next() else { return nil }
        seen = line.count
        return completion
    }
    public mutating func terminate() { ring.terminate() }
    public mutating func quiesce(by deadline: Deadline) -> Bool { ring.quiesce(by: deadline) }
    public mutating func wait(until deadline: Deadline) -> Bool { line.wait(after: seen, until: deadline) }
}
