// SPDX-License-Identifier: Apache-2.0

internal import DMACore
internal import DMAEngineKit

/// A peripheral descriptor's memory, on either side, as a list of segments.
extension Descriptor {
    var writes: Bool { sourceCount > 0 }

    var segments: Int { Int(max(sourceCount, destinationCount)) }

    func segment(_ index: Int) -> Segment {
        // SAFETY: the pointer is compared with nil, not dereferenced.
        if unsafe operands == nil { return Segment(address: writes ? source : destination, count: count) }
        return writes ? sourceSegment(index) : destinationSegment(index)
    }

    /// The segment that contains byte `offset`, and the offset in it.
    func place(of offset: UInt64) -> (Int, UInt64) {
        var left = offset
        for index in 0..<segments {
            let count = segment(index).count
            if left < count { return (index, left) }
            left -= count
        }
        return (max(segments - 1, 0), 0)
    }

    /// Whether the memory of `count` bytes from `offset` on begins and ends, in each segment, at addresses without any bit of
    /// `mask`.
    func isAligned(_ mask: UInt64, from offset: UInt64, count: UInt64) -> Bool {
        if mask == 0 { return true }
        var (index, skip) = place(of: offset)
        var left = count
        while left > 0, index < segments {
            let segment = segment(index)
            let length = min(segment.count - skip, left)
            if length > 0, (segment.address + skip) & mask != 0 || length & mask != 0 { return false }
            left -= length
            skip = 0
            index += 1
        }
        return left == 0
    }
}
