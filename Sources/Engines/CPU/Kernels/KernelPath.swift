// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// An implementation of the kernels. Several can do the same work; one is selected once, by the processor's features, and its
/// name is shown in lists of engines.
@frozen
public enum KernelPath: UInt8, Sendable, Hashable, CaseIterable {
    /// The compiler's vector extensions at the platform's baseline: SSE2 on x86-64, NEON on arm64. CRC32C with eight table
    /// look-ups per eight bytes.
    case portable
    /// The same with 256-bit vectors.
    case avx2
    /// The same with 512-bit vectors.
    case avx512
    /// 512-bit vectors and the Galois field instructions: one multiplication per 64 bytes (PQ only).
    case galois
    /// The CRC32C instruction of SSE4.2 or ARMv8, on three interleaved streams (CRC32C only).
    case instruction
    /// Carry-less multiplication of 512-bit vectors (CRC32C only).
    case folding
    /// Intel's ISA-L, in builds with the trait `ISAL`.
    case isal

    /// The stable name in lists and reports.
    public var name: String {
        switch self {
        case .portable: "portable"
        case .avx2: "avx2"
        case .avx512: "avx512"
        case .galois: "avx512+gfni"
        case .instruction: "crc32c-instruction"
        case .folding: "avx512+vpclmulqdq"
        case .isal: "isa-l"
        }
    }

    /// The number by which the C kernels select the width of this path.
    @inlinable
    var width: UInt32 {
        switch self {
        case .avx2: 1
        case .avx512, .galois: 2
        default: 0
        }
    }
}

/// The work of a kernel.
public enum KernelWork: UInt8, Sendable, Hashable, CaseIterable {
    /// Large copies and fills that bypass the cache.
    case stream
    /// Fills with a pattern.
    case fill
    /// XOR and its validation.
    case xor
    /// RAID-6 parity and its validation.
    case pq
    /// CRC32C.
    case crc32c

    /// Every path that this processor and this build support for the work, the default first. Never empty.
    ///
    /// With 512-bit vectors the kernels of this package are faster than ISA-L 2.30 (Benchmarks/results), which uses streaming
    /// stores at every length and cannot update P and Q in one pass; without them, ISA-L comes first.
    public var paths: [KernelPath] {
        let has = Processor.features
        let wide = has & UInt32(CDMA_CPU_AVX512) != 0
        let isal = Self.hasISAL ? [KernelPath.isal] : []
        let middle: [KernelPath] = has & UInt32(CDMA_CPU_AVX2) != 0 ? [.avx2] : []
        switch self {
        case .stream, .fill:
            return (wide ? [.avx512] : []) + middle + [.portable]
        case .xor:
            return (wide ? [.avx512] : []) + isal + middle + [.portable]
        case .pq:
            let galois: [KernelPath] = has & UInt32(CDMA_CPU_GFNI) != 0 ? [.galois] : []
            return galois + isal + (wide ? [.avx512] : []) + middle + [.portable]
        case .crc32c:
            let folding: [KernelPath] = has & UInt32(CDMA_CPU_VPCLMUL) != 0 ? [.folding] : []
            let instruction: [KernelPath] = has & UInt32(CDMA_CPU_CRC32C) != 0 ? [.instruction] : []
            return folding + isal + instruction + [.portable]
        }
    }

    static var hasISAL: Bool {
        #if ISAL
            true
        #else
            false
        #endif
    }
}

/// The processor's features, read once.
enum Processor {
    static let features: UInt32 = cdma_cpu_features()
}
