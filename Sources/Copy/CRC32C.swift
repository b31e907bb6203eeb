// SPDX-License-Identifier: Apache-2.0

internal import DMACPUEngine

/// CRC32C of data whose pieces complete in any order: the CRCs of the pieces are combined, without the data.
///
/// The kernels of the CPU engine compute the CRC of a piece.
///
/// The register is linear over GF(2), so that the CRC of A followed by B is that of A, advanced by the length of B, plus the CRC of B.
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

    /// The CRC of data with the CRC `first`, followed by `count` bytes with the CRC `second`.
    package static func joining(_ first: UInt32, _ second: UInt32, count: UInt64) -> UInt32 {
        multiply(power(of: count), first) ^ second
    }

    /// The CRC of `count` zero bytes, such as a hole, in constant time.
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
