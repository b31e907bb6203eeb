// SPDX-License-Identifier: Apache-2.0

/// What a pool and its leased blocks share. It lives until the pool and the last block have ended.
///
/// A plain structure behind a pointer, so that leasing and giving back are a handful of instructions. Not thread-safe: neither
/// `Pool` nor `Block` is Sendable, so that all of them stay where the pool is.
@safe @frozen @usableFromInline
struct PoolHeader {
    /// Number of free blocks; `stack[0 ..< free]` are their offsets. With the sign bit set once the pool has ended and waits for its
    /// last block, so that a block's end tests one word for all that is unusual.
    @usableFromInline var free: Int
    @usableFromInline var stack: UnsafeMutablePointer<Int>
    /// Of the first block as the device sees it.
    @usableFromInline let start: IOVA
    /// Usable bytes of each block.
    @usableFromInline let blockSize: UInt64
    /// Of the blocks' regions: domain and access.
    @usableFromInline var key: UInt64
    /// In the stand-in that a quarantined block has for its header: the header of its pool.
    @usableFromInline var original: UnsafeMutablePointer<PoolHeader>?
    /// Of offset 0 as the CPU sees it: the memory that the device works on.
    @usableFromInline let base: UnsafeMutableRawPointer
    @usableFromInline let capacity: Int
    /// Blocks that were quarantined: they are not leased again.
    @usableFromInline var lost: Int
    @usableFromInline let isCoherent: Bool
    let mapping: Mapping

    init(stack: UnsafeMutablePointer<Int>, capacity: Int, base: UnsafeMutableRawPointer, blockSize: Int, mapping: Mapping) {
        free = capacity
        unsafe self.stack = stack
        self.capacity = capacity
        unsafe self.base = base
        self.blockSize = UInt64(blockSize)
        start = mapping.core.regions[0].start
        key = Region.key(mapping.domain.id, mapping.core.direction.access)
        unsafe original = nil
        lost = 0
        isCoherent = mapping.domain.constraints.isCoherent
        self.mapping = mapping
    }
}

/// Blocks of equal size, cut from one mapping: `dma_pool_create`. Mapping happens once, and each operation leases a block.
///
/// Blocks are aligned, as the device and the CPU see them, and cross no boundary (rule 38). Leasing costs a few instructions,
/// and no allocation, lock or reference count.
///
/// Thread rules: a pool and its blocks stay on one thread (or in one actor); the compiler holds that.
@safe @frozen
public struct Pool: ~Copyable {
    @usableFromInline let header: UnsafeMutablePointer<PoolHeader>

    /// Cuts a mapped buffer into blocks. A bounced buffer's blocks lie in the bounce memory, so that nothing is copied.
    ///
    /// - Parameters:
    ///   - memory: consumed. Its contents stay.
    ///   - blockSize: bytes, at least 1.
    ///   - alignment: of each block. Bytes, a power of two. For a device that is not coherent, at least a cache line is used.
    ///   - boundary: no block crosses a multiple of this. Bytes, a power of two at least as large as a block, or 0 for none.
    ///     The device's own segment boundary holds besides.
    /// - Throws: `zeroLength`, `badAlignment`, `quarantined`; `notContiguous` where a block cannot be as large and one segment;
    ///   `outOfRange` where not even one block fits. The mapping is ended then.
    public init(
        _ memory: consuming MappedBuffer, blockSize: Int, alignment: Int = 64, boundary: Int = 0
    ) throws(DMAError) {
        unsafe header = try PoolHeader.make(memory.mapping, blockSize, alignment, boundary)
    }

    /// Cuts coherent memory into blocks. Parameters and errors as for a mapped buffer.
    public init(
        _ memory: consuming CoherentBuffer, blockSize: Int, alignment: Int = 64, boundary: Int = 0
    ) throws(DMAError) {
        unsafe header = try PoolHeader.make(memory.mapping, blockSize, alignment, boundary)
    }

    /// Leases a block, or nil while all are leased. The block given back last comes first, because it is warm in the caches.
    @inlinable
    public mutating func lease() -> Block? {
        // The header lives as long as the pool, and `free` never leaves `0 ... capacity`.
        let top = unsafe header.pointee.free &- 1
        if top < 0 { return nil }
        unsafe header.pointee.free = top
        return unsafe Block(header: header, offset: header.pointee.stack[top])
    }

    /// Number of blocks.
    @inlinable
    public var capacity: Int { unsafe header.pointee.capacity }
    /// Blocks that can be leased now.
    @inlinable
    public var available: Int { unsafe header.pointee.free }
    /// Blocks that are leased now.
    @inlinable
    public var leased: Int { unsafe header.pointee.capacity &- header.pointee.free &- header.pointee.lost }
    /// Usable bytes of each block.
    @inlinable
    public var blockSize: Int { unsafe Int(header.pointee.blockSize) }

    /// Ends the pool and says whether it was empty, as a pool should be before it goes (rule 38).
    ///
    /// - Throws: `memoryInUse` with the number of blocks that are leased. They stay valid: the memory goes with the last of
    ///   them.
    public consuming func end() throws(DMAError) {
        let count = leased
        if count > 0 { throw DMAError(.memoryInUse, asked: UInt64(count)) }
    }

    deinit {
        // The pool's part of the header ends here, and is not touched after the header was given back.
        if unsafe header.pointee.free &+ header.pointee.lost == header.pointee.capacity {
            unsafe PoolHeader.free(header)
        } else {
            unsafe PoolHeader.reportLeases(header)
            unsafe header.pointee.free |= Int.min
        }
    }
}

extension PoolHeader {
    static func make(
        _ mapping: Mapping, _ blockSize: Int, _ alignment: Int, _ boundary: Int
    ) throws(DMAError) -> UnsafeMutablePointer<PoolHeader> {
        guard !mapping.isQuarantined else { throw DMAError(.quarantined, asked: mapping.core.regions[0].start.rawValue) }
        guard blockSize > 0 else { throw DMAError(.zeroLength) }
        let constraints = mapping.domain.constraints
        let entry = mapping.core.entries[0]
        let offsets = try PoolLayout(
            start: mapping.core.regions[0].start.rawValue, cpuStart: entry.deviceAddress, count: entry.count,
            blockSize: blockSize, alignment: alignment, boundary: boundary, constraints: constraints
        ).offsets()
        // Lowest offset on top, so that a new pool is leased from its beginning.
        let stack = UnsafeMutablePointer<Int>.allocate(capacity: offsets.count)
        for (index, offset) in offsets.reversed().enumerated() { unsafe (stack + index).initialize(to: offset) }
        let header = UnsafeMutablePointer<PoolHeader>.allocate(capacity: 1)
        let memory = entry.deviceMemory
        unsafe header.initialize(
            to: PoolHeader(
                stack: stack, capacity: offsets.count, base: memory.base + entry.deviceOffset, blockSize: blockSize,
                mapping: mapping))
        return unsafe header
    }

    /// A header for one quarantined block of a pool: it permits nothing, and no block goes back to it.
    static func standIn(for header: UnsafeMutablePointer<PoolHeader>) -> UnsafeMutablePointer<PoolHeader> {
        let standIn = UnsafeMutablePointer<PoolHeader>.allocate(capacity: 1)
        unsafe standIn.initialize(to: PoolHeader(standInFor: header))
        return unsafe standIn
    }

    private init(standInFor header: UnsafeMutablePointer<PoolHeader>) {
        let pool = unsafe header.pointee
        self = pool
        free = .min
        key = Region.none.key
        unsafe original = unsafe header
    }

    /// A block ends that cannot simply go back: its pool has ended, or it is quarantined. The last one takes the memory with it.
    @usableFromInline
    static func takeBack(_ header: UnsafeMutablePointer<PoolHeader>) {
        var pool = unsafe header
        if let original = unsafe header.pointee.original {
            unsafe header.deinitialize(count: 1)
            unsafe header.deallocate()
            unsafe pool = unsafe original
            unsafe pool.pointee.lost &+= 1
        } else {
            unsafe pool.pointee.free &+= 1
        }
        let hasEnded = unsafe pool.pointee.free < 0
        let back = unsafe (pool.pointee.free & .max) &+ pool.pointee.lost
        if unsafe hasEnded && back == pool.pointee.capacity { unsafe free(pool) }
    }

    /// Ends the header, and with it the mapping. Nobody uses `header` afterwards: the pool has ended and no block is leased.
    @usableFromInline
    static func free(_ header: UnsafeMutablePointer<PoolHeader>) {
        unsafe header.pointee.stack.deallocate()
        unsafe header.deinitialize(count: 1)
        unsafe header.deallocate()
    }

    @usableFromInline
    static func reportLeases(_ header: UnsafeMutablePointer<PoolHeader>) {
        let count = unsafe header.pointee.capacity - header.pointee.free - header.pointee.lost
        let core = unsafe header.pointee.mapping.core
        Sanitizer.report(
            .poolInUse, core.regions[0].domain, "a pool ended with \(count) blocks leased", mapping: core.origin)
    }
}

/// Where the blocks of a pool lie. Pure arithmetic.
struct PoolLayout {
    let start: UInt64
    let cpuStart: UInt64
    let count: Int
    let blockSize: Int
    let alignment: Int
    let boundary: Int
    let constraints: DeviceConstraints

    /// Offsets of the blocks in ascending order.
    func offsets() throws(DMAError) -> [Int] {
        guard alignment > 0, alignment & (alignment - 1) == 0, boundary >= 0, boundary & (boundary &- 1) == 0 else {
            throw DMAError(.badAlignment, asked: UInt64(UInt(bitPattern: alignment)), limit: 1 << 62)
        }
        let size = UInt64(blockSize)
        var unit = max(UInt64(alignment), constraints.alignment)
        if !constraints.isCoherent { unit = max(unit, constraints.cacheLineSize) }
        // The narrower of two powers of two, where 0 means none.
        let walls = [UInt64(boundary), constraints.segmentBoundary].filter { $0 != 0 }
        let wall = walls.min() ?? 0
        guard size <= constraints.maximumSegmentSize, wall == 0 || size <= wall else {
            throw DMAError(.notContiguous, asked: size, limit: wall == 0 ? constraints.maximumSegmentSize : wall)
        }
        // Device and CPU address must agree in the bits that the alignment fixes.
        guard (start ^ cpuStart) & (unit - 1) == 0 else { throw DMAError(.misaligned, asked: cpuStart, limit: unit) }
        var offsets: [Int] = []
        var next = start
        let end = start + UInt64(count)
        while true {
            let (up, overflow) = next.addingReportingOverflow(unit - 1)
            var place = up & ~(unit - 1)
            if wall != 0, place & (wall - 1) > wall - size {
                let (beyond, carry) = place.addingReportingOverflow(max(wall, unit) - 1)
                if carry { break }
                place = beyond & ~(max(wall, unit) - 1)
            }
            let (last, carry) = place.addingReportingOverflow(size)
            if overflow || carry || last > end { break }
            offsets.append(Int(place - start))
            next = last
        }
        if offsets.isEmpty { throw DMAError(.outOfRange, asked: size, limit: UInt64(count)) }
        return offsets
    }
}
