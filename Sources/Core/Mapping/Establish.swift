// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAEngineKit

/// The common case of a mapping: one piece of memory that the device reaches in place, as one segment. It takes one lock, and
/// allocates nothing where the thread has ended a mapping of that length before. EstablishParts.swift handles everything else.
extension DomainCore {
    /// Maps a whole memory on CPU addresses without a backend; nil where that does not apply, or is refused.
    ///
    /// - Parameter memory: the caller's share, which is transferred where the mapping succeeds.
    @unsafe @inline(__always)
    func establishPlain(
        _ kind: MappingKind, _ memory: Unmanaged<Memory>, _ direction: Direction, _ origin: Origin
    ) -> UnsafeMutablePointer<MappingRecord>? {
        // SAFETY: the record was taken from its shard, is written while that is locked, and belongs to this call afterwards.
        // The memory is the caller's.
        let words = unsafe memory._withUnsafeGuaranteedRef { $0.words }
        guard rules.isPlain, generation == cdma_fork_generation(), !Sanitizer.isEnabled, words.buffer < 0,
            UInt64(words.count) <= rules.largestPiece, words.base & rules.addressMask == 0,
            words.base &+ UInt64(words.count) &- 1 <= rules.mask(kind)
        else { return nil }
        let lock = unsafe registry.shards + registry.ownShard
        let shard = unsafe lock.pointee.acquire()
        if unsafe shard.pointee.isClosed {
            unsafe lock.pointee.release()
            return nil
        }
        let record = unsafe shard.pointee.take(for: .passUnretained(self))
        unsafe fill(record, kind, memory, words, direction, origin, isRaw: false, at: words.base)
        unsafe shard.pointee.count(UInt64(words.count))
        unsafe lock.pointee.release()
        return unsafe record
    }

    /// Maps a whole memory.
    ///
    /// - Parameter memory: the caller's share, which is transferred where the mapping succeeds.
    /// - Throws: as ``Buffer/map(for:direction:file:line:)``. Nothing is left mapped then (rule 31).
    @unsafe
    func establish(
        _ kind: MappingKind, _ memory: Unmanaged<Memory>, _ direction: Direction, _ origin: Origin, isRaw: Bool = false
    ) throws(DMAError) -> UnsafeMutablePointer<MappingRecord> {
        // SAFETY: the record belongs to this call until it is returned to the caller; the memory is the caller's until then.
        let words = unsafe memory._withUnsafeGuaranteedRef { $0.words }
        guard generation == cdma_fork_generation() else { throw refused(DMAError(.usedAfterFork)) }
        if UInt64(words.count) <= rules.largestPiece, rules.lineMask == 0,
            rules.reaches(words.base, UInt64(words.count), words, kind)
        {
            if let record = unsafe try establishPiece(kind, memory, words, direction, origin, isRaw) { return unsafe record }
        }
        let parts = MappingParts()
        parts.memories = unsafe [memory.takeUnretainedValue()]
        parts.words = [words]
        parts.entries = [ScatterList.Entry(buffer: 0, offset: 0, count: words.count)]
        let record = unsafe try establish(kind, parts, direction, origin, isRaw: isRaw)
        unsafe memory.release()
        return unsafe record
    }

    /// The same for a caller that keeps its share.
    func establish(
        _ kind: MappingKind, retaining memory: Memory, _ direction: Direction, _ origin: Origin, isRaw: Bool = false
    ) throws(DMAError) -> UnsafeMutablePointer<MappingRecord> {
        // SAFETY: the share that is made here is transferred, or released.
        let owned = unsafe Unmanaged.passRetained(memory)
        do throws(DMAError) { return unsafe try establish(kind, owned, direction, origin, isRaw: isRaw) } catch {
            unsafe owned.release()
            throw error
        }
    }

    /// Counts a refusal.
    func refused(_ error: DMAError) -> DMAError {
        registry.withShard(registry.ownShard) { $0.statistics.refusals &+= 1 }
        return error
    }

    func countingRefusals<R>(_ body: () throws(DMAError) -> R) throws(DMAError) -> R {
        do throws(DMAError) { return try body() } catch { throw refused(error) }
    }

    @unsafe @inline(__always)
    private func fill(
        _ record: UnsafeMutablePointer<MappingRecord>, _ kind: MappingKind, _ memory: Unmanaged<Memory>, _ words: MemoryWords,
        _ direction: Direction, _ origin: Origin, isRaw: Bool, at start: UInt64
    ) {
        // SAFETY: the caller has taken the record, and locked its shard.
        unsafe record.pointee.kind = kind
        unsafe record.pointee.direction = direction
        unsafe record.pointee.origin = origin
        unsafe record.pointee.isRaw = isRaw
        unsafe record.pointee.byteCount = UInt64(words.count)
        unsafe record.pointee.memory = unsafe memory
        unsafe record.pointee.entry.cpuAddress = words.base
        unsafe record.pointee.entry.count = words.count
        unsafe record.pointee.entry.deviceAddress = words.base
        unsafe record.pointee.entry.buffer = words.buffer
        unsafe record.pointee.only.start = start
        unsafe record.pointee.only.count = UInt64(words.count)
        unsafe record.pointee.only.key = RegionWords.key(id, direction.access)
        unsafe record.pointee.regionCount = 1
    }

    /// The result of taking a record under the lock of a shard.
    enum Attempt {
        /// The caller owns the record, has entered the backend, and must program it.
        case entered
        /// The caller owns the record; the backend is programmed when a device is attached, or there is none.
        case recorded
        case noAddress, closed, held
    }

    /// Nil where the piece needs more than one segment.
    @unsafe
    private func establishPiece(
        _ kind: MappingKind, _ memory: Unmanaged<Memory>, _ words: MemoryWords, _ direction: Direction, _ origin: Origin,
        _ isRaw: Bool
    ) throws(DMAError) -> UnsafeMutablePointer<MappingRecord>? {
        // SAFETY: the record was taken from its shard, is written while that is locked, and belongs to this call afterwards.
        let isTranslated = rules.isTranslated
        let number = registry.ownShard
        let count = UInt64(words.count)
        let first = words.base & ~rules.pageMask
        let length = ((words.base &+ count &+ rules.pageMask) & ~rules.pageMask) &- first
        if !isTranslated, rules.segments.crossesBoundary(BusRange(start: words.base, count: count)) { return nil }
        let alignment = UInt64(words.alignment)
        var iova: UInt64 = 0
        var isGiven = false
        while true {
            let lock = unsafe registry.shards + number
            let shard = unsafe lock.pointee.acquire()
            var attempt = Attempt.recorded
            if unsafe shard.pointee.isClosed {
                attempt = .closed
            } else if unsafe shard.pointee.isHeld {
                attempt = .held
            } else if isTranslated, !isGiven {
                let spare = unsafe spareAddress(length, kind, alignment, of: &shard.pointee)
                if let spare { iova = spare } else { attempt = .noAddress }
            }
            guard attempt == .recorded else {
                unsafe lock.pointee.release()
                switch attempt {
                case .held:
                    try registry.waitWhileHeld(number)
                    continue
                case .noAddress:
                    iova = try countingRefusals { () throws(DMAError) in
                        try address(length, for: BusRange(start: first, count: length), kind, alignment)
                    }
                    if rules.segments.crossesBoundary(BusRange(start: iova &+ (words.base &- first), count: count)) {
                        space.free([BusRange(start: iova, count: length)])
                        return nil
                    }
                    isGiven = true
                    continue
                default:
                    if isGiven { space.free([BusRange(start: iova, count: length)]) }
                    throw refused(DMAError(.domainClosed))
                }
            }
            let record = unsafe shard.pointee.take(for: .passUnretained(self))
            let start = isTranslated ? iova &+ (words.base &- first) : words.base
            unsafe fill(record, kind, memory, words, direction, origin, isRaw: isRaw, at: start)
            unsafe record.pointee.run = TranslatedRun(
                iova: isTranslated ? iova : start, count: isTranslated ? length : count,
                source: words.source(at: isTranslated ? first : words.base))
            unsafe shard.pointee.count(count)
            let tells = unsafe backend.isThere && shard.pointee.isProgrammed
            if tells { registry.enterBackend(number) }
            unsafe lock.pointee.release()
            if tells { try countingRefusals { () throws(DMAError) in unsafe try program(record) } }
            if words.buffer >= 0 { unsafe record.pointee.entry.bracketAccess(begins: false) }
            if Sanitizer.isEnabled { inspect(unsafe LiveMapping(record.pointee), isImported: words.isImported) }
            return unsafe record
        }
    }

    /// Bus addresses kept from an earlier mapping of the same length in a locked shard; nil where none fits.
    ///
    /// - Parameter asked: the alignment of the CPU's memory. Bytes.
    @inline(__always)
    func spareAddress(_ count: UInt64, _ kind: MappingKind, _ asked: UInt64, of shard: inout MappingShard) -> UInt64? {
        // Long ranges search for the best alignment each time.
        if count >= rules.largePage { return nil }
        return shard.addresses.take(
            count >> rules.pageShift, bytes: count, alignment: max(rules.rangeAlignment, asked),
            boundary: rules.segments.boundary, limit: rules.mask(kind))
    }

    /// Allocates bus addresses for a range of whole pages.
    ///
    /// Tries the best placement first: aligned like the CPU's memory and to the largest page that the range fills, inside one
    /// segment boundary. Only coherent memory requires the first.
    ///
    /// - Parameter asked: the alignment of the CPU's memory. Bytes.
    func address(_ count: UInt64, for pages: BusRange, _ kind: MappingKind, _ asked: UInt64) throws(DMAError) -> UInt64 {
        let least = max(rules.rangeAlignment, kind == .coherent ? asked : 1)
        let largePage = space.pageSizes.last { $0 <= pages.count && pages.start & ($0 - 1) == 0 } ?? space.granule
        let boundary = count <= constraints.segmentBoundary ? constraints.segmentBoundary : 0
        let limit = rules.mask(kind)
        let best = max(least, largePage, asked)
        do throws(DMAError) { return try space.allocate(count, alignment: best, boundary: boundary, limit: limit) } catch {
            if best == least, boundary == 0 { throw error }
        }
        do throws(DMAError) { return try space.allocate(count, alignment: least, boundary: boundary, limit: limit) } catch {
            if boundary == 0 { throw error }
        }
        return try space.allocate(count, alignment: least, boundary: 0, limit: limit)
    }
}
