// SPDX-License-Identifier: Apache-2.0

public import DMATypes

extension InterleavedTemplate {
    /// Bytes from one chunk's start to the next one's, at the source.
    @inlinable
    public var sourceStride: UInt64 {
        sourceIncrements ? UInt64(chunk) + (sourceScatters ? UInt64(sourceGap) : 0) : 0
    }

    /// Bytes from one chunk's start to the next one's, at the destination.
    @inlinable
    public var destinationStride: UInt64 {
        destinationIncrements ? UInt64(chunk) + (destinationScatters ? UInt64(destinationGap) : 0) : 0
    }
}
