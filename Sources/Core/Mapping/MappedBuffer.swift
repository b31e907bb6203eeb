// SPDX-License-Identifier: Apache-2.0

/// A buffer that one device can access: the kernel's `dma_map_single`, as a type.
///
/// The CPU reaches the bytes only through scoped access, which syncs before and after. A mapping ends once: by ``unmap()``,
/// which returns the buffer, or with the value, which then unmaps and frees the memory (rule 33). While it is the cargo of a
/// transaction, the channel owns it, so that none of this can happen during the transfer.
///
/// Thread rules: a value, owned by one thread at a time; it may be sent to another.
@safe @frozen
public struct MappedBuffer: ~Copyable, Cargo {
    @usableFromInline let regions: UnsafePointer<RegionWords>
    public let regionCount: Int
    @usableFromInline let mapping: Mapping

    init(_ mapping: consuming Mapping) {
        // SAFETY: `mapping` owns the words and does not change or move them; this value owns `mapping` for as long as it has
        // the pointer.
        unsafe regions = unsafe mapping.regions
        regionCount = mapping.regionCount
        self.mapping = mapping
    }

    /// Region `index` of ``regionCount``: one, unless the device's longest segment or segment boundary splits the buffer.
    @inlinable
    @_lifetime(borrow self)
    public func region(at index: Int) -> Region {
        // SAFETY: in bounds by this check; the memory belongs to `mapping`, which lives as long as `self`.
        Region(words: UInt(bitPattern: index) < UInt(bitPattern: regionCount) ? unsafe regions[index] : .none)
    }

    @inlinable
    public var regionList: RegionList {
        @_lifetime(borrow self) get { mapping.regionList }
    }

    /// States that the device could not be stopped: when this value ends, its memory goes to the ``Quarantine`` (rule 18).
    /// Until then the bytes cannot be accessed, and ``unmap()`` refuses.
    public mutating func quarantine() { mapping.quarantine() }

    /// Bytes.
    public var count: Int { mapping.firstEntry.count }
    /// Bus address of the first byte. The others follow it only where ``regionCount`` is 1.
    public var iova: IOVA { IOVA(mapping.start) }
    /// The direction of the transfers.
    public var direction: Direction { mapping.direction }
    /// The address space of the mapping.
    public var domain: Domain { Domain(mapping.core) }
    /// Whether the device works on a bounce buffer, because it cannot reach the buffer itself: each sync then copies (rule 39).
    public var wasBounced: Bool { mapping.wasBounced }

    /// Ends the mapping and returns the buffer, with the data that the device wrote.
    ///
    /// - Throws: `quarantined` after ``quarantine()``; the backend's error if it refuses to unmap. In both cases the device may
    ///   still reach the memory, which goes to the ``Quarantine`` instead of being returned.
    public consuming func unmap() throws(DMAError) -> Buffer {
        // SAFETY: the memory is transferred, and the mapping of a buffer has one.
        unsafe Buffer(owning: try mapping.end().unsafelyUnwrapped)
    }

    /// Lets the CPU read part of the buffer: syncForCPU, then `body` (rule 35).
    ///
    /// Borrowing, so that several readers may run at once: on a bounced mapping they read the memory that the device wrote, and
    /// nothing is copied.
    ///
    /// - Parameters:
    ///   - range: bytes of the buffer; nil for all.
    ///   - body: receives the bytes of the range, which cannot escape it.
    /// - Throws: `outOfRange`, `quarantined`; errors of `body`.
    public borrowing func withCPUAccess<R: ~Copyable>(
        _ range: Range<Int>? = nil, _ body: (RawSpan) throws(DMAError) -> R
    ) throws(DMAError) -> R {
        // SAFETY: the bytes are valid in `body`, for which `withReadAccess` keeps the mapping alive and the device's writes
        // synchronized; a span is not escapable.
        try unsafe mapping.withReadAccess(entry: 0, range ?? 0..<count) { bytes throws(DMAError) in
            try body(unsafe RawSpan(_unsafeBytes: bytes))
        }
    }

    /// Lets the CPU read and write part of the buffer: syncForCPU, then `body`, then syncForDevice (rule 35).
    ///
    /// - Parameters: as for `withCPUAccess(_:_:)`.
    /// - Throws: `wrongDirection` for a mapping that only the device writes (rule 34); `outOfRange`, `quarantined`; errors of
    ///   `body`: the bytes that it wrote before are synced for the device even then.
    public mutating func withMutableCPUAccess<R: ~Copyable>(
        _ range: Range<Int>? = nil, _ body: (inout MutableRawSpan) throws(DMAError) -> R
    ) throws(DMAError) -> R {
        // SAFETY: as above; exclusive access to `self` is exclusive access to the part of its memory that the CPU can reach.
        let range = range ?? 0..<count
        return try unsafe mapping.withWriteAccess(entry: 0, range) { bytes throws(DMAError) in
            var span = unsafe MutableRawSpan(_unsafeBytes: bytes)
            return try body(&span)
        }
    }

    /// `withCPUAccess(_:_:)` for a body that throws its own errors.
    @_disfavoredOverload
    public borrowing func withCPUAccess<R: ~Copyable>(
        _ range: Range<Int>? = nil, _ body: (RawSpan) throws -> R
    ) throws -> R {
        // SAFETY: as above.
        try unsafe mapping.withReadAccess(entry: 0, range ?? 0..<count) { bytes in try body(unsafe RawSpan(_unsafeBytes: bytes))
        }
    }

    /// `withMutableCPUAccess(_:_:)` for a body that throws its own errors.
    @_disfavoredOverload
    public mutating func withMutableCPUAccess<R: ~Copyable>(
        _ range: Range<Int>? = nil, _ body: (inout MutableRawSpan) throws -> R
    ) throws -> R {
        // SAFETY: as above.
        try unsafe mapping.withWriteAccess(entry: 0, range ?? 0..<count) { bytes in
            var span = unsafe MutableRawSpan(_unsafeBytes: bytes)
            return try body(&span)
        }
    }

    /// Syncs for the CPU, for clients that access imported memory by their own pointer: `dma_sync_single_range_for_cpu`.
    ///
    /// - Parameter range: bytes of the buffer; nil for all.
    /// - Throws: `outOfRange`, `quarantined`.
    public mutating func syncForCPU(_ range: Range<Int>? = nil) throws(DMAError) {
        try mapping.sync(entry: 0, range ?? 0..<count, for: .cpu)
    }

    /// Syncs for the device: `dma_sync_single_range_for_device`.
    ///
    /// - Parameter range: bytes of the buffer; nil for all.
    /// - Throws: `outOfRange`, `quarantined`.
    public mutating func syncForDevice(_ range: Range<Int>? = nil) throws(DMAError) {
        try mapping.sync(entry: 0, range ?? 0..<count, for: .device)
    }
}

// SAFETY: the pointer leads into `mapping`, which only this value owns, and nothing writes through it.
extension MappedBuffer: @unchecked Sendable {}

/// The outcome of mapping a buffer (rule 31): the mapping, or the reason together with the buffer.
public enum MapOutcome: ~Copyable {
    /// The mapping.
    case mapped(MappedBuffer)
    /// The reason, and the buffer.
    case failed(DMAError, Buffer)

    /// The mapping; otherwise throws the reason, and the buffer's memory is freed.
    public consuming func get() throws(DMAError) -> MappedBuffer {
        switch consume self {
        case .mapped(let mapped): return mapped
        case .failed(let error, _): throw error
        }
    }
}

extension Buffer {
    /// Maps the buffer for a device: `dma_map_single`.
    ///
    /// - Parameters:
    ///   - domain: of the device.
    ///   - direction: what the device may do; an IOMMU enforces it (rule 34).
    ///   - file: for reports.
    ///   - line: for reports.
    /// - Returns: the mapping, or the buffer and one of `unreachableAddress`, `noAddressSpace`, `mappingTooLarge`,
    ///   `tooManySegments`, `misaligned`, `sharedCacheLine` (the device cannot reach the memory, and bouncing is off or
    ///   impossible), `domainClosed`, `outOfMemory` (for the bounce buffer), or the backend's error.
    public consuming func map(
        for domain: Domain, direction: Direction, file: StaticString = #fileID, line: UInt = #line
    ) -> MapOutcome {
        // SAFETY: memory and record are transferred to the one value that owns them: the mapping, or, where it fails, a buffer.
        let memory = unsafe take()
        let origin = Origin(file: file, line: line)
        if let record = unsafe domain.core.establishPlain(.single, memory, direction, origin) {
            return .mapped(MappedBuffer(unsafe Mapping(record)))
        }
        do throws(DMAError) {
            let record = unsafe try domain.core.establish(.single, memory, direction, origin)
            return .mapped(MappedBuffer(unsafe Mapping(record)))
        } catch {
            return .failed(error, unsafe Buffer(owning: memory))
        }
    }

    /// ``map(for:direction:file:line:)`` for clients that do not need the buffer where mapping fails.
    ///
    /// - Throws: the same reasons; the memory is freed then.
    public consuming func mapped(
        for domain: Domain, direction: Direction, file: StaticString = #fileID, line: UInt = #line
    ) throws(DMAError) -> MappedBuffer {
        try map(for: domain, direction: direction, file: file, line: line).get()
    }
}
