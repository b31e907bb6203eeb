// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

/// All regions of a cargo as one operand list, checked when it was made and lent by the cargo that owns their mapping.
///
/// A channel that finds one checks an operation against what the regions have in common, instead of region by region, and passes the
/// list itself to the engine. Like a ``Region`` it cannot be kept. Pools whose blocks have several segments and mapped scatter lists
/// have one; a cargo of the client's own forwards it from the value that it holds.
@frozen @safe
public struct RegionList: ~Escapable {
    @usableFromInline let segments: UnsafePointer<Segment>?
    @usableFromInline let facts: UnsafePointer<RegionFacts>?

    // SAFETY: the caller vouches that both pointers are valid while what the value is bound to lives: an owner, or for nil anything.
    @unsafe @inlinable @inline(__always) @_lifetime(immortal)
    init(segments: UnsafePointer<Segment>?, facts: UnsafePointer<RegionFacts>?) {
        unsafe self.segments = unsafe segments
        unsafe self.facts = unsafe facts
    }

    /// No list: what a cargo lends whose regions lie in different mappings.
    // SAFETY: there is no pointer.
    @inlinable @inline(__always)
    public static var none: RegionList {
        @_lifetime(immortal) get { unsafe RegionList(segments: nil, facts: nil) }
    }
    /// Whether this is ``none``.
    // SAFETY: the pointer is compared, not followed.
    @inlinable public var isNone: Bool { unsafe facts == nil }
    /// Number of regions.
    // SAFETY: the facts live as long as this value, which is bound to their owner.
    @inlinable public var count: Int { unsafe facts?.pointee.count ?? 0 }
}

extension Cargo where Self: ~Copyable {
    /// No list: the channel asks for the regions one by one.
    @inlinable
    public var regionList: RegionList {
        @_lifetime(borrow self) get { .none }
    }
}

/// What the regions of a list have in common.
@safe @usableFromInline @frozen
struct RegionFacts {
    /// Regions of the list.
    @usableFromInline let count: Int
    /// Of every region: domain and access.
    @usableFromInline let key: UInt64
    /// Starts and lengths, or'ed: their low bits are those of the least aligned.
    @usableFromInline var bits: UInt64
    /// Bytes of every region where all have the same and no two overlap; otherwise 0.
    @usableFromInline let uniform: UInt64
    /// Whether it is known that no two regions overlap.
    @usableFromInline let isDisjoint: Bool
    /// Bytes before each region, and behind the last of them: `count + 1` sums.
    @usableFromInline let sums: UnsafePointer<UInt64>
}

/// Owns the operand lists of one mapping and their facts: one list, or one for each block of a pool.
///
/// A handle on one allocation. Whoever makes it ends it by ``deallocate()``.
@safe @usableFromInline @frozen
struct RegionLists {
    @usableFromInline let facts: UnsafeMutablePointer<RegionFacts>
    @usableFromInline let segments: UnsafeMutablePointer<Segment>

    /// Lists of `regions`, each moved by one of `offsets`. Nil where there is no region, or where they differ in domain or access.
    ///
    /// - Parameters:
    ///   - regions: none empty; their sum, and each moved by each offset, lies in 64 bits, as those of a mapping do.
    ///   - offsets: of the lists. Bytes.
    init?(_ regions: [RegionWords], offsets: [UInt64] = [0]) {
        guard let key = regions.first?.key, regions.allSatisfy({ $0.key == key }), !offsets.isEmpty else { return nil }
        let factBytes = MemoryLayout<RegionFacts>.stride
        let sumBytes = (regions.count + 1) * MemoryLayout<UInt64>.stride
        // Segments begin behind both, on a multiple of their alignment.
        let head = (factBytes + sumBytes + 15) & ~15
        // SAFETY: the allocation has room for the facts, `count + 1` sums, and a list of `count` segments for each offset, in this order; all
        // of them are initialized here. Nothing but `deallocate` frees it.
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: head + offsets.count * regions.count * MemoryLayout<Segment>.stride, alignment: 64)
        unsafe facts = memory.bindMemory(to: RegionFacts.self, capacity: 1)
        let sums = unsafe (memory + factBytes).bindMemory(to: UInt64.self, capacity: regions.count + 1)
        unsafe segments = (memory + head).bindMemory(to: Segment.self, capacity: offsets.count * regions.count)
        var sum: UInt64 = 0
        var bits: UInt64 = 0
        var end: UInt64 = 0
        var isDisjoint = true
        for (index, region) in regions.enumerated() {
            unsafe (sums + index).initialize(to: sum)
            sum &+= region.count
            bits |= region.count
            // In ascending order without overlap; lists in another order are not sorted for this.
            if region.start < end { isDisjoint = false }
            end = region.start &+ region.count
        }
        unsafe (sums + regions.count).initialize(to: sum)
        for (list, offset) in offsets.enumerated() {
            for (index, region) in regions.enumerated() {
                let start = region.start &+ offset
                bits |= start
                unsafe (segments + (list * regions.count + index)).initialize(to: Segment(address: start, count: region.count))
            }
        }
        let length = regions[0].count
        let isUniform = isDisjoint && regions.allSatisfy { $0.count == length }
        unsafe facts.initialize(
            to: RegionFacts(
                count: regions.count, key: key, bits: bits, uniform: isUniform ? length : 0, isDisjoint: isDisjoint,
                sums: UnsafePointer(sums)))
    }

    func deallocate() {
        // SAFETY: as allocated in the initializer; facts, sums and segments are trivial. The owner calls this once, at its end.
        unsafe UnsafeMutableRawPointer(facts).deallocate()
    }
}
