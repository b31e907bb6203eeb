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
    let regions: UnsafeMutablePointer<Region>
    private var hasEnded = false
    private(set) var isQuarantined = false

    init(_ core: MappingCore, in domain: Domain) {
        self.core = core
        self.domain = domain
        unsafe regions = UnsafeMutablePointer<Region>.allocate(capacity: core.regions.count)
        for index in core.regions.indices { unsafe (regions + index).initialize(to: core.regions[index]) }
    }

    deinit {
        // Regions are trivial, so that giving back the memory is all there is to do.
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
        DMAError(.quarantined, asked: core.regions.first?.start.rawValue ?? 0)
    }

    /// The CPU's turn, `body` on the bytes of the original memory, then the device's turn.
    ///
    /// - Throws: `quarantined`, `outOfRange`, `noSuchRegion`; what `body` throws, after the device has its turn again.
    func withAccess<R: ~Copyable>(
        entry index: Int, _ range: Range<Int>, writes: Bool,
        _ body: (UnsafeMutableRawBufferPointer) throws(DMAError) -> R
    ) throws(DMAError) -> R {
        if isQuarantined { throw quarantineError }
        if writes, core.direction == .fromDevice { throw DMAError(.wrongDirection) }
        try domain.sync(core, entry: index, range, for: .cpu)
        let entry = core.entries[index]
        // `sync` has checked index and range against the memory, which `core` keeps alive.
        let bytes = unsafe UnsafeMutableRawBufferPointer(
            start: entry.memory.base + entry.offset + range.lowerBound, count: range.count)
        let result: R
        do throws(DMAError) {
            result = try unsafe body(bytes)
        } catch {
            try handBack(index, range, wrote: writes)
            throw error
        }
        try handBack(index, range, wrote: writes)
        return result
    }

    /// After reading only, there is nothing to copy: what the device last wrote must not be replaced by a stale copy of it.
    private func handBack(_ index: Int, _ range: Range<Int>, wrote: Bool) throws(DMAError) {
        if wrote {
            try domain.sync(core, entry: index, range, for: .device)
        } else {
            core.entries[index].memory.bracketAccess(begins: false)
        }
    }

    func sync(entry index: Int, _ range: Range<Int>, for turn: MappedEntry.Turn) throws(DMAError) {
        if isQuarantined { throw quarantineError }
        try domain.sync(core, entry: index, range, for: turn)
    }
}
