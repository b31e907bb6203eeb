// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAEngineKit

/// A mapping's state in its domain: everything needed to end it and to describe it in a report.
///
/// Records lie in chunks that a shard of the domain allocates and reuses, so that a mapping allocates nothing below the earlier
/// peak. A record in use belongs to one ``Mapping``, and no other code accesses it, except for the words that the registry
/// reads: `identifier`, `kind`, `direction`, `origin`, `byteCount`, the regions, the entries and the runs change only while the
/// shard is locked; the owner reads them without the lock.
@safe
struct MappingRecord {
    /// The next free record of its shard.
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
    /// Its mapping is being ended, and attaching a device does not program it any more. Changes while the shard is locked.
    var isWithdrawn = false
    /// The number of loans to channels, and whether the owner has ended: see ``Mapping/lend(writes:)``. Accessed by atomics.
    var loans: UInt64 = 0
    /// For a part: the mapping that it belongs to, which it keeps alive. A part's record lies in memory of its own, in no
    /// registry.
    var whole: Unmanaged<WholeMapping>?
    var origin = Origin(file: "", line: 0)
    /// The requested bytes.
    var byteCount: UInt64 = 0

    /// The words that the device is programmed with: `only`, or memory of `parts`.
    var regions: UnsafeMutablePointer<RegionWords>
    var regionCount = 0
    var only = RegionWords.none

    /// The memory of a mapping with one entry: owned. Nil for a list, and for memory of another device.
    var memory: Unmanaged<Memory>?
    var entry = MappedEntry(cpuAddress: 0, count: 0, deviceAddress: 0)
    /// The range mapped by one call of the backend; empty where none was needed, or where `parts` has several.
    var run = TranslatedRun(iova: 0, count: 0, source: MappingSource(kind: .memory))
    /// The state of mappings other than one piece of memory in one segment.
    var parts: MappingParts?

    init(shard: Int, of core: Unmanaged<DomainCore>, at place: UnsafeMutablePointer<MappingRecord>) {
        self.shard = shard
        unsafe self.core = core
        // SAFETY: the record does not move: it is initialized where it lies, in a chunk that lives as long as the domain.
        unsafe regions = UnsafeMutableRawPointer(place).advanced(by: Self.onlyOffset).assumingMemoryBound(
            to: RegionWords.self)
    }

    /// The offset of `only` in a record.
    private static let onlyOffset = MemoryLayout<MappingRecord>.offset(of: \.only) ?? 0

    /// The mapping has one region: `only`.
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

    /// The runs that the backend has mapped, or must map when a device is attached.
    var runs: [TranslatedRun] { run.count > 0 ? [run] : parts?.runList ?? [] }
}

/// The state of a mapping other than one piece of memory in one segment: a list, a bounce buffer, several segments or several
/// calls of the backend.
///
/// Used by one thread at a time: the one with the mapping, or with the list that keeps it for its next mapping.
// SAFETY: one value has it at a time, and may be sent. The registry looks at it while the shard of its record is locked.
@safe
final class MappingParts: @unchecked Sendable {
    /// A list's memory, in the order in which its buffers were added.
    var memories: [Memory] = []
    var words: [MemoryWords] = []
    /// The original entries of a list; empty for a single mapping.
    var entries: [ScatterList.Entry] = []
    /// The CPU address of each entry's bounce memory, 0 where it has none. Empty where nothing is bounced.
    var bounces: [UInt64] = []
    /// The bounce memory.
    var bounceMemories: [Memory] = []
    /// The allocated bus addresses; empty where none were needed.
    var addresses = BusRange(start: 0, count: 0)
    /// Where no range was long enough for all runs: the addresses of the runs after the first.
    var moreAddresses: [BusRange] = []
    /// The regions as an operand list, if `hasLists` is set; otherwise its memory, for reuse.
    private(set) var lists: RegionLists?
    private(set) var hasLists = false
    /// The regions, in memory that is reused.
    private(set) var regions: UnsafeMutablePointer<RegionWords>?
    var regionCount = 0
    private var capacity = 0
    /// Makes the operand list of the regions; leaves it out where memory for it is short.
    func makeLists() {
        // SAFETY: as many regions are initialized as their count says; they have one key, and their sum was checked.
        hasLists = false
        guard regionCount > 1, regionCount <= RegionLists.ceiling, let regions = unsafe regions else { return }
        if (lists?.capacity ?? 0) < regionCount { lists = RegionLists(capacity: regionCount) }
        hasLists = unsafe lists?.fill(regions, regionCount) != nil
    }

    /// The runs that the backend has mapped, one for each call.
    private(set) var runs: UnsafeMutablePointer<TranslatedRun>?
    var runCount = 0
    private var runCapacity = 0

    // SAFETY: the memory contains trivial values, and belongs to this object.
    deinit {
        unsafe regions?.deallocate()
        unsafe runs?.deallocate()
    }

    /// Room for `count` regions, which are not initialized.
    func makeRoom(for count: Int) -> UnsafeMutablePointer<RegionWords> {
        // SAFETY: the memory is replaced before its address is used elsewhere: a record takes it when the mapping is entered.
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

    /// Conversions between regions and ranges, for slow paths.
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

    /// Clears everything for reuse.
    func clear() {
        memories = []
        words = []
        entries = []
        // Seldom set, and an assignment costs a check for overlapping accesses.
        if !bounces.isEmpty { bounces = [] }
        if !bounceMemories.isEmpty { bounceMemories = [] }
        addresses = BusRange(start: 0, count: 0)
        if !moreAddresses.isEmpty { moreAddresses = [] }
        hasLists = false
        (regionCount, runCount) = (0, 0)
    }
}
