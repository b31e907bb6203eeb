// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// The state shared by a pool and its leased blocks. It lives until the pool and the last block have ended.
///
/// The pool's owner uses the stack of free blocks without atomic operations. A block that ends on any thread is pushed on a
/// separate list, a Treiber stack: pushed by compare-and-exchange, and taken as a whole by an exchange, which avoids the ABA
/// problem.
@safe @frozen @usableFromInline
struct PoolHeader: ~Copyable {
    /// Twice the number of free blocks, whose places are in the even words after the header. Used by the owner only.
    @usableFromInline var top: Int
    /// Bus address of the first block.
    @usableFromInline let start: UInt64
    /// Usable bytes of each block, and of each of its segments.
    @usableFromInline let blockSize: UInt64
    @usableFromInline let segmentSize: UInt64
    /// Domain and access of the blocks' regions.
    @usableFromInline let key: UInt64
    /// CPU address of offset 0, in the memory that the device works on.
    @usableFromInline let base: UnsafeMutableRawPointer
    @usableFromInline let capacity: Int
    @usableFromInline let isCoherent: Bool
    /// The number of segments of each block, and a list of them for each block, in the order of their indices; nil where a
    /// block is one segment.
    @usableFromInline let segmentCount: Int
    @usableFromInline let lists: RegionLists?
    let mapping: Mapping

    /// Word `index` after the header: two for each block, in the same allocation, so that no address must be loaded. Word 2n is
    /// place n of the stack of free blocks; word 2n + 1 is the link of block n in the list of blocks that have ended on their
    /// own.
    @unsafe @inlinable @inline(__always)
    static func word(_ header: UnsafeMutablePointer<PoolHeader>, _ index: Int) -> UnsafeMutablePointer<UInt64> {
        // SAFETY: the caller's index is below twice the capacity, for which `make` has allocated the words.
        unsafe (UnsafeMutableRawPointer(header) + MemoryLayout<PoolHeader>.stride).assumingMemoryBound(to: UInt64.self) + index
    }

    @unsafe @inline(__always)
    fileprivate static func link(
        _ header: UnsafeMutablePointer<PoolHeader>, _ place: BlockPlace
    ) -> UnsafeMutablePointer<UInt64> {
        // SAFETY: callers pass places of blocks of this pool, each of which has two words behind the header.
        unsafe word(header, place.doubleIndex &+ 1)
    }

    /// Two words for atomics, before the header in its allocation: the list of blocks that have ended on their own and, once
    /// the pool has ended, the number of remaining blocks.
    @unsafe @inline(__always)
    static func shared(_ header: UnsafeMutablePointer<PoolHeader>) -> UnsafeMutableRawPointer {
        // SAFETY: `make` has allocated a cache line before the header.
        unsafe UnsafeMutableRawPointer(header) - 64
    }

    /// The end of the list. No place has this value: its index would be the highest of 24 bits.
    @inlinable static var nothing: UInt64 { .max }
    /// In the list's head: the pool has ended, and blocks count down instead.
    @inlinable static var ended: UInt64 { .max - 1 }
}

extension PoolHeader {
    static func make(
        _ mapping: consuming Mapping, _ blockSize: Int, _ segments: Int, _ alignment: Int, _ boundary: Int
    ) throws(DMAError) -> UnsafeMutablePointer<PoolHeader> {
        guard !mapping.isQuarantined else { throw DMAError(.quarantined, asked: mapping.start) }
        guard blockSize > 0 else { throw DMAError(.zeroLength) }
        let constraints = mapping.core.constraints
        let entry = mapping.firstEntry
        let layout = PoolLayout(
            start: mapping.start, cpuStart: entry.deviceAddress, count: entry.count,
            blockSize: blockSize, alignment: alignment, boundary: boundary, constraints: constraints)
        let offsets = try layout.offsets()
        let segmentSize = try layout.segmentSize(segments)
        let places = offsets.indices.compactMap { BlockPlace(index: $0, offset: offsets[$0]) }
        guard places.count == offsets.count else {
            throw DMAError(.sizeOverflow, asked: UInt64(entry.count), limit: 1 << 40)
        }
        let key = RegionWords.key(mapping.core.id, mapping.direction.access)
        var lists: RegionLists?
        if segments > 1 {
            let start = mapping.start
            guard let prepared = RegionLists(capacity: segments, lists: offsets.count) else {
                throw DMAError(.outOfMemory, asked: UInt64(offsets.count) &* UInt64(segments) &* 16)
            }
            for index in 0..<segments {
                // In ascending order, with one key, inside the mapping: they form a valid list.
                _ = prepared.append(
                    RegionWords(
                        start: start + UInt64(offsets[0] + index * segmentSize), count: UInt64(segmentSize), key: key))
            }
            for index in offsets.indices.dropFirst() {
                prepared.repeatFirst(at: index, movedBy: UInt64(offsets[index] - offsets[0]))
            }
            lists = consume prepared
        }
        // SAFETY: all allocations are sized for the number of blocks, initialized here, and freed by `free` when the last user
        // has ended.
        guard let base = unsafe UnsafeMutableRawPointer(bitPattern: UInt(entry.deviceAddress)) else {
            throw DMAError(.notMapped)
        }
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: 64 + MemoryLayout<PoolHeader>.stride + places.count * 16, alignment: 64)
        unsafe memory.storeBytes(of: nothing, as: UInt64.self)
        unsafe memory.storeBytes(of: 0, toByteOffset: 8, as: UInt64.self)
        let header = unsafe (memory + 64).bindMemory(to: PoolHeader.self, capacity: 1)
        unsafe header.initialize(
            to: PoolHeader(
                top: 2 * places.count, start: mapping.start, blockSize: UInt64(blockSize),
                segmentSize: UInt64(segmentSize), key: key,
                base: base, capacity: places.count,
                isCoherent: constraints.isCoherent, segmentCount: segments,
                lists: lists.take(), mapping: mapping))
        // Lowest offset on top, so that a new pool is leased from its beginning.
        for (index, place) in places.reversed().enumerated() {
            unsafe word(header, 2 * index).initialize(to: place.word)
            unsafe word(header, 2 * index + 1).initialize(to: nothing)
        }
        return unsafe header
    }

    /// Moves the blocks that have ended on their own to the stack. Returns twice the number of free blocks. Called by the owner
    /// only.
    @unsafe @usableFromInline
    static func collect(_ header: UnsafeMutablePointer<PoolHeader>) -> Int {
        // SAFETY: the caller owns the pool. The exchange takes the whole list, with every link that was published into it. Each
        // block is pushed once for each lease and is not on the stack then: so the list ends, and the stack has room for it.
        let shared = unsafe shared(header)
        var top = unsafe header.pointee.top
        guard unsafe cdma_load_acquire64(shared) != nothing else { return top }
        var element = unsafe cdma_exchange64(shared, nothing)
        while element != nothing {
            unsafe word(header, top).pointee = element
            top &+= 2
            element = unsafe link(header, BlockPlace(word: element)).pointee
        }
        unsafe header.pointee.top = top
        return top
    }

    /// Ends the pool; its blocks may outlive it.
    @unsafe @usableFromInline
    static func end(_ header: UnsafeMutablePointer<PoolHeader>) {
        // SAFETY: called once, by the pool's deinit. From the exchange on, blocks count down; the sum of all counts is 0
        // exactly when the pool and every block have ended, so that the last of them frees the header.
        _ = unsafe collect(header)
        let shared = unsafe shared(header)
        var element = unsafe cdma_exchange64(shared, ended)
        var back = unsafe header.pointee.top / 2
        while element != nothing {
            back += 1
            element = unsafe link(header, BlockPlace(word: element)).pointee
        }
        let leased = unsafe header.pointee.capacity - back
        guard leased > 0 else { return unsafe free(header) }
        let (domain, origin) = unsafe (header.pointee.mapping.core.id, header.pointee.mapping.origin)
        Sanitizer.report(.poolInUse, domain, "a pool ended with \(leased) blocks leased", mapping: origin)
        if unsafe cdma_fetch_add64(shared + 8, UInt64(leased)) &+ UInt64(leased) == 0 { unsafe free(header) }
    }

    @unsafe @inline(never)
    fileprivate static func countDown(_ header: UnsafeMutablePointer<PoolHeader>) {
        // SAFETY: as for `end`.
        if unsafe cdma_fetch_add64(shared(header) + 8, .max) == 1 { unsafe free(header) }
    }

    /// Frees the header, and with it the mapping. `header` is not used afterwards: the pool has ended and no block is leased.
    @unsafe
    private static func free(_ header: UnsafeMutablePointer<PoolHeader>) {
        // SAFETY: as allocated by `make`.
        unsafe header.deinitialize(count: 1)
        unsafe shared(header).deallocate()
    }
}

extension BlockPlace {
    /// Ends a block on any thread. The last one after the pool's end frees the memory.
    @unsafe @usableFromInline @inline(never)
    func goBack(to header: UnsafeMutablePointer<PoolHeader>) {
        // SAFETY: the header lives until this block has returned. The link is the block's own until the exchange publishes it.
        let shared = unsafe PoolHeader.shared(header)
        while true {
            let head = unsafe cdma_load_acquire64(shared)
            if head == PoolHeader.ended { return unsafe PoolHeader.countDown(header) }
            unsafe PoolHeader.link(header, self).pointee = head
            if unsafe cdma_compare_exchange64(shared, head, word) { return }
        }
    }
}
