// SPDX-License-Identifier: Apache-2.0

/// A device's requirements on memory: the kernel's `struct device_dma_parameters`, the DMA masks and
/// `dma_get_cache_alignment()`, as one value.
///
/// Source: include/linux/device.h, include/linux/dma-mapping.h, Documentation/core-api/dma-api.rst.
public struct DeviceConstraints: Equatable, Sendable {
    /// Highest address for streaming mappings (rule 30).
    public var streamingMask: DMAMask
    /// Highest address for coherent memory, separate from the streaming one (rule 30).
    public var coherentMask: DMAMask
    /// Each segment starts at a multiple of this. Bytes, a power of two.
    public var alignment: UInt64
    /// Where a range is split into segments, the length of each but the last is a multiple of this. Bytes, a power of two: for
    /// instance a disk's logical block, where that is larger than ``alignment``.
    public var lengthUnit: UInt64
    /// In a list of segments, every one but the first begins, and every one but the last ends, on a multiple of this: the page
    /// of NVMe's PRP lists. Bytes, a power of two; 0 means that segments may begin and end anywhere. The kernel's
    /// `virt_boundary_mask` (include/linux/blkdev.h).
    public var virtualBoundary: UInt64
    /// The maximum length of a segment. Bytes, at least 1. The kernel's default is 64 KiB.
    public var maximumSegmentSize: UInt64
    /// No segment crosses a multiple of this. Bytes, a power of two; 0 means no boundary. The kernel's default is 4 GiB.
    public var segmentBoundary: UInt64
    /// The maximum number of segments of a mapped scatter list.
    public var maximumSegments: Int
    /// The maximum size of a mapping. Bytes: `dma_max_mapping_size()`.
    public var maximumMappingSize: UInt64
    /// Whether the device snoops the CPU's caches. Where it does not, a mapping shares no cache line with other data (rule 36).
    public var isCoherent: Bool
    /// The cache line size. Bytes, a power of two.
    public var cacheLineSize: UInt64
    /// Whether memory that the device cannot reach may be copied through bounce buffers. Where not, mapping it is refused.
    public var allowsBounce: Bool

    /// Constraints that any memory satisfies; set the properties that the device requires.
    public init() {
        streamingMask = DMAMask(bits: 64)
        coherentMask = DMAMask(bits: 64)
        alignment = 1
        lengthUnit = 1
        virtualBoundary = 0
        maximumSegmentSize = .max
        segmentBoundary = 0
        maximumSegments = .max
        maximumMappingSize = .max
        isCoherent = true
        cacheLineSize = 64
        allowsBounce = true
    }
}
