// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

/// A device that memory is mapped for (rule 3): its constraints, over an ``AddressSpace`` that it may share with other devices.
/// The kernel's `struct device *` in its DMA API.
///
/// A mapping keeps alive what it needs of its domain, and serves every device of the address space whose constraints it meets.
/// ``close(file:line:)`` reports whether mappings are left. Two objects with one ``id`` are the same domain: the domain of a
/// mapping may be a new object.
///
/// Thread rules: all functions may be called from any thread.
public final class Domain: Sendable {
    let core: DomainCore

    /// Unique in this process, never reused.
    public var id: DomainID { core.id }
    /// A name for logs and reports.
    public var name: String { core.name }
    /// The device's requirements on memory. Impossible values (such as an alignment that is no power of two) were replaced by
    /// the nearest valid one.
    public var constraints: DeviceConstraints { core.constraints }
    /// The address space of its bus addresses.
    public var space: AddressSpace { core.space }

    /// A device over an address space.
    ///
    /// - Parameters:
    ///   - name: for logs and reports.
    ///   - constraints: the device's requirements on memory.
    ///   - space: of the device, or of the group that it shares one with.
    public init(name: String, constraints: DeviceConstraints = DeviceConstraints(), space: AddressSpace) {
        core = DomainCore(name, constraints, space)
        core.addClient()
    }

    /// A device that uses this process's addresses, in an address space of its own: a thread engine, io_uring, a model.
    public convenience init(name: String, constraints: DeviceConstraints = DeviceConstraints()) {
        self.init(name: name, constraints: constraints, space: AddressSpace(identity: name))
    }

    /// A device over the address space of a translation: the existing one of its backend, or a new one.
    ///
    /// - Throws: `addressSpaceInUse` where the backend has one with other apertures or page sizes.
    public convenience init(
        name: String, constraints: DeviceConstraints = DeviceConstraints(), translation: Translation
    ) throws(DMAError) {
        self.init(name: name, constraints: constraints, space: try AddressSpace.of(translation, name: name))
    }

    /// A further object for an existing domain.
    init(_ core: DomainCore) {
        self.core = core
        core.addClient()
    }

    deinit { core.removeClient() }

    /// Whether its bus addresses are not the CPU's.
    package var isTranslated: Bool { core.isTranslated }

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

    /// The counters so far. Where several threads map, a peak is the sum of the threads' own peaks.
    public var statistics: DomainStatistics {
        var sum = DomainStatistics()
        core.registry.forEachShard { sum.add($0.statistics) }
        return sum
    }

    /// Refuses further mappings. Existing ones stay valid until they end.
    ///
    /// - Throws: `mappingsLeft` with their number and bytes where mappings exist; with the sanitizer on, each is reported with
    ///   the source line that made it. The domain is closed in either case.
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
    /// These constraints with impossible values replaced by the nearest valid one.
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
