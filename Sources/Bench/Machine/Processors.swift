// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// Where this process's threads may run.
package enum Processors {
    /// 1,024 processors: the kernel's default mask.
    private static let words = 16

    /// Their numbers, from the lowest; empty where the kernel does not say.
    package static var allowed: [Int] {
        var mask = [UInt64](repeating: 0, count: words)
        // SAFETY: the C function writes at most as many words as the array has.
        let failed = unsafe mask.withUnsafeMutableBufferPointer { unsafe cdma_get_affinity($0.baseAddress, $0.count) }
        guard failed == 0 else { return [] }
        return (0..<words * 64).filter { mask[$0 / 64] >> UInt64($0 % 64) & 1 != 0 }
    }

    /// Moves the calling thread to one processor. False where the kernel refuses.
    static func pin(_ processor: Int) -> Bool {
        guard processor >= 0, processor < words * 64 else { return false }
        var mask = [UInt64](repeating: 0, count: words)
        mask[processor / 64] = 1 << UInt64(processor % 64)
        // SAFETY: the C function reads as many words as the array has.
        return unsafe mask.withUnsafeBufferPointer { unsafe cdma_set_affinity($0.baseAddress, $0.count) } == 0
    }
}
