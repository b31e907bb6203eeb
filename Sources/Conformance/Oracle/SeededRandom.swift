// SPDX-License-Identifier: Apache-2.0

/// SplitMix64: small, fast, and the same numbers from the same seed on every machine. Not for secrets.
///
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
public struct SeededRandom: RandomNumberGenerator, Sendable {
    private var state: UInt64

    /// The same seed gives the same numbers.
    public init(seed: UInt64) { state = seed }

    /// A generator for one named part, so that each part of a run can be repeated without the others.
    public init(seed: UInt64, part: String) {
        // FNV-1a over the name.
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in part.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        state = seed ^ hash
    }

    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }

    /// A number of `range`, which is not empty.
    mutating func int(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }
    /// True once in `number` calls, on average.
    mutating func once(in number: Int) -> Bool { int(1...max(number, 1)) == 1 }
    /// Random bytes.
    mutating func bytes(_ count: Int) -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: max(count, 0)) { buffer, filled in
            // SAFETY: whole words and then single bytes, each inside the capacity that was asked for.
            var offset = 0
            let raw = UnsafeMutableRawBufferPointer(buffer)
            while offset + 8 <= count {
                unsafe raw.storeBytes(of: next(), toByteOffset: offset, as: UInt64.self)
                offset += 8
            }
            while offset < count {
                unsafe raw.storeBytes(of: UInt8(truncatingIfNeeded: next()), toByteOffset: offset, as: UInt8.self)
                offset += 1
            }
            filled = max(count, 0)
        }
    }
}
