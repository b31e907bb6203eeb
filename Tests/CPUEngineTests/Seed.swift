// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import DMACore
import Foundation
import Testing

/// Random numbers that can be had again: SplitMix64 from a seed that is printed, and taken from `DMA_SEED` where it is set.
struct Seeded: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }

    /// The run's seed, printed once.
    static let seed: UInt64 = {
        let given = ProcessInfo.processInfo.environment["DMA_SEED"].flatMap { UInt64($0) }
        let seed = given ?? UInt64.random(in: 0...UInt64(UInt32.max))
        print("DMA_SEED=\(seed)")
        return seed
    }()

    /// A stream of its own for each test, so that they do not depend on each other's order.
    static func stream(_ name: String) -> Seeded {
        Seeded(name.utf8.reduce(seed) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 })
    }
}

/// `#expect` for values that are not copyable, which the macro cannot take apart.
func check(_ isSo: Bool, _ comment: String = "", at location: SourceLocation = #_sourceLocation) {
    if !isSo { Issue.record("expected otherwise: \(comment)", sourceLocation: location) }
}

extension FIFOPeripheral {
    @discardableResult
    func deliver(_ bytes: ArraySlice<UInt8>, keepsRest: Bool = false) -> Int {
        unsafe bytes.withUnsafeBytes { buffer in
            deliver(unsafe RawSpan(_unsafeBytes: buffer), keepsRest: keepsRest)
        }
    }

    /// Up to `count` bytes from the wire.
    func collect(_ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let got = unsafe bytes.withUnsafeMutableBytes { buffer in
            var span = unsafe MutableRawSpan(_unsafeBytes: buffer)
            return collect(into: &span)
        }
        return Array(bytes[..<got])
    }
}
