// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAEngineKit

/// A mapping's memory in its domain: everything that is needed to end it and to name it in a report.
///
/// Records lie in chunks that a shard of the domain allocates and uses again, so that a mapping allocates nothing once there were as many
/// before. A record in use belongs to one ``Mapping``, which alone reads and writes it, but for the words that the registry reads:
/// `identifier`, `kind`, `direction`, `origin`, `byteCount`, the regions, the entries and the runs change only while the shard is locked, and
/// the owner reads them without.
@safe
struct MappingRecord {
    /// The next free one of its shard.
    var next: UnsafeMutablePointer<MappingRecord>?
    /// The shard that it belongs to.
    let shard: Int
    /// Lives until the mapping has ended, without being retained by it.
    let core: Unmanaged<DomainCore>
    /// Unique in the domain, in the order in which mappings were made by one thread; 0 while the record is free.
    var identifier: UInt64 = 0
    var kind = MappingKind.single
    var direction = Direction.toDevice
    /// Whether it was made from a raw address: it then keeps no domain alive, and the domain's end ends it.
    var isRaw = false
    var isQuarantined = false
    /// Its mapping is being ended: a device that is attached meanwhile does not get it any more. Changes while the shard is locked.
    var isWithdrawn = false
    /// Loans to channels that are out, and whether the owner has ended meanwhile: see ``Mapping/lend(writes:)``. Accessed by atomics.
    var loans: UInt64 = 0
    /// Of a part: the mapping that it is a part of, which it keeps alive. A part's record lies in memory of its own, in no registry.
    var whole: Unmanaged<WholeMapping>?
    var origin = Origin(file: "", line: 0)
    /// Bytes as asked.
    var byteCount: UInt64 = 0

    /// What the device is programmed with: `only`, or memory of `parts`.
    var regions: UnsafeMutablePointer<RegionWords>
    var regionCount = 0
    var only = RegionWords.none

    /// The memory of a mapping with one entry: owned. Nil for a list, and for memory that is not of this process.
    var memory: Unmanaged<Memory>?
    var entry = MappedEntry(cpuAddress: 0, count: 0, deviceAddress: 0)
    /// What one call of the backend has mapped; no bytes where none was needed, or where `parts` has several.
    var run = TranslatedRun(iova: 0, count: 0, source: MappingSource(kind: .memory))
    /// Everything else, of a mapping that is not one piece of memory in one segment.
    var parts: MappingParts?

    init(shard: Int, of core: Unmanaged<DomainCore>, at place: UnsafeMutablePointer<MappingRecord>) {
        self.shard = shard
        unsafe self.core = core
        // SAFETY: the record does not move: it is initialized where it lies, in a chunk that lives as long as the domain.
        unsafe regions = UnsafeMutableRawPointer(place).advanced(by: Self.onlyOffset).assumingMemoryBound(
            to: RegionWords.self)
    }

    /// Where `only` lies in a record.
    private static let onlyOffset = MemoryLayout<MappingRecord>.offset(of: \.only) ?? 0

    /// Its regions are one: `only`.
    // SAFETY: as in `init`: `place` is where the record lies.
    mutating func pointAtOwnRegion(_ place: UnsafeMutablePointer<MappingRecord>) {
        unsafe regions = UnsafeMutableRawPointer(place).advanced(by: Self.onlyOffset).assumingMemoryBound(
            to: RegionWords.self)
    }

    /// 0 for memory that the CPU does not reach.
    var entryCount: Int { parts.map { $0.entries.isEmpty ? min(entry.count, 1) : $0.entries.count } ?? 1 }

    /// Entry `index`, which exists.
    func entry(at index: Int) -> MappedEntry {
        guard let parts, !parts.entries.isEmpty else { return entry }
        return parts.entry(at: index)
    }

    var wasBounced: Bool { entry.isBounced || !(parts?.bounces.isEmpty ?? true) }

    /// The regions as the device sees them.
    // SAFETY: `regionCount` words are initialized at `regions`, which the record or its parts own.
    var regionWords: [RegionWords] {
        (0..<regionCount).map { unsafe regions[$0] }
    }

    /// What the backend has mapped, or has to map when a device is attached.
    var runs: [TranslatedRun] { run.count > 0 ? [run] : parts?.runList ?? [] }
}

/// What a mapping has that is not one piece of memory in one segment: a list, a bounce, several segments or several calls of the backend.
///
/// Used by one thread at a time: that which has the mapping, or the list that keeps it for its next mapping.
// SAFETY: one value has it at a time, and may be sent. The registry looks at it while the shard of its record is locked.
@safe
final class MappingParts: @unchecked Sendable {
    /// A list's memory, in the order in which its buffers were added.
    var memories: [Memory] = []
    var words: [MemoryWords] = []
    /// A list's entries as they were asked; empty for a single mapping.
    var entries: [ScatterList.Entry] = []
    /// Where each entry's stand-in lies as the CPU sees it, 0 where there is none. Empty where nothing is bounced.
    var bounces: [UInt64] = []
    /// The stand-ins' memory.
    var bounceMemories: [Memory] = []
    /// The bus addresses that were taken; without a byte where none were.
    var addresses = BusRange(start: 0, count: 0)
    /// Where there was no range for all runs: what was taken for the runs after the first.
    var moreAddresses: [BusRange] = []
    /// The regions as an operand list, where `hasLists` says so; else its room, to be used again.
    private(set) var lists: RegionLists?
    private(set) var hasLists = false
    /// The regions, in memory that is used again.
    private(set) var regions: UnsafeMutablePointer<RegionWords>?
    var regionCount = 0
    private var capacity = 0
    /// Makes the operand list of the regions. Without memory for it there is none.
    func makeLists() {
        // SAFETY: as many regions are initialized as their count says; they have one key, and their sum was checked.
        hasLists = false
        guard regionCount > 1, regionCount <= RegionLists.ceiling, let regions = unsafe regions else { return }
        if (lists?.capacity ?? 0) < regionCount { lists = RegionLists(capacity: regionCount) }
        hasLists = unsafe lists?.fill(regions, regionCount) != nil
    }

    /// What the backend has mapped, one for each call.
    private(set) var runs: UnsafeMutablePointer<TranslatedRun>?
    var runCount = 0
    private var runCapacity = 0

    // SAFETY: what lies in the memory is trivial, and the memory is this object's own.
    deinit {
        unsafe regions?.deallocate()
        unsafe runs?.deallocate()
    }

    /// Room for `count` regions, which are not initialized.
    func makeRoom(for count: Int) -> UnsafeMutablePointer<RegionWords> {
        // SAFETY: the memory is replaced before anybody has its address: a record takes it when the mapping is entered.
        if let regions = unsafe regions, count <= capacity { return unsafe regions }
        unsafe regions?.deallocate()
        capacity = max(count, 8)
        let room = UnsafeMutablePointer<RegionWords>.allocate(capacity: capacity)
        unsafe regions = unsafe room
        return unsafe room
    }

    /// Room for `count` runs, which are not initialized.
    func makeRunRoom(for count: Int) -> UnsafeMutablePointer<TranslatedRun> {
        // SAFETY: as above; runs are reached through this object alone.
        if let runs = unsafe runs, count <= runCapacity { return unsafe runs }
        unsafe runs?.deallocate()
        runCapacity = max(count, 8)
        let room = UnsafeMutablePointer<TranslatedRun>.allocate(capacity: runCapacity)
        unsafe runs = unsafe room
        return unsafe room
    }

    /// The regions as ranges, and back: for what is off the steady path.
    // SAFETY: `regionCount` regions are initialized.
    var ranges: [BusRange] {
        guard let regions = unsafe regions else { return [] }
        return (0..<regionCount).map { BusRange(start: unsafe regions[$0].start, count: unsafe regions[$0].count) }
    }

    func setRegions(_ ranges: [BusRange], key: UInt64 = 0) {
        // SAFETY: there is room for them.
        let room = unsafe makeRoom(for: ranges.count)
        for index in ranges.indices {
            unsafe (room + index).initialize(to: RegionWords(start: ranges[index].start, count: ranges[index].count, key: key))
        }
        regionCount = ranges.count
    }

    /// One run, which is one region.
    func setRun(_ run: TranslatedRun, _ access: DeviceAccess, _ domain: DomainID) {
        // SAFETY: there is room for one of each.
        unsafe makeRoom(for: 1).initialize(
            to: RegionWords(start: run.iova, count: run.count, key: RegionWords.key(domain, access)))
        unsafe makeRunRoom(for: 1).initialize(to: run)
        (regionCount, runCount) = (1, 1)
    }

    // SAFETY: `runCount` runs are initialized.
    var runList: [TranslatedRun] {
        guard let runs = unsafe runs else { return [] }
        return (0..<runCount).map { unsafe runs[$0] }
    }

    func entry(at index: Int) -> MappedEntry {
        let entry = entries[index]
        let memory = words[entry.buffer]
        let address = memory.base &+ UInt64(entry.offset)
        let bounce = bounces.isEmpty ? 0 : bounces[index]
        return MappedEntry(
            cpuAddress: address, count: entry.count, deviceAddress: bounce == 0 ? address : bounce, buffer: memory.buffer)
    }

    /// Forgets everything.
    func clear() {
        memories = []
        words = []
        entries = []
        // Seldom there, and an assignment costs a look for overlapping accesses.
        if !bounces.isEmpty { bounces = [] }
        if !bounceMemories.isEmpty { bounceMemories = [] }
        addresses = BusRange(start: 0, count: 0)
        if !moreAddresses.isEmpty { moreAddresses = [] }
        hasLists = false
        (regionCount, runCount) = (0, 0)
    }
}
