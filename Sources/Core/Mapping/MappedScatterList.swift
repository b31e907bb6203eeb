// SPDX-License-Identifier: Apache-2.0

/// A scatter list that one device can access. The device is programmed with the mapped segments (``regionCount``); unmap and
/// sync refer to the original entries (``originalCount``), and cannot be called with another number (rule 32).
///
/// Thread rules: a value, owned by one thread at a time; it may be sent to another.
@safe
public struct MappedScatterList: ~Copyable, Cargo {
    @usableFromInline let regions: UnsafePointer<RegionWords>
    /// The number of mapped segments: at most the number of entries, unless the device's limits split one.
    public let regionCount: Int
    @usableFromInline let mapping: Mapping
    let memories: [Memory]
    let words: [MemoryWords]
    /// Owned by `mapping`, which frees them when it ends.
    private let parts: MappingParts
    /// The original entries.
    public let entries: [ScatterList.Entry]

    init(
        _ mapping: consuming Mapping, _ memories: [Memory], _ words: [MemoryWords], _ entries: [ScatterList.Entry],
        _ parts: MappingParts
    ) {
        // SAFETY: `mapping` owns the words and does not change or move them; this value owns `mapping` for as long as it has the
        // pointer.
        unsafe regions = unsafe mapping.regions
        regionCount = mapping.regionCount
        self.mapping = mapping
        self.memories = memories
        self.words = words
        self.parts = parts
        self.entries = entries
    }

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

    /// As ``MappedBuffer/quarantine()``.
    public mutating func quarantine() {
        mapping.quarantine()
    }

    /// The number of original entries.
    public var originalCount: Int { entries.count }
    /// The direction of the transfers.
    public var direction: Direction { mapping.direction }
    /// The address space of the mapping.
    public var domain: Domain { Domain(mapping.core) }
    /// Whether the device works on bounce buffers for some entries.
    public var wasBounced: Bool { mapping.wasBounced }

    /// Ends the mapping and returns the list, with the data that the device wrote. Errors as for ``MappedBuffer/unmap()``.
    public consuming func unmap() throws(DMAError) -> ScatterList {
        try mapping.endList()
        return ScatterList(memories: memories, words: words, entries: entries, parts: parts)
    }

    /// Lets the CPU read part of one entry: syncForCPU, then `body` (rule 35). Borrowing as for `MappedBuffer.withCPUAccess(_:_:)`.
    ///
    /// - Parameters:
    ///   - entry: number of the entry, of ``originalCount``.
    ///   - range: bytes of the entry; nil for all.
    ///   - body: receives the bytes of the range, which cannot escape it.
    /// - Throws: `noSuchRegion`, `outOfRange`, `quarantined`; errors of `body`.
    public borrowing func withCPUAccess<R: ~Copyable>(
        entry: Int, _ range: Range<Int>? = nil, _ body: (RawSpan) throws(DMAError) -> R
    ) throws(DMAError) -> R {
        // SAFETY: the bytes are valid in `body`, for which `withReadAccess` keeps the mapping alive; `memories` keep the memory
        // of the entries. A span is not escapable.
        let range = range ?? whole(entry)
        return try unsafe mapping.withReadAccess(entry: entry, range) { bytes throws(DMAError) in
            try body(unsafe RawSpan(_unsafeBytes: bytes))
        }
    }

    /// Lets the CPU read and write part of one entry: syncForCPU, then `body`, then syncForDevice (rule 35).
    ///
    /// Parameters as for `withCPUAccess(entry:_:_:)`.
    /// - Throws: `wrongDirection` where only the device writes (rule 34); otherwise the same.
    public mutating func withMutableCPUAccess<R: ~Copyable>(
        entry: Int, _ range: Range<Int>? = nil, _ body: (inout MutableRawSpan) throws(DMAError) -> R
    ) throws(DMAError) -> R {
        // SAFETY: as above; exclusive access to `self` is exclusive access to the part of its memory that the CPU can reach.
        let range = range ?? whole(entry)
        return try unsafe mapping.withWriteAccess(entry: entry, range) { bytes throws(DMAError) in
            var span = unsafe MutableRawSpan(_unsafeBytes: bytes)
            return try body(&span)
        }
    }

    /// `withCPUAccess(entry:_:_:)` for a body that throws its own errors.
    @_disfavoredOverload
    public borrowing func withCPUAccess<R: ~Copyable>(
        entry: Int, _ range: Range<Int>? = nil, _ body: (RawSpan) throws -> R
    ) throws -> R {
        // SAFETY: as above.
        try unsafe mapping.withReadAccess(entry: entry, range ?? whole(entry)) { bytes in
            try body(unsafe RawSpan(_unsafeBytes: bytes))
        }
    }

    /// `withMutableCPUAccess(entry:_:_:)` for a body that throws its own errors.
    @_disfavoredOverload
    public mutating func withMutableCPUAccess<R: ~Copyable>(
        entry: Int, _ range: Range<Int>? = nil, _ body: (inout MutableRawSpan) throws -> R
    ) throws -> R {
        // SAFETY: as above.
        try unsafe mapping.withWriteAccess(entry: entry, range ?? whole(entry)) { bytes in
            var span = unsafe MutableRawSpan(_unsafeBytes: bytes)
            return try body(&span)
        }
    }

    /// Syncs all entries for the CPU: `dma_sync_sg_for_cpu`, for imported memory. Throws `quarantined`.
    public mutating func syncForCPU() throws(DMAError) {
        for entry in entries.indices { try mapping.sync(entry: entry, whole(entry), for: .cpu) }
    }

    /// Syncs all entries for the device: `dma_sync_sg_for_device`. Throws `quarantined`.
    public mutating func syncForDevice() throws(DMAError) {
        for entry in entries.indices { try mapping.sync(entry: entry, whole(entry), for: .device) }
    }

    /// Empty for an entry that does not exist: the mapping then refuses it by its number.
    private func whole(_ entry: Int) -> Range<Int> {
        entries.indices.contains(entry) ? 0..<entries[entry].count : 0..<0
    }
}

// SAFETY: the pointer leads into `mapping`, which only this value owns, and nothing writes through it.
extension MappedScatterList: @unchecked Sendable {}
