// SPDX-License-Identifier: Apache-2.0

internal import DMAEngineKit

/// A device's requirements on an entry, computed once for its domain, so that an entry costs a few comparisons.
struct MappingRules: Sendable {
    /// The highest address for streaming mappings: of this process without translation, otherwise of the bus.
    let streamingMask: UInt64
    let coherentMask: UInt64
    let isTranslated: Bool
    /// The backend's smallest page less 1; 0 without translation.
    let pageMask: UInt64
    /// Bits of an address below that page's.
    let pageShift: UInt64
    /// The second page size; `.max` where there is none. Longer ranges search for better aligned addresses.
    let largePage: UInt64
    /// Bits of an entry's address that must be 0: those of the alignment that translation does not change.
    let addressMask: UInt64
    /// The cache line size less 1 where the device does not snoop the CPU's caches, otherwise 0.
    let lineMask: UInt64
    let needsDescriptor: Bool
    /// Whether an entry has further requirements than alignment, mask and whole pages.
    let looksCloser: Bool
    /// Whether a contiguous range makes one segment, without a backend and without cache maintenance.
    let isPlain: Bool
    /// The maximum size of a contiguous mapping in one segment. Bytes.
    let largestPiece: UInt64
    /// The maximum size of a mapping. Bytes: at most an Int, so that sums of entries cannot overflow later.
    let largest: UInt64
    let segments: SegmentRules
    /// The alignment of a translated range's start.
    let rangeAlignment: UInt64

    init(_ constraints: DeviceConstraints, _ space: AddressSpace) {
        streamingMask = constraints.streamingMask.rawValue
        coherentMask = constraints.coherentMask.rawValue
        isTranslated = space.isTranslated
        pageMask = space.granule - 1
        pageShift = UInt64(space.granule.trailingZeroBitCount)
        largePage = space.pageSizes.count > 1 ? space.pageSizes[1] : .max
        addressMask =
            space.isTranslated && constraints.alignment > space.granule ? space.granule - 1 : constraints.alignment - 1
        lineMask = constraints.isCoherent ? 0 : constraints.cacheLineSize - 1
        needsDescriptor = space.needs.contains(.descriptor)
        largest = min(constraints.maximumMappingSize, UInt64(Int.max))
        segments = SegmentRules(constraints)
        largestPiece = min(largest, segments.maximum)
        looksCloser = lineMask != 0 || needsDescriptor
        isPlain = space.backend == nil && constraints.isCoherent && segments.boundary == 0
        rangeAlignment = max(space.granule, constraints.alignment)
    }

    func mask(_ kind: MappingKind) -> UInt64 { kind == .coherent ? coherentMask : streamingMask }

    /// Whether the device can access `count` bytes at `address` in place. They do not wrap round the address space.
    @inline(__always)
    func reaches(_ address: UInt64, _ count: UInt64, _ memory: MemoryWords, _ kind: MappingKind) -> Bool {
        let end = address &+ count
        if address & addressMask != 0 { return false }
        if needsDescriptor, memory.descriptor < 0 { return false }
        if isTranslated {
            // The IOMMU maps whole pages: other data in a page of the entry would be exposed to the device.
            guard memory.owns(address & ~pageMask, (end &+ pageMask) & ~pageMask) else { return false }
        } else {
            guard end &- 1 <= mask(kind) else { return false }
        }
        return lineMask == 0 || memory.owns(address & ~lineMask, (end &+ lineMask) & ~lineMask)
    }

    /// Why the device cannot access the bytes in place, the most basic reason first; nil where it can.
    func obstacle(to address: UInt64, _ count: UInt64, _ memory: MemoryWords, _ kind: MappingKind, _ alignment: UInt64)
        -> DMAError?
    {
        if reaches(address, count, memory, kind) { return nil }
        if needsDescriptor, memory.descriptor < 0 { return DMAError(.noFileDescriptor, asked: address) }
        if isTranslated {
            guard memory.owns(address & ~pageMask, (address &+ count &+ pageMask) & ~pageMask) else {
                return DMAError(.misaligned, asked: address, limit: pageMask + 1)
            }
        } else if address &+ count &- 1 > mask(kind) {
            return DMAError(.unreachableAddress, asked: address, limit: mask(kind))
        }
        if address & addressMask != 0 { return DMAError(.misaligned, asked: address, limit: alignment) }
        return DMAError(.sharedCacheLine, asked: address, limit: lineMask + 1)
    }
}
