// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMATypes

/// Memory of another process as a device model sees it: a table from bus addresses to what the process has mapped for its device.
///
/// A model, or a vfio-user server, is the device's side: its client says by DMA_MAP which ranges of bus addresses the device may reach, and hands
/// over a file for each. The model moves data there by ``read(_:into:)`` and ``write(_:at:)``, which copy, and looks at rings by ``load(at:as:)``
/// and its kin, each of which is one access of the word's width. No span or pointer into the memory is ever lent: the client may change any byte at
/// any time, so that what was checked would not be what is used.
///
/// **Regions.** A region never overlaps another: every insert that does is refused by `alreadyMapped`, the identical one too. (libvfio-user takes
/// an identical one for a repetition; a server that wants that answers the client so.) A region is removed as a whole, by its exact start and
/// count: half a region, and two at once, are refused, as the vfio-user specification wants of DMA_UNMAP. ``removeAll(until:)`` is for
/// DMA_UNMAP's flag "all" and for a client that has died. Finding a region takes steps as the logarithm of their number.
///
/// **Permissions** reach the mapping (mmap's protection) and every access.
///
/// **Files whose pages may go away.** An access to a page of a mapping that the file no longer has ends the process by SIGBUS. A client could thus end
/// its server by ftruncate(2). A memfd that is sealed against shrinking (F_SEAL_SHRINK; QEMU seals its memory-backend-memfd) cannot be made
/// shorter, and is mapped. Of all others, and of huge pages (a hole that was punched there may find no free page, in spite of a seal),
/// ``Unstable/refused`` takes none, and ``Unstable/copied`` lets the kernel copy by process_vm_readv(2), which fails by EFAULT where a page is
/// gone; a single word is then refused (`copiesOnly`), because the kernel does not promise by which accesses it copies. No handler of SIGBUS is
/// installed: signals are the program's. What remains: memory that fails in hardware, and a sealed memfd with holes under
/// vm.overcommit_memory=2, where the kernel may refuse a page when it is first touched.
///
/// **Threads.** Any thread may call anything. Accesses take no lock, wait for nobody and do not allocate; they count themselves in and out of the
/// table. Inserting and removing take turns. Removing waits until no access uses the region. In a child of fork(2) every call is refused, and the
/// memory is not mapped there.
///
/// Source: the vfio-user protocol specification (VFIO_USER_DMA_MAP, DMA_UNMAP); fcntl(2), F_GET_SEALS; mmap(2), SIGBUS.
// SAFETY: the gate's words are atomics; the rest never changes, or is under the lock.
@safe
public final class ForeignMemory: Sendable {
    /// What becomes of a file whose pages may go away while they are mapped.
    @frozen
    public enum Unstable: Sendable {
        /// It is not inserted: `unstableFile`.
        case refused
        /// The kernel copies; single words are refused.
        case copied
    }

    /// Regions at most, those included that are removed but still in use.
    private let maximumRegions: Int
    /// Bytes of one region, at most.
    private let maximumCount: UInt64
    private let generation = cdma_fork_generation()
    let gate = ReaderGate()
    private let contents = Locked(ForeignContents())

    /// A table without regions.
    ///
    /// - Parameters:
    ///   - maximumRegions: how many there may be. The kernel has a limit of its own, vm.max_map_count: 65,530 by default, for the whole process.
    ///   - maximumCount: bytes of one region, at most.
    public init(maximumRegions: Int = 65_536, maximumCount: UInt64 = 1 << 43) {
        self.maximumRegions = maximumRegions
        self.maximumCount = min(maximumCount, UInt64(Int64.max))
    }

    deinit {
        // SAFETY: nobody holds the table any more, so that no access is under way. In a child of fork(2) nothing of it is mapped, and another
        // mapping may stand there.
        let isOwn = cdma_fork_generation() == generation
        contents.withLock { contents in
            unsafe contents.end(unmaps: isOwn)
        }
    }

    /// Regions that accesses find.
    package var regionCount: Int { contents.withLock { $0.count } }

    // MARK: Inserting

    /// Maps a part of a peer's file at a bus address.
    ///
    /// - Parameters:
    ///   - start: the first bus address. Any: what must be aligned is a word's place in this process, which has the offset of the file's page.
    ///   - count: bytes, at least 1 and at most the table's `maximumCount`.
    ///   - access: what may be done there. None is a region that is known, and refuses all.
    ///   - file: a descriptor that was opened for as much as `access`. It stays the caller's, and is not needed when this returns.
    ///   - offset: of the first byte in the file: a multiple of the page's size, of the huge page's for a file of those.
    ///   - unstable: what becomes of a file whose pages may go away.
    /// - Throws: `zeroLength`, `mappingTooLarge`, `sizeOverflow` for a range that leaves the 64-bit space, `misaligned`, `outOfRange` where the file is
    ///   shorter, `unstableFile`, `alreadyMapped`, `tooManyRegions`, `kernelRefused` (EACCES: the descriptor does not permit it), `usedAfterFork`.
    ///   The table is then as it was.
    public func insert(
        _ start: IOVA, count: UInt64, access: DeviceAccess, file: Int32, offset: UInt64 = 0, unstable: Unstable = .refused
    ) throws(DMAError) {
        try insert(
            start, count, access, file, offset,
            unstable: unstable == .copied ? ForeignMapping.Unstable.copied : ForeignMapping.Unstable.refused)
    }

    /// As ``insert(_:count:access:file:offset:unstable:)``, for a peer that is trusted not to take pages away: every file is mapped.
    ///
    /// Unsafe: the caller vouches that the file is not made shorter, and that each of its pages can be had, while it is inserted. Otherwise an
    /// access ends the process by SIGBUS.
    @unsafe
    public func insert(
        _ start: IOVA, count: UInt64, access: DeviceAccess, trustedFile file: Int32, offset: UInt64 = 0
    ) throws(DMAError) {
        try insert(start, count, access, file, offset, unstable: .trusted)
    }

    /// Memory of this process at a bus address: for a model and its driver in one process.
    ///
    /// Unsafe: the caller vouches that the memory stays, and permits what `access` says, until the region was removed; and that Swift code reaches
    /// it meanwhile only as memory that a device shares.
    ///
    /// - Throws: as ``insert(_:count:access:file:offset:unstable:)``, as far as it concerns no file.
    @unsafe
    public func insert(
        _ start: IOVA, access: DeviceAccess, memory: UnsafeMutableRawBufferPointer
    ) throws(DMAError) {
        // SAFETY: only the address is taken; that it stays valid is the caller's part.
        let count = UInt64(memory.count)
        let last = try check(start, count)
        let base = UInt(bitPattern: memory.baseAddress)
        try enter(
            ForeignRegion(start: start.rawValue, last: last, base: base, mapped: 0, rights: Self.rights(access)))
    }

    private func insert(
        _ start: IOVA, _ count: UInt64, _ access: DeviceAccess, _ file: Int32, _ offset: UInt64,
        unstable: ForeignMapping.Unstable
    ) throws(DMAError) {
        let last = try check(start, count)
        let mapping = try ForeignMapping(file, offset: offset, count: count, access: access, unstable: unstable)
        var rights = Self.rights(access)
        if mapping.isUnstable, unstable == .copied { rights.insert(.copied) }
        let region = ForeignRegion(
            start: start.rawValue, last: last, base: mapping.base, mapped: UInt64(mapping.length),
            rights: rights)
        // Where it is refused, the mapping ends here.
        try enter(region)
        mapping.keep()
    }

    private static func rights(_ access: DeviceAccess) -> ForeignRegion.Rights {
        var rights: ForeignRegion.Rights = []
        if access.contains(.read) { rights.insert(.read) }
        if access.contains(.write) { rights.insert(.write) }
        return rights
    }

    /// The last address of a range that may be a region.
    private func check(_ start: IOVA, _ count: UInt64) throws(DMAError) -> UInt64 {
        try checkProcess()
        guard count > 0 else { throw DMAError(.zeroLength) }
        guard count <= maximumCount else { throw DMAError(.mappingTooLarge, asked: count, limit: maximumCount) }
        guard let last = start.advanced(by: count - 1) else {
            throw DMAError(.sizeOverflow, asked: count, limit: .max - start.rawValue)
        }
        return last.rawValue
    }

    private func enter(_ region: ForeignRegion) throws(DMAError) {
        try contents.withLock { (contents) throws(DMAError) in
            guard contents.count + contents.leaving.count < maximumRegions else {
                throw DMAError(.tooManyRegions, limit: UInt64(max(maximumRegions, 0)))
            }
            if let other = contents.table.floor(region.last), other.last >= region.start {
                throw DMAError(.alreadyMapped, asked: other.start)
            }
            if let other = contents.leaving.first(where: {
                $0.region.start <= region.last && region.start <= $0.region.last
            }) {
                throw DMAError(.alreadyMapped, asked: other.region.start)
            }
            contents.replace(contents.table.inserting(region), gate)
            contents.count += 1
            contents.settle(gate)
        }
    }

    // MARK: Removing

    /// Ends a region, when nobody accesses it any more.
    ///
    /// No access that begins after the call finds the region. One that is under way ends first, or, where it copies more than 256 KiB,
    /// stops with `unmappedAddress`.
    ///
    /// - Parameters:
    ///   - start: the region's first bus address.
    ///   - count: its bytes.
    ///   - deadline: until when to wait for accesses that are under way.
    /// - Throws: `notMapped` where no region starts there; `unmapMismatch` where it has another count; `regionInUse` where an access has not ended by
    ///   the deadline: the region stays mapped and its addresses taken, no access finds it, and the call can be made again; `kernelRefused` where
    ///   munmap(2) fails, with the same consequence; `usedAfterFork`.
    public func remove(_ start: IOVA, count: UInt64, until deadline: Deadline) throws(DMAError) {
        try checkProcess()
        let bus = start.rawValue
        let grace = try contents.withLock { (contents) throws(DMAError) -> UInt64 in
            func check(_ region: ForeignRegion) throws(DMAError) {
                let actual = region.last - region.start + 1
                guard actual == count else { throw DMAError(.unmapMismatch, asked: count, limit: actual) }
            }
            if let leaving = contents.leaving.first(where: { $0.region.start == bus }) {
                try check(leaving.region)
                return leaving.grace
            }
            guard let region = contents.table.floor(bus), region.start == bus else {
                throw DMAError(.notMapped, asked: bus)
            }
            try check(region)
            contents.replace(contents.table.removing(bus), gate)
            contents.count -= 1
            let grace = contents.grace.next()
            contents.leaving.append(ForeignContents.Leaving(region: region, grace: grace))
            return grace
        }
        try settle(grace, until: deadline) { $0.start == bus }
    }

    /// Ends every region, when nobody accesses one any more: for a peer that asks for it, and for one that has died.
    ///
    /// - Parameter deadline: as for ``remove(_:count:until:)``.
    /// - Throws: as ``remove(_:count:until:)``. What has ended has ended; the rest is kept as there, and the call can be made again.
    public func removeAll(until deadline: Deadline) throws(DMAError) {
        try checkProcess()
        let grace = contents.withLock { contents -> UInt64 in
            let regions = contents.table.regions
            let freed = contents.table.memory
            contents.replace(ForeignTable.Change(table: ForeignTable(address: 0), freed: freed), gate)
            contents.count = 0
            let grace = contents.grace.next()
            contents.leaving += regions.map { ForeignContents.Leaving(region: $0, grace: grace) }
            return grace
        }
        try settle(grace, until: deadline) { _ in true }
    }

    /// Waits until a grace is over and the regions that are meant have ended.
    private func settle(
        _ grace: UInt64, until deadline: Deadline, _ isMeant: (ForeignRegion) -> Bool
    ) throws(DMAError) {
        var pause: Int64 = 10_000
        while true {
            let (isOver, left) = contents.withLock { contents -> (Bool, ForeignContents.Leaving?) in
                contents.settle(gate)
                return (contents.grace.completed >= grace, contents.leaving.first { isMeant($0.region) })
            }
            guard let left else { return }
            if isOver, left.errno != 0 { throw DMAError(.kernelRefused, errno: left.errno) }
            let now = Deadline.now
            if now >= deadline { throw DMAError(.regionInUse, asked: left.region.start) }
            let rest = now.nanoseconds(until: deadline)
            cdma_sleep_until(now.nanoseconds + min(pause, Int64(clamping: rest)))
            pause = min(pause * 2, 1_000_000)
        }
    }

    // MARK: Reading

    /// - Throws: `usedAfterFork` in a child of the process that made the table.
    @inline(__always)
    func checkProcess() throws(DMAError) {
        guard cdma_fork_generation() == generation else { throw DMAError(.usedAfterFork) }
    }

    /// Runs `body` as an access that is under way: for tests of what waits for one.
    package func withAccess<R>(_ body: () throws -> R) throws -> R {
        let section = gate.enter()
        let result = Result { try body() }
        gate.leave(section)
        return try result.get()
    }

    /// Bytes of address space that are mapped, those of regions that leave included: for tests.
    package var mappedCount: UInt64 {
        contents.withLock { contents in
            (contents.table.regions + contents.leaving.map(\.region)).reduce(0) { $0 + $1.mapped }
        }
    }
}
