// SPDX-License-Identifier: Apache-2.0

/// What the files of a benchmark hold, and how much of something is not that.
///
/// Each word of a file that is read follows from its place in the file, so that a transfer from another place is wrong in nearly
/// every byte. A block that is written is the same for all places but for its first and its last word, which follow from the place:
/// two stores are all that a transfer costs beside its moving.
enum FilePattern {
    /// SplitMix64's output function over the word's number.
    @inline(__always)
    static func word(_ index: UInt64, _ salt: UInt64) -> UInt64 {
        var z = (index &+ salt) &* 0x9e37_79b9_7f4a_7c15
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }

    /// The byte at a place of a pattern.
    private static func byte(_ place: Int, _ salt: UInt64) -> UInt8 {
        UInt8(truncatingIfNeeded: word(UInt64(place / 8), salt) >> UInt64(place % 8 * 8))
    }

    /// Fills memory with what a pattern has from `place` on.
    static func fill(_ bytes: inout MutableRawSpan, from place: Int, salt: UInt64 = 0) {
        var offset = 0
        while offset < bytes.byteCount {
            if (place + offset) % 8 == 0, offset + 8 <= bytes.byteCount {
                let value = word(UInt64((place + offset) / 8), salt)
                bytes.storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt64.self)
                offset += 8
            } else {
                bytes.storeBytes(of: byte(place + offset, salt), toByteOffset: offset, as: UInt8.self)
                offset += 1
            }
        }
    }

    /// How many bytes differ from what the pattern has from `place` on.
    static func wrong(_ bytes: RawSpan, from place: Int, salt: UInt64 = 0) -> Int {
        var (offset, wrong) = (0, 0)
        while offset < bytes.byteCount {
            if (place + offset) % 8 == 0, offset + 8 <= bytes.byteCount {
                let value = word(UInt64((place + offset) / 8), salt)
                // In range: eight bytes are left.
                var rest =
                    // SAFETY: eight bytes are left here, and one below; integers have no pattern that is none.
                    unsafe UInt64(littleEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)) ^ value
                while rest != 0 {
                    if rest & 255 != 0 { wrong += 1 }
                    rest >>= 8
                }
                offset += 8
            } else {
                let found = unsafe bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
                if found != byte(place + offset, salt) { wrong += 1 }
                offset += 1
            }
        }
        return wrong
    }
}
