// SPDX-License-Identifier: Apache-2.0

internal import DMACore
internal import Glibc

/// A look at what the last transactions of a measurement moved: a benchmark of an engine that moves nothing would be fast.
enum Check {
    /// Of copies into memory that is the same each time: each byte is compared. The rest is the test's business.
    static func copied(_ cargo: borrowing Pair<Block, Block>, _ shape: LaneShape) throws(DMAError) -> (
        verified: Int, wrong: Int
    ) {
        guard shape.operation != .interleaved, !shape.isCold else { return (0, 0) }
        let wrong = try cargo.first.withBytes { source throws(DMAError) in
            try cargo.second.withBytes { target throws(DMAError) in differing(source, target, shape.bytes) }
        }
        return (shape.bytes, wrong)
    }

    static func filled(_ cargo: borrowing Block, _ shape: LaneShape) throws(DMAError) -> (verified: Int, wrong: Int) {
        guard shape.operation == .fill, !shape.isCold else { return (0, 0) }
        let pattern = LaneShape.pattern
        let wrong = try cargo.withBytes { bytes throws(DMAError) in
            var wrong = 0
            for offset in stride(from: 0, to: shape.bytes, by: 8) {
                // A whole word is in range, and mostly right.
                let end = min(offset + 8, shape.bytes)
                // SAFETY: the block has `shape.bytes` bytes, which `end` and `place` do not pass; integers have no pattern that is none.
                if end == offset + 8, unsafe bytes.unsafeLoad(fromByteOffset: offset, as: UInt64.self) == pattern { continue }
                for place in offset..<end {
                    let expected = UInt8(truncatingIfNeeded: pattern.littleEndian >> UInt64((place - offset) * 8))
                    if unsafe bytes.unsafeLoad(fromByteOffset: place, as: UInt8.self) != expected { wrong += 1 }
                }
            }
            return wrong
        }
        return (shape.bytes, wrong)
    }

    /// Of a file, each byte.
    static func read(_ cargo: borrowing Block, _ region: FileRegion, _ place: Int) throws(DMAError) -> (
        verified: Int, wrong: Int
    ) {
        guard region.isRead else { return (0, 0) }
        let wrong = try cargo.withBytes { bytes throws(DMAError) in FilePattern.wrong(bytes, from: place) }
        return (region.walk.bytes, wrong)
    }

    static func differing(_ left: RawSpan, _ right: RawSpan, _ count: Int) -> Int {
        let count = min(count, left.byteCount, right.byteCount)
        // SAFETY: `count` is within both spans, and nothing of either pointer leaves its closure.
        return unsafe left.withUnsafeBytes { left in
            unsafe right.withUnsafeBytes { right in
                // Mostly they are the same, which the C library sees faster.
                guard let a = left.baseAddress, let b = right.baseAddress, unsafe memcmp(a, b, count) != 0 else { return 0 }
                return (0..<count).reduce(0) { unsafe $0 + (left[$1] == right[$1] ? 0 : 1) }
            }
        }
    }
}
