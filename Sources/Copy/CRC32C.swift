// SPDX-License-Identifier: Apache-2.0

internal import DMACPUEngine

/// A CRC32C over pieces that are finished in any order: each piece's own, put together without the bytes.
///
/// The bytes are counted by the CPU engine's kernels. Joining is the copy's own business, since no engine sees a piece beside another.
///
/// The register is linear over GF(2), so that the CRC of A followed by B is that of A, moved on by the length of B, plus that of B.
/// Source: M. Adler's crc32_combine in zlib describes the method; this is polynomial arithmetic modulo 0x1edc6f41, reflected.
package enum CRC32C {
    /// The CRC of the bytes, continuing `crc`.
    package static func of(_ bytes: RawSpan, continuing crc: UInt32 = 0) -> UInt32 {
        // SAFETY: the buffer is the span's, which outlives the call, and is only read.
        unsafe bytes.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { return crc }
            return unsafe Kernels.best.crc32c(base, count: buffer.count, continuing: crc)
        }
    }

    static func of(_ bytes: [UInt8]) -> UInt32 {
        // SAFETY: the span does not leave the expression, in which the array is not changed.
        unsafe of(bytes.span.bytes)
    }

    /// The CRC of what has `first`, followed by `count` bytes that have `second`.
    package static func joining(_ first: UInt32, _ second: UInt32, count: UInt64) -> UInt32 {
        multiply(power(of: count), first) ^ second
    }

    /// The CRC of so many zero bytes: of a hole, whatever its size.
    package static func ofZeros(_ count: UInt64) -> UInt32 { ~multiply(power(of: count), .max) }

    /// The product of two polynomials, bit-reflected, modulo the CRC's.
    static func multiply(_ a: UInt32, _ b: UInt32) -> UInt32 {
        var product: UInt32 = 0
        var rest = a
        var shifted = b
        for _ in 0..<32 {
            if rest & 0x8000_0000 != 0 { product ^= shifted }
            rest <<= 1
            shifted = shifted >> 1 ^ (shifted & 1 == 0 ? 0 : 0x82f6_3b78)
        }
        return product
    }

    /// x to the power of 8 · `count`.
    static func power(of count: UInt64) -> UInt32 {
        var result: UInt32 = 0x8000_0000
        var square: UInt32 = 0x0080_0000
        var rest = count
        while rest > 0 {
            if rest & 1 != 0 { result = multiply(result, square) }
            square = multiply(square, square)
            rest >>= 1
        }
        return result
    }
}
