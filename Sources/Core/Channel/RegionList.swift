// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMAEngineKit

/// All regions of a cargo as one operand list, checked when it was made and lent by the cargo that owns the mapping.
///
/// With a list, a channel checks an operation against the properties that all regions share, instead of region by region. Like
/// a ``Region`` it cannot be stored. Mapped scatter lists and pools whose blocks have several segments provide one; a client's
/// own cargo forwards it from the value that it holds.
@frozen @safe
public struct RegionList: ~Escapable {
    @usableFromInline let segments: UnsafePointer<Segment>?
    @usableFromInline let facts: UnsafePointer<RegionFacts>?

    // SAFETY: the caller guarantees that both pointers are valid for the lifetime that the value depends on: that of an owner
    // or, where they are nil, any.
    @unsafe @inlinable @inline(__always) @_lifetime(immortal)
    init(segments: UnsafePointer<Segment>?, facts: UnsafePointer<RegionFacts>?) {
        unsafe self.segments = unsafe segments
        unsafe self.facts = unsafe facts
    }

    /// No list: for a cargo whose regions lie in different mappings.
    // SAFETY: there is no pointer.
    @inlinable @inline(__always)
    public static var none: RegionList {
        @_lifetime(immortal) get { unsafe RegionList(segments: nil, facts: nil) }
    }
    /// Whether this is ``none``.
    // SAFETY: the pointer is compared, not followed.
    @inlinable public var isNone: Bool { unsafe facts == nil }
    /// Number of regions.
    // SAFETY: the facts live as long as this value, which depends on their owner.
    @inlinable public var count: Int { unsafe facts?.pointee.count ?? 0 }
}

extension Cargo where Self: ~Copyable {
    /// The channel asks for the regions one by one.
    @inlinable
    public var regionList: RegionList {
        @_lifetime(borrow self) get { .none }
    }
}

/// The properties that all regions of a list share.
@safe @usableFromInline @frozen
struct RegionFacts {
    /// The number of regions.
    @usableFromInline var count: Int
    /// Domain and access of every region.
    @usableFromInline var key: UInt64
    /// Starts and lengths, or'ed: their low bits are those of the least aligned one.
    @usableFromInline var bits: UInt64
    /// The length of every region where all are equal and no two overlap; otherwise 0.
    @usableFromInline var uniform: UInt64
    /// Whether the regions are known not to overlap.
    @usableFromInline var isDisjoint: Bool
    /// End of the last region.
    var end: UInt64
    /// Prefix sums of the lengths: `count + 1` values.
    @usableFromInline let sums: UnsafeMutablePointer<UInt64>
}

/// Owns the operand lists of one mapping and their facts: one list, or one for each block of a pool.
@safe @usableFromInline @frozen
struct RegionLists: ~Copyable {
    @usableFromInline let facts: UnsafeMutablePointer<RegionFacts>
    @usableFromInline let segments: UnsafeMutablePointer<Segment>
    /// The capacity of a list, in regions.
    let capacity: Int

    /// No engine has operations with more regions: a longer list is useless.
    static var ceiling: Int { SlotArena.segmentCeiling }

    /// Allocates `lists` lists of `capacity` regions; ``append(_:)`` fills the first. Nil where there is no memory for them, or
    /// a number is below 1.
    init?(capacity: Int, lists: Int = 1) {
        let factBytes = MemoryLayout<RegionFacts>.stride
        let (count, overflow) = lists.multipliedReportingOverflow(by: capacity)
        guard capacity > 0, lists > 0, !overflow, count < 1 << 40 else { return nil }
        // Segments begin behind facts and sums, on a multiple of their alignment.
        let head = (factBytes + (capacity + 1) * MemoryLayout<UInt64>.stride + 15) & ~15
        // SAFETY: the allocation has room for the facts, `capacity + 1` sums, and the segments of all lists, in this order, each aligned for
        // its type; `deinit` alone frees it. Of sums and segments, those below the count of regions are written before they are read.
        guard let memory = unsafe cdma_object_allocate(64, head + count * MemoryLayout<Segment>.stride) else { return nil }
        self.capacity = capacity
        unsafe facts = memory.bindMemory(to: RegionFacts.self, capacity: 1)
        let sums = unsafe (memory + factBytes).bindMemory(to: UInt64.self, capacity: capacity + 1)
        unsafe segments = (memory + head).bindMemory(to: Segment.self, capacity: count)
        unsafe sums.initialize(to: 0)
        unsafe facts.initialize(
            to: RegionFacts(count: 0, key: 0, bits: 0, uniform: 0, isDisjoint: true, end: 0, sums: sums))
    }

    // SAFETY: the memory is this value's own; facts, sums and segments are trivial.
    deinit { unsafe cdma_object_free(facts) }

    /// Removes every region of the first list.
    func removeAll() {
        // SAFETY: the facts live as long as this value.
        unsafe facts.pointee = RegionFacts(
            count: 0, key: 0, bits: 0, uniform: 0, isDisjoint: true, end: 0, sums: facts.pointee.sums)
    }

    /// Appends a region to the first list. False where there is no room, or the region does not fit the others: it is empty,
    /// has another domain or access, or the total would exceed 63 bits.
    func append(_ region: RegionWords) -> Bool {
        // SAFETY: the facts, `capacity + 1` sums and `capacity` segments live as long as this value; the index is below the capacity.
        let index = unsafe facts.pointee.count
        let (sum, overflow) = unsafe facts.pointee.sums[index].addingReportingOverflow(region.count)
        guard index < capacity, region.count > 0, !overflow, sum < 1 << 63,
            unsafe index == 0 || facts.pointee.key == region.key
        else { return false }
        unsafe segments[index] = Segment(address: region.start, count: region.count)
        unsafe facts.pointee.sums[index + 1] = sum
        unsafe facts.pointee.count = index + 1
        unsafe facts.pointee.key = region.key
        unsafe facts.pointee.bits |= region.start | region.count
        // Known only for regions in ascending order; other lists are not sorted for this.
        if unsafe region.start < facts.pointee.end { unsafe facts.pointee.isDisjoint = false }
        unsafe facts.pointee.end = region.start &+ region.count
        if index == 0 { unsafe facts.pointee.uniform = region.count }
        let isUniform = unsafe facts.pointee.isDisjoint && facts.pointee.uniform == region.count
        if !isUniform { unsafe facts.pointee.uniform = 0 }
        return true
    }

    /// Fills the first list with `count` regions at once, with the result of that many calls of ``append(_:)``.
    ///
    /// - Parameters:
    ///   - regions: that many regions with one key, none empty, whose total fits in 63 bits.
    ///   - count: from 1 to the capacity.
    @unsafe
    func fill(_ regions: UnsafePointer<RegionWords>, _ count: Int) {
        // SAFETY: the caller's regions are initialized, and there is room for them.
        let (sums, segments) = unsafe (facts.pointee.sums + 1, segments)
        var (sum, bits, end, unequal, below): (UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0)
        let length = unsafe regions[0].count
        for index in 0..<count {
            let (start, bytes) = unsafe (regions[index].start, regions[index].count)
            unsafe segments[index] = Segment(address: start, count: bytes)
            sum &+= bytes
            unsafe sums[index] = sum
            bits |= start | bytes
            unequal |= bytes ^ length
            below |= start < end ? 1 : 0
            end = start &+ bytes
        }
        let (isDisjoint, isUniform) = (below == 0, unequal == 0)
        unsafe facts.pointee = RegionFacts(
            count: count, key: regions[0].key, bits: bits, uniform: isDisjoint && isUniform ? length : 0,
            isDisjoint: isDisjoint, end: end, sums: sums - 1)
    }

    /// Fills list `index` with the regions of the first one, each moved by `offset` bytes.
    ///
    /// - Parameter index: below the number of lists.
    func repeatFirst(at index: Int, movedBy offset: UInt64) {
        // SAFETY: the caller's index is below the number of lists, each of which has `capacity` segments.
        let count = unsafe facts.pointee.count
        for place in 0..<count {
            var segment = unsafe segments[place]
            segment.address &+= offset
            unsafe facts.pointee.bits |= segment.address
            unsafe segments[index * capacity + place] = segment
        }
    }
}

// SAFETY: the memory is this value's own, reached only through it.
extension RegionLists: @unchecked Sendable {}
