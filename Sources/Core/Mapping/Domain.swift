// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMAEngineKit
internal import Synchronization

/// A device, as memory is mapped for it (rule 3): what it asks of memory, over an ``AddressSpace`` that it may share with other devices. The
/// kernel's `struct device *` in its DMA API.
///
/// A mapping keeps its domain alive, and serves every device of the address space whose constraints it meets. ``close(file:line:)`` says
/// whether anything is still mapped.
///
/// Thread rules: everything may be called from any thread.
public final class Domain: Sendable {
    /// Unique in this process, never used again.
    public let id: DomainID
    /// For people.
    public let name: String
    /// What the device asks of memory. Values that no device can have (an alignment that is no power of two …) were brought to
    /// the nearest valid one.
    public let constraints: DeviceConstraints
    /// Where its bus addresses have a meaning.
    public let space: AddressSpace
    let rules: MappingRules
    let backend: (any MappingBackend)?
    let registry: MappingRegistry
    /// What was made from a raw address, by its first bus address. The same bytes may be mapped more than once.
    let raw = Locked<[IOVA: [RawMapping]]>([:])

    private static let nextID = Atomic<UInt32>(1)
    private static let nextObject = Atomic<UInt64>(1)
    /// Names a parked object or a channel: never 0, never twice.
    static func nextIdentifier() -> UInt64 { nextObject.wrappingAdd(1, ordering: .relaxed).oldValue }
    /// The fork generation of the process that made the domain.
    let generation = cdma_fork_generation()

    /// A device over an address space.
    ///
    /// - Parameters:
    ///   - name: for people.
    ///   - constraints: what the device asks of memory.
    ///   - space: of the device, or of the group that it shares one with.
    public init(name: String, constraints: DeviceConstraints = DeviceConstraints(), space: AddressSpace) {
        id = DomainID(rawValue: Self.nextID.wrappingAdd(1, ordering: .relaxed).oldValue)
        self.name = name
        self.constraints = constraints.normalized
        self.space = space
        backend = space.backend
        rules = MappingRules(self.constraints, space)
        registry = MappingRegistry(id, name, self.constraints, space)
        space.enter(registry)
        DomainNames.enter(id.rawValue, name)
        _ = Sanitizer.environmentAsks
        Sanitizer.register(registry)
    }

    /// A device that uses this process's addresses, in an address space of its own: an engine of threads, io_uring, a model.
    public convenience init(name: String, constraints: DeviceConstraints = DeviceConstraints()) {
        self.init(name: name, constraints: constraints, space: AddressSpace(identity: name))
    }

    /// A device over the address space of a translation: that which its backend has, or a new one.
    ///
    /// - Throws: `addressSpaceInUse` where the backend has one with other apertures or page sizes.
    public convenience init(
        name: String, constraints: DeviceConstraints = DeviceConstraints(), translation: Translation
    ) throws(DMAError) {
        self.init(name: name, constraints: constraints, space: try AddressSpace.of(translation, name: name))
    }

    deinit {
        // Typed mappings keep the domain alive, so that only what was mapped from a raw address can be left.
        reportLeaks(registry.liveMappings, at: nil)
        for entries in raw.withLock({ $0 }).values {
            for entry in entries {
                // The device loses its way to the memory. If the backend refuses there is nobody left to tell, and no memory of
                // ours that could be kept: what was mapped from a raw address belongs to the client.
                // SAFETY: the record is the registry's: nobody else ends it any more.
                _ = unsafe withdraw(entry.record)
                unsafe recycle(entry.record)
            }
        }
        space.leave(id)
        DomainNames.leave(id.rawValue)
        space.free(registry.takeSpareAddresses())
        Sanitizer.unregister(id)
    }

    /// Whether bus addresses are not those of the CPU.
    var isTranslated: Bool { space.isTranslated }

    /// - Throws: `foreignEngine` where an engine's addresses are not those of this domain's address space.
    @usableFromInline
    func checkAddressing(_ addressing: EngineAddressing) throws(DMAError) {
        switch addressing {
        case .cpu:
            if isTranslated { throw DMAError(.foreignEngine, limit: UInt64(id.rawValue)) }
        case .bus(let domain):
            guard domain == id || space.registry(of: domain) != nil else {
                throw DMAError(.foreignEngine, asked: UInt64(domain.rawValue), limit: UInt64(id.rawValue))
            }
        }
    }

    /// What has been done so far. Where several threads map, a peak is the sum of what each of them had at most.
    public var statistics: DomainStatistics {
        var sum = DomainStatistics()
        registry.forEachShard { sum.add($0.statistics) }
        return sum
    }

    /// Refuses further mappings. Those that exist stay valid until they end.
    ///
    /// - Throws: `mappingsLeft` where some exist, with their number and bytes; with the sanitizer on, each is reported with
    ///   the source line that made it. The domain is closed all the same.
    public func close(file: StaticString = #fileID, line: UInt = #line) throws(DMAError) {
        registry.forEachShard { $0.isClosed = true }
        let left = registry.liveMappings
        if left.isEmpty { return }
        reportLeaks(left, at: Origin(file: file, line: line))
        throw DMAError(
            .mappingsLeft, asked: UInt64(left.count), limit: left.reduce(0) { $0 &+ $1.bytes })
    }

    private func reportLeaks(_ left: [LiveMapping], at call: Origin?) {
        guard Sanitizer.isEnabled else { return }
        for mapping in left {
            Sanitizer.report(
                .leak, id,
                "domain \(name): a \(mapping.kind.name) mapping of \(mapping.bytes) bytes is left, one of \(left.count)",
                at: call, mapping: mapping.origin)
        }
    }
}

extension DeviceConstraints {
    /// These constraints with every value that no device can have brought to the nearest valid one.
    var normalized: DeviceConstraints {
        var result = self
        result.alignment = alignment.roundedUpToPowerOfTwo
        result.lengthUnit = lengthUnit.roundedUpToPowerOfTwo
        result.cacheLineSize = min(max(cacheLineSize.roundedUpToPowerOfTwo, 16), 4096)
        result.maximumSegmentSize = max(maximumSegmentSize, 1)
        result.segmentBoundary = segmentBoundary == 0 ? 0 : segmentBoundary.roundedUpToPowerOfTwo
        result.virtualBoundary = virtualBoundary == 0 ? 0 : virtualBoundary.roundedUpToPowerOfTwo
        result.maximumSegments = max(maximumSegments, 1)
        return result
    }
}
