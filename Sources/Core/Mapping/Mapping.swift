// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// What the noncopyable mappings hold: one live mapping and the address space it is in.
///
/// Exactly one value owns an object of this class (a ``MappedBuffer``, a ``MappedScatterList``, a ``CoherentBuffer`` or a
/// pool's header), and it is changed only through that owner. If it goes while the mapping is alive, it unmaps, or parks the memory if
/// it was quarantined.
// SAFETY: one value owns an object of this class at a time, and it is changed through that owner alone, which may be sent.
@safe @usableFromInline
final class Mapping: @unchecked Sendable {
    let domain: Domain
    let core: MappingCore
    /// What the device is programmed with, where the owner's inlined code finds it without touching this object.
    let regions: UnsafeMutablePointer<RegionWords>
    /// The same as an operand list, of a mapping with several regions.
    @usableFromInline let lists: RegionLists?
    /// The mapping that this is a part of, and whose end is the memory's.
    let whole: Mapping?
    /// Loans to channels that are out: in the upper half those whose device writes.
    private let loans = Atomic<Int>(0)
    /// Whether a part was quarantined. Parts may be used by several threads.
    private let hasLostPart = Atomic(false)
    private var hasEnded = false
    private(set) var isQuarantined = false

    init(_ core: MappingCore, in domain: Domain, partOf whole: Mapping? = nil) {
        // SAFETY: as many words are allocated as are initialized; `deinit` alone frees them.
        self.core = core
        self.domain = domain
        self.whole = whole
        unsafe regions = UnsafeMutablePointer<RegionWords>.allocate(capacity: core.regions.count)
        for index in core.regions.indices { unsafe (regions + index).initialize(to: core.regions[index]) }
        // Without a list, operations are checked region by region.
        guard core.regions.count > 1, core.regions.count <= RegionLists.ceiling,
            let prepared = RegionLists(capacity: core.regions.count)
        else {
            lists = nil
            return
        }
        for region in core.regions where !prepared.append(region) {
            // Their sum is checked when they are mapped, and they have one key: this does not happen, and a list of some would be wrong.
            prepared.removeAll()
            break
        }
        lists = consume prepared
    }

    /// The list of the regions. It must not outlive this object.
    @unsafe @inlinable
    var regionList: RegionList {
        // SAFETY: the lists live as long as this object, which the caller keeps alive.
        @_lifetime(immortal) get {
            switch lists {
            case nil: .none
            case let lists?: unsafe RegionList(segments: lists.segments, facts: lists.facts)
            }
        }
    }

    deinit {
        // SAFETY: an object ends once, and the values that have the pointers own the object. Regions are trivial, so that giving
        // back the memory is all there is to do.
        unsafe regions.deallocate()
        if hasEnded { return }
        if let whole {
            if isQuarantined { whole.hasLostPart.store(true, ordering: .releasing) }
        } else if isQuarantined || hasLostPart.load(ordering: .acquiring) {
            domain.park(core)
        } else {
            // A refusal has parked the memory and was counted and reported there; nobody is left to be told.
            _ = try? domain.dissolve(core)
        }
    }

    /// Ends the mapping while its owner still wants the memory.
    ///
    /// - Throws: `quarantined`; what the backend says. The memory is, or will be, parked.
    func end() throws(DMAError) {
        try checkExclusive()
        guard let whole else {
            hasEnded = true
            return try domain.dissolve(core)
        }
        // Parts do not overlap, so that there is no other where one has all of it.
        guard range == whole.range else {
            throw DMAError(.unmapMismatch, asked: UInt64(range.count), limit: UInt64(whole.range.count))
        }
        try whole.end()
        hasEnded = true
    }

    func quarantine() { isQuarantined = true }

    // MARK: Loans

    /// Lends the memory to a channel: until the end of the loan it is not the client's.
    func lend(writes: Bool) { loans.add(writes ? Self.writingLoan : 1, ordering: .relaxed) }

    /// The device has stopped, and what it wrote is there.
    func endLoan(writes: Bool) { loans.subtract(writes ? Self.writingLoan : 1, ordering: .releasing) }

    private static var writingLoan: Int { 1 << 32 }

    /// Whether the client may do whatever it likes with the memory.
    ///
    /// - Throws: `quarantined`, also where a device still has the memory because a call that lent it gave up.
    func checkExclusive() throws(DMAError) {
        if isQuarantined || loans.load(ordering: .acquiring) != 0 || hasLostPart.load(ordering: .acquiring) {
            throw quarantineError
        }
    }

    private var quarantineError: DMAError {
        DMAError(.quarantined, asked: core.regions.first?.start ?? 0)
    }

    /// The CPU's turn to read: `body` gets the bytes as the device left them. Writes nothing, so that several readers may be here at once.
    ///
    /// - Throws: `quarantined`, `outOfRange`, `noSuchRegion`; what `body` throws.
    func withReadAccess<R: ~Copyable>(
        entry index: Int, _ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws(DMAError) -> R
    ) throws(DMAError) -> R {
        let entry = try beginReading(index, range)
        defer { entry.memory.bracketAccess(begins: false) }
        // SAFETY: `beginReading` has checked index and range against the entry, whose memory `core` keeps alive.
        return try unsafe body(readableBytes(of: entry, range))
    }

    /// The same for a body that throws errors of its own.
    func withReadAccess<R: ~Copyable>(
        entry index: Int, _ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        let entry = try beginReading(index, range)
        defer { entry.memory.bracketAccess(begins: false) }
        // SAFETY: as above.
        return try unsafe body(readableBytes(of: entry, range))
    }

    private func beginReading(_ index: Int, _ range: Range<Int>) throws(DMAError) -> MappedEntry {
        // While a call lends the memory to be read, others may read it too.
        if isQuarantined || loans.load(ordering: .acquiring) >= Self.writingLoan { throw quarantineError }
        let entry = try domain.entry(index, range, of: core)
        entry.memory.bracketAccess(begins: true)
        return entry
    }

    /// Bytes of an entry as the CPU may read them; the range was checked. They must not be used after this object has ended.
    @unsafe
    private func readableBytes(of entry: MappedEntry, _ range: Range<Int>) -> UnsafeRawBufferPointer {
        // What the device wrote lies in the bounce memory until the next sync or the unmap; what it only reads, in the client's own.
        let (memory, offset) =
            core.direction == .toDevice
            ? (entry.memory, entry.offset) : (entry.deviceMemory, entry.deviceOffset)
        if !domain.constraints.isCoherent {
            memory.flushCaches(offset + range.lowerBound, range.count, line: Int(domain.constraints.cacheLineSize))
        }
        // SAFETY: the range was checked by the caller.
        return unsafe UnsafeRawBufferPointer(start: memory.base + offset + range.lowerBound, count: range.count)
    }

    /// The CPU's turn to read and write, then the device's.
    ///
    /// - Throws: `quarantined`, `outOfRange`, `noSuchRegion`, `wrongDirection`; what `body` throws, after the device has its turn again.
    func withWriteAccess<R: ~Copyable>(
        entry index: Int, _ range: Range<Int>, _ body: (UnsafeMutableRawBufferPointer) throws(DMAError) -> R
    ) throws(DMAError) -> R {
        // SAFETY: `writableBytes` has checked index and range against the memory, which `core` keeps alive; the owner is held exclusively.
        let bytes = unsafe try writableBytes(index, range)
        let result: R
        do throws(DMAError) {
            result = try unsafe body(bytes)
        } catch {
            try domain.sync(core, entry: index, range, for: .device)
            throw error
        }
        try domain.sync(core, entry: index, range, for: .device)
        return result
    }

    /// The same for a body that throws errors of its own.
    func withWriteAccess<R: ~Copyable>(
        entry index: Int, _ range: Range<Int>, _ body: (UnsafeMutableRawBufferPointer) throws -> R
    ) throws -> R {
        // SAFETY: as above.
        let bytes = unsafe try writableBytes(index, range)
        let result: R
        do {
            result = try unsafe body(bytes)
        } catch {
            try domain.sync(core, entry: index, range, for: .device)
            throw error
        }
        try domain.sync(core, entry: index, range, for: .device)
        return result
    }

    /// Gives the CPU its turn. The bytes must not be used after this object has ended.
    @unsafe
    private func writableBytes(_ index: Int, _ range: Range<Int>) throws(DMAError) -> UnsafeMutableRawBufferPointer {
        try checkExclusive()
        if core.direction == .fromDevice { throw DMAError(.wrongDirection) }
        try domain.sync(core, entry: index, range, for: .cpu)
        let entry = core.entries[index]
        // SAFETY: `sync` has checked index and range.
        return unsafe UnsafeMutableRawBufferPointer(
            start: entry.memory.base + entry.offset + range.lowerBound, count: range.count)
    }

    func sync(entry index: Int, _ range: Range<Int>, for turn: MappedEntry.Turn) throws(DMAError) {
        try checkExclusive()
        try domain.sync(core, entry: index, range, for: turn)
    }
}
