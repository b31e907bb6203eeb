// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

/// A device, as memory is mapped for it (rule 3): what it asks of memory, over an ``AddressSpace`` that it may share with other devices. The
/// kernel's `struct device *` in its DMA API.
///
/// A mapping keeps what it needs of its domain, and serves every device of the address space whose constraints it meets.
/// ``close(file:line:)`` says whether anything is still mapped. Two objects with one ``id`` are one domain: asked for its domain, a mapping
/// may answer with a new object.
///
/// Thread rules: everything may be called from any thread.
public final class Domain: Sendable {
    let core: DomainCore

    /// Unique in this process, never used again.
    public var id: DomainID { core.id }
    /// For people.
    public var name: String { core.name }
    /// What the device asks of memory. Values that no device can have (an alignment that is no power of two …) were brought to
    /// the nearest valid one.
    public var constraints: DeviceConstraints { core.constraints }
    /// Where its bus addresses have a meaning.
    public var space: AddressSpace { core.space }

    /// A device over an address space.
    ///
    /// - Parameters:
    ///   - name: for people.
    ///   - constraints: what the device asks of memory.
    ///   - space: of the device, or of the group that it shares one with.
    public init(name: String, constraints: DeviceConstraints = DeviceConstraints(), space: AddressSpace) {
        core = DomainCore(name, constraints, space)
        core.addClient()
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

    /// One more object for a domain that exists.
    init(_ core: DomainCore) {
        self.core = core
        core.addClient()
    }

    deinit { core.removeClient() }

    /// - Throws: `foreignEngine` where an engine's addresses are not those of this domain's address space.
    @usableFromInline
    func checkAddressing(_ addressing: EngineAddressing) throws(DMAError) {
        switch addressing {
        case .cpu:
            if core.isTranslated { throw DMAError(.foreignEngine, limit: UInt64(id.rawValue)) }
        case .bus(let domain):
            guard domain == id || space.registry(of: domain) != nil else {
                throw DMAError(.foreignEngine, asked: UInt64(domain.rawValue), limit: UInt64(id.rawValue))
            }
        }
    }

    /// What has been done so far. Where several threads map, a peak is the sum of what each of them had at most.
    public var statistics: DomainStatistics {
        var sum = DomainStatistics()
        core.registry.forEachShard { sum.add($0.statistics) }
        return sum
    }

    /// Refuses further mappings. Those that exist stay valid until they end.
    ///
    /// - Throws: `mappingsLeft` where some exist, with their number and bytes; with the sanitizer on, each is reported with
    ///   the source line that made it. The domain is closed all the same.
    public func close(file: StaticString = #fileID, line: UInt = #line) throws(DMAError) {
        core.registry.forEachShard { $0.isClosed = true }
        let left = core.registry.liveMappings
        if left.isEmpty { return }
        core.reportLeaks(left, at: Origin(file: file, line: line))
        throw DMAError(
            .mappingsLeft, asked: UInt64(left.count), limit: left.reduce(0) { $0 &+ $1.bytes })
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
