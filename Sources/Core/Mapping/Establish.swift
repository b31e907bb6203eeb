// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAEngineKit

/// Making a mapping: bounce what the device cannot reach, find bus addresses, program the backend, cut into segments.
extension Domain {
    /// - Parameter entries: each inside its memory, none empty.
    /// - Throws: as ``Buffer/map(for:direction:file:line:)`` and ``ScatterList/map(for:direction:file:line:)``. Nothing is left
    ///   mapped then (rule 31).
    func establish(
        _ kind: MappingKind, _ entries: [MappedEntry], _ direction: Direction, _ origin: Origin
    ) throws(DMAError) -> MappingCore {
        do throws(DMAError) {
            return try establishOrThrow(kind, entries, direction, origin)
        } catch {
            registry.state.withLock { $0.statistics.refusals += 1 }
            throw error
        }
    }

    private func establishOrThrow(
        _ kind: MappingKind, _ entries: [MappedEntry], _ direction: Direction, _ origin: Origin
    ) throws(DMAError) -> MappingCore {
        if generation != cdma_fork_generation() { throw DMAError(.usedAfterFork) }
        if registry.state.withLock({ $0.isClosed }) { throw DMAError(.domainClosed) }
        guard !entries.isEmpty else { throw DMAError(.zeroLength) }
        if kind == .coherent, !constraints.isCoherent { throw DMAError(.notCoherent) }
        var total: UInt64 = 0
        for entry in entries {
            let (sum, overflow) = total.addingReportingOverflow(UInt64(entry.count))
            guard !overflow else { throw DMAError(.sizeOverflow, asked: 1 << 63, limit: constraints.maximumMappingSize) }
            total = sum
        }
        // Besides the device's own limit: no more than an Int counts, so that sums of entries cannot overflow later.
        let largest = min(constraints.maximumMappingSize, UInt64(Int.max))
        guard total <= largest else {
            throw DMAError(.mappingTooLarge, asked: total, limit: largest)
        }
        let identifier = Self.nextIdentifier()
        var core = MappingCore(identifier: identifier, kind: kind, direction: direction, origin: origin, entries: entries)
        for index in core.entries.indices {
            guard let reason = obstacle(to: core.entries[index], kind) else { continue }
            guard constraints.allowsBounce, kind != .coherent else { throw reason }
            core.entries[index].bounce = try bounceMemory(core.entries[index].count, instead: reason)
        }
        do throws(DMAError) {
            try place(&core)
        } catch {
            guard error.code == .tooManySegments, constraints.allowsBounce, kind == .list else { throw error }
            // The device takes fewer pieces than there are: gather them in one.
            let memory = try bounceMemory(Int(total), instead: error)
            var offset = 0
            for index in core.entries.indices {
                core.entries[index].bounce = memory
                core.entries[index].bounceOffset = offset
                offset += core.entries[index].count
            }
            try place(&core)
        }
        if Sanitizer.isEnabled { inspect(core) }
        var copied: UInt64 = 0
        for entry in core.entries {
            entry.memory.bracketAccess(begins: false)
            copied += entry.sync(for: .device, 0..<entry.count, direction, constraints)
        }
        register(core, copied: copied)
        return core
    }

    /// Why the device cannot work on the entry where it lies, or nil.
    private func obstacle(to entry: MappedEntry, _ kind: MappingKind) -> DMAError? {
        let address = entry.cpuAddress
        let count = UInt64(entry.count)
        let unit: UInt64
        switch translation {
        case .identity, .announced:
            if !mask(kind).reaches(IOVA(address), count: count) {
                return DMAError(.unreachableAddress, asked: address, limit: mask(kind).rawValue)
            }
            unit = constraints.alignment
        case .translated:
            // The IOMMU maps whole pages: what shares one with the entry would be open to the device as well.
            guard let padded = padded(address, count, to: granule),
                entry.memory.owns(padded.start, count: padded.count)
            else { return DMAError(.misaligned, asked: address, limit: granule) }
            // Bits above the page are chosen when the address is; those below are the CPU's.
            unit = min(constraints.alignment, granule)
        }
        if address & (unit - 1) != 0 || (unit < constraints.alignment && address & (granule - 1) != 0) {
            return DMAError(.misaligned, asked: address, limit: constraints.alignment)
        }
        if !constraints.isCoherent {
            guard let lines = padded(address, count, to: constraints.cacheLineSize),
                entry.memory.owns(lines.start, count: lines.count)
            else { return DMAError(.sharedCacheLine, asked: address, limit: constraints.cacheLineSize) }
        }
        return nil
    }

    private func mask(_ kind: MappingKind) -> DMAMask {
        kind == .coherent ? constraints.coherentMask : constraints.streamingMask
    }

    /// The least range of whole units around a range; nil where that leaves the address space.
    private func padded(_ start: UInt64, _ count: UInt64, to unit: UInt64) -> BusRange? {
        let (end, overflow) = start.addingReportingOverflow(count)
        let (up, carry) = end.addingReportingOverflow(unit - 1)
        if overflow || carry { return nil }
        let low = start & ~(unit - 1)
        return BusRange(start: low, count: (up & ~(unit - 1)) - low)
    }

    private func bounceMemory(_ count: Int, instead reason: DMAError) throws(DMAError) -> Memory {
        var policy = AllocationPolicy()
        if !isTranslated { policy.below = constraints.streamingMask }
        let alignment = max(constraints.alignment, constraints.cacheLineSize, granule)
        // Whole pages of the IOMMU's size, which may be larger than the CPU's: nothing foreign shares one.
        let whole = padded(0, UInt64(count), to: granule)?.count ?? .max
        do throws(DMAError) {
            return try Memory(
                count: Int(clamping: whole), alignment: Int(clamping: alignment), backing: .pages(transparentHuge: false),
                policy: policy)
        } catch {
            // Memory that the device can reach is not to be had: the reason for wanting it is the answer.
            throw error.code == .noAddressSpace || error.code == .badAlignment ? reason : error
        }
    }

    // MARK: Bus addresses

    /// More segments than this are refused whatever the device says: they are a mistake in its constraints.
    private static var mostSegments: Int { 1 << 20 }

    /// Gives every entry its bus address and sets the regions.
    private func place(_ core: inout MappingCore) throws(DMAError) {
        let ranges =
            switch translation {
            case .identity: core.entries.map { BusRange(start: $0.deviceAddress, count: UInt64($0.count)) }
            case .announced(let backend): try announce(&core, backend)
            case .translated(let backend, _, _): try translate(&core, backend)
            }
        let rules = SegmentRules(constraints)
        // Coherent memory holds rings and tables, which no descriptor of the device points at as a list.
        let limit = core.kind == .coherent ? Self.mostSegments : min(constraints.maximumSegments, Self.mostSegments)
        guard let segments = rules.segments(of: ranges, limit: limit) else {
            let count = rules.segments(of: ranges, limit: Self.mostSegments)?.count ?? Self.mostSegments + 1
            withdrawOrPark(&core)
            throw DMAError(.tooManySegments, asked: UInt64(count), limit: UInt64(limit))
        }
        core.regions = segments.map { segment in
            RegionWords(start: segment.start, count: segment.count, key: RegionWords.key(id, core.direction.access))
        }
    }

    /// Tells the backend of each entry, at the address it has.
    private func announce(_ core: inout MappingCore, _ backend: any MappingBackend) throws(DMAError) -> [BusRange] {
        for entry in core.entries {
            let range = BusRange(start: entry.deviceAddress, count: UInt64(entry.count))
            do throws(DMAError) {
                try backend.map(
                    at: IOVA(range.start), address: UInt(range.start), count: range.count, access: core.direction.access)
            } catch {
                withdrawOrPark(&core)
                throw error
            }
            core.translations.append(range)
        }
        return core.translations
    }

    /// A stretch of CPU addresses that is mapped by one call of the backend.
    private struct Run {
        var pages: BusRange
        var end: UInt64
        var iova: UInt64 = 0
    }

    private func translate(
        _ core: inout MappingCore, _ backend: any MappingBackend
    ) throws(DMAError) -> [BusRange] {
        var runs: [Run] = []
        var runOfEntry: [Int] = []
        for entry in core.entries {
            let start = entry.deviceAddress
            let count = UInt64(entry.count)
            if let last = runs.last, last.end == start,
                let longer = padded(last.pages.start, start + count - last.pages.start, to: granule)
            {
                runs[runs.count - 1].pages = longer
                runs[runs.count - 1].end = start + count
            } else {
                guard let pages = padded(start, count, to: granule) else {
                    throw DMAError(.sizeOverflow, asked: count, limit: .max - start)
                }
                runs.append(Run(pages: pages, end: start + count))
            }
            runOfEntry.append(runs.count - 1)
        }
        try allocate(&runs, &core)
        for run in runs {
            do throws(DMAError) {
                try backend.map(
                    at: IOVA(run.iova), address: UInt(run.pages.start), count: run.pages.count, access: core.direction.access)
            } catch {
                withdrawOrPark(&core)
                throw error
            }
            core.translations.append(BusRange(start: run.iova, count: run.pages.count))
        }
        return core.entries.indices.map { index in
            let entry = core.entries[index]
            let run = runs[runOfEntry[index]]
            return BusRange(start: run.iova + (entry.deviceAddress - run.pages.start), count: UInt64(entry.count))
        }
    }

    /// Takes addresses for the runs: one range for all of them where there is one, so that they can merge (rule 32).
    private func allocate(_ runs: inout [Run], _ core: inout MappingCore) throws(DMAError) {
        let unit = max(granule, constraints.alignment)
        var offsets: [UInt64] = []
        var total: UInt64 = 0
        for run in runs {
            offsets.append(total)
            let (up, overflow) = run.pages.count.addingReportingOverflow(unit - 1)
            let (sum, carry) = total.addingReportingOverflow(up & ~(unit - 1))
            guard !overflow, !carry else { throw DMAError(.sizeOverflow, asked: run.pages.count, limit: .max - total) }
            total = sum
        }
        do throws(DMAError) {
            let base = try allocate(total, for: runs[0].pages, core)
            core.allocations = [BusRange(start: base, count: total)]
            for index in runs.indices { runs[index].iova = base + offsets[index] }
        } catch {
            guard error.code == .noAddressSpace, runs.count > 1 else { throw error }
            for index in runs.indices {
                do throws(DMAError) {
                    runs[index].iova = try allocate(runs[index].pages.count, for: runs[index].pages, core)
                } catch {
                    withdrawOrPark(&core)
                    throw error
                }
                core.allocations.append(BusRange(start: runs[index].iova, count: runs[index].pages.count))
            }
        }
    }

    /// Tries the best place first: aligned as the CPU's memory and to the largest page that the run fills, inside one segment
    /// boundary. Only coherent memory insists on the first.
    private func allocate(_ count: UInt64, for pages: BusRange, _ core: MappingCore) throws(DMAError) -> UInt64 {
        let asked = UInt64(core.entries[0].memory.alignment)
        let least = max(granule, constraints.alignment, core.kind == .coherent ? asked : 1)
        let largePage = pageSizes.last { $0 <= pages.count && pages.start & ($0 - 1) == 0 } ?? granule
        let boundary = count <= constraints.segmentBoundary ? constraints.segmentBoundary : 0
        let limit = mask(core.kind).rawValue
        let wishes = [(max(least, largePage, asked), boundary), (least, boundary), (least, 0)]
        return try registry.state.withLock { state throws(DMAError) in
            var refusal = DMAError(.noAddressSpace, asked: count, limit: limit)
            for (alignment, boundary) in wishes {
                do throws(DMAError) {
                    return try state.allocator.allocate(count, alignment: alignment, boundary: boundary, limit: limit).rawValue
                } catch { refusal = error }
            }
            throw refusal
        }
    }
}
