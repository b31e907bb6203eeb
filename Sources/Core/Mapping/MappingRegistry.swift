// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAEngineKit

/// A domain's registry of mappings: an object apart from the domain, so that its address space and the sanitizer can use it
/// without keeping the domain alive. (A weak reference would make every retain of the domain five times as expensive.)
// SAFETY: the shards are accessed under their locks, and the words beside them by atomics.
@safe
final class MappingRegistry: Sendable {
    let id: DomainID
    let name: String
    /// Unique among the registries of its address space.
    let space: ObjectIdentifier
    let constraints: DeviceConstraints
    let granule: UInt64
    /// Whether the backend keeps mappings only while a device is attached.
    let losesMappings: Bool
    private let isTranslated: Bool

    // SAFETY: the pointers never change; the shards are accessed under their locks, the words by atomics.
    nonisolated(unsafe) let shards: UnsafeMutablePointer<Locked<MappingShard>>
    /// For each shard, a cache line with the number of threads inside the backend.
    nonisolated(unsafe) private let calls: UnsafeMutableRawPointer

    init(_ id: DomainID, _ name: String, _ constraints: DeviceConstraints, _ space: AddressSpace) {
        (self.id, self.name, self.constraints) = (id, name, constraints)
        self.space = ObjectIdentifier(space)
        (granule, isTranslated, losesMappings) = (space.granule, space.isTranslated, space.losesMappings)
        // SAFETY: both are allocated and initialized here, and freed in `deinit` alone.
        unsafe shards = .allocate(capacity: MappingShard.count)
        for number in 0..<MappingShard.count { unsafe (shards + number).initialize(to: Locked(MappingShard(number: number))) }
        unsafe calls = .allocate(byteCount: 64 * MappingShard.count, alignment: 64)
        unsafe calls.initializeMemory(as: UInt8.self, repeating: 0, count: 64 * MappingShard.count)
    }

    deinit {
        // SAFETY: no reference to the registry is left, and so none to a shard.
        unsafe shards.deinitialize(count: MappingShard.count)
        unsafe shards.deallocate()
        unsafe calls.deallocate()
    }

    /// The shard of the calling thread.
    @inline(__always)
    var ownShard: Int { Int(truncatingIfNeeded: cdma_thread_number()) & (MappingShard.count &- 1) }

    @inline(__always)
    func withShard<R: ~Copyable, E: Error>(
        _ number: Int, _ body: (inout MappingShard) throws(E) -> sending R
    ) throws(E) -> sending R {
        // SAFETY: callers pass numbers of shards.
        try unsafe shards[number].withLock(body)
    }

    func forEachShard(_ body: (inout MappingShard) -> Void) {
        for number in 0..<MappingShard.count { withShard(number) { body(&$0) } }
    }

    /// Every live mapping, typed or from a raw address, oldest first.
    var liveMappings: [LiveMapping] {
        var all: [LiveMapping] = []
        forEachShard { shard in shard.visit { all.append(LiveMapping($0)) } }
        return all.sorted { $0.identifier < $1.identifier }
    }

    // MARK: Attaching

    /// Enters the backend: until ``leaveBackend(_:)`` no device is attached or detached. The caller has locked the shard; the
    /// lock is not held afterwards.
    @inline(__always)
    func enterBackend(_ number: Int) {
        // SAFETY: the word lives as long as the domain, and is accessed by atomics.
        if losesMappings { unsafe cdma_fetch_add32(calls + 64 * number, 1) }
    }

    @inline(__always)
    func leaveBackend(_ number: Int) {
        // SAFETY: as above.
        if losesMappings { unsafe cdma_fetch_add32(calls + 64 * number, UInt32.max) }
    }

    /// The time limit for attaching a device, or for a call of the backend. Milliseconds.
    private static var patience: Int64 { 60_000 }

    private static func pause() { cdma_sleep_until(Deadline.now.nanoseconds &+ 100_000) }

    /// Waits while a device is being attached.
    ///
    /// - Throws: `spaceBusy` where that takes too long.
    func waitWhileHeld(_ number: Int) throws(DMAError) {
        let end = Deadline.after(milliseconds: Self.patience)
        while withShard(number, { $0.isHeld }) {
            if Deadline.now >= end { throw DMAError(.spaceBusy) }
            Self.pause()
        }
    }

    /// Makes maps and unmaps wait, and waits until no thread is inside the backend.
    func hold() throws(DMAError) {
        forEachShard { $0.isHeld = true }
        let end = Deadline.after(milliseconds: Self.patience)
        for number in 0..<MappingShard.count {
            // SAFETY: as for `enterBackend`.
            while unsafe cdma_load_acquire32(calls + 64 * number) != 0 {
                if Deadline.now >= end { throw DMAError(.spaceBusy) }
                Self.pause()
            }
        }
    }

    func release() { forEachShard { $0.isHeld = false } }
    func setProgrammed(_ isProgrammed: Bool) { forEachShard { $0.isProgrammed = isProgrammed } }

    /// The runs that the backend has mapped, or must map when a device is attached.
    var translatedRuns: [(run: TranslatedRun, access: DeviceAccess)] {
        var runs: [(run: TranslatedRun, access: DeviceAccess)] = []
        forEachShard { shard in
            shard.visit { record in
                if record.isWithdrawn { return }
                let access = record.direction.access
                runs += record.runs.map { ($0, access) }
            }
        }
        return runs
    }

    /// Removes and returns the bus addresses kept for reuse: for the address space.
    func takeSpareAddresses() -> [BusRange] {
        guard isTranslated else { return [] }
        var ranges: [BusRange] = []
        for number in 0..<MappingShard.count { ranges += withShard(number) { $0.addresses.takeAll(granule: granule) } }
        return ranges
    }
}

/// A summary of a mapping: enough to check an address and to report a leak. Keeps no memory alive.
struct LiveMapping: Sendable {
    let identifier: UInt64
    let kind: MappingKind
    let direction: Direction
    let origin: Origin
    let bytes: UInt64
    /// The regions, as bus addresses.
    let regions: [RegionWords]
    /// The client's memory, as CPU addresses.
    let sources: [BusRange]

    /// From a record in use, whose shard is locked.
    init(_ record: borrowing MappingRecord) {
        identifier = record.identifier
        kind = record.kind
        direction = record.direction
        origin = record.origin
        bytes = record.byteCount
        regions = record.regionWords
        var sources: [BusRange] = []
        for index in 0..<record.entryCount {
            let entry = record.entry(at: index)
            if entry.cpuAddress != 0 { sources.append(BusRange(start: entry.cpuAddress, count: UInt64(entry.count))) }
        }
        self.sources = sources
    }
}
