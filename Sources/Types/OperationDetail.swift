// SPDX-License-Identifier: Apache-2.0

// The parameters of some operations beyond places and a count.

/// Frames of one chunk each, with gaps between: the kernel's `struct dma_interleaved_template` with one chunk a frame.
///
/// Rule 23: `frames × (chunk + gap)`; a side whose gap is 0 is contiguous, a side that does not advance is a register or FIFO
/// that every frame meets at the same address.
@frozen
public struct InterleavedTemplate: Equatable, Sendable {
    /// How many chunks; 1 or more.
    public var frames: UInt32
    /// Bytes in each chunk; 1 or more.
    public var chunk: UInt32
    /// Bytes to skip after each chunk at the source: `src_icg`, used only where `sourceScatters`.
    public var sourceGap: UInt32
    /// Bytes to skip after each chunk at the destination: `dst_icg`, used only where `destinationScatters`.
    public var destinationGap: UInt32
    /// `src_inc`: whether the source address advances from chunk to chunk.
    public var sourceIncrements: Bool
    /// `dst_inc`: whether the destination address advances from chunk to chunk.
    public var destinationIncrements: Bool
    /// `src_sgl`: whether the gap applies at the source.
    public var sourceScatters: Bool
    /// `dst_sgl`: whether the gap applies at the destination.
    public var destinationScatters: Bool

    /// A template in which both sides advance; a side with a gap scatters.
    @inlinable
    public init(frames: UInt32, chunk: UInt32, sourceGap: UInt32 = 0, destinationGap: UInt32 = 0) {
        self.frames = frames
        self.chunk = chunk
        self.sourceGap = sourceGap
        self.destinationGap = destinationGap
        sourceIncrements = true
        destinationIncrements = true
        sourceScatters = sourceGap != 0
        destinationScatters = destinationGap != 0
    }

    /// Bytes moved in total. Cannot overflow: the product of two 32-bit numbers.
    @inlinable
    public var count: UInt64 { UInt64(frames) * UInt64(chunk) }
}

/// The weights of a PQ operation's sources over GF(2⁸) with the polynomial 0x11d: the kernel's `scf`.
@frozen
public struct Coefficients: Equatable, Sendable {
    /// One weight for each source; at most 32.
    public var values: SIMD32<UInt8>

    /// The weights of sources 0 to 31.
    @inlinable
    public init(values: SIMD32<UInt8>) { self.values = values }

    /// The weights of RAID-6: gⁱ for source i, with g = 2.
    @inlinable
    public static var raid6: Coefficients {
        // Constants, so that no operation waits for the lazy initialization of a static. The polynomial is x⁸ + x⁴ + x³ + x² +
        // 1.
        Coefficients(
            values: SIMD32(
                0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x1d, 0x3a, 0x74, 0xe8, 0xcd, 0x87, 0x13, 0x26,
                0x4c, 0x98, 0x2d, 0x5a, 0xb4, 0x75, 0xea, 0xc9, 0x8f, 0x03, 0x06, 0x0c, 0x18, 0x30, 0x60, 0xc0))
    }
}
