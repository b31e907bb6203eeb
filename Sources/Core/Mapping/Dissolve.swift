// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAEngineKit

/// Ending a mapping, and the registry of those that exist.
extension Domain {
    /// Ends a mapping: the device can no longer reach it, and what it wrote to bounce memory is in the client's.
    ///
    /// - Throws: `backendFailed` or whatever the backend says; the memory is parked then.
    func dissolve(_ mapping: MappingCore) throws(DMAError) {
        var core = mapping
        if let error = withdraw(&core) {
            park(core)
            throw error
        }
        var copied: UInt64 = 0
        for entry in core.entries {
            copied += entry.sync(for: .cpu, 0..<entry.count, core.direction, constraints)
            entry.memory.bracketAccess(begins: true)
        }
        unregister(core, copied: copied)
    }

    /// Takes back translations and addresses. Returns the first refusal of the backend; then the translations that it
    /// refused to end are left in `core`, and their addresses stay taken for good.
    func withdraw(_ core: inout MappingCore) -> DMAError? {
        guard let backend else { return nil }
        // In a child process the mapping is the parent's.
        if generation != cdma_fork_generation() { return DMAError(.usedAfterFork) }
        var refusal: DMAError?
        var left: [BusRange] = []
        for range in core.translations.reversed() {
            do throws(DMAError) {
                try backend.unmap(at: IOVA(range.start), count: range.count)
            } catch {
                // Of a device or peer that is proved gone, no mapping reaches memory any more.
                if backend.isDead { continue }
                refusal = refusal ?? error
                left.append(range)
            }
        }
        core.translations = left
        if refusal != nil { return refusal }
        let allocations = core.allocations
        core.allocations = []
        return registry.state.withLock { state in
            var refusal: DMAError?
            for range in allocations {
                do throws(DMAError) {
                    try state.allocator.free(IOVA(range.start), count: range.count)
                } catch { refusal = error }
            }
            return refusal
        }
    }

    /// For a mapping that did not come about. What the backend will not take back is kept alive, because the device reaches it.
    func withdrawOrPark(_ core: inout MappingCore) {
        if withdraw(&core) != nil { park(core) }
    }

    /// Keeps the memory of a mapping alive until its device was proved stopped, and says so (rule 18).
    func park(_ core: MappingCore) { Quarantine.park(ParkedMapping(core, in: self)) }

    func register(_ core: MappingCore, copied: UInt64) {
        let bytes = core.byteCount
        let live = LiveMapping(
            identifier: core.identifier, kind: core.kind, direction: core.direction, origin: core.origin, bytes: bytes,
            regions: core.regions,
            sources: core.entries.map { BusRange(start: $0.cpuAddress, count: UInt64($0.count)) })
        let bounces = UInt64(core.entries.count { $0.bounce != nil })
        registry.state.withLock { state in
            state.live[core.identifier] = live
            state.statistics.mappings += 1
            state.statistics.totalMappings += 1
            state.statistics.mappedBytes += bytes
            state.statistics.peakMappings = max(state.statistics.peakMappings, state.statistics.mappings)
            state.statistics.peakMappedBytes = max(state.statistics.peakMappedBytes, state.statistics.mappedBytes)
            state.statistics.bounces += bounces
            state.statistics.bouncedBytes += copied
        }
    }

    func unregister(_ core: MappingCore, copied: UInt64) {
        registry.state.withLock { state in
            // A mapping that failed half-way and was parked is not registered.
            guard let live = state.live.removeValue(forKey: core.identifier) else { return }
            state.statistics.mappings -= 1
            state.statistics.mappedBytes -= live.bytes
            state.statistics.bouncedBytes += copied
        }
    }

    func countCopied(_ bytes: UInt64) {
        if bytes > 0 { registry.state.withLock { $0.statistics.bouncedBytes += bytes } }
    }

    /// Syncs `range` of one entry; counted. Throws `outOfRange`.
    func sync(
        _ core: MappingCore, entry index: Int, _ range: Range<Int>, for turn: MappedEntry.Turn
    ) throws(DMAError) {
        let entry = try entry(index, range, of: core)
        if turn == .cpu { entry.memory.bracketAccess(begins: true) }
        countCopied(entry.sync(for: turn, range, core.direction, constraints))
        if turn == .device { entry.memory.bracketAccess(begins: false) }
    }

    /// Entry `index` of a mapping, of which `range` is a part.
    ///
    /// - Throws: `noSuchRegion`, `outOfRange`.
    func entry(_ index: Int, _ range: Range<Int>, of core: MappingCore) throws(DMAError) -> MappedEntry {
        guard index >= 0, index < core.entries.count else {
            throw DMAError(.noSuchRegion, asked: UInt64(UInt(bitPattern: index)), limit: UInt64(core.entries.count))
        }
        let entry = core.entries[index]
        guard range.lowerBound >= 0, range.upperBound <= entry.count else {
            let asked = range.lowerBound < 0 ? range.lowerBound : range.upperBound
            throw DMAError(.outOfRange, asked: UInt64(UInt(bitPattern: asked)), limit: UInt64(entry.count))
        }
        return entry
    }
}
