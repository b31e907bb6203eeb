// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAEngineKit

/// Mappings of several entries, of several segments, or with bounce buffers for memory that the device cannot reach.
extension DomainCore {
    /// - Parameter parts: with memory, words and entries; each entry inside its memory. The record owns them afterwards; where
    ///   this throws, the caller does.
    /// - Throws: as ``Buffer/map(for:direction:file:line:)`` and ``ScatterList/map(for:direction:file:line:)``. Nothing is left
    ///   mapped then (rule 31).
    func establish(
        _ kind: MappingKind, _ parts: MappingParts, _ direction: Direction, _ origin: Origin, isRaw: Bool = false
    ) throws(DMAError) -> UnsafeMutablePointer<MappingRecord> {
        // SAFETY: the record belongs to this call until it is returned to the caller.
        try unsafe countingRefusals { () throws(DMAError) in
            if generation != cdma_fork_generation() { throw DMAError(.usedAfterFork) }
            guard !parts.entries.isEmpty else { throw DMAError(.zeroLength) }
            if kind == .coherent, !constraints.isCoherent { throw DMAError(.notCoherent) }
            let access = direction.access
            var total: UInt64 = 0
            do throws(DMAError) {
                if let sum = try layOut(parts, parts.entries, parts.words, kind, access) {
                    total = sum
                } else {
                    total = try standIns(for: parts, kind)
                    let (entries, words) = asTheDeviceSees(parts)
                    _ = try layOut(parts, entries, words, kind, access)
                }
            } catch {
                let isShape = error.code == .tooManySegments || error.code == .segmentGap
                guard isShape, constraints.allowsBounce, kind == .list else { throw error }
                // The device takes fewer segments than there are, or requires other boundaries: gather them in one bounce
                // buffer.
                total = try gather(parts, instead: error)
                let (entries, words) = asTheDeviceSees(parts)
                _ = try layOut(parts, entries, words, kind, access)
            }
            let record = unsafe try enlist(kind, parts, direction, origin, total, isRaw)
            unsafe ready(record, parts)
            return unsafe record
        }
    }

    // MARK: Stand-ins

    private func size(of parts: MappingParts) throws(DMAError) -> UInt64 {
        var total: UInt64 = 0
        for entry in parts.entries {
            let (sum, overflow) = total.addingReportingOverflow(UInt64(entry.count))
            guard !overflow else { throw DMAError(.sizeOverflow, asked: 1 << 63, limit: constraints.maximumMappingSize) }
            total = sum
        }
        guard total <= rules.largest else { throw DMAError(.mappingTooLarge, asked: total, limit: rules.largest) }
        return total
    }

    /// Allocates bounce memory for each entry that the device cannot reach. Returns the bytes of all entries.
    private func standIns(for parts: MappingParts, _ kind: MappingKind) throws(DMAError) -> UInt64 {
        let total = try size(of: parts)
        for index in parts.entries.indices {
            let entry = parts.entries[index]
            let memory = parts.words[entry.buffer]
            let address = memory.base &+ UInt64(entry.offset)
            guard let reason = rules.obstacle(to: address, UInt64(entry.count), memory, kind, constraints.alignment) else {
                continue
            }
            guard constraints.allowsBounce, kind != .coherent else { throw reason }
            let standIn = try bounceMemory(entry.count, instead: reason)
            if parts.bounces.isEmpty { parts.bounces = [UInt64](repeating: 0, count: parts.entries.count) }
            parts.bounces[index] = standIn.address
            parts.bounceMemories.append(standIn)
        }
        return total
    }

    /// One bounce buffer for all entries, one after the other. Returns their bytes.
    private func gather(_ parts: MappingParts, instead reason: DMAError) throws(DMAError) -> UInt64 {
        let total = try size(of: parts)
        let standIn = try bounceMemory(Int(clamping: total), instead: reason)
        parts.bounceMemories = [standIn]
        parts.bounces = []
        parts.bounces.reserveCapacity(parts.entries.count)
        var address = standIn.address
        for entry in parts.entries {
            parts.bounces.append(address)
            address &+= UInt64(entry.count)
        }
        return total
    }

    /// The entries, with bounce memory in place of those that need it.
    private func asTheDeviceSees(_ parts: MappingParts) -> ([ScatterList.Entry], [MemoryWords]) {
        guard !parts.bounces.isEmpty else { return (parts.entries, parts.words) }
        let words = parts.words + parts.bounceMemories.map { MemoryWords($0) }
        let entries = parts.entries.indices.map { index in
            let (entry, address) = (parts.entries[index], parts.bounces[index])
            // Bounced entries are few, and in the worst case each takes one page.
            guard address != 0, let number = words.lastIndex(where: { $0.owns(address, address) && $0.extentEnd > address })
            else { return entry }
            return ScatterList.Entry(buffer: number, offset: Int(address &- words[number].base), count: entry.count)
        }
        return (entries, words)
    }

    private func bounceMemory(_ count: Int, instead reason: DMAError) throws(DMAError) -> Memory {
        var policy = AllocationPolicy()
        if !isTranslated { policy.below = constraints.streamingMask }
        let alignment = max(constraints.alignment, constraints.cacheLineSize, space.granule)
        // Whole pages of the IOMMU's size, which may be larger than the CPU's: no other data shares one.
        let (sum, overflow) = UInt64(count).addingReportingOverflow(rules.pageMask)
        let whole = overflow ? .max : sum & ~rules.pageMask
        do throws(DMAError) {
            return try Memory(
                count: Int(clamping: whole), alignment: Int(clamping: alignment), backing: defaultBacking, policy: policy)
        } catch {
            // No memory that the device can reach is available: report the reason why the entry needed it.
            throw error.code == .noAddressSpace || error.code == .badAlignment ? reason : error
        }
    }

    /// The backing of memory for this device: with a file, where the backend requires one.
    var defaultBacking: Backing {
        rules.needsDescriptor ? .sharedMemory(name: "swift-dma") : .pages(transparentHuge: false)
    }

    // MARK: Bus addresses

    /// A larger number of segments is refused whatever the device's constraints say: it is a mistake in them.
    private static var mostSegments: Int { 1 << 20 }

    /// Assigns a bus address to every entry, and makes the regions and the backend's runs.
    ///
    /// - Returns: bytes of all entries; nil where the device cannot reach one of them.
    private func layOut(
        _ parts: MappingParts, _ entries: [ScatterList.Entry], _ words: [MemoryWords], _ kind: MappingKind,
        _ access: DeviceAccess
    ) throws(DMAError) -> UInt64? {
        // SAFETY: there is room for that many regions and runs, one of each for every entry.
        let regions = unsafe parts.makeRoom(for: entries.count)
        let runs = unsafe rules.isTranslated || backend.isThere ? parts.makeRunRoom(for: entries.count) : nil
        let cut = unsafe RunCutter(rules: rules, kind: kind, regions: regions, runs: runs).cut(entries, words)
        guard cut.isReached, cut.bytes <= rules.largest else { return nil }
        parts.runCount = cut.runs
        parts.regionCount = cut.regions
        let key = RegionWords.key(id, access)
        if rules.isTranslated { try takeAddresses(parts, cut.length, kind, UInt64(words.first?.alignment ?? 1)) }
        do throws(DMAError) {
            try makeRegions(parts, kind, key)
        } catch {
            giveBackAddresses(of: parts)
            throw error
        }
        return cut.bytes
    }

    private func spareAddress(_ count: UInt64, _ kind: MappingKind, _ asked: UInt64) -> UInt64? {
        registry.withShard(registry.ownShard) { spareAddress(count, kind, asked, of: &$0) }
    }

    /// Allocates addresses for the runs: one range for all of them if possible, so that they can merge (rule 32). Runs and
    /// regions count from 0 before, and have their addresses afterwards.
    private func takeAddresses(
        _ parts: MappingParts, _ total: UInt64, _ kind: MappingKind, _ asked: UInt64
    ) throws(DMAError) {
        // SAFETY: the counts are those of the initialized elements in the parts' memory.
        guard let runs = unsafe parts.runs, let regions = unsafe parts.regions else { return }
        let first = unsafe runs[0]
        do throws(DMAError) {
            let base: UInt64
            if let spare = spareAddress(total, kind, asked) {
                base = spare
            } else {
                base = try address(total, for: BusRange(start: first.source.address, count: total), kind, asked)
            }
            parts.addresses = BusRange(start: base, count: total)
            for index in 0..<parts.runCount { unsafe runs[index].iova &+= base }
            for index in 0..<parts.regionCount { unsafe regions[index].start &+= base }
            return
        } catch {
            guard error.code == .noAddressSpace, parts.runCount > 1 else { throw error }
        }
        // A range for each run. A region that spans runs is split between them, because their addresses are not adjacent any
        // more.
        var ranges: [BusRange] = []
        var rest = (0..<parts.regionCount).map { unsafe BusRange(start: regions[$0].start, count: regions[$0].count) }
        rest.reverse()
        for index in 0..<parts.runCount {
            let run = unsafe runs[index]
            let base: UInt64
            do throws(DMAError) {
                base = try address(run.count, for: BusRange(start: run.source.address, count: run.count), kind, asked)
            } catch {
                giveBackAddresses(of: parts)
                throw error
            }
            let taken = BusRange(start: base, count: run.count)
            if index == 0 { parts.addresses = taken } else { parts.moreAddresses.append(taken) }
            while let part = rest.last, part.start < run.iova &+ run.count {
                let inside = min(part.count, run.iova &+ run.count &- part.start)
                ranges.append(BusRange(start: base &+ (part.start &- run.iova), count: inside))
                rest.removeLast()
                if inside < part.count {
                    rest.append(BusRange(start: part.start &+ inside, count: part.count &- inside))
                    break
                }
            }
            unsafe runs[index].iova = base
        }
        parts.setRegions(ranges)
    }

    /// Splits the ranges into segments that meet the device's constraints, and makes regions of them.
    private func makeRegions(_ parts: MappingParts, _ kind: MappingKind, _ key: UInt64) throws(DMAError) {
        // Coherent memory holds rings and tables, which no descriptor of the device uses as a scatter list.
        let limit = kind == .coherent ? Self.mostSegments : min(constraints.maximumSegments, Self.mostSegments)
        let cutter = rules.segments
        if cutter.cuts {
            let ranges = parts.ranges
            if !cutter.isWhole(ranges) {
                guard let cut = cutter.segments(of: ranges, limit: Self.mostSegments) else {
                    throw DMAError(.tooManySegments, asked: UInt64(Self.mostSegments) + 1, limit: UInt64(limit))
                }
                parts.setRegions(cut)
            }
        }
        guard parts.regionCount <= limit else {
            throw DMAError(.tooManySegments, asked: UInt64(parts.regionCount), limit: UInt64(limit))
        }
        if kind != .coherent, cutter.virtualBoundary != 0, let seam = cutter.gap(in: parts.ranges) {
            throw DMAError(.segmentGap, asked: seam, limit: constraints.virtualBoundary)
        }
        // SAFETY: as many regions are initialized as the parts say.
        guard let regions = unsafe parts.regions else { return }
        let count = parts.regionCount
        for index in 0..<count { unsafe regions[index].key = key }
        parts.makeLists()
    }

    // MARK: The registry and the backend

    /// Enters the mapping in the registry, and programs the backend.
    func enlist(
        _ kind: MappingKind, _ parts: MappingParts, _ direction: Direction, _ origin: Origin, _ total: UInt64, _ isRaw: Bool
    ) throws(DMAError) -> UnsafeMutablePointer<MappingRecord> {
        // SAFETY: the record is written under the lock of its shard, out of which it was taken, and is this call's afterwards.
        let number = registry.ownShard
        let bounced = UInt64(parts.bounces.count { $0 != 0 })
        while true {
            var record: UnsafeMutablePointer<MappingRecord>?
            let attempt = registry.withShard(number) { shard -> Attempt in
                if shard.isClosed { return .closed }
                if shard.isHeld { return .held }
                let taken = unsafe shard.take(for: .passUnretained(self))
                unsafe record = unsafe taken
                unsafe taken.pointee.kind = kind
                unsafe taken.pointee.direction = direction
                unsafe taken.pointee.origin = origin
                unsafe taken.pointee.isRaw = isRaw
                unsafe taken.pointee.byteCount = total
                unsafe taken.pointee.parts = parts
                unsafe taken.pointee.entry.count = 0
                if let regions = unsafe parts.regions { unsafe taken.pointee.regions = unsafe regions }
                unsafe taken.pointee.regionCount = parts.regionCount
                shard.count(total)
                shard.statistics.bounces &+= bounced
                guard backend.isThere, shard.isProgrammed else { return .recorded }
                registry.enterBackend(number)
                return .entered
            }
            switch attempt {
            case .entered, .recorded:
                guard let record = unsafe record else { continue }
                if attempt == .entered { unsafe try program(record) }
                return unsafe record
            case .held:
                do throws(DMAError) { try registry.waitWhileHeld(number) } catch {
                    giveBackAddresses(of: parts)
                    throw error
                }
            case .closed, .noAddress:
                giveBackAddresses(of: parts)
                throw DMAError(.domainClosed)
            }
        }
    }

    /// The first sync for the device.
    @unsafe
    private func ready(_ record: UnsafeMutablePointer<MappingRecord>, _ parts: MappingParts) {
        // SAFETY: the caller owns the record, which keeps the memory of its entries.
        if Sanitizer.isEnabled {
            inspect(unsafe LiveMapping(record.pointee), isImported: parts.memories.contains { $0.backing == .imported })
        }
        guard !parts.bounces.isEmpty || !constraints.isCoherent || parts.words.contains(where: { $0.buffer >= 0 }) else {
            return
        }
        var copied: UInt64 = 0
        let direction = unsafe record.pointee.direction
        for index in parts.entries.indices {
            let entry = parts.entry(at: index)
            entry.bracketAccess(begins: false)
            copied &+= unsafe entry.sync(for: .device, 0..<entry.count, direction, constraints)
        }
        countCopied(copied)
    }
}
