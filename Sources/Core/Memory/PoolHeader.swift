// SPDX-License-Identifier: Apache-2.0

public import CDMA

/// What a pool and its leased blocks share. It lives until the pool and the last block have ended.
///
/// The pool's owner uses the stack of free blocks without atomic operations. A block that ends on any thread is pushed on a list of its
/// own, a Treiber stack: pushed by compare and exchange, and taken whole by an exchange, so that no element is reused under a reader.
@safe @frozen @usableFromInline
struct PoolHeader {
    /// Number of free blocks; `stack[0 ..< free]` are their places. The owner's.
    @usableFromInline var free: Int
    @usableFromInline let stack: UnsafeMutablePointer<UInt64>
    /// Of the first block as the device sees it.
    @usableFromInline let start: UInt64
    /// Usable bytes of each block.
    @usableFromInline let blockSize: UInt64
    /// Of the blocks' regions: domain and access.
    @usableFromInline let key: UInt64
    /// Of offset 0 as the CPU sees it: the memory that the device works on.
    @usableFromInline let base: UnsafeMutableRawPointer
    @usableFromInline let capacity: Int
    @usableFromInline let isCoherent: Bool
    /// Two words for atomics: the list of blocks that have ended by themselves, and once the pool has ended, how many blocks are left.
    @usableFromInline let shared: UnsafeMutableRawPointer
    /// The next element of the list, by the index of the block.
    @usableFromInline let links: UnsafeMutablePointer<UInt64>
    let mapping: Mapping

    /// The end of the list. No place is the same: its index would be the highest of 24 bits.
    @inlinable static var nothing: UInt64 { .max }
    /// In the list's head: the pool has ended, and blocks count down instead.
    @inlinable static var ended: UInt64 { .max - 1 }
}

extension PoolHeader {
    static func make(
        _ mapping: Mapping, _ blockSize: Int, _ alignment: Int, _ boundary: Int
    ) throws(DMAError) -> UnsafeMutablePointer<PoolHeader> {
        guard !mapping.isQuarantined else { throw DMAError(.quarantined, asked: mapping.core.regions[0].start) }
        guard blockSize > 0 else { throw DMAError(.zeroLength) }
        let constraints = mapping.domain.constraints
        let entry = mapping.core.entries[0]
        let offsets = try PoolLayout(
            start: mapping.core.regions[0].start, cpuStart: entry.deviceAddress, count: entry.count,
            blockSize: blockSize, alignment: alignment, boundary: boundary, constraints: constraints
        ).offsets()
        let places = offsets.indices.compactMap { BlockPlace(index: $0, offset: offsets[$0]) }
        guard places.count == offsets.count else {
            throw DMAError(.sizeOverflow, asked: UInt64(entry.count), limit: 1 << 40)
        }
        // SAFETY: all allocations are sized for the number of blocks, initialized here, and freed by `free` when the last user has ended.
        let stack = UnsafeMutablePointer<UInt64>.allocate(capacity: places.count)
        // Lowest offset on top, so that a new pool is leased from its beginning.
        for (index, place) in places.reversed().enumerated() { unsafe (stack + index).initialize(to: place.word) }
        let links = UnsafeMutablePointer<UInt64>.allocate(capacity: places.count)
        unsafe links.initialize(repeating: nothing, count: places.count)
        let shared = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
        unsafe shared.storeBytes(of: nothing, as: UInt64.self)
        unsafe shared.storeBytes(of: 0, toByteOffset: 8, as: UInt64.self)
        let header = UnsafeMutablePointer<PoolHeader>.allocate(capacity: 1)
        unsafe header.initialize(
            to: PoolHeader(
                free: places.count, stack: stack, start: mapping.core.regions[0].start, blockSize: UInt64(blockSize),
                key: RegionWords.key(mapping.domain.id, mapping.core.direction.access),
                base: entry.deviceMemory.base + entry.deviceOffset, capacity: places.count,
                isCoherent: constraints.isCoherent, shared: shared, links: links, mapping: mapping))
        return unsafe header
    }

    /// A block ends on any thread. The last one after the pool's end takes the memory with it.
    @unsafe @inlinable
    static func takeBack(_ header: UnsafeMutablePointer<PoolHeader>, _ place: BlockPlace) {
        // SAFETY: the header lives until this block has returned. The link is the block's own until the exchange publishes it.
        let shared = unsafe header.pointee.shared
        while true {
            let head = unsafe cdma_load_acquire64(shared)
            if head == ended { return unsafe countDown(header) }
            unsafe header.pointee.links[place.index] = head
            if unsafe cdma_compare_exchange64(shared, head, place.word) { return }
        }
    }

    /// Moves the blocks that have ended by themselves to the stack. Returns how many are free. The owner's.
    @unsafe @usableFromInline
    static func collect(_ header: UnsafeMutablePointer<PoolHeader>) -> Int {
        // SAFETY: the caller owns the pool. The exchange takes the list whole, with every link that was published into it. No block is on
        // list and stack at once, so that the stack has room.
        let shared = unsafe header.pointee.shared
        var free = unsafe header.pointee.free
        guard unsafe cdma_load_acquire64(shared) != nothing else { return free }
        var word = unsafe cdma_exchange64(shared, nothing)
        while unsafe word != nothing && free < header.pointee.capacity {
            unsafe header.pointee.stack[free] = word
            free += 1
            word = unsafe header.pointee.links[BlockPlace(word: word).index]
        }
        unsafe header.pointee.free = free
        return free
    }

    /// The pool ends; its blocks may live on.
    @unsafe @usableFromInline
    static func end(_ header: UnsafeMutablePointer<PoolHeader>) {
        // SAFETY: called once, by the pool's deinit. From the exchange on, blocks count down; the sum of all counts is 0 exactly when the pool
        // and every block have come by, so that the last of them frees the header.
        _ = unsafe collect(header)
        let shared = unsafe header.pointee.shared
        var word = unsafe cdma_exchange64(shared, ended)
        var back = unsafe header.pointee.free
        while word != nothing {
            back += 1
            word = unsafe header.pointee.links[BlockPlace(word: word).index]
        }
        let leased = unsafe header.pointee.capacity - back
        guard leased > 0 else { return unsafe free(header) }
        let core = unsafe header.pointee.mapping.core
        Sanitizer.report(
            .poolInUse, core.regions[0].domain, "a pool ended with \(leased) blocks leased", mapping: core.origin)
        if unsafe cdma_fetch_add64(shared + 8, UInt64(leased)) &+ UInt64(leased) == 0 { unsafe free(header) }
    }

    @unsafe @usableFromInline
    static func countDown(_ header: UnsafeMutablePointer<PoolHeader>) {
        // SAFETY: as for `end`.
        if unsafe cdma_fetch_add64(header.pointee.shared + 8, .max) == 1 { unsafe free(header) }
    }

    /// Ends the header, and with it the mapping. Nobody uses `header` afterwards: the pool has ended and no block is leased.
    @unsafe
    private static func free(_ header: UnsafeMutablePointer<PoolHeader>) {
        // SAFETY: as allocated by `make`.
        unsafe header.pointee.stack.deallocate()
        unsafe header.pointee.links.deallocate()
        unsafe header.pointee.shared.deallocate()
        unsafe header.deinitialize(count: 1)
        unsafe header.deallocate()
    }
}
