// SPDX-License-Identifier: Apache-2.0

/// What the noncopyable mappings hold: one live mapping, its record in the domain that it is in.
///
/// Exactly one value owns a record (a ``MappedBuffer``, a ``MappedScatterList``, a ``CoherentBuffer`` or a pool's header). If it goes while
/// the mapping is alive, it unmaps, or parks the memory if it was quarantined.
@safe @usableFromInline @frozen
struct Mapping: ~Copyable {
    /// A `MappingRecord`, whose layout is nobody's business who inlines this.
    @usableFromInline let place: UnsafeMutableRawPointer

    /// The caller hands over the record.
    // SAFETY: a record lives in its domain, which it keeps alive until it is recycled; this value alone has it.
    @unsafe
    init(_ record: UnsafeMutablePointer<MappingRecord>) { unsafe place = UnsafeMutableRawPointer(record) }

    // SAFETY: `init` was given a record.
    @unsafe var record: UnsafeMutablePointer<MappingRecord> {
        unsafe place.assumingMemoryBound(to: MappingRecord.self)
    }

    // SAFETY: a typed mapping keeps its domain until it ends, which is what `init` was given one for.
    var domain: Domain { unsafe record.pointee.domain.unsafelyUnwrapped.takeUnretainedValue() }
    // SAFETY: in all of these, this value owns the record.
    var isQuarantined: Bool { unsafe record.pointee.isQuarantined }
    var direction: Direction { unsafe record.pointee.direction }
    var origin: Origin { unsafe record.pointee.origin }
    var wasBounced: Bool { unsafe record.pointee.wasBounced }
    var regionCount: Int { unsafe record.pointee.regionCount }
    /// What the device is programmed with: `regionCount` words that do not move while the mapping lives.
    @unsafe var regions: UnsafePointer<RegionWords> { unsafe UnsafePointer(record.pointee.regions) }
    /// The first region's start.
    var start: UInt64 { unsafe record.pointee.regionCount > 0 ? record.pointee.regions[0].start : 0 }
    /// The first entry, as it was asked.
    var firstEntry: MappedEntry { unsafe record.pointee.entry(at: 0) }

    @_lifetime(borrow self)
    func region(at index: Int) -> Region {
        // SAFETY: in bounds by this check.
        Region(words: UInt(bitPattern: index) < UInt(bitPattern: regionCount) ? unsafe record.pointee.regions[index] : .none)
    }

    /// The list of the regions, or none.
    // SAFETY: the lists live as long as the record has its parts: until this value ends.
    @usableFromInline
    var regionList: RegionList {
        @_lifetime(borrow self) get {
            guard let parts = unsafe record.pointee.parts else { return .none }
            return unsafe parts.regionList
        }
    }

    // SAFETY: nobody has the record any more.
    @inlinable
    deinit { unsafe Self.drop(place) }

    /// Ends the mapping whose owner has ended.
    @unsafe @usableFromInline @inline(never)
    static func drop(_ place: UnsafeMutableRawPointer) {
        // SAFETY: the caller was the owner of the record. Its share of the domain is taken over, so that the domain lives until the end.
        let record = unsafe place.assumingMemoryBound(to: MappingRecord.self)
        let domain = unsafe record.pointee.domain.unsafelyUnwrapped.takeRetainedValue()
        unsafe record.pointee.domain = nil
        if unsafe record.pointee.isQuarantined { return unsafe domain.park(record) }
        // A refusal has parked the memory and was counted and reported there; nobody is left to be told.
        if let memory = unsafe try? domain.dissolve(record) { unsafe memory.release() }
    }

    /// Ends the mapping while its owner still wants the memory, of a mapping with one entry.
    ///
    /// - Returns: the caller's share of it; never nil for a buffer's.
    /// - Throws: `quarantined`; what the backend says. The memory is, or will be, parked.
    @unsafe @inline(__always)
    consuming func end() throws(DMAError) -> Unmanaged<Memory>? {
        // SAFETY: as for `drop`; `deinit` does not run.
        if isQuarantined {
            let refusal = quarantineError
            _ = consume self
            throw refusal
        }
        let record = unsafe self.record
        discard self
        let domain = unsafe record.pointee.domain.unsafelyUnwrapped.takeRetainedValue()
        unsafe record.pointee.domain = nil
        if domain.rules.isPlain, unsafe record.pointee.parts == nil, let memory = unsafe record.pointee.memory {
            unsafe record.pointee.memory = nil
            if unsafe record.pointee.entry.buffer >= 0 { unsafe record.pointee.entry.bracketAccess(begins: true) }
            unsafe domain.recycle(record)
            return unsafe memory
        }
        return unsafe try domain.dissolve(record)
    }

    /// Ends a mapping whose memory, if it has any, the owner knows itself.
    ///
    /// - Throws: as ``end()``.
    consuming func endList() throws(DMAError) {
        // SAFETY: what it returns is a share of this call's.
        unsafe try end()?.release()
    }

    // SAFETY: this value owns the record.
    func quarantine() { unsafe record.pointee.isQuarantined = true }

    private var quarantineError: DMAError { DMAError(.quarantined, asked: start) }

    /// The CPU's turn to read: `body` gets the bytes as the device left them. Writes nothing, so that several readers may be here at once.
    ///
    /// - Throws: `quarantined`, `outOfRange`, `noSuchRegion`; what `body` throws.
    func withReadAccess<R: ~Copyable>(
        entry index: Int, _ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws(DMAError) -> R
    ) throws(DMAError) -> R {
        if isQuarantined { throw quarantineError }
        let entry = unsafe try domain.entry(index, range, of: record)
        entry.bracketAccess(begins: true)
        defer { entry.bracketAccess(begins: false) }
        // What the device wrote lies in the bounce memory until the next sync or the unmap; what it only reads, in the client's own.
        let address = direction == .toDevice ? entry.cpuAddress : entry.deviceAddress
        // SAFETY: `entry` has checked index and range against the memory, which the record keeps alive.
        let start = unsafe UnsafeRawPointer(bitPattern: UInt(address) &+ UInt(range.lowerBound))
        unsafe domain.flush(start, range.count)
        return try unsafe body(UnsafeRawBufferPointer(start: start, count: range.count))
    }

    /// The CPU's turn to read and write, then the device's.
    ///
    /// - Throws: `quarantined`, `outOfRange`, `noSuchRegion`, `wrongDirection`; what `body` throws, after the device has its turn again.
    func withWriteAccess<R: ~Copyable>(
        entry index: Int, _ range: Range<Int>, _ body: (UnsafeMutableRawBufferPointer) throws(DMAError) -> R
    ) throws(DMAError) -> R {
        if isQuarantined { throw quarantineError }
        if direction == .fromDevice { throw DMAError(.wrongDirection) }
        // SAFETY: `sync` has checked index and range against the memory, which the record keeps alive; the owner is held exclusively.
        unsafe try domain.sync(record, entry: index, range, for: .cpu)
        let entry = unsafe record.pointee.entry(at: index)
        let start = unsafe UnsafeMutableRawPointer(bitPattern: UInt(entry.cpuAddress) &+ UInt(range.lowerBound))
        let bytes = unsafe UnsafeMutableRawBufferPointer(start: start, count: range.count)
        let result: R
        do throws(DMAError) {
            result = try unsafe body(bytes)
        } catch {
            unsafe try domain.sync(record, entry: index, range, for: .device)
            throw error
        }
        unsafe try domain.sync(record, entry: index, range, for: .device)
        return result
    }

    func sync(entry index: Int, _ range: Range<Int>, for turn: MappedEntry.Turn) throws(DMAError) {
        if isQuarantined { throw quarantineError }
        // SAFETY: this value owns the record.
        unsafe try domain.sync(record, entry: index, range, for: turn)
    }
}

// SAFETY: one value owns a record at a time, and it may be sent.
extension Mapping: @unchecked Sendable {}

extension MappingParts {
    /// The list of the regions. It must not outlive this object's use by its record.
    @unsafe
    var regionList: RegionList {
        // SAFETY: the caller's part.
        @_lifetime(immortal) get {
            switch lists {
            case let lists? where hasLists: unsafe RegionList(segments: lists.segments, facts: lists.facts)
            default: .none
            }
        }
    }
}
