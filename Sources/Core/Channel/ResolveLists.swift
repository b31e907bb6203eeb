// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

// The fast path of operations with operand lists: XOR, PQ, scatter lists, peripheral lists. It only says whether everything fits; what does
// not, `resolveLists` finds out, so that nothing here is kept for an error message.

/// What the segments of one side have in common, gathered while they are written.
@usableFromInline @frozen
struct SegmentSurvey {
    /// Differences from the channel's key: a foreign domain above, missing permissions below.
    @usableFromInline var keys: UInt64 = 0
    /// Addresses and lengths, or'ed: their low bits are those of the least aligned.
    @usableFromInline var bits: UInt64 = 0
    /// Or'ed too: empty segments, ends beyond a region, sums beyond 63 bits have the highest bit.
    @usableFromInline var flaws: UInt64 = 0
    @usableFromInline var sum: UInt64 = 0
    /// The lowest address, and the highest end.
    @usableFromInline var low: UInt64 = .max
    @usableFromInline var high: UInt64 = 0

    @inlinable @inline(__always)
    init() {}

    /// Writes `count` bytes at `offset` of a region as a segment.
    @inlinable @inline(__always)
    mutating func write(
        _ region: RegionWords, _ offset: UInt64, _ count: UInt64, _ key: UInt64, to place: UnsafeMutablePointer<Segment>
    ) {
        let start = region.start &+ offset
        keys |= region.key ^ key
        bits |= start | count
        // The highest bit where the count is 0, or ends beyond the region, or the offset does: no region has 2⁶³ bytes.
        flaws |= (count &- 1) | (region.count &- offset &- count) | offset
        sum &+= count
        flaws |= sum
        let end = start &+ count
        if start < low { low = start }
        if end > high { high = end }
        // SAFETY: the caller's place is inside the slot's operand list.
        unsafe place.pointee = Segment(address: start, count: count)
    }

    /// Whether the engine may be given these segments for `access`.
    @inlinable @inline(__always)
    func fits(_ access: DeviceAccess, _ alignmentMask: UInt64) -> Bool {
        keys & ~UInt64(3 & ~access.rawValue) | bits & alignmentMask | flaws >> 63 == 0
    }
}

extension Channel where E: ~Copyable, C: ~Copyable {
    /// The descriptor of an operation with operand lists, or nil where something does not fit or wants a closer look.
    @inlinable @inline(never)
    func resolveList(_ operation: Operation, _ cargo: borrowing C, slot: Int) -> Descriptor? {
        let sources = Int(operation.sourceCount)
        let destinations = Int(operation.destinationCount)
        guard sources &+ destinations <= arena.segmentStride, let segments = unsafe arena.segments else { return nil }
        // SAFETY: the arena has `segmentStride` segments for each slot, and no more are written here.
        let list = unsafe segments + slot &* arena.segmentStride
        var descriptor = unsafe Descriptor(kind: operation.kind, flags: operation.flags, value: operation.value)
        descriptor.detail = operation.detail
        var read = SegmentSurvey()
        var written = SegmentSurvey()
        switch operation.kind {
        case .xor, .pq:
            guard operation.flags.isDisjoint(with: [.continue, .disableP, .disableQ]), sources >= 1,
                sources <= min(limits.maximumSources, 32)
            else { return nil }
            let first = cargo.region(at: Int(operation.source)).words
            let count = operation.count != .max ? operation.count : rest(first, operation.sourceOffset)
            unsafe read.write(first, operation.sourceOffset, count, limits.key, to: list)
            for index in 1..<sources {
                let region = cargo.region(at: Int(operation.source) &+ index).words
                unsafe read.write(region, operation.sourceOffset, count, limits.key, to: list + index)
            }
            for index in 0..<destinations {
                let region = cargo.region(at: Int(operation.destination) &+ index).words
                unsafe written.write(region, operation.destinationOffset, count, limits.key, to: list + (sources &+ index))
            }
            // P and Q apart from each other, and both from the sources; anything closer is looked at pair by pair.
            guard destinations == 1 || written.high &- written.low >= 2 &* count,
                written.low >= read.high || read.low >= written.high
            else { return nil }
            descriptor.count = count
        case .scatterGather, .peripheral:
            guard operation.count == .max, sources &+ destinations <= limits.maximumSegments else { return nil }
            for index in 0..<sources {
                let region = cargo.region(at: Int(operation.source) &+ index).words
                let skip = index == 0 ? operation.sourceOffset : 0
                unsafe read.write(region, skip, region.count &- skip, limits.key, to: list + index)
            }
            for index in 0..<destinations {
                let region = cargo.region(at: Int(operation.destination) &+ index).words
                let skip = index == 0 ? operation.destinationOffset : 0
                unsafe written.write(region, skip, region.count &- skip, limits.key, to: list + (sources &+ index))
            }
            if operation.kind == .scatterGather {
                guard read.sum == written.sum, written.low >= read.high || read.low >= written.high else { return nil }
            } else {
                let end = operation.value == .max ? 0 : operation.value &+ (read.sum | written.sum)
                guard (sources == 0) != (destinations == 0), operation.value == .max || operation.value < 1 << 62, end < 1 << 63
                else { return nil }
            }
            descriptor.count = read.sum | (sources == 0 ? written.sum : 0)
            if sources > 0 { descriptor.source = unsafe list[0].address }
            if destinations > 0 { descriptor.destination = unsafe list[sources].address }
        default:
            return nil
        }
        guard read.fits(.read, limits.alignmentMask), written.fits(.write, limits.alignmentMask),
            descriptor.count <= limits.maximumCount
        else { return nil }
        descriptor.sourceCount = UInt16(truncatingIfNeeded: sources)
        descriptor.destinationCount = UInt16(truncatingIfNeeded: destinations)
        unsafe descriptor.operands = UnsafePointer(list)
        return descriptor
    }
}
