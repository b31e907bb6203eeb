// SPDX-License-Identifier: Apache-2.0

/// Reproducible random bytes: S. Vigna's splitmix64.
public struct ProgramRandom: RandomNumberGenerator, Sendable {
    private var state: UInt64

    /// A separate stream for each seed.
    public init(seed: UInt64) { state = seed }

    /// The next number.
    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }

    /// The next `count` bytes.
    public mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<max(count, 0)).map { _ in UInt8(truncatingIfNeeded: next() >> 24) }
    }
}
