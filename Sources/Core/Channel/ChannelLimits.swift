// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

/// The limits that a channel checks every request against, derived once from the engine's capabilities. Few enough fields that
/// the compiler keeps the value in place and loads only what a check needs.
@usableFromInline @frozen
struct ChannelLimits {
    @usableFromInline let domain: DomainID
    /// The key of a region of this domain with all permissions.
    @usableFromInline let key: UInt64
    @usableFromInline let operations: OperationSet
    /// The accepted flags, and those among them that only the engine handles.
    @usableFromInline let flags: DescriptorFlags
    @usableFromInline let plainFlags: DescriptorFlags
    /// The number of slots: the depth, rounded up to a power of two.
    @usableFromInline let slots: Int
    @usableFromInline let maximumCount: UInt64
    /// The bits that are 0 in an address or length that satisfies every alignment rule of the engine: those of the alignment
    /// and of the length unit. Requests with other bits set are checked again, with the masks in ``ChannelTraits``.
    @usableFromInline let alignmentMask: UInt64
    @usableFromInline let maximumSources: Int
    @usableFromInline let maximumSegments: Int
    /// Which bits of a cookie are its slot, and which are the tag passed to the engine.
    @usableFromInline let indexMask: UInt64
    @usableFromInline let tagMask: UInt64
    /// Whether the engine completes in order, where that is known only at run time.
    @usableFromInline let keepsOrder: Bool

    init(_ capabilities: Capabilities, order: CompletionOrder, domain: DomainID) throws(DMAError) {
        guard capabilities.depth >= 1, capabilities.depth <= 32_768 else {
            throw DMAError(.badConfiguration, asked: UInt64(clamping: capabilities.depth), limit: 32_768)
        }
        let indexBits = capabilities.depth == 1 ? 0 : Int.bitWidth - (capabilities.depth - 1).leadingZeroBitCount
        guard capabilities.tagBits <= 32, capabilities.tagBits >= 16 else {
            throw DMAError(.badConfiguration, asked: UInt64(clamping: capabilities.tagBits), limit: 32)
        }
        guard capabilities.alignment > 0, capabilities.alignment & (capabilities.alignment - 1) == 0 else {
            throw DMAError(.badConfiguration, asked: capabilities.alignment, limit: 1)
        }
        guard capabilities.lengthUnit & (capabilities.lengthUnit &- 1) == 0 else {
            throw DMAError(.badConfiguration, asked: capabilities.lengthUnit, limit: 1)
        }
        guard capabilities.metadataCount >= 0, capabilities.metadataCount <= SlotArena.metadataStride else {
            throw DMAError(
                .badConfiguration, asked: UInt64(clamping: capabilities.metadataCount), limit: UInt64(SlotArena.metadataStride))
        }
        self.domain = domain
        key = RegionWords.key(domain, [.read, .write])
        operations = capabilities.operations
        // The channel keeps fences that the engine cannot; interrupts are a hint that polling replaces.
        flags = capabilities.flags.union([.fence, .interrupt])
        plainFlags = flags.subtracting(capabilities.flags.contains(.fence) ? [.reuse] : [.reuse, .fence])
        slots = 1 << indexBits
        maximumCount = min(capabilities.maximumCount, .max >> 1)
        alignmentMask = max(capabilities.alignment, capabilities.lengthUnit) - 1
        maximumSources = min(max(capabilities.maximumSources, 0), 1024)
        maximumSegments = min(max(capabilities.maximumSegments, 0), SlotArena.segmentCeiling)
        indexMask = (UInt64(1) << UInt64(indexBits)) &- 1
        tagMask = (UInt64(1) << UInt64(capabilities.tagBits)) &- 1
        keepsOrder = order == .dynamic ? capabilities.completesInOrder : order == .inOrder
    }
}

/// Further facts about the engine, which only slow paths need.
@usableFromInline @frozen
struct ChannelTraits {
    @usableFromInline let depth: Int
    let fencesItself: Bool
    let canPause: Bool
    let priorities: Int
    let metadataCount: Int
    @usableFromInline let commands: PeripheralCommandSet
    /// Bits that must be 0 in an operand's address, and in its length.
    @usableFromInline let addressMask: UInt64
    @usableFromInline let lengthMask: UInt64

    init(_ capabilities: Capabilities) {
        depth = capabilities.depth
        fencesItself = capabilities.flags.contains(.fence)
        canPause = capabilities.canPause
        priorities = capabilities.priorities
        metadataCount = capabilities.metadataCount
        commands = capabilities.commands
        // Checked to be powers of two by the limits, which are made first.
        addressMask = capabilities.alignment &- 1
        lengthMask = (capabilities.lengthUnit == 0 ? capabilities.alignment : capabilities.lengthUnit) &- 1
    }

    func check(_ configuration: EngineConfiguration) throws(DMAError) {
        guard configuration.priority < UInt32(clamping: max(priorities, 1)) else {
            throw DMAError(.badConfiguration, asked: UInt64(configuration.priority), limit: UInt64(clamping: priorities))
        }
        for value in [configuration.width, configuration.burst] where value > 65_536 {
            throw DMAError(.badConfiguration, asked: UInt64(value), limit: 65_536)
        }
    }
}

/// The memory beside the slots: operand lists and metadata, allocated once, where the engine uses them.
@usableFromInline @frozen @safe
struct SlotArena {
    @usableFromInline let segments: UnsafeMutablePointer<Segment>?
    @usableFromInline let segmentStride: Int
    /// Bytes from one slot's segments to the next slot's.
    @usableFromInline let listBytes: Int
    @usableFromInline let metadata: UnsafeMutableRawPointer?
    /// Descriptors and operations of transactions that are held back or reusable.
    @usableFromInline let descriptors: UnsafeMutablePointer<Descriptor>
    @usableFromInline let operations: UnsafeMutablePointer<Operation>

    /// Bytes reserved for one slot's metadata.
    @inlinable static var metadataStride: Int { 64 }
    /// The maximum number of segments per transaction, whatever the engine declares: a bound on what an engine can make a
    /// channel allocate.
    static var segmentCeiling: Int { 4096 }

    init(_ capabilities: Capabilities, slots: Int) {
        // SAFETY: the sizes are products of the slots, at most 32,768, and of strides with a ceiling, so that none overflows. Only
        // words are kept in what is allocated: segments, descriptors and operations are trivial, and each is written before it is
        // read. `deallocate`, which the owning channel calls once, frees it.
        let several: OperationSet = [.xor, .xorValidate, .pq, .pqValidate, .scatterGather, .peripheral]
        if capabilities.operations.isDisjoint(with: several) {
            unsafe segments = nil
            segmentStride = 0
            listBytes = 0
        } else {
            // XOR and PQ name their sources and at most two destinations in addition to the lists' segments.
            let wanted = max(capabilities.maximumSegments, min(capabilities.maximumSources, 1024) + 2, 2)
            segmentStride = min(wanted, SlotArena.segmentCeiling)
            listBytes = segmentStride * MemoryLayout<Segment>.stride
            unsafe segments = .allocate(capacity: segmentStride * slots)
        }
        if capabilities.metadataCount > 0 {
            let area = UnsafeMutableRawPointer.allocate(byteCount: SlotArena.metadataStride * slots, alignment: 64)
            unsafe area.initializeMemory(as: UInt8.self, repeating: 0, count: SlotArena.metadataStride * slots)
            unsafe metadata = unsafe area
        } else {
            unsafe metadata = nil
        }
        unsafe descriptors = .allocate(capacity: slots)
        unsafe operations = .allocate(capacity: slots)
    }

    /// A slot's metadata, cleared: the previous descriptor's metadata is not readable after its lifetime (rule 28).
    @usableFromInline @inline(never)
    func freshMetadata(_ slot: Int) -> UnsafeMutableRawPointer? {
        // SAFETY: callers pass numbers of slots, for each of which the area has a stride; the area lives until `deallocate`.
        guard let area = unsafe metadata else { return nil }
        let place = unsafe area + slot &* SlotArena.metadataStride
        unsafe place.initializeMemory(as: UInt8.self, repeating: 0, count: SlotArena.metadataStride)
        return unsafe place
    }

    func deallocate() {
        // SAFETY: the channel calls this once, at its end, when the engine has stopped and reads no operands any more; where it has
        // not stopped, the quarantine calls it. The elements are trivial.
        unsafe segments?.deallocate()
        unsafe metadata?.deallocate()
        unsafe descriptors.deallocate()
        unsafe operations.deallocate()
    }
}
