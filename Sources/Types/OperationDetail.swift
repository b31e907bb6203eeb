// SPDX-License-Identifier: Apache-2.0

// What some operations have beside places and a count.

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
    /// Bytes left out after each chunk at the source: `src_icg`, which counts only where `sourceScatters`.
    public var sourceGap: UInt32
    /// Bytes left out after each chunk at the destination: `dst_icg`, which counts only where `destinationScatters`.
    public var destinationGap: UInt32
    /// `src_inc`, `dst_inc`: whether the address moves on from chunk to chunk.
    public var sourceIncrements: Bool
    /// The same of the destination.
    public var destinationIncrements: Bool
    /// `src_sgl`, `dst_sgl`: whether the gap is applied.
    public var sourceScatters: Bool
    /// The same of the destination.
    public var destinationScatters: Bool

    /// Both sides advance; a side with a gap scatters.
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

    /// Bytes moved. Cannot overflow: the product of two 32-bit numbers.
    @inlinable
    public var count: UInt64 { UInt64(frames) * UInt64(chunk) }
}

/// The weights of a PQ operation's sources over GF(2⁸) with the polynomial 0x11d: the kernel's `scf`.
@frozen
public struct Coefficients: Equatable, Sendable {
    /// One weight a source; at most 32.
    public var values: SIMD32<UInt8>

    /// The weights of sources 0 to 31.
    @inlinable
    public init(values: SIMD32<UInt8>) { self.values = values }

    /// RAID-6's: source i weighs gⁱ, with g = 2.
    public static let raid6: Coefficients = {
        var values = SIMD32<UInt8>()
        var power: UInt8 = 1
        for index in 0..<32 {
            values[index] = power
            power = (power << 1) ^ (power & 0x80 != 0 ? 0x1d : 0)
        }
        return Coefficients(values: values)
    }()
}
