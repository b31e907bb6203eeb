// SPDX-License-Identifier: Apache-2.0
import CDMA

/// The memory behind a buffer: one allocation, freed when the last owner ends.
///
/// Immutable except for its bytes. The noncopyable types around it control access to the bytes: exactly one of a ``Buffer``, a
/// mapping, a pool or the quarantine holds it at a time.
// SAFETY: only the bytes change, and they are accessed only through the one noncopyable value that holds the object.
@safe
final class Memory: @unchecked Sendable {
    /// The client's first byte.
    let base: UnsafeMutableRawPointer
    /// The client's number of bytes.
    let count: Int
    /// Alignment of `base`, as promised to the client. Bytes.
    let alignment: Int
    /// The actual source.
    let backing: Backing
    let isLocked: Bool
    /// The page size. Bytes.
    let pageSize: Int
    /// memfd or dma-buf, or -1. Owned.
    let fileDescriptor: Int32
    /// Start and length of the range that belongs to this allocation alone: whole pages or, for imported memory, only the
    /// bytes.
    let extentStart: UInt64
    let extentCount: UInt64
    /// The words that a mapping needs.
    let words: MemoryWords
    /// The fork generation of the process that obtained it.
    private let generation = cdma_fork_generation()
    /// For imported memory; called exactly once.
    private let onRelease: (@Sendable () -> Void)?

    // SAFETY: the pointer is read as a number.
    var address: UInt64 { unsafe UInt64(UInt(bitPattern: base)) }

    /// Whether the range lies inside what belongs to this allocation alone. False for a range that wraps.
    func owns(_ start: UInt64, count: UInt64) -> Bool {
        guard start >= extentStart else { return false }
        let (offsetEnd, overflow) = (start - extentStart).addingReportingOverflow(count)
        return !overflow && offsetEnd <= extentCount
    }

    /// The caller guarantees that `bytes` stay valid until `onRelease` is called.
    @unsafe
    init(unsafeImporting bytes: UnsafeMutableRawBufferPointer, onRelease: (@Sendable () -> Void)?) throws(DMAError) {
        // SAFETY: the pointer is stored, not dereferenced; by the contract of this function it stays valid.
        guard let start = bytes.baseAddress, bytes.count > 0 else { throw DMAError(.zeroLength) }
        let address = UInt(bitPattern: start)
        guard address <= UInt.max - UInt(bytes.count) else {
            throw DMAError(.sizeOverflow, asked: UInt64(bytes.count), limit: UInt64(UInt.max - address))
        }
        unsafe base = start
        count = bytes.count
        alignment = 1
        backing = .imported
        isLocked = false
        pageSize = cdma_page_size()
        fileDescriptor = -1
        extentStart = UInt64(UInt(bitPattern: start))
        extentCount = UInt64(bytes.count)
        words = MemoryWords(
            base: extentStart, count: bytes.count, alignment: 1, extentStart: extentStart, extentCount: extentCount,
            descriptor: -1, backing: .imported)
        self.onRelease = onRelease
    }

    /// - Throws: `zeroLength`, `badAlignment`, `sizeOverflow`, `outOfMemory`, `hugePagesUnavailable`, `memoryLocked`,
    ///   `noSuchHeap`, `noAddressSpace`.
    init(count: Int, alignment: Int, backing: Backing, policy: AllocationPolicy) throws(DMAError) {
        // SAFETY: the piece is a mapping that `obtain` made for this object alone; `deinit` unmaps it.
        let request = try Request(count: count, alignment: alignment, backing: backing)
        var piece: KernelMapping
        do throws(DMAError) {
            piece = try request.obtain(backing, below: policy.below)
        } catch {
            guard policy.acceptsFallback, error.code == .hugePagesUnavailable else { throw error }
            piece = try Request(count: count, alignment: alignment, backing: backing.fallback)
                .obtain(backing.fallback, below: policy.below)
        }
        var locked = false
        do throws(DMAError) {
            try piece.doNotInherit()
            if policy.locked { locked = try piece.lock(acceptsFailure: policy.acceptsFallback) }
            if policy.prefault { try piece.populate() }
        } catch {
            piece.release()
            throw error
        }
        unsafe base = piece.start
        self.count = count
        self.alignment = alignment
        self.backing = piece.backing
        isLocked = locked
        pageSize = piece.pageSize
        fileDescriptor = piece.fileDescriptor
        unsafe extentStart = UInt64(UInt(bitPattern: piece.start))
        extentCount = UInt64(piece.length)
        words = MemoryWords(
            base: extentStart, count: count, alignment: alignment, extentStart: extentStart, extentCount: extentCount,
            descriptor: fileDescriptor, backing: self.backing)
        onRelease = nil
    }

    deinit {
        // SAFETY: the kernel accepts any range of whole pages of this process; the extent is such a range, made by mmap and
        // unmapped only here, by its only owner. In a child process the memory belongs to the parent: the range may hold other
        // memory by now.
        if generation != cdma_fork_generation() { return }
        if backing == .imported {
            onRelease?()
            return
        }
        // The kernel accepts any range of whole pages of this process; the extent is one, made by mmap and unmapped only here.
        unsafe _ = cdma_unmap(base, Int(extentCount))
        if fileDescriptor >= 0 { cdma_close(fileDescriptor) }
    }
}

extension Backing {
    /// The same source on base pages.
    fileprivate var fallback: Backing {
        switch self {
        case .huge2MiB, .huge1GiB: .pages(transparentHuge: true)
        case .sharedMemory(let name, huge: _): .sharedMemory(name: name)
        default: self
        }
    }
}

/// One mmap mapping, before it becomes a `Memory`.
@safe
private struct KernelMapping {
    var start: UnsafeMutableRawPointer
    var length: Int
    var fileDescriptor: Int32
    var backing: Backing
    var pageSize: Int

    func release() {
        // SAFETY: the range is what mmap returned for this piece. A piece is released once: where its construction fails, and
        // no other code has it.
        unsafe _ = cdma_unmap(start, length)
        if fileDescriptor >= 0 { cdma_close(fileDescriptor) }
    }

    /// Excludes the memory from child processes: a device may write it while both run, and after fork a copy-on-write fault on
    /// pinned pages would separate this process's pages from the device's (madvise(2), MADV_DONTFORK).
    func doNotInherit() throws(DMAError) {
        // SAFETY: the range is a mapping of this process, of whole pages.
        let result = unsafe cdma_do_not_inherit(start, length)
        if result != 0 { throw DMAError(.outOfMemory, asked: UInt64(length), errno: -result) }
    }

    /// Returns whether the memory is locked now.
    func lock(acceptsFailure: Bool) throws(DMAError) -> Bool {
        // SAFETY: the range is the piece's own; the kernel checks it, and changes no byte.
        let result = unsafe cdma_lock(start, length)
        if result == 0 { return true }
        if acceptsFailure { return false }
        throw DMAError(.memoryLocked, asked: UInt64(length), limit: LockBudget.current.remaining, errno: -result)
    }

    func populate() throws(DMAError) {
        // SAFETY: the range is the piece's own, new, and not used by other code yet; the offset stays below its length.
        let result = unsafe cdma_populate(start, length)
        if result == 0 { return }
        guard result == -EINVAL else { throw DMAError(.outOfMemory, asked: UInt64(length), errno: -result) }
        // Before Linux 5.14: touch each page. The memory is new and private, so that writing zeros changes nothing.
        for offset in stride(from: 0, to: length, by: pageSize) {
            unsafe cdma_volatile_store8(start + offset, 0)
        }
    }
}

/// A checked request for memory.
private struct Request {
    let count: Int
    let alignment: Int
    let pageSize: Int
    /// Whole pages.
    let length: Int

    init(count: Int, alignment: Int, backing: Backing) throws(DMAError) {
        guard count != 0 else { throw DMAError(.zeroLength) }
        // A length from a wrapped subtraction is negative; the error shows it as requested.
        guard count > 0 else { throw DMAError(.sizeOverflow, asked: UInt64(UInt(bitPattern: count)), limit: Self.largest) }
        guard alignment > 0, alignment & (alignment - 1) == 0, alignment <= 1 << 40 else {
            throw DMAError(.badAlignment, asked: UInt64(UInt(bitPattern: alignment)), limit: 1 << 40)
        }
        let shift = backing.hugeShift
        pageSize = shift == 0 ? cdma_page_size() : 1 << Int(shift)
        let (sum, overflow) = count.addingReportingOverflow(pageSize - 1)
        guard !overflow, sum <= Int(Self.largest) else {
            throw DMAError(.sizeOverflow, asked: UInt64(count), limit: Self.largest)
        }
        length = sum & ~(pageSize - 1)
        self.count = count
        self.alignment = alignment
    }

    /// User space has 47 address bits on every target with 4-level page tables.
    static var largest: UInt64 { 1 << 47 }

    func obtain(_ backing: Backing, below: DMAMask?) throws(DMAError) -> KernelMapping {
        // SAFETY: the strings end with a zero and live until the calls return; the piece is what `place` has mapped, of this
        // length.
        var result = backing
        var file: Int32 = -1
        var wanted = max(alignment, pageSize)
        switch backing {
        case .imported:
            throw DMAError(.unsupportedBacking)
        case .pages(let transparentHuge):
            if transparentHuge, length >= 2 << 20 { wanted = max(wanted, 2 << 20) }
        case .huge2MiB, .huge1GiB:
            break
        case .sharedMemory(let name, _):
            file = unsafe name.withCString { unsafe cdma_shared_memory($0, length, backing.hugeShift) }
            if file < 0 { throw failure(-file, backing) }
        case .heap(let name):
            // A name is one component of a path; any other name could refer to a file outside the directory.
            guard !name.isEmpty, name.utf8.count < 64, !name.utf8.contains(UInt8(ascii: "/")),
                name.utf8.first != UInt8(ascii: ".")
            else {
                throw DMAError(.noSuchHeap)
            }
            file = unsafe cdma_heap_allocate("/dev/dma_heap/" + name, length)
            if file < 0 { throw DMAError(file == -ENODEV ? .noSuchHeap : .outOfMemory, asked: UInt64(length), errno: -file) }
        }
        let start: UnsafeMutableRawPointer
        do throws(DMAError) {
            unsafe start = try place(backing, file: file, alignment: wanted, below: below)
        } catch {
            if file >= 0 { cdma_close(file) }
            throw error
        }
        if case .pages(transparentHuge: true) = backing {
            let advised = unsafe cdma_advise_huge(start, length) == 0
            result = .pages(transparentHuge: advised && length >= 2 << 20 && Self.transparentHugeAllowed)
        }
        return unsafe KernelMapping(start: start, length: length, fileDescriptor: file, backing: result, pageSize: pageSize)
    }

    /// Maps the memory at an address that satisfies alignment and mask.
    private func place(
        _ backing: Backing, file: Int32, alignment: Int, below: DMAMask?
    ) throws(DMAError) -> UnsafeMutableRawPointer {
        // SAFETY: this unmaps what this function has just mapped, with the same length, and no other code has it.
        let start = unsafe try placeAligned(backing, file: file, alignment: alignment)
        guard let below else { return unsafe start }
        if below.reaches(IOVA(UInt64(UInt(bitPattern: start))), count: UInt64(length)) { return unsafe start }
        // The kernel allocates from the top; low addresses must be searched.
        unsafe _ = cdma_unmap(start, length)
        // Another thread may take a gap between the search and the map; the kernel then returns EEXIST. It may be the only gap
        // that low, so search again: every round that fails is one in which another thread succeeded.
        for _ in 0..<64 {
            let gaps =
                ProcessMaps.current()?.gaps(of: UInt64(length), alignment: UInt64(alignment), highest: below.rawValue) ?? []
            var wasTaken = false
            for gap in gaps {
                var low: UnsafeMutableRawPointer?
                let error = unsafe map(backing, file: file, at: UInt(gap), length: length, result: &low)
                if error == 0, let low = unsafe low { return unsafe low }
                wasTaken = wasTaken || error == -EEXIST
            }
            if !wasTaken { break }
        }
        throw DMAError(.noAddressSpace, asked: UInt64(length), limit: below.rawValue)
    }

    private func placeAligned(
        _ backing: Backing, file: Int32, alignment: Int
    ) throws(DMAError) -> UnsafeMutableRawPointer {
        // SAFETY: this unmaps the placeholder that this function has just mapped, with the same length. `map` never replaces a
        // mapping: if another thread takes the hole first, it fails with EEXIST.
        var start: UnsafeMutableRawPointer?
        if alignment <= pageSize {
            let error = unsafe map(backing, file: file, at: 0, length: length, result: &start)
            guard error == 0, let start = unsafe start else { throw failure(-error, backing) }
            return unsafe start
        }
        // Map a placeholder long enough for an aligned piece, then replace it with exactly that piece: a file is mapped from
        // its first byte, and huge pages are not reserved only to be trimmed. If another thread takes the hole in between,
        // repeat.
        let (room, overflow) = length.addingReportingOverflow(alignment)
        guard !overflow else { throw DMAError(.sizeOverflow, asked: UInt64(length), limit: Self.largest) }
        var error: Int32 = 0
        for _ in 0..<16 {
            error = unsafe cdma_map_anonymous(0, room, 0, &start)
            guard error == 0, let hole = unsafe start else { break }
            unsafe _ = cdma_unmap(hole, room)
            let aligned = (UInt(bitPattern: hole) + UInt(alignment - 1)) & ~UInt(alignment - 1)
            error = unsafe map(backing, file: file, at: aligned, length: length, result: &start)
            if error == 0, let found = unsafe start { return unsafe found }
            if error != -EEXIST { break }
        }
        throw failure(-error, backing)
    }

    @unsafe
    private func map(
        _ backing: Backing, file: Int32, at: UInt, length: Int, result: inout UnsafeMutableRawPointer?
    ) -> Int32 {
        // SAFETY: the C functions write one pointer to `result`. They map only unmapped ranges, so that they change no memory
        // in use.
        file >= 0
            ? unsafe cdma_map_file(file, at, length, &result)
            : unsafe cdma_map_anonymous(at, length, backing.hugeShift, &result)
    }

    private func failure(_ errno: Int32, _ backing: Backing) -> DMAError {
        backing.hugeShift == 0
            ? DMAError(.outOfMemory, asked: UInt64(length), errno: errno)
            : DMAError(.hugePagesUnavailable, asked: UInt64(length), limit: UInt64(pageSize), errno: errno)
    }

    /// Whether the system permits processes to advise huge pages.
    private static var transparentHugeAllowed: Bool {
        let text = ProcessFile.read("/sys/kernel/mm/transparent_hugepage/enabled", capacity: 128) ?? []
        return !text.isEmpty && !text.split(separator: UInt8(ascii: " ")).contains { $0.starts(with: Array("[never".utf8)) }
    }
}

extension Memory {
    /// Copies bytes between two allocations. The callers check the ranges against both counts.
    func copy(_ length: Int, from offset: Int, to target: Memory, at targetOffset: Int) {
        // SAFETY: both ranges lie inside memory that the two objects keep alive, and the allocations are distinct.
        // Both ranges lie inside memory that the two objects keep alive, and the allocations are distinct.
        unsafe (target.base + targetOffset).copyMemory(from: base + offset, byteCount: length)
    }

    /// Writes back and invalidates the cache lines of a range that lies inside this allocation.
    func flushCaches(_ offset: Int, _ length: Int, line: Int) {
        // SAFETY: the range lies inside this allocation, which the object keeps; the bytes do not change.
        unsafe _ = cdma_cache_flush(base + offset, length, line)
    }

    /// Brackets the CPU's access to a dma-buf, whose exporter may have caches to maintain. Does nothing for other memory.
    func bracketAccess(begins: Bool) {
        guard case .heap = backing else { return }
        let flags = UInt64(CDMA_DMA_BUF_READ | CDMA_DMA_BUF_WRITE | (begins ? 0 : CDMA_DMA_BUF_END))
        _ = cdma_dma_buf_sync(fileDescriptor, flags)
    }
}
