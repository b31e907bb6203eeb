// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAEngineKit
internal import SystemPackage

/// The memory that is registered with one ring.
///
/// The engine looks memory up and registers it; any thread may end a mapping. Both take a lock, off the fast path.
final class BufferTable: Sendable {
    /// A piece of registered memory, as requests name it.
    struct Window: Sendable {
        var start: UInt64
        var count: UInt64
        var index: UInt16
    }

    private struct Key: Hashable {
        var serial: UInt64
        var piece: UInt64
    }

    private struct State {
        var hasTable = false
        var isRefused = false
        var windows: [Key: Window] = [:]
        /// Mappings seen once and not registered for that.
        var met: Set<Key> = []
        var free: [UInt16] = []
        /// Mappings that the kernel refused to register, so that it is not asked for each transfer.
        var unwanted: Set<Key> = []
        /// Windows whose mapping ended while only the ring's own thread could unregister them.
        var stale: [UInt16] = []
        var registered: UInt64 = 0
        var refused: UInt64 = 0
        var isClosed = false
    }

    /// The maximum number of windows of a ring.
    private static let capacity = 1024
    /// The kernel's limit for one registration: 1 GiB.
    private static let pieceShift: UInt64 = 30

    private let descriptor: FileDescriptor
    private let policy: IOUringConfiguration.Buffers
    private let state = Locked(State())

    init(_ ring: KernelRing, _ policy: IOUringConfiguration.Buffers) {
        descriptor = ring.descriptor
        self.policy = policy
    }

    /// The numbers of registrations and refusals so far.
    var counts: (registered: UInt64, refused: UInt64) { state.withLock { ($0.registered, $0.refused) } }

    /// The window that contains a range of a mapping; registers one if the policy says so. Nil where the range has none.
    func window(_ mapped: IOUringRegistrar.Mapped, _ address: UInt64, _ count: UInt64) -> Window? {
        let piece = (address - mapped.start) >> Self.pieceShift
        guard piece == (address - mapped.start + max(count, 1) - 1) >> Self.pieceShift else { return nil }
        let key = Key(serial: mapped.serial, piece: piece)
        return state.withLock { state -> Window? in
            if let window = state.windows[key] { return window }
            guard !state.isRefused, !state.isClosed, !state.unwanted.contains(key) else { return nil }
            if policy == .whenReused, state.met.insert(key).inserted { return nil }
            if !state.hasTable { makeTable(&state) }
            for index in state.stale where update(index, 0, 0).errno == nil { state.free.append(index) }
            state.stale.removeAll()
            guard let index = state.free.popLast() else { return nil }
            let start = mapped.start + piece << Self.pieceShift
            let window = Window(
                start: start, count: min(mapped.count - piece << Self.pieceShift, 1 << Self.pieceShift), index: index)
            guard update(index, start, window.count).errno == nil else {
                state.free.append(index)
                state.refused += 1
                state.unwanted.insert(key)
                return nil
            }
            state.registered += 1
            state.windows[key] = window
            return window
        }
    }

    /// A mapping has ended: removes its windows.
    func forget(_ serial: UInt64) {
        state.withLock { state in
            guard !state.isClosed else { return }
            for (key, window) in state.windows where key.serial == serial {
                state.windows[key] = nil
                if update(window.index, 0, 0).errno == nil {
                    state.free.append(window.index)
                } else {
                    state.stale.append(window.index)
                }
            }
            state.met = state.met.filter { $0.serial != serial }
            state.unwanted = state.unwanted.filter { $0.serial != serial }
        }
    }

    /// The ring is about to be closed, and its number may be reused for another file.
    func close() { state.withLock { $0.isClosed = true } }

    private func makeTable(_ state: inout State) {
        // SAFETY: the kernel reads a local structure, of which it is told the size, before the call returns.
        var table = cdma_uring_resources()
        table.count = UInt32(Self.capacity)
        // IORING_RSRC_REGISTER_SPARSE
        table.flags = 1
        let result = KernelResult(
            unsafe cdma_uring_register(
                descriptor.rawValue, RegisterOperation.buffers, &table, UInt32(MemoryLayout<cdma_uring_resources>.size)))
        state.hasTable = true
        state.isRefused = result.errno != nil
        if !state.isRefused { state.free = (0..<UInt16(Self.capacity)).reversed() }
    }

    private func update(_ index: UInt16, _ start: UInt64, _ count: UInt64) -> KernelResult {
        // SAFETY: the kernel reads two local structures before the call returns: both pointers are used inside the closures that
        // lend them. The number was taken from the table.
        var segment = Segment(address: start, count: count)
        var update = cdma_uring_resource_update()
        update.offset = UInt32(index)
        update.count = 1
        return unsafe withUnsafeMutablePointer(to: &segment) { segment in
            update.data = UInt64(UInt(bitPattern: segment))
            return unsafe withUnsafeMutablePointer(to: &update) {
                KernelResult(
                    unsafe cdma_uring_register(
                        descriptor.rawValue, RegisterOperation.buffersUpdate, $0,
                        UInt32(MemoryLayout<cdma_uring_resource_update>.size)))
            }
        }
    }
}
