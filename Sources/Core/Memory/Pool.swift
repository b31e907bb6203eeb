// SPDX-License-Identifier: Apache-2.0

/// Blocks of equal size from one mapping: `dma_pool_create`. Mapping happens once, and each operation leases a block.
///
/// Blocks are aligned, for the device and the CPU, and cross no boundary (rule 38). ``lease()`` and ``giveBack(_:)`` cost a few
/// instructions, without allocation, lock, atomic operation or reference count.
///
/// Thread rules: a value, owned by one thread at a time; it may be sent to another, and so may its blocks, which may end on any
/// thread.
@safe @frozen
public struct Pool: ~Copyable {
    @usableFromInline let header: UnsafeMutablePointer<PoolHeader>

    /// Divides a mapped buffer into blocks. A bounced buffer's blocks lie in the bounce memory, so that nothing is copied.
    ///
    /// - Parameters:
    ///   - memory: consumed. Its contents are kept.
    ///   - blockSize: bytes, at least 1.
    ///   - segments: equal parts of a block, each a region of its own, from 1 to 1,024. An operation over several of them (XOR, PQ, a
    ///     scatter list) is checked against the block's ``Block/regionList`` as a whole, not segment by segment.
    ///   - alignment: of each block. Bytes, a power of two. For a device that is not coherent, at least a cache line is used.
    ///   - boundary: no block crosses a multiple of this. Bytes, a power of two at least as large as a block, or 0 for none.
    ///     The device's own segment boundary applies as well.
    /// - Throws: `zeroLength`, `badAlignment`, `quarantined`; `badConfiguration` where `segments` does not divide the block,
    ///   `misaligned` where a segment would not be aligned as a block is; `notContiguous` where a block of that size cannot be
    ///   one segment; `outOfRange` where not even one block fits; `outOfMemory` for the lists of segments; `sizeOverflow` for
    ///   more than 1 TiB or 8 million blocks. The mapping is ended then.
    // SAFETY: the header is made with one owner, this pool, and lives until the pool and every block have released it.
    public init(
        _ memory: consuming MappedBuffer, blockSize: Int, segments: Int = 1, alignment: Int = 64, boundary: Int = 0
    ) throws(DMAError) {
        unsafe header = try PoolHeader.make(memory.mapping, blockSize, segments, alignment, boundary)
    }

    /// Divides coherent memory into blocks. Parameters and errors as for a mapped buffer.
    // SAFETY: as above: the header is made with this pool as its owner.
    public init(
        _ memory: consuming CoherentBuffer, blockSize: Int, segments: Int = 1, alignment: Int = 64, boundary: Int = 0
    ) throws(DMAError) {
        unsafe header = try PoolHeader.make(memory.mapping, blockSize, segments, alignment, boundary)
    }

    /// Leases a block; nil while all are leased. The block returned last is leased first, because it is still in the caches.
    @inlinable
    public mutating func lease() -> Block? {
        // SAFETY: the header lives as long as the pool; only the pool's owner accesses the stack, and `top` stays in `0 ... 2 *
        // capacity`.
        var top = unsafe header.pointee.top &- 2
        if top < 0 {
            top = unsafe PoolHeader.collect(header) &- 2
            if top < 0 { return nil }
        }
        unsafe header.pointee.top = top
        return unsafe Block(header: header, place: BlockPlace(word: PoolHeader.word(header, top).pointee))
    }

    /// Returns a block, without an atomic operation. A block of another pool returns to that one.
    @inlinable
    public mutating func giveBack(_ block: consuming Block) {
        // SAFETY: as for `lease`; the stack has room for every block of this pool, and this one was not on it.
        guard unsafe block.header == header else { return }
        let place = block.surrender()
        let top = unsafe header.pointee.top
        unsafe PoolHeader.word(header, top).pointee = place.word
        unsafe header.pointee.top = top &+ 2
    }

    /// Number of blocks.
    // SAFETY: the header lives as long as the pool, and these words never change.
    @inlinable
    public var capacity: Int { unsafe header.pointee.capacity }
    /// The number of blocks that can be leased now.
    public var available: Int {
        // SAFETY: the header lives as long as the pool; only the pool's owner changes the stack, and calls this.
        unsafe PoolHeader.collect(header) / 2
    }
    /// The number of blocks that are leased now.
    public var leased: Int { capacity - available }
    /// Usable bytes of each block.
    // SAFETY: as above: a word of the header that never changes.
    @inlinable
    public var blockSize: Int { unsafe Int(truncatingIfNeeded: header.pointee.blockSize) }

    /// Ends the pool, and reports blocks that are still leased (rule 38).
    ///
    /// - Throws: `memoryInUse` with the number of leased blocks. They stay valid: the memory is freed with the last of them.
    public consuming func end() throws(DMAError) {
        let count = leased
        if count > 0 { throw DMAError(.memoryInUse, asked: UInt64(count)) }
    }

    deinit {
        // SAFETY: the pool's share of the header ends here, and is not touched after this.
        unsafe PoolHeader.end(header)
    }
}

// SAFETY: only the pool's owner accesses the header's plain words; blocks on other threads use only the atomics.
extension Pool: @unchecked Sendable {}
