// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// The oracle of data tests: the contents of buffers before a transfer, and the expected contents after it.
///
/// The pattern is dmatest's. Source bytes carry bit 7, destination bytes do not; bit 6 marks bytes to be copied, bit 5 bytes to
/// be overwritten; the low five bits are the inverted address counter. A misplaced byte thus shows its origin. dmatest's
/// counter repeats every 32 bytes, so that data moved by a multiple of 32 is not noticed; with a ``salt`` the counter of each
/// line of 32 bytes is rotated by five bits of a hash of the line's number, which detects that as well.
///
/// Source: drivers/dma/dmatest.c, `dmatest_init_srcs`, `dmatest_init_dsts`, `dmatest_verify`.
public struct Oracle: Hashable, Sendable {
    /// 0 for exactly dmatest's pattern.
    public let salt: UInt64

    static var source: UInt8 { 0x80 }
    static var toCopy: UInt8 { 0x40 }
    static var toOverwrite: UInt8 { 0x20 }
    static var counterMask: UInt8 { 0x1f }

    /// - Parameter salt: 0 for exactly dmatest's pattern; any other value rotates each line's counter.
    public init(salt: UInt64 = 0) { self.salt = salt }

    /// The source's byte at `offset`, inside or outside the part to be copied.
    @inline(__always)
    func sourceByte(_ offset: Int, isMarked: Bool) -> UInt8 {
        Oracle.source | (isMarked ? Oracle.toCopy : 0) | counter(offset)
    }

    /// The destination's byte at `offset` before the transfer.
    @inline(__always)
    func destinationByte(_ offset: Int, isMarked: Bool) -> UInt8 {
        (isMarked ? Oracle.toOverwrite : 0) | counter(offset)
    }

    @inline(__always)
    private func counter(_ offset: Int) -> UInt8 {
        var value = ~UInt8(truncatingIfNeeded: offset)
        if salt != 0 {
            // The multiplier is 2^64 divided by the golden ratio: neighbouring lines get unrelated high bits.
            let line = UInt64(truncatingIfNeeded: offset >> 5)
            value ^= UInt8(truncatingIfNeeded: ((line ^ salt) &* 0x9e37_79b9_7f4a_7c15) >> 59)
        }
        return value & Oracle.counterMask
    }

    /// The image of a source of `count` bytes of which those in `marked` are to be copied. Marks outside the image are ignored.
    public func sourceImage(count: Int, marked: Range<Int>) -> [UInt8] {
        var image: [UInt8] = []
        image.reserveCapacity(max(count, 0))
        for offset in 0..<max(count, 0) { image.append(sourceByte(offset, isMarked: marked.contains(offset))) }
        return image
    }

    /// The image of a destination before the transfer.
    public func destinationImage(count: Int, marked: Range<Int>) -> [UInt8] {
        var image: [UInt8] = []
        image.reserveCapacity(max(count, 0))
        for offset in 0..<max(count, 0) { image.append(destinationByte(offset, isMarked: marked.contains(offset))) }
        return image
    }

    /// Checks a destination against its initial image, its expected image, and the ranges that the transfer may write.
    ///
    /// - Parameters:
    ///   - found: the bytes after the transfer.
    ///   - before: the image before it; as long as `expected`.
    ///   - expected: the correct image.
    ///   - written: ranges that the transfer had to write, in ascending order and disjoint.
    /// - Returns: nil where every byte is right. A `found` of another length than `expected` differs in each missing byte.
    public static func judgeDestination(
        _ found: RawSpan, before: [UInt8], expected: [UInt8], written: [Range<Int>]
    ) -> OracleFinding? {
        if equal(found, expected) { return nil }
        var finding = OracleFinding()
        var next = 0
        for offset in expected.indices {
            while next < written.count, written[next].upperBound <= offset { next += 1 }
            let value = byte(found, offset)
            guard value != expected[offset] else { continue }
            let isInside = next < written.count && written[next].contains(offset)
            let fault: OracleFault
            if !isInside {
                // A byte outside the transfer changed. A source's byte means that too much was copied, as in dmatest; so does
                // any other value, because only the engine had the memory.
                fault = .copiedOutside
            } else if offset < before.count, value == before[offset] {
                fault = .notCopied
            } else {
                fault = .mismatch
            }
            finding.add(OracleMismatch(offset: offset, expected: expected[offset], found: value, fault: fault))
        }
        return finding.total == 0 ? nil : finding
    }

    /// Checks a source, which no transfer may change.
    public static func judgeSource(_ found: RawSpan, before: [UInt8]) -> OracleFinding? {
        if equal(found, before) { return nil }
        var finding = OracleFinding()
        for offset in before.indices where byte(found, offset) != before[offset] {
            finding.add(
                OracleMismatch(
                    offset: offset, expected: before[offset], found: byte(found, offset), fault: .sourceOverwritten))
        }
        return finding.total == 0 ? nil : finding
    }

    /// Checks the destination of one copy between images of this oracle.
    ///
    /// - Parameters:
    ///   - found: the destination after the copy.
    ///   - source: the range to copy, as marked in the source's image.
    ///   - target: its destination, as marked in the destination's image; as long as `source`.
    public func judgeCopy(_ found: RawSpan, source: Range<Int>, target: Range<Int>) -> OracleFinding? {
        let before = destinationImage(count: found.byteCount, marked: target)
        var expected = before
        for offset in target.clamped(to: 0..<found.byteCount) {
            expected[offset] = sourceByte(offset - target.lowerBound + source.lowerBound, isMarked: true)
        }
        return Oracle.judgeDestination(found, before: before, expected: expected, written: [target])
    }

    /// Whether the bytes equal `image`, with the same length.
    static func equal(_ found: RawSpan, _ image: [UInt8]) -> Bool {
        guard found.byteCount == image.count else { return false }
        // SAFETY: both sides have as many bytes as are compared.
        return unsafe found.withUnsafeBytes { found in
            unsafe image.withUnsafeBytes { image in
                // The same number of bytes on either side; an empty side may have no address.
                guard let left = found.baseAddress, let right = image.baseAddress else { return true }
                return unsafe memcmp(left, right, found.count) == 0
            }
        }
    }

    /// One byte; where the span is too short, a value that no pattern contains.
    private static func byte(_ span: RawSpan, _ offset: Int) -> UInt8 {
        offset < span.byteCount ? span.unsafeByte(offset) : 0
    }
}

extension RawSpan {
    /// A byte whose offset the caller has checked.
    // SAFETY: every caller has checked the offset, and every bit pattern of a byte is valid.
    @inline(__always)
    func unsafeByte(_ offset: Int) -> UInt8 { unsafe unsafeLoad(fromByteOffset: offset, as: UInt8.self) }

    /// The bytes as an array.
    // SAFETY: the bytes are copied while they are lent.
    func copied() -> [UInt8] { unsafe withUnsafeBytes { unsafe [UInt8]($0) } }
}

extension MutableRawSpan {
    /// Copies an image to the beginning of the bytes; the part that does not fit is left out.
    mutating func put(_ image: [UInt8]) {
        // SAFETY: both lengths bound the copy, and the two memories do not overlap.
        unsafe withUnsafeMutableBytes { bytes in
            // Both lengths bound the copy, and the two memories are distinct.
            unsafe image.withUnsafeBytes {
                unsafe bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0.prefix(bytes.count)))
            }
        }
    }
}
