// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMACore
public import DMAEngineKit

/// Knows what memory is mapped for io_uring engines, so that they can register it with their rings: mapping is pinning.
///
/// Make a ``Domain`` whose translation is `.announced(registrar)`, and engines with the same registrar in their configuration. What is
/// mapped for the domain is registered when an engine meets it (``IOUringConfiguration/buffers``), and forgotten by all of them when the
/// mapping ends. A pool is one mapping. Where the kernel refuses, transfers go without, and are counted.
///
/// Thread rules: any thread.
@safe
public final class IOUringRegistrar: MappingBackend, Equatable {
    struct Mapped: Sendable {
        var start: UInt64
        var count: UInt64
        /// Distinguishes mappings of the same bytes, now and later.
        var serial: UInt64
    }

    private struct State {
        /// By their first address.
        var mappings: [Mapped] = []
        var serial: UInt64 = 0
        var tables: [ObjectIdentifier: BufferTable] = [:]
    }

    private let state = Locked(State())

    /// How many mappings have ended; raw memory, because engines look at it for each transfer.
    // SAFETY: the pointer never changes, and the word behind it is accessed by atomics alone.
    nonisolated(unsafe) let epoch: UnsafeMutableRawPointer

    /// Nothing mapped yet.
    public init() {
        // SAFETY: just allocated, for 64 bytes; `deinit` alone frees them.
        unsafe epoch = .allocate(byteCount: 64, alignment: 64)
        unsafe epoch.initializeMemory(as: UInt8.self, repeating: 0, count: 64)
    }

    // SAFETY: an engine that looks at the word holds the registrar by its configuration, so that nobody looks any more.
    deinit { unsafe epoch.deallocate() }

    public static func == (left: IOUringRegistrar, right: IOUringRegistrar) -> Bool { left === right }

    public func map(at iova: IOVA, _ source: MappingSource, count: UInt64, access: DeviceAccess) throws(DMAError) {
        state.withLock { state in
            state.serial += 1
            let mapped = Mapped(start: source.address, count: count, serial: state.serial)
            state.mappings.insert(mapped, at: Self.index(of: mapped.start, in: state.mappings))
        }
    }

    public func unmap(at iova: IOVA, count: UInt64) throws(DMAError) -> UInt64 {
        // SAFETY: the word lives as long as `self`, and is accessed by atomics alone.
        let (ended, tables) = state.withLock { state -> (Mapped?, [BufferTable]) in
            var index = Self.index(of: iova.rawValue, in: state.mappings)
            while index < state.mappings.count, state.mappings[index].start == iova.rawValue {
                if state.mappings[index].count == count {
                    return (state.mappings.remove(at: index), Array(state.tables.values))
                }
                index += 1
            }
            return (nil, [])
        }
        guard let ended else { return 0 }
        // First nobody takes the old number for the address any more; then the number goes.
        unsafe cdma_fetch_add32(epoch, 1)
        for table in tables { table.forget(ended.serial) }
        return count
    }

    /// The mapping in which a range lies as a whole.
    func find(_ address: UInt64, _ count: UInt64) -> Mapped? {
        state.withLock { state in
            var index = Self.index(of: address &+ 1, in: state.mappings)
            // Mappings may lie in each other, so that a nearer one may be too short; but few do.
            for _ in 0..<8 where index > 0 {
                index -= 1
                let mapped = state.mappings[index]
                if address - mapped.start < mapped.count, count <= mapped.count - (address - mapped.start) { return mapped }
            }
            return nil
        }
    }

    func register(_ table: BufferTable) { state.withLock { $0.tables[ObjectIdentifier(table)] = table } }
    func unregister(_ table: BufferTable) { state.withLock { _ = $0.tables.removeValue(forKey: ObjectIdentifier(table)) } }

    /// Where a mapping that begins at `start` stands, or would.
    private static func index(of start: UInt64, in list: [Mapped]) -> Int {
        var (low, high) = (0, list.count)
        while low < high {
            let middle = (low + high) / 2
            if list[middle].start < start { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
