// SPDX-License-Identifier: Apache-2.0

internal import DMAEngineKit

extension OperationKind {
    /// Whether a transaction of this kind can be split.
    var canBeCut: Bool { self != .cyclic && self != .null && self != .command }
}

/// A transaction that is split into pieces: its progress, and the descriptor of its next piece.
struct PacedTransaction {
    let descriptor: Descriptor
    let tag: UInt32
    /// Bytes done.
    private(set) var moved: UInt64 = 0
    /// The CRC so far, or the accumulated validation bits.
    private(set) var value: UInt64

    init(_ descriptor: Descriptor, tag: UInt32) {
        self.descriptor = descriptor
        self.tag = tag
        switch descriptor.kind {
        case .crc32c, .copyCRC32C: value = descriptor.value
        default: value = 0
        }
    }

    var isWhole: Bool { moved >= descriptor.count }
    /// Bytes not done.
    var rest: UInt64 { descriptor.count - moved }

    /// Pieces are multiples of this, except for the last: whole frames, or the engine's alignment.
    func grain(_ alignment: UInt64) -> UInt64 {
        let grain = descriptor.kind == .interleaved ? UInt64(descriptor.template.chunk) : alignment
        return max(min(grain, rest), 1)
    }

    /// - Parameter count: at most the remaining bytes.
    mutating func advance(by count: UInt64, value: UInt64) {
        moved += min(count, rest)
        switch descriptor.kind {
        case .xorValidate, .pqValidate: self.value |= value
        default: self.value = value
        }
    }

    /// The next piece of at most `limit` bytes (at least a whole frame, for interleaved ones), and its length. Lists are
    /// written to `scratch`, which must not change until the piece has ended.
    ///
    /// Unsafe: `scratch` has room for `capacity` segments, and no engine reads it now. A transaction's own operands fit there.
    @unsafe
    func cut(_ limit: UInt64, _ scratch: UnsafeMutablePointer<Segment>?, _ capacity: Int) -> (Descriptor, UInt64) {
        var piece = descriptor
        var count = min(rest, limit)
        switch descriptor.kind {
        case .interleaved:
            let template = descriptor.template
            let chunk = max(UInt64(template.chunk), 1)
            let frames = max(count / chunk, 1)
            let first = moved / chunk
            count = min(frames &* chunk, rest)
            piece.detail[0] = frames
            piece.source &+= first &* template.sourceStride
            piece.destination &+= first &* template.destinationStride
        case .xor, .xorValidate, .pq, .pqValidate:
            // Every source and destination advances by the same number of bytes.
            let number = min(Int(descriptor.sourceCount) + Int(descriptor.destinationCount), capacity)
            // SAFETY: the channel wrote as many operands as the two counts say, and `scratch` has room for `number` segments.
            if let list = unsafe descriptor.operands, let scratch = unsafe scratch {
                for index in 0..<number {
                    let segment = unsafe list[index]
                    let isUsed = segment.count > 0
                    unsafe scratch[index] = Segment(
                        address: isUsed ? segment.address &+ moved : segment.address, count: isUsed ? count : 0)
                }
                unsafe piece.operands = UnsafePointer(scratch)
            }
        case .scatterGather, .peripheral:
            // SAFETY: `slice` writes at most as many segments as it is given room for.
            guard let scratch = unsafe scratch else { break }
            let sources = unsafe slice(0, Int(descriptor.sourceCount), count, scratch, capacity)
            let destinations = unsafe slice(
                Int(descriptor.sourceCount), Int(descriptor.destinationCount), count, scratch + sources, capacity - sources)
            piece.sourceCount = UInt16(truncatingIfNeeded: sources)
            piece.destinationCount = UInt16(truncatingIfNeeded: destinations)
            unsafe piece.operands = UnsafePointer(scratch)
            piece.source = sources > 0 ? unsafe scratch[0].address : 0
            piece.destination = destinations > 0 ? unsafe scratch[sources].address : 0
            if descriptor.kind == .peripheral, descriptor.place.position != nil { piece.value = descriptor.value &+ moved }
        default:
            // A side that the operation does not have stays 0.
            if descriptor.source != 0 { piece.source &+= moved }
            if descriptor.destination != 0 { piece.destination &+= moved }
            if descriptor.kind == .crc32c || descriptor.kind == .copyCRC32C { piece.value = value }
            if descriptor.kind == .fill { piece.value = rotated(descriptor.value, by: moved) }
        }
        piece.count = count
        // Only the last piece raises an interrupt and is a fence: the pieces run one after the other anyway.
        if count < rest { piece.flags.subtract([.interrupt, .fence]) }
        return (piece, count)
    }

    /// The fill pattern rotated so that it continues at `offset` bytes.
    private func rotated(_ pattern: UInt64, by offset: UInt64) -> UInt64 {
        let bits = (offset & 7) * 8
        return bits == 0 ? pattern : pattern >> bits | pattern << (64 - bits)
    }

    /// The part of a list that begins at byte `moved` and is `count` bytes long. Returns its number of segments.
    ///
    /// Unsafe: `scratch` has room for `capacity` segments.
    @unsafe
    private func slice(
        _ first: Int, _ number: Int, _ count: UInt64, _ scratch: UnsafeMutablePointer<Segment>, _ capacity: Int
    ) -> Int {
        // SAFETY: the channel wrote as many operands as the descriptor's two counts say, and no others are read.
        guard let list = unsafe descriptor.operands else { return 0 }
        var skip = moved
        var rest = count
        var written = 0
        for index in first..<(first + number) where rest > 0 && written < capacity {
            let segment = unsafe list[index]
            if skip >= segment.count {
                skip -= segment.count
                continue
            }
            let length = min(segment.count - skip, rest)
            unsafe scratch[written] = Segment(address: segment.address &+ skip, count: length)
            skip = 0
            rest -= length
            written += 1
        }
        return written
    }
}
