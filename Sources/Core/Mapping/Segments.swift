// SPDX-License-Identifier: Apache-2.0

/// A contiguous range of bus addresses. Bytes.
struct BusRange: Equatable, Sendable {
    var start: UInt64
    var count: UInt64
}

/// Cuts and merges bus ranges so that each segment obeys the device (rules 32 and 39). Pure arithmetic.
struct SegmentRules {
    /// Longest segment: a multiple of `alignment`, so that every segment that follows a cut starts aligned.
    let maximum: UInt64
    /// A power of two, or 0 for none.
    let boundary: UInt64

    init(_ constraints: DeviceConstraints) {
        let rounded = constraints.maximumSegmentSize & ~(constraints.alignment - 1)
        maximum = rounded == 0 ? constraints.maximumSegmentSize : rounded
        boundary = constraints.segmentBoundary
    }

    /// Neighbours that touch become one range; the order stays.
    static func merge(_ ranges: [BusRange]) -> [BusRange] {
        var result: [BusRange] = []
        for range in ranges {
            if let last = result.last, last.start &+ last.count == range.start, range.start != 0 {
                result[result.count - 1].count += range.count
            } else {
                result.append(range)
            }
        }
        return result
    }

    /// The fewest segments that cover `range` in order. `range` does not leave the 64-bit space.
    ///
    /// - Parameter limit: no more than this many are made: then the answer is nil.
    func cut(_ range: BusRange, limit: Int) -> [BusRange]? {
        var result: [BusRange] = []
        var start = range.start
        var left = range.count
        while left > 0 {
            var count = min(left, maximum)
            if boundary != 0 {
                // Bytes up to the next multiple of the boundary: at least 1.
                count = min(count, boundary - (start & (boundary - 1)))
            }
            if result.count == limit { return nil }
            result.append(BusRange(start: start, count: count))
            start &+= count
            left -= count
        }
        return result
    }

    /// Merges, then cuts. Nil where that makes more than `limit` segments.
    func segments(of ranges: [BusRange], limit: Int) -> [BusRange]? {
        // The usual case costs no array: one range that is one segment.
        if ranges.count == 1, limit >= 1, ranges[0].count <= maximum, !crossesBoundary(ranges[0]) { return ranges }
        var result: [BusRange] = []
        for range in Self.merge(ranges) {
            guard let pieces = cut(range, limit: limit - result.count) else { return nil }
            result += pieces
        }
        return result
    }

    /// Whether `range` crosses a multiple of the boundary.
    func crossesBoundary(_ range: BusRange) -> Bool {
        guard boundary != 0, range.count > 0 else { return false }
        return range.count > boundary - (range.start & (boundary - 1))
    }
}
