// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// The common part of the noncopyable mappings: one live mapping, and its record in the domain.
///
/// Exactly one value owns a record (a ``MappedBuffer``, a ``MappedScatterList``, a ``CoherentBuffer`` or a pool's header). When
/// that value ends while the mapping is alive, it unmaps, or moves the memory to the quarantine if it was quarantined.
@safe @usableFromInline @frozen
struct Mapping: ~Copyable {
    /// A `MappingRecord`, whose layout inlined code does not see.
    @usableFromInline let place: UnsafeMutableRawPointer

    /// The caller transfers the record.
    // SAFETY: a record lives in its domain's core, which lives until it is recycled; only this value has it.
    @unsafe
    init(_ record: UnsafeMutablePointer<MappingRecord>) { unsafe place = UnsafeMutableRawPointer(record) }

    // SAFETY: `init` was given a record.
    @unsafe var record: UnsafeMutablePointer<MappingRecord> {
        unsafe place.assumingMemoryBound(to: MappingRecord.self)
    }

    // SAFETY: the core lives until the mapping has ended.
    var core: DomainCore { unsafe record.pointee.core.takeUnretainedValue() }
    // SAFETY: in all of these, this value owns the record.
    var isQuarantined: Bool { unsafe record.pointee.isQuarantined }
    var direction: Direction { unsafe record.pointee.direction }
    var origin: Origin { unsafe record.pointee.origin }
    var wasBounced: Bool { unsafe record.pointee.wasBounced }
    var regionCount: Int { unsafe record.pointee.regionCount }
    /// The words that the device is programmed with: `regionCount` of them, which do not move while the mapping lives.
    @unsafe var regions: UnsafePointer<RegionWords> { unsafe UnsafePointer(record.pointee.regions) }
    /// The first region's start.
    var start: UInt64 { unsafe record.pointee.regionCount > 0 ? record.pointee.regions[0].start : 0 }
    /// The first original entry.
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

    // SAFETY: no other reference to the record is left.
    @inlinable
    deinit { unsafe Self.drop(place) }

    /// Ends the mapping whose owner has ended, now or with the last loan.
    @unsafe @usableFromInline @inline(never)
    static func drop(_ place: UnsafeMutableRawPointer) {
        // SAFETY: the caller was the owner of the record; the last of the owner and the loans to end has it alone.
        let record = unsafe place.assumingMemoryBound(to: MappingRecord.self)
        if unsafe cdma_load_acquire64(loans(record)) != 0, unsafe cdma_fetch_or64(loans(record), orphan) != 0 { return }
        unsafe finish(record)
    }

    /// Ends a mapping without an owner.
    @unsafe
    private static func finish(_ record: UnsafeMutablePointer<MappingRecord>) {
        // SAFETY: only the caller has the record. The core lives until the record is recycled.
        if unsafe record.pointee.whole != nil { return unsafe WholeMapping.endPart(record) }
        unsafe record.pointee.loans = 0
        let memory = unsafe record.pointee.core._withUnsafeGuaranteedRef { core -> Unmanaged<Memory>? in
            if unsafe record.pointee.isQuarantined {
                unsafe core.park(record)
                return nil
            }
            // If the backend refuses, `dissolve` has quarantined the memory and reported it; a deinit cannot throw.
            return unsafe try? core.dissolve(record)
        }
        if let memory = unsafe memory { unsafe memory.release() }
    }

    /// Ends the mapping and returns the memory of its one entry to the owner.
    ///
    /// - Returns: the caller's share of it; never nil for a buffer's.
    /// - Throws: `quarantined`; `unmapMismatch` for a part that is not all of its mapping; errors of the backend. The memory
    ///   is, or will be, in quarantine; a part's memory is freed only when the other parts have ended.
    @unsafe @inline(__always)
    consuming func end() throws(DMAError) -> Unmanaged<Memory>? {
        // SAFETY: as for `finish`; `deinit` does not run. A mapping is not lent while its owner ends it.
        let record = unsafe self.record
        if let refusal = refusalToEnd {
            _ = consume self
            throw refusal
        }
        discard self
        if unsafe record.pointee.whole != nil { return unsafe try WholeMapping.end(by: record) }
        let result = unsafe record.pointee.core._withUnsafeGuaranteedRef { core -> Result<Unmanaged<Memory>?, DMAError> in
            if core.rules.isPlain, unsafe record.pointee.parts == nil, let memory = unsafe record.pointee.memory {
                unsafe record.pointee.memory = nil
                if unsafe record.pointee.entry.buffer >= 0 { unsafe record.pointee.entry.bracketAccess(begins: true) }
                unsafe core.recycle(record)
                return unsafe .success(memory)
            }
            do throws(DMAError) { return unsafe .success(try core.dissolve(record)) } catch { return unsafe .failure(error) }
        }
        return unsafe try result.get()
    }

    // SAFETY: this value owns the record.
    @inline(__always)
    private var refusalToEnd: DMAError? {
        guard unsafe !record.pointee.isQuarantined, unsafe cdma_load_acquire64(Self.loans(record)) == 0,
            unsafe record.pointee.whole == nil
        else { return slowRefusalToEnd }
        return nil
    }

    @inline(never)
    private var slowRefusalToEnd: DMAError? {
        do throws(DMAError) { try checkExclusive() } catch { return error }
        // SAFETY: this value owns the record, which keeps the whole.
        guard let whole = unsafe record.pointee.whole?.takeUnretainedValue() else { return nil }
        // Parts do not overlap, so that no other exists where one has all of it.
        guard byteRange == whole.range else {
            return DMAError(.unmapMismatch, asked: UInt64(byteRange.count), limit: UInt64(whole.range.count))
        }
        return whole.hasLostPart ? quarantineError : nil
    }

    /// Ends a mapping whose memory, if any, the owner frees itself.
    ///
    /// - Throws: as ``end()``.
    consuming func endList() throws(DMAError) {
        // SAFETY: what it returns is a share of this call's.
        unsafe try end()?.release()
    }

    // SAFETY: this value owns the record.
    func quarantine() { unsafe record.pointee.isQuarantined = true }

    // MARK: Loans

    /// A loan that the device reads counts 1, one that it writes counts this.
    private static var writingLoan: UInt64 { 1 << 32 }
    /// Flag: the owner has ended, and the last loan ends the mapping.
    private static var orphan: UInt64 { 1 << 63 }

    @unsafe @inline(__always)
    private static func loans(_ record: UnsafeMutablePointer<MappingRecord>) -> UnsafeMutableRawPointer {
        // SAFETY: the word lies in the record, which the caller has.
        unsafe UnsafeMutableRawPointer(record) + loansOffset
    }
    private static let loansOffset = MemoryLayout<MappingRecord>.offset(of: \.loans) ?? 0

    /// A handle on the mapping, for lending it while its owner is borrowed.
    // SAFETY: while no loan is out, the handle's user must use it only while the owner is borrowed.
    var handle: MappingHandle { unsafe MappingHandle(record) }

    /// Lends the memory to a channel: the client cannot use it until the loan ends.
    @unsafe
    static func lend(_ record: UnsafeMutablePointer<MappingRecord>, writes: Bool) {
        // SAFETY: the caller vouches that the owner is borrowed, or another loan is out.
        _ = unsafe cdma_fetch_add64(loans(record), writes ? writingLoan : 1)
    }

    /// Ends a loan: the device has stopped, and its data is in memory.
    @unsafe
    static func endLoan(_ record: UnsafeMutablePointer<MappingRecord>, writes: Bool) {
        // SAFETY: the loan has kept the record until here.
        let share = writes ? writingLoan : 1
        if unsafe cdma_fetch_add64(loans(record), 0 &- share) &- share == orphan { unsafe finish(record) }
    }

    /// Whether the client may use the memory without restriction.
    ///
    /// - Throws: `quarantined`, also where a device still has the memory because the call that lent it gave up.
    func checkExclusive() throws(DMAError) {
        // SAFETY: this value owns the record.
        let loans = unsafe cdma_load_acquire64(Self.loans(record))
        if isQuarantined || loans != 0 { throw quarantineError }
    }

    private var quarantineError: DMAError { DMAError(.quarantined, asked: start) }

    // MARK: The CPU's turn

    /// Syncs for reading by the CPU: `body` receives the bytes as the device left them. Writes nothing, so that several readers
    /// may run at once.
    ///
    /// - Throws: `quarantined`, `outOfRange`, `noSuchRegion`; errors of `body`.
    func withReadAccess<R: ~Copyable>(
        entry index: Int, _ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws(DMAError) -> R
    ) throws(DMAError) -> R {
        let entry = try beginReading(index, range)
        defer { entry.bracketAccess(begins: false) }
        // SAFETY: `beginReading` has checked index and range against the entry, whose memory the record keeps alive.
        return try unsafe body(readableBytes(of: entry, range))
    }

    /// The same for a body that throws its own errors.
    func withReadAccess<R: ~Copyable>(
        entry index: Int, _ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        let entry = try beginReading(index, range)
        defer { entry.bracketAccess(begins: false) }
        // SAFETY: as above.
        return try unsafe body(readableBytes(of: entry, range))
    }

    private func beginReading(_ index: Int, _ range: Range<Int>) throws(DMAError) -> MappedEntry {
        // SAFETY: this value owns the record. While a call has lent the memory for reading, others may read it too.
        let loans = unsafe cdma_load_acquire64(Self.loans(record))
        if isQuarantined || loans >= Self.writingLoan { throw quarantineError }
        let entry = unsafe try core.entry(index, range, of: record)
        entry.bracketAccess(begins: true)
        return entry
    }

    /// Bytes of an entry that the CPU may read. They must not be used after this value has ended.
    @unsafe
    private func readableBytes(of entry: MappedEntry, _ range: Range<Int>) -> UnsafeRawBufferPointer {
        // Until the next sync or the unmap, data that the device wrote is in the bounce memory; data that it only reads is in
        // the client's memory.
        let address = direction == .toDevice ? entry.cpuAddress : entry.deviceAddress
        // SAFETY: the range was checked by the caller.
        let start = unsafe UnsafeRawPointer(bitPattern: UInt(address) &+ UInt(range.lowerBound))
        unsafe core.flush(start, range.count)
        return unsafe UnsafeRawBufferPointer(start: start, count: range.count)
    }

    /// Syncs for the CPU, runs `body`, then syncs for the device.
    ///
    /// - Throws: `quarantined`, `outOfRange`, `noSuchRegion`, `wrongDirection`; errors of `body`, after the sync for the
    ///   device.
    func withWriteAccess<R: ~Copyable>(
        entry index: Int, _ range: Range<Int>, _ body: (UnsafeMutableRawBufferPointer) throws(DMAError) -> R
    ) throws(DMAError) -> R {
        // SAFETY: `writableBytes` has checked index and range against the memory, which the record keeps alive; the owner is held exclusively.
        let bytes = unsafe try writableBytes(index, range)
        let result: R
        do throws(DMAError) {
            result = try unsafe body(bytes)
        } catch {
            unsafe try core.sync(record, entry: index, range, for: .device)
            throw error
        }
        unsafe try core.sync(record, entry: index, range, for: .device)
        return result
    }

    /// The same for a body that throws its own errors.
    func withWriteAccess<R: ~Copyable>(
        entry index: Int, _ range: Range<Int>, _ body: (UnsafeMutableRawBufferPointer) throws -> R
    ) throws -> R {
        // SAFETY: as above.
        let bytes = unsafe try writableBytes(index, range)
        let result: R
        do {
            result = try unsafe body(bytes)
        } catch {
            unsafe try core.sync(record, entry: index, range, for: .device)
            throw error
        }
        unsafe try core.sync(record, entry: index, range, for: .device)
        return result
    }

    /// Syncs for the CPU. The bytes must not be used after this value has ended.
    @unsafe
    private func writableBytes(_ index: Int, _ range: Range<Int>) throws(DMAError) -> UnsafeMutableRawBufferPointer {
        try checkExclusive()
        if direction == .fromDevice { throw DMAError(.wrongDirection) }
        // SAFETY: `sync` has checked index and range.
        unsafe try core.sync(record, entry: index, range, for: .cpu)
        let entry = unsafe record.pointee.entry(at: index)
        let start = unsafe UnsafeMutableRawPointer(bitPattern: UInt(entry.cpuAddress) &+ UInt(range.lowerBound))
        return unsafe UnsafeMutableRawBufferPointer(start: start, count: range.count)
    }

    func sync(entry index: Int, _ range: Range<Int>, for turn: MappedEntry.Turn) throws(DMAError) {
        try checkExclusive()
        // SAFETY: this value owns the record.
        unsafe try core.sync(record, entry: index, range, for: turn)
    }
}

// SAFETY: one value owns a record at a time, and it may be sent.
extension Mapping: @unchecked Sendable {}

extension MappingParts {
    /// The list of the regions. It must not be used after its record has released it.
    @unsafe
    var regionList: RegionList {
        // SAFETY: the caller uses it only while the record has it.
        @_lifetime(immortal) get {
            switch lists {
            case let lists? where hasLists: unsafe RegionList(segments: lists.segments, facts: lists.facts)
            default: .none
            }
        }
    }
}
