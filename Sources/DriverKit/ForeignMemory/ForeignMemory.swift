// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMATypes

/// Memory of another process as a device model accesses it: a table from bus addresses to the memory that the process has
/// mapped for its device.
///
/// A model, or a vfio-user server, is the device's side: its client announces by DMA_MAP which ranges of bus addresses the
/// device may access, and passes a file for each. The model transfers data with ``read(_:into:)`` and ``write(_:at:)``, which
/// copy, and accesses rings with ``load(at:as:)`` and its variants, each of which is one access of the word's width. No span or
/// pointer into the memory is ever lent: the client may change any byte at any time, so that checked data would not be the data
/// in use.
///
/// **Regions.** Regions never overlap: every insert that would overlap another is refused with `alreadyMapped`, also the
/// identical one. (libvfio-user accepts an identical one as a repetition; a server that needs that answers its client
/// accordingly.) A region is removed as a whole, with its exact start and count: half a region, and two at once, are refused,
/// as the vfio-user specification requires for DMA_UNMAP. ``removeAll(until:)`` serves DMA_UNMAP's flag "all" and a client that
/// has died. Finding a region takes O(log n) steps.
///
/// **Permissions** apply to the mapping (mmap's protection) and to every access.
///
/// **Files whose pages may be removed.** An access to a mapped page that the file no longer has raises SIGBUS, which ends the
/// process. A client could thus end its server with ftruncate(2). A memfd that is sealed against shrinking (F_SEAL_SHRINK; QEMU
/// seals its memory-backend-memfd) cannot be truncated, and is mapped. All others, and huge pages (after punching a hole the
/// kernel may find no free page, in spite of a seal), are refused with ``Unstable/refused``; with ``Unstable/copied`` the
/// kernel copies by process_vm_readv(2), which fails with EFAULT where a page is missing; single words are then refused
/// (`copiesOnly`), because the kernel does not promise the width of its accesses. No SIGBUS handler is installed: signals
/// belong to the program. Two cases remain: failing memory hardware, and a sealed memfd with holes under
/// vm.overcommit_memory=2, where the kernel may refuse a page on first access.
///
/// **Threads.** Any thread may call any function. Accesses take no lock, do not wait and do not allocate; they count themselves
/// in and out of the table. Inserts and removals are serialized. Removing waits until no access uses the region. In a child of
/// fork(2) every call is refused, and the memory is not mapped there.
///
/// Source: the vfio-user protocol specification (VFIO_USER_DMA_MAP, DMA_UNMAP); fcntl(2), F_GET_SEALS; mmap(2), SIGBUS.
// SAFETY: the gate's words are atomics; the rest is immutable, or used under the lock.
@safe
public final class ForeignMemory: Sendable {
    /// The treatment of a file whose pages may be removed while they are mapped.
    @frozen
    public enum Unstable: Sendable {
        /// It is refused: `unstableFile`.
        case refused
        /// The kernel copies; single words are refused.
        case copied
    }

    /// The maximum number of regions, including removed ones that are still in use.
    private let maximumRegions: Int
    /// The maximum size of a region, in bytes.
    private let maximumCount: UInt64
    private let generation = cdma_fork_generation()
    let gate = ReaderGate()
    private let contents = Locked(ForeignContents())

    /// A table without regions.
    ///
    /// - Parameters:
    ///   - maximumRegions: the maximum number of regions. The kernel's own limit is vm.max_map_count: 65,530 by default, for
    ///     the whole process.
    ///   - maximumCount: the maximum size of a region, in bytes.
    public init(maximumRegions: Int = 65_536, maximumCount: UInt64 = 1 << 43) {
        self.maximumRegions = maximumRegions
        self.maximumCount = min(maximumCount, UInt64(Int64.max))
    }

    deinit {
        // SAFETY: no reference to the table is left, so that no access is in progress. In a child of fork(2) it has no
        // mappings, and other mappings may be at these addresses.
        let isOwn = cdma_fork_generation() == generation
        contents.withLock { contents in
            unsafe contents.end(unmaps: isOwn)
        }
    }

    /// The number of regions that accesses find.
    package var regionCount: Int { contents.withLock { $0.count } }

    // MARK: Inserting

    /// Maps a part of a peer's file at a bus address.
    ///
    /// - Parameters:
    ///   - start: the first bus address; it need not be aligned. What must be aligned is a word's address in this process,
    ///     which depends on the offset in the file's page.
    ///   - count: bytes, at least 1 and at most the table's `maximumCount`.
    ///   - access: the permissions. A region without permissions is known, and refuses every access.
    ///   - file: a descriptor opened with these permissions. The caller keeps it, and it is not needed afterwards.
    ///   - offset: of the first byte in the file: a multiple of the page size, or of the huge page size for such a file.
    ///   - unstable: the treatment of a file whose pages may be removed.
    /// - Throws: `zeroLength`, `mappingTooLarge`, `sizeOverflow` for a range beyond the 64-bit space, `misaligned`,
    ///   `outOfRange` where the file is shorter, `unstableFile`, `alreadyMapped`, `tooManyRegions`, `kernelRefused` (EACCES:
    ///   the descriptor does not permit it), `usedAfterFork`. The table is unchanged then.
    public func insert(
        _ start: IOVA, count: UInt64, access: DeviceAccess, file: Int32, offset: UInt64 = 0, unstable: Unstable = .refused
    ) throws(DMAError) {
        try insert(
            start, count, access, file, offset,
            unstable: unstable == .copied ? ForeignMapping.Unstable.copied : ForeignMapping.Unstable.refused)
    }

    /// As ``insert(_:count:access:file:offset:unstable:)``, for a peer that is trusted not to remove pages: every file is
    /// mapped.
    ///
    /// Unsafe: the caller guarantees that the file is not truncated, and that each of its pages is available, while it is
    /// inserted. Otherwise an access ends the process with SIGBUS.
    @unsafe
    public func insert(
        _ start: IOVA, count: UInt64, access: DeviceAccess, trustedFile file: Int32, offset: UInt64 = 0
    ) throws(DMAError) {
        try insert(start, count, access, file, offset, unstable: .trusted)
    }

    /// Inserts memory of this process at a bus address: for a model and its driver in one process.
    ///
    /// Unsafe: the caller guarantees that the memory stays, and permits `access`, until the region was removed; and that Swift
    /// code accesses it meanwhile only as memory that a device shares.
    ///
    /// - Throws: as ``insert(_:count:access:file:offset:unstable:)``, without the errors about files.
    @unsafe
    public func insert(
        _ start: IOVA, access: DeviceAccess, memory: UnsafeMutableRawBufferPointer
    ) throws(DMAError) {
        // SAFETY: only the address is taken; the caller guarantees that it stays valid.
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

    /// The last address of a valid range for a region.
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

    /// Removes a region once no access uses it.
    ///
    /// Accesses that begin after the call do not find the region. One in progress ends first or, if it copies more than 256
    /// KiB, stops with `unmappedAddress`.
    ///
    /// - Parameters:
    ///   - start: the region's first bus address.
    ///   - count: its size in bytes.
    ///   - deadline: the time limit for accesses in progress.
    /// - Throws: `notMapped` where no region starts there; `unmapMismatch` where it has another count; `regionInUse` where an
    ///   access has not ended by the deadline: the region stays mapped and its addresses taken, no access finds it, and the
    ///   call can be repeated; `kernelRefused` where munmap(2) fails, with the same consequence; `usedAfterFork`.
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

    /// Removes every region once no access uses it: for a peer that requests it, and for one that has died.
    ///
    /// - Parameter deadline: as for ``remove(_:count:until:)``.
    /// - Throws: as ``remove(_:count:until:)``. Regions removed before the error stay removed; the others are kept, and the
    ///   call can be repeated.
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

    /// Waits until a grace period is over and the given regions are unmapped.
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

    /// Runs `body` as an access in progress: for tests of waiting removals.
    package func withAccess<R>(_ body: () throws -> R) throws -> R {
        let section = gate.enter()
        let result = Result { try body() }
        gate.leave(section)
        return try result.get()
    }

    /// Bytes of address space that are mapped, including removed regions still in use: for tests.
    package var mappedCount: UInt64 {
        contents.withLock { contents in
            (contents.table.regions + contents.leaving.map(\.region)).reduce(0) { $0 + $1.mapped }
        }
    }
}
