// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Reproducible random numbers: SplitMix64 from a seed that is printed, and taken from `DMA_SEED` where it is set.
public struct Seeded: RandomNumberGenerator {
    private var state: UInt64

    /// A separate stream for each test, so that they do not depend on each other's order.
    public init(_ name: String) { state = name.utf8.reduce(Self.seed) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 } }

    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }

    public mutating func bytes(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 8)
        while bytes.count < count {
            var word = next()
            for _ in 0..<8 {
                bytes.append(UInt8(truncatingIfNeeded: word))
                word >>= 8
            }
        }
        bytes.removeLast(bytes.count - count)
        return bytes
    }

    /// The run's seed, printed once.
    public static let seed: UInt64 = {
        let given = ProcessInfo.processInfo.environment["DMA_SEED"].flatMap { UInt64($0) }
        let seed = given ?? UInt64.random(in: 0...UInt64(UInt32.max))
        print("DMA_SEED=\(seed)")
        return seed
    }()
}
