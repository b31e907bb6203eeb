// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMACore
public import DMAEngineKit

/// Tracks the memory that is mapped for io_uring engines, so that they can register it with their rings: mapping pins the
/// memory.
///
/// Make a ``Domain`` with the translation `.announced(registrar)`, and engines with the same registrar in their configuration.
/// Memory mapped for the domain is registered when an engine uses it (``IOUringConfiguration/buffers``), and removed from all
/// of them when the mapping ends. A pool is one mapping. Where the kernel refuses to register memory, transfers run without,
/// and are counted.
///
/// Thread rules: any thread.
@safe
public final class IOUringRegistrar: MappingBackend, Equatable {
    struct Mapped: Sendable {
        var start: UInt64
        var count: UInt64
        /// Distinguishes successive mappings of the same bytes.
        var serial: UInt64
    }

    private struct State {
        /// Sorted by first address.
        var mappings: [Mapped] = []
        var serial: UInt64 = 0
        var tables: [ObjectIdentifier: BufferTable] = [:]
    }

    private let state = Locked(State())

    /// The number of ended mappings; raw memory, because engines read it for each transfer.
    // SAFETY: the pointer never changes, and the word behind it is accessed only by atomics.
    nonisolated(unsafe) let epoch: UnsafeMutableRawPointer

    /// A registrar without mappings.
    public init() {
        // SAFETY: just allocated, with 64 bytes; only `deinit` frees them.
        unsafe epoch = .allocate(byteCount: 64, alignment: 64)
        unsafe epoch.initializeMemory(as: UInt8.self, repeating: 0, count: 64)
    }

    // SAFETY: an engine that reads the word keeps the registrar alive by its configuration, so that none is left.
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
        // SAFETY: the word lives as long as `self`, and is accessed only by atomics.
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
        // First the address stops leading to the old number; then the number is released.
        unsafe cdma_fetch_add32(epoch, 1)
        for table in tables { table.forget(ended.serial) }
        return count
    }

    /// The mapping that contains the whole range.
    func find(_ address: UInt64, _ count: UInt64) -> Mapped? {
        state.withLock { state in
            var index = Self.index(of: address &+ 1, in: state.mappings)
            // Mappings may be nested, so that a closer one may be too short; but nesting is rare.
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

    /// The index of a mapping that begins at `start`, or the place to insert one.
    private static func index(of start: UInt64, in list: [Mapped]) -> Int {
        var (low, high) = (0, list.count)
        while low < high {
            let middle = (low + high) / 2
            if list[middle].start < start { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
