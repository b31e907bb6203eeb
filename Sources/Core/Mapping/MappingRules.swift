// SPDX-License-Identifier: Apache-2.0

internal import DMAEngineKit

/// What a device asks of an entry, worked out once for its domain, so that an entry costs a few comparisons.
struct MappingRules: Sendable {
    /// Highest address for streaming mappings, of this process where nothing translates, else of the bus.
    let streamingMask: UInt64
    let coherentMask: UInt64
    let isTranslated: Bool
    /// The backend's smallest page less 1; 0 where nothing translates.
    let pageMask: UInt64
    /// Bits of an address below that page's.
    let pageShift: UInt64
    /// The second page size; `.max` where there is none. Ranges from here on look for better aligned addresses.
    let largePage: UInt64
    /// Bits of an entry's address that have to be 0: those of the alignment that translation does not change.
    let addressMask: UInt64
    /// A cache line less 1 where the device does not see the CPU's caches, else 0.
    let lineMask: UInt64
    let needsDescriptor: Bool
    /// Whether more is asked of an entry than its alignment, the mask and whole pages.
    let looksCloser: Bool
    /// Whether a range of one piece makes one segment, and nobody has to be told of it, nor caches maintained.
    let isPlain: Bool
    /// Bytes of a mapping of one piece in one segment.
    let largestPiece: UInt64
    /// Bytes of a mapping: no more than an Int counts, so that sums of entries cannot overflow later.
    let largest: UInt64
    let segments: SegmentRules
    /// What a translated range starts at a multiple of.
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

    /// Whether the device can work on `count` bytes at `address` where they lie. They do not leave the address space.
    @inline(__always)
    func reaches(_ address: UInt64, _ count: UInt64, _ memory: MemoryWords, _ kind: MappingKind) -> Bool {
        let end = address &+ count
        if address & addressMask != 0 { return false }
        if needsDescriptor, memory.descriptor < 0 { return false }
        if isTranslated {
            // The IOMMU maps whole pages: what shares one with the entry would be open to the device as well.
            guard memory.owns(address & ~pageMask, (end &+ pageMask) & ~pageMask) else { return false }
        } else {
            guard end &- 1 <= mask(kind) else { return false }
        }
        return lineMask == 0 || memory.owns(address & ~lineMask, (end &+ lineMask) & ~lineMask)
    }

    /// Why the device cannot work on the bytes where they lie, in the order in which a reader would look; nil where it can.
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
