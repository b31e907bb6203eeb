// SPDX-License-Identifier: Apache-2.0

/// A scatter list that one device reaches. The device is programmed with the mapped segments (``regionCount``); unmap and sync
/// refer to the entries as they were asked (``originalCount``), and cannot be given another number (rule 32).
///
/// Thread rules: a value, owned by one thread at a time; it may be sent to another.
@safe
public struct MappedScatterList: ~Copyable, Cargo {
    @usableFromInline let regions: UnsafePointer<RegionWords>
    /// Mapped segments: no more than entries, unless the device's limits cut one.
    public let regionCount: Int
    @usableFromInline let mapping: Mapping
    let memories: [Memory]
    let words: [MemoryWords]
    /// What `mapping` has, which it lets go of when it ends.
    private let parts: MappingParts
    /// The entries as they were asked.
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

    /// Entries as they were asked.
    public var originalCount: Int { entries.count }
    /// Which way the data goes.
    public var direction: Direction { mapping.direction }
    /// The address space that it is mapped in.
    public var domain: Domain { Domain(mapping.core) }
    /// Whether the device works on copies of some entries.
    public var wasBounced: Bool { mapping.wasBounced }

    /// Ends the mapping and gives the list back, with what the device wrote. Errors as for ``MappedBuffer/unmap()``.
    public consuming func unmap() throws(DMAError) -> ScatterList {
        try mapping.endList()
        return ScatterList(memories: memories, words: words, entries: entries, parts: parts)
    }

    /// Lets the CPU read part of one entry: syncForCPU, then `body` (rule 35). Borrowing as for `MappedBuffer.withCPUAccess(_:_:)`.
    ///
    /// - Parameters:
    ///   - entry: number of the entry, of ``originalCount``.
    ///   - range: bytes of the entry; nil for all.
    ///   - body: gets the bytes of the range. They do not leave it.
    /// - Throws: `noSuchRegion`, `outOfRange`, `quarantined`; what `body` throws.
    public borrowing func withCPUAccess<R: ~Copyable>(
        entry: Int, _ range: Range<Int>? = nil, _ body: (RawSpan) throws(DMAError) -> R
    ) throws(DMAError) -> R {
        // SAFETY: the bytes are valid in `body`, for which `withReadAccess` keeps the mapping alive; `memories` keep what the
        // entries name. A span is not escapable.
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
        // SAFETY: as above; the exclusive access to `self` is the exclusive access to what the CPU can reach of its memory.
        let range = range ?? whole(entry)
        return try unsafe mapping.withWriteAccess(entry: entry, range) { bytes throws(DMAError) in
            var span = unsafe MutableRawSpan(_unsafeBytes: bytes)
            return try body(&span)
        }
    }

    /// `withCPUAccess(entry:_:_:)` for a body that throws errors of its own.
    @_disfavoredOverload
    public borrowing func withCPUAccess<R: ~Copyable>(
        entry: Int, _ range: Range<Int>? = nil, _ body: (RawSpan) throws -> R
    ) throws -> R {
        // SAFETY: as above.
        try unsafe mapping.withReadAccess(entry: entry, range ?? whole(entry)) { bytes in
            try body(unsafe RawSpan(_unsafeBytes: bytes))
        }
    }

    /// `withMutableCPUAccess(entry:_:_:)` for a body that throws errors of its own.
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

    /// The CPU's turn at all entries: `dma_sync_sg_for_cpu`, for imported memory. Throws `quarantined`.
    public mutating func syncForCPU() throws(DMAError) {
        for entry in entries.indices { try mapping.sync(entry: entry, whole(entry), for: .cpu) }
    }

    /// The device's turn at all entries: `dma_sync_sg_for_device`. Throws `quarantined`.
    public mutating func syncForDevice() throws(DMAError) {
        for entry in entries.indices { try mapping.sync(entry: entry, whole(entry), for: .device) }
    }

    /// Empty for an entry that does not exist: the mapping refuses that one by its number.
    private func whole(_ entry: Int) -> Range<Int> {
        entries.indices.contains(entry) ? 0..<entries[entry].count : 0..<0
    }
}

// SAFETY: the pointer leads into `mapping`, which this value alone owns, and nothing writes through it.
extension MappedScatterList: @unchecked Sendable {}
