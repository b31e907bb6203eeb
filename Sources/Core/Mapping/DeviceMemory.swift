// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

/// A range of a device's own bus addresses: a controller memory buffer, a BAR, memory of a GPU. The CPU does not reach it
/// through this value; another device does, once it is mapped for that device: peer-to-peer DMA without a copy in system
/// memory.
///
/// Thread rules: a value, owned by one thread at a time; it may be sent to another.
public struct DeviceMemory: ~Copyable, Sendable {
    let source: MappingSource
    /// Bytes.
    public let count: UInt64
    /// The device's driver, which must keep the range valid until this value has ended.
    private let owner: any AnyObject & Sendable

    /// Asserts that `count` bytes of a device lie at `address`, and stay there as long as `owner` lives. The caller vouches for
    /// it: with a wrong claim another device reads and writes there.
    ///
    /// - Parameters:
    ///   - address: the first byte, as an address on the bus or in the backend of the other device's address space.
    ///   - count: bytes.
    ///   - owner: kept alive.
    /// - Throws: `zeroLength`, `sizeOverflow`.
    @unsafe
    public init(unsafeAddress address: UInt64, count: UInt64, owner: any AnyObject & Sendable) throws(DMAError) {
        guard count > 0 else { throw DMAError(.zeroLength) }
        guard count <= UInt64(Int.max), address <= .max - count else {
            throw DMAError(.sizeOverflow, asked: count, limit: .max - address)
        }
        self.init(source: MappingSource(kind: .device, offset: address), count: count, owner: owner)
    }

    fileprivate init(source: MappingSource, count: UInt64, owner: any AnyObject & Sendable) {
        (self.source, self.count, self.owner) = (source, count, owner)
    }

    /// Maps the range for another device.
    ///
    /// - Parameters:
    ///   - domain: of the device that accesses the range.
    ///   - direction: what that device may do.
    ///   - file: for reports.
    ///   - line: for reports.
    /// - Throws: `unsupportedSource` where its address space maps no device memory (CPU addresses; a backend without support);
    ///   `misaligned` for a range that does not consist of whole pages of the backend; `notContiguous` for one that needs more
    ///   than one segment; `mappingTooLarge`, `noAddressSpace`, `domainClosed`; errors of the backend. The range is released
    ///   then.
    public consuming func mapped(
        for domain: Domain, direction: Direction, file: StaticString = #fileID, line: UInt = #line
    ) throws(DMAError) -> MappedDeviceMemory {
        // SAFETY: the record is transferred to the one value that owns it.
        let record = unsafe try domain.core.establish(source, count, direction, Origin(file: file, line: line))
        return MappedDeviceMemory(unsafe Mapping(record), source, count, owner)
    }
}

/// A range of one device that another device can access. It ends as a ``MappedBuffer`` does.
///
/// Thread rules: a value, owned by one thread at a time; it may be sent to another.
public struct MappedDeviceMemory: ~Copyable, Cargo {
    private let mapping: Mapping
    private let source: MappingSource
    private let owner: any AnyObject & Sendable
    /// Bytes.
    public let count: UInt64

    fileprivate init(
        _ mapping: consuming Mapping, _ source: MappingSource, _ count: UInt64, _ owner: any AnyObject & Sendable
    ) {
        self.mapping = mapping
        (self.source, self.count, self.owner) = (source, count, owner)
    }

    public var regionCount: Int { mapping.regionCount }

    @_lifetime(borrow self)
    public func region(at index: Int) -> Region { mapping.region(at: index) }

    /// As ``MappedBuffer/quarantine()``. The quarantine keeps the mapping; the owner must keep the range.
    public mutating func quarantine() { mapping.quarantine() }

    /// Ends the mapping. Errors as for ``MappedBuffer/unmap()``.
    public consuming func unmap() throws(DMAError) -> DeviceMemory {
        let (source, count, owner) = (source, count, owner)
        try mapping.endList()
        return DeviceMemory(source: source, count: count, owner: owner)
    }
}

extension DomainCore {
    /// A mapping of another device's memory.
    fileprivate func establish(
        _ source: MappingSource, _ count: UInt64, _ direction: Direction, _ origin: Origin
    ) throws(DMAError) -> UnsafeMutablePointer<MappingRecord> {
        // SAFETY: the record belongs to this call until it is returned to the caller.
        unsafe try countingRefusals { () throws(DMAError) in
            guard space.takesDeviceMemory else { throw DMAError(.unsupportedSource) }
            guard count <= rules.largest else { throw DMAError(.mappingTooLarge, asked: count, limit: rules.largest) }
            guard (source.offset | count) & rules.pageMask == 0 else {
                throw DMAError(.misaligned, asked: source.offset | count, limit: space.granule)
            }
            let iova = try address(count, for: BusRange(start: source.offset, count: count), .single, space.granule)
            let range = BusRange(start: iova, count: count)
            guard count <= rules.segments.maximum, !rules.segments.crossesBoundary(range) else {
                space.free([range])
                throw DMAError(.notContiguous, asked: count, limit: min(rules.segments.maximum, constraints.segmentBoundary))
            }
            let parts = MappingParts()
            parts.setRun(TranslatedRun(iova: iova, count: count, source: source), direction.access, id)
            parts.addresses = range
            return unsafe try enlist(.single, parts, direction, origin, count, false)
        }
    }
}
