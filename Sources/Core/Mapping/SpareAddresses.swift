// SPDX-License-Identifier: Apache-2.0

/// Freed bus addresses kept for reuse: up to 64 ranges of each of the usual lengths, like the magazines in front of the tree in
/// the kernel's drivers/iommu/iova.c.
@safe
struct SpareAddresses: ~Copyable {
    /// Lengths of 1 to 16 granules, then powers of two up to 2^24 granules.
    private static let classes = 16 + 25
    private static let depth = 64
    /// For each class the number of kept ranges, then `depth` starts. Nil until the first is kept.
    private var words: UnsafeMutablePointer<UInt64>?

    // SAFETY: no memory yet.
    init() { unsafe words = nil }

    // SAFETY: the memory is this value's own, and its words are trivial.
    deinit { unsafe words?.deallocate() }

    /// The class of a length in granules; nil for one that is not kept.
    @inline(__always)
    private static func number(of granules: UInt64) -> Int? {
        if granules &- 1 < 16 { return Int(truncatingIfNeeded: granules &- 1) }
        guard granules & (granules &- 1) == 0, granules != 0, granules <= 1 << 24 else { return nil }
        return 16 &+ granules.trailingZeroBitCount
    }

    /// The start of a kept range of that many granules that meets the requirements; nil where there is none.
    @inline(__always)
    mutating func take(_ granules: UInt64, bytes: UInt64, alignment: UInt64, boundary: UInt64, limit: UInt64) -> UInt64? {
        // SAFETY: a class is below `classes`, and its number of kept ranges is at most `depth`.
        guard let number = Self.number(of: granules), let words = unsafe words else { return nil }
        let row = unsafe words + number &* (Self.depth &+ 1)
        let kept = unsafe row[0]
        guard kept > 0 else { return nil }
        let start = unsafe row[Int(truncatingIfNeeded: kept)]
        guard start & (alignment &- 1) == 0, limit >= bytes, start <= limit &- (bytes &- 1),
            boundary == 0 || bytes <= boundary &- (start & (boundary &- 1))
        else { return nil }
        unsafe row[0] = kept &- 1
        return start
    }

    /// Keeps a range; false where it must be returned to the allocator.
    @inline(__always)
    mutating func keep(_ start: UInt64, granules: UInt64) -> Bool {
        // SAFETY: as above.
        guard let number = Self.number(of: granules) else { return false }
        if unsafe words == nil { allocate() }
        guard let words = unsafe words else { return false }
        let row = unsafe words + number &* (Self.depth &+ 1)
        let kept = unsafe row[0]
        guard kept < UInt64(Self.depth) else { return false }
        unsafe row[Int(truncatingIfNeeded: kept &+ 1)] = start
        unsafe row[0] = kept &+ 1
        return true
    }

    @inline(never)
    private mutating func allocate() {
        // SAFETY: a row for each class, initialized as a whole; only `deinit` frees them.
        let count = Self.classes * (Self.depth + 1)
        let memory = UnsafeMutablePointer<UInt64>.allocate(capacity: count)
        unsafe memory.initialize(repeating: 0, count: count)
        unsafe words = unsafe memory
    }

    /// Removes and returns all kept ranges.
    mutating func takeAll(granule: UInt64) -> [BusRange] {
        // SAFETY: as above.
        guard let words = unsafe words else { return [] }
        var ranges: [BusRange] = []
        for number in 0..<Self.classes {
            let granules = number < 16 ? UInt64(number) + 1 : UInt64(1) << UInt64(number - 16)
            let row = unsafe words + number * (Self.depth + 1)
            for place in 0..<Int(unsafe row[0]) {
                ranges.append(BusRange(start: unsafe row[place + 1], count: granules * granule))
            }
            unsafe row[0] = 0
        }
        return ranges
    }
}
