// SPDX-License-Identifier: Apache-2.0

/// A contiguous range of bus addresses. Bytes.
struct BusRange: Equatable, Sendable {
    var start: UInt64
    var count: UInt64
}

/// Splits bus ranges into segments that meet the device's constraints (rules 32 and 39). Pure arithmetic.
struct SegmentRules {
    /// The maximum length of a segment: a multiple of the alignment, the length unit and the virtual boundary, so that every
    /// split is at a permitted address.
    let maximum: UInt64
    /// A power of two, or 0 for none.
    let boundary: UInt64
    /// Alignment of inner segment boundaries. A power of two, or 0 for any.
    let virtualBoundary: UInt64

    init(_ constraints: DeviceConstraints) {
        let unit = max(constraints.alignment, constraints.lengthUnit, constraints.virtualBoundary)
        let rounded = constraints.maximumSegmentSize & ~(unit - 1)
        maximum = rounded == 0 ? constraints.maximumSegmentSize : rounded
        boundary = constraints.segmentBoundary
        virtualBoundary = constraints.virtualBoundary
    }

    /// The minimal number of segments that cover `range` in order. `range` does not wrap round the 64-bit space.
    ///
    /// - Parameter limit: the maximum number of segments; nil is returned where it is exceeded.
    func cut(_ range: BusRange, limit: Int) -> [BusRange]? {
        var result: [BusRange] = []
        var start = range.start
        var left = range.count
        while left > 0 {
            var count = min(left, maximum)
            // The first split restores the alignment after a start inside a page.
            let taken = virtualBoundary == 0 ? 0 : start & (virtualBoundary - 1)
            if count < left, count > taken { count -= taken }
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

    /// Whether any range must be split.
    var cuts: Bool { maximum != .max || boundary != 0 }

    /// Whether no range must be split.
    func isWhole(_ ranges: [BusRange]) -> Bool {
        for range in ranges where range.count > maximum || crossesBoundary(range) { return false }
        return true
    }

    /// All ranges split into segments. Nil where there are more than `limit`.
    func segments(of ranges: [BusRange], limit: Int) -> [BusRange]? {
        var result: [BusRange] = []
        for range in ranges {
            guard let pieces = cut(range, limit: limit - result.count) else { return nil }
            result += pieces
        }
        return result
    }

    /// An inner boundary of the list that is not a multiple of the virtual boundary; nil where there is none.
    func gap(in segments: [BusRange]) -> UInt64? {
        guard virtualBoundary != 0 else { return nil }
        let mask = virtualBoundary - 1
        for index in segments.indices {
            let end = segments[index].start &+ segments[index].count
            if index > 0, segments[index].start & mask != 0 { return segments[index].start }
            if index < segments.count - 1, end & mask != 0 { return end }
        }
        return nil
    }

    /// Whether `range` crosses a multiple of the boundary.
    func crossesBoundary(_ range: BusRange) -> Bool {
        guard boundary != 0, range.count > 0 else { return false }
        return range.count > boundary - (range.start & (boundary - 1))
    }
}
