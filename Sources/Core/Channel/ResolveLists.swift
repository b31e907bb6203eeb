// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

// The fast path of operations with operand lists: XOR, PQ, scatter lists, peripheral lists. It only decides whether everything
// fits; `resolveLists` finds the reason where something does not, so that nothing here serves error messages.

/// The shared properties of one side's segments, gathered while they are written.
@usableFromInline @frozen
struct SegmentSurvey {
    /// Differences from the channel's key: another domain in the upper half, missing permissions in the lower.
    @usableFromInline var keys: UInt64 = 0
    /// Addresses and lengths, or'ed: their low bits are those of the least aligned one.
    @usableFromInline var bits: UInt64 = 0
    /// Also or'ed: the highest bit is set for empty segments, ends beyond a region, and sums beyond 63 bits.
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
        // The highest bit is set where the count is 0, or the end or the offset lies beyond the region: no region has 2⁶³
        // bytes.
        flaws |= (count &- 1) | (region.count &- offset &- count) | offset
        sum &+= count
        flaws |= sum
        let end = start &+ count
        if start < low { low = start }
        if end > high { high = end }
        // SAFETY: the index that the caller passes is inside the slot's operand list.
        unsafe place.pointee = Segment(address: start, count: count)
    }

    /// Whether the engine may use these segments with `access`.
    @inlinable @inline(__always)
    func fits(_ access: DeviceAccess, _ alignmentMask: UInt64) -> Bool {
        keys & ~UInt64(3 & ~access.rawValue) | bits & alignmentMask | flaws >> 63 == 0
    }
}

extension Channel where E: ~Copyable, C: ~Copyable {
    /// `submit`, for operations with operand lists that the cargo has not prepared.
    @inlinable @inline(never)
    mutating func submitList(
        _ kind: OperationKind, _ flags: DescriptorFlags, _ source: UInt16, _ sourceCount: UInt16, _ destination: UInt16,
        _ destinationCount: UInt16, _ sourceOffset: UInt64, _ destinationOffset: UInt64, _ count: UInt64, _ value: UInt64,
        _ detail: SIMD4<UInt64>, _ cargo: consuming C
    ) -> Submission<C> {
        let operation = Operation(
            kind, source: Operation.Places(first: source, count: sourceCount),
            destination: Operation.Places(first: destination, count: destinationCount),
            sourceOffset: sourceOffset, destinationOffset: destinationOffset, length: count, value: value, detail: detail,
            flags: flags)
        let (slot, sequence) = nextPlace
        guard isReady(for: operation, slot: slot),
            let descriptor = resolveList(operation, cargo, slot: slot)
        else { return refuseOrSubmitSlowly(operation, cargo) }
        // SAFETY: every address was checked against the cargo, which the channel owns until the engine has finished with it.
        let result = unsafe engine.enqueue(descriptor, tag: UInt32(truncatingIfNeeded: sequence))
        guard case .accepted = result else { return .refused(engineRefused(result), cargo) }
        return .queued(
            accept(
                cargo, slot: slot, sequence: sequence, count: descriptor.count,
                asksInterrupt: operation.flags.contains(.interrupt)))
    }

    /// The descriptor of an operation whose operands are adjacent in the cargo's own list, in an engine's order: sources, then
    /// destinations. Nil where the cargo has no such list, something does not fit, or needs further checks.
    ///
    /// The engine receives a copy in the slot's memory, which outlives the engine, and so also an engine that reads it after it
    /// has reported the completion.
    @inlinable @inline(__always)
    func resolvePrepared(_ operation: Operation, _ cargo: borrowing C, slot: Int) -> Descriptor? {
        let list = cargo.regionList
        // SAFETY: the list is bound to the cargo: its facts are valid, and it has as many segments as they say, which is checked before one
        // is named. There is one more sum than segments.
        guard let facts = unsafe list.facts, let segments = unsafe list.segments else { return nil }
        let sources = Int(operation.sourceCount)
        let destinations = Int(operation.destinationCount)
        let first = Int(sources > 0 ? operation.source : operation.destination)
        let middle = first &+ sources
        let end = middle &+ destinations
        let needed = (sources > 0 ? DeviceAccess.read.rawValue : 0) | (destinations > 0 ? DeviceAccess.write.rawValue : 0)
        guard unsafe end <= facts.pointee.count, destinations == 0 || Int(operation.destination) == middle,
            operation.sourceOffset | operation.destinationOffset == 0,
            unsafe (facts.pointee.key ^ limits.key) & ~UInt64(3 & ~needed) | facts.pointee.bits & limits.alignmentMask == 0
        else { return nil }
        // SAFETY: only addresses of the list are filled in, and the caller passes the descriptor on only after these checks.
        var descriptor = unsafe Descriptor(kind: operation.kind, flags: operation.flags, value: operation.value)
        switch operation.kind {
        case .xor, .pq:
            let count = unsafe facts.pointee.uniform
            guard count != 0, operation.length == count || operation.length == .max, sources >= 1,
                sources <= min(limits.maximumSources, 32), operation.flags.isDisjoint(with: [.continue, .disableP, .disableQ])
            else { return nil }
            descriptor.detail = operation.detail
            descriptor.count = count
        case .scatterGather:
            let sums = unsafe facts.pointee.sums
            let (count, written) = unsafe (sums[middle] &- sums[first], sums[end] &- sums[middle])
            guard unsafe facts.pointee.isDisjoint, count == written, operation.length == .max,
                sources &+ destinations <= limits.maximumSegments
            else { return nil }
            descriptor.count = count
        case .peripheral:
            let sums = unsafe facts.pointee.sums
            let count = unsafe sums[end] &- sums[first]
            guard sources == 0 || destinations == 0, operation.length == .max,
                sources &+ destinations <= limits.maximumSegments,
                operation.value == .max || (operation.value < 1 << 62 && operation.value &+ count < 1 << 63)
            else { return nil }
            descriptor.detail = operation.detail
            descriptor.count = count
        default:
            return nil
        }
        // Without operands there are no bytes, so that from here on there is a segment to be read.
        guard descriptor.count &- 1 < limits.maximumCount else { return nil }
        // SAFETY: the operation is one of the engine's, and for an engine that has any of these kinds the arena has segments: for each slot
        // at least `maximumSegments`, which bounds scatter and peripheral lists, and two more than `maximumSources`, which bounds the others.
        let operands = unsafe UnsafeMutableRawPointer(arena.segments.unsafelyUnwrapped).advanced(by: slot &* arena.listBytes)
            .assumingMemoryBound(to: Segment.self)
        for index in 0..<(end &- first) { unsafe operands[index] = segments[first &+ index] }
        if operation.kind == .scatterGather || operation.kind == .peripheral {
            if sources > 0 { unsafe descriptor.source = operands[0].address }
            if destinations > 0 { unsafe descriptor.destination = operands[sources].address }
        }
        descriptor.sourceCount = operation.sourceCount
        descriptor.destinationCount = operation.destinationCount
        unsafe descriptor.operands = UnsafePointer(operands)
        return descriptor
    }

    /// The descriptor of an operation with operand lists; nil where something does not fit or needs further checks.
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
            let count = operation.length != .max ? operation.length : rest(first, operation.sourceOffset)
            unsafe read.write(first, operation.sourceOffset, count, limits.key, to: list)
            for index in 1..<sources {
                let region = cargo.region(at: Int(operation.source) &+ index).words
                unsafe read.write(region, operation.sourceOffset, count, limits.key, to: list + index)
            }
            for index in 0..<destinations {
                let region = cargo.region(at: Int(operation.destination) &+ index).words
                unsafe written.write(region, operation.destinationOffset, count, limits.key, to: list + (sources &+ index))
            }
            // P and Q must not overlap each other or the sources; any overlap of the bounds is checked pair by pair.
            guard destinations == 1 || written.high &- written.low >= 2 &* count,
                written.low >= read.high || read.low >= written.high
            else { return nil }
            descriptor.count = count
        case .scatterGather, .peripheral:
            guard operation.length == .max, sources &+ destinations <= limits.maximumSegments else { return nil }
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
