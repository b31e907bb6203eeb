// SPDX-License-Identifier: Apache-2.0

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
    private var hasEnded = false
    private(set) var isQuarantined = false

    init(_ core: MappingCore, in domain: Domain) {
        // SAFETY: as many words are allocated as are initialized; `deinit` alone frees them.
        self.core = core
        self.domain = domain
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
        if isQuarantined {
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
        if isQuarantined { throw quarantineError }
        hasEnded = true
        try domain.dissolve(core)
    }

    func quarantine() { isQuarantined = true }

    private var quarantineError: DMAError {
        DMAError(.quarantined, asked: core.regions.first?.start ?? 0)
    }

    /// The CPU's turn to read: `body` gets the bytes as the device left them. Writes nothing, so that several readers may be here at once.
    ///
    /// - Throws: `quarantined`, `outOfRange`, `noSuchRegion`; what `body` throws.
    func withReadAccess<R: ~Copyable>(
        entry index: Int, _ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws(DMAError) -> R
    ) throws(DMAError) -> R {
        if isQuarantined { throw quarantineError }
        let entry = try domain.entry(index, range, of: core)
        entry.memory.bracketAccess(begins: true)
        defer { entry.memory.bracketAccess(begins: false) }
        // What the device wrote lies in the bounce memory until the next sync or the unmap; what it only reads, in the client's own.
        let (memory, offset) =
            core.direction == .toDevice
            ? (entry.memory, entry.offset) : (entry.deviceMemory, entry.deviceOffset)
        if !domain.constraints.isCoherent {
            memory.flushCaches(offset + range.lowerBound, range.count, line: Int(domain.constraints.cacheLineSize))
        }
        // SAFETY: `entry` has checked index and range against the entry, whose memory `core` keeps alive.
        let bytes = unsafe UnsafeRawBufferPointer(start: memory.base + offset + range.lowerBound, count: range.count)
        return try unsafe body(bytes)
    }

    /// The CPU's turn to read and write, then the device's.
    ///
    /// - Throws: `quarantined`, `outOfRange`, `noSuchRegion`, `wrongDirection`; what `body` throws, after the device has its turn again.
    func withWriteAccess<R: ~Copyable>(
        entry index: Int, _ range: Range<Int>, _ body: (UnsafeMutableRawBufferPointer) throws(DMAError) -> R
    ) throws(DMAError) -> R {
        if isQuarantined { throw quarantineError }
        if core.direction == .fromDevice { throw DMAError(.wrongDirection) }
        try domain.sync(core, entry: index, range, for: .cpu)
        let entry = core.entries[index]
        // SAFETY: `sync` has checked index and range against the memory, which `core` keeps alive; the owner is held exclusively.
        let bytes = unsafe UnsafeMutableRawBufferPointer(
            start: entry.memory.base + entry.offset + range.lowerBound, count: range.count)
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

    func sync(entry index: Int, _ range: Range<Int>, for turn: MappedEntry.Turn) throws(DMAError) {
        if isQuarantined { throw quarantineError }
        try domain.sync(core, entry: index, range, for: turn)
    }
}
