// SPDX-License-Identifier: Apache-2.0

/// The expected results of operations, computed byte by byte in the simplest way. Nothing here is shared with an engine, so
/// that an engine's bug is not repeated in its check.
public enum ByteModels {
    /// CRC32C (polynomial 0x1EDC6F41, reflected 0x82F63B78), bit by bit.
    ///
    /// - Parameter seed: the CRC of the preceding data; 0 at the beginning.
    public static func crc32c(_ bytes: some Sequence<UInt8>, seed: UInt32 = 0) -> UInt32 {
        var crc = ~seed
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0x82f6_3b78 : crc >> 1 }
        }
        return ~crc
    }

    /// The product in GF(2⁸) with the polynomial 0x11d, by shifting and adding.
    public static func multiply(_ left: UInt8, _ right: UInt8) -> UInt8 {
        var product: UInt8 = 0
        var shifted = left
        var bits = right
        while bits != 0 {
            if bits & 1 == 1 { product ^= shifted }
            shifted = shifted & 0x80 != 0 ? shifted << 1 ^ 0x1d : shifted << 1
            bits >>= 1
        }
        return product
    }

    /// The XOR of sources of equal length; with `previous`, including that.
    public static func xor(_ sources: [[UInt8]], continuing previous: [UInt8]? = nil) -> [UInt8] {
        var result = previous ?? [UInt8](repeating: 0, count: sources.first?.count ?? 0)
        for source in sources {
            for index in result.indices where index < source.count { result[index] ^= source[index] }
        }
        return result
    }

    /// Q: the sum of the sources, each times its coefficient; with `previous`, including that.
    public static func q(_ sources: [[UInt8]], coefficients: [UInt8], continuing previous: [UInt8]? = nil) -> [UInt8] {
        var result = previous ?? [UInt8](repeating: 0, count: sources.first?.count ?? 0)
        for (source, coefficient) in zip(sources, coefficients) {
            // A table of the 256 products: one multiplication per byte would dominate the suite's time.
            let products = (0...255).map { multiply(UInt8($0), coefficient) }
            for index in result.indices where index < source.count { result[index] ^= products[Int(source[index])] }
        }
        return result
    }

    /// A fill of `count` bytes with a pattern of eight bytes, least significant first, starting with the first byte.
    public static func fill(count: Int, pattern: UInt64) -> [UInt8] {
        (0..<max(count, 0)).map { UInt8(truncatingIfNeeded: pattern >> (8 * UInt64($0 % 8))) }
    }
}
