// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// A reproducible stream of bytes: the byte at an offset depends on the seed and the offset alone.
///
/// Generated and compared with the widest vectors of the processor, so that it is as fast as memory. Any thread may use it.
package struct PatternStream: Hashable, Sendable {
    /// The seed, which identifies the stream.
    package let seed: UInt64
    private let first: UInt64
    private let second: UInt64

    /// The stream with a seed.
    package init(seed: UInt64) {
        self.seed = seed
        first = Self.spread(seed)
        second = Self.spread(seed ^ 0x5851_f42d_4c95_7f2d)
    }

    /// Writes the stream's bytes `offset ..< offset + bytes.byteCount`.
    package func fill(_ bytes: inout MutableRawSpan, at offset: UInt64) {
        // SAFETY: the C function writes as many bytes as the span has, which is accessed exclusively.
        unsafe bytes.withUnsafeMutableBytes { buffer in
            guard let base = buffer.baseAddress else { return }
            // The C function writes `count` bytes, which is the span's length.
            unsafe cdma_pattern_fill(Self.width, first, second, offset, base, buffer.count)
        }
    }

    /// The index of the first byte of `bytes` that differs from the stream at `offset`; nil where none does.
    package func firstMismatch(in bytes: RawSpan, at offset: UInt64) -> Int? {
        // SAFETY: the C function reads as many bytes as the span has.
        unsafe bytes.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { return nil }
            // The C function reads `count` bytes, which is the span's length.
            let good = unsafe cdma_pattern_test(Self.width, first, second, offset, base, buffer.count)
            return good < buffer.count ? good : nil
        }
    }

    /// The byte at `offset`, for tests and messages.
    package func byte(at offset: UInt64) -> UInt8 { cdma_pattern_byte(first, second, offset) }

    private static let width: UInt32 = {
        let features = cdma_cpu_features()
        if features & UInt32(CDMA_CPU_AVX512) != 0 { return 2 }
        return features & UInt32(CDMA_CPU_AVX2) != 0 ? 1 : 0
    }()

    /// Spreads a seed over 64 bits, so that similar seeds give different keys. Source: S. Vigna's splitmix64.
    private static func spread(_ seed: UInt64) -> UInt64 {
        var z = seed &+ 0x9e37_79b9_7f4a_7c15
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
}
