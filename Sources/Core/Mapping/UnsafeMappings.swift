// SPDX-License-Identifier: Apache-2.0

internal import DMAEngineKit

extension IOVA {
    /// What ``UnsafeMappings/mapUnchecked(address:count:direction:file:line:)`` answers where mapping fails: `DMA_MAPPING_ERROR`.
    public static var mappingError: IOVA { IOVA(.max) }
}

/// A mapping that was made from a raw address, and what is not yet known about it.
// SAFETY: the record is the registry's, under whose lock it is looked at and taken out.
@safe
struct RawMapping: @unchecked Sendable {
    let record: UnsafeMutablePointer<MappingRecord>
    let kind: MappingKind
    let direction: Direction
    let origin: Origin
    /// What a raw unmap has to repeat: bytes of a single mapping, entries of a list.
    let size: UInt64
    /// False for a word that could be the error value, until somebody has looked.
    var isChecked: Bool
}

/// Raw mappings of imported memory: words, as the kernel's functions take and give them, for code that has pointers and cannot
/// have owners (a C library's callbacks, a ported driver). Nothing here is checked by the compiler; all of it is checked at run
/// time, with an error, and with a report if the ``Sanitizer`` is on.
///
/// The caller vouches, for each mapping made here, that the memory stays valid and is not touched by the CPU in the wrong
/// phase, from the call that maps until the call that unmaps has returned.
///
/// Thread rules: everything may be called from any thread.
public struct UnsafeMappings: Sendable {
    private let domain: Domain

    /// Such mappings in `domain`, which this value keeps alive. The mappings keep nothing alive.
    public init(_ domain: Domain) { self.domain = domain }

    /// `dma_map_single`, with the reason where it fails.
    ///
    /// - Parameters:
    ///   - address: first byte.
    ///   - count: bytes, at least 1.
    ///   - direction: what the device may do.
    ///   - file: for reports.
    ///   - line: for reports.
    /// - Returns: the bus address of the first byte; the others follow it.
    /// - Throws: as ``Buffer/map(for:direction:file:line:)``; `zeroLength`, `sizeOverflow`.
    @unsafe
    public func map(
        address: UnsafeMutableRawPointer, count: Int, direction: Direction, file: StaticString = #fileID, line: UInt = #line
    ) throws(DMAError) -> IOVA {
        // SAFETY: by the contract of this function the memory stays valid until it is unmapped, which is what `rawMemory` asks for.
        let buffer = try unsafe rawMemory(address, count)
        return try mapRaw(.single, [buffer], direction, Origin(file: file, line: line), isChecked: true)[0].start
    }

    /// `dma_map_single` to the letter: a word that may be `IOVA.mappingError`, to be shown to
    /// ``check(_:)`` before it is used. The sanitizer reports mappings that never were.
    @unsafe
    public func mapUnchecked(
        address: UnsafeMutableRawPointer, count: Int, direction: Direction, file: StaticString = #fileID, line: UInt = #line
    ) -> IOVA {
        // SAFETY: as above: the caller vouches for the memory until it is unmapped.
        do throws(DMAError) {
            let buffer = try unsafe rawMemory(address, count)
            return try mapRaw(.single, [buffer], direction, Origin(file: file, line: line), isChecked: false)[0].start
        } catch {
            return .mappingError
        }
    }

    /// `dma_mapping_error`: whether `iova` is a mapping of this domain that was made from a raw address.
    ///
    /// - Throws: `backendFailed` for `IOVA.mappingError`; `notMapped` for a word that is no mapping's first address.
    public func check(_ iova: IOVA) throws(DMAError) {
        if iova == .mappingError { throw DMAError(.backendFailed, asked: iova.rawValue) }
        let isKnown = domain.core.raw.withLock { raw in
            guard let index = raw[iova]?.firstIndex(where: { !$0.isChecked }) else { return raw[iova] != nil }
            raw[iova]?[index].isChecked = true
            return true
        }
        if !isKnown { throw DMAError(.notMapped, asked: iova.rawValue) }
    }

    /// `dma_unmap_single`.
    ///
    /// - Parameters:
    ///   - iova: as the map answered.
    ///   - count: bytes as they were mapped.
    ///   - direction: as it was mapped.
    ///   - file: for reports.
    ///   - line: for reports.
    /// - Throws: `notMapped`; `unmapMismatch` (another size or kind), `wrongDirection`: nothing is unmapped then; what the
    ///   backend says: the mapping is gone, and must be taken for still reachable by the device.
    @unsafe
    public func unmap(
        _ iova: IOVA, count: Int, direction: Direction, file: StaticString = #fileID, line: UInt = #line
    ) throws(DMAError) {
        let call = Origin(file: file, line: line)
        // SAFETY: the record was taken out of the registry, and is this call's.
        let record = unsafe try takeRaw(.single, iova, UInt64(UInt(bitPattern: count)), direction, call).record
        unsafe try domain.core.dissolve(record)?.release()
    }

    /// `dma_map_sg`. Entries are not cut: each must obey the device's longest segment and boundary by itself.
    ///
    /// - Parameters:
    ///   - list: at least one range; none empty.
    ///   - direction: what the device may do.
    ///   - file: for reports.
    ///   - line: for reports.
    /// - Returns: the mapped segments, no more than entries. The first one's start names the mapping.
    /// - Throws: `zeroLength`, `tooManySegments`; `mappingTooLarge` for an entry longer than a segment; `notContiguous` for one
    ///   across the boundary; otherwise as for ``ScatterList/map(for:direction:file:line:)``.
    @unsafe
    public func mapList(
        _ list: [UnsafeMutableRawBufferPointer], direction: Direction, file: StaticString = #fileID, line: UInt = #line
    ) throws(DMAError) -> [MappedRange] {
        // SAFETY: as above, for each entry; the index is one of the list's.
        let call = Origin(file: file, line: line)
        try inspectList(
            unsafe list.map { UInt64($0.count) }, unsafe list.map { UInt64(UInt(bitPattern: $0.baseAddress)) }, call)
        var memories: [Memory] = []
        for index in unsafe list.indices {
            memories.append(try unsafe rawMemory(list[index].baseAddress, list[index].count))
        }
        return try mapRaw(.list, memories, direction, call, isChecked: true)
    }

    /// `dma_unmap_sg`.
    ///
    /// - Parameters:
    ///   - iova: start of the first mapped segment.
    ///   - originalCount: entries as they were asked, not segments as they were mapped (rule 32).
    ///   - direction: as it was mapped.
    ///   - file: for reports.
    ///   - line: for reports.
    /// - Throws: as ``unmap(_:count:direction:file:line:)``; `unmapMismatch` for another number of entries.
    @unsafe
    public func unmapList(
        _ iova: IOVA, originalCount: Int, direction: Direction, file: StaticString = #fileID, line: UInt = #line
    ) throws(DMAError) {
        let call = Origin(file: file, line: line)
        // SAFETY: as for `unmap`.
        let record = unsafe try takeRaw(.list, iova, UInt64(UInt(bitPattern: originalCount)), direction, call).record
        unsafe try domain.core.dissolve(record)?.release()
    }

    /// `dma_sync_single_range_for_cpu`.
    ///
    /// - Parameters:
    ///   - iova: as the map answered.
    ///   - range: bytes, counted from there.
    ///   - direction: as it was mapped, or a part of it: one way of a bidirectional mapping.
    ///   - file: for reports.
    ///   - line: for reports.
    /// - Throws: `notMapped`, `outOfRange`, `wrongDirection`.
    @unsafe
    public func syncForCPU(
        _ iova: IOVA, range: Range<Int>, direction: Direction, file: StaticString = #fileID, line: UInt = #line
    ) throws(DMAError) {
        try syncRaw(iova, range, direction, .cpu, Origin(file: file, line: line))
    }

    /// `dma_sync_single_range_for_device`. Parameters and errors as for ``syncForCPU(_:range:direction:file:line:)``.
    @unsafe
    public func syncForDevice(
        _ iova: IOVA, range: Range<Int>, direction: Direction, file: StaticString = #fileID, line: UInt = #line
    ) throws(DMAError) {
        try syncRaw(iova, range, direction, .device, Origin(file: file, line: line))
    }

    // MARK: Implementation

    @unsafe
    private func rawMemory(_ address: UnsafeMutableRawPointer?, _ count: Int) throws(DMAError) -> Memory {
        // SAFETY: the callers' own contract: the memory stays valid until it is unmapped. A count that is negative, or without
        // memory, was refused or is 0.
        guard count >= 0 else { throw DMAError(.sizeOverflow, asked: UInt64(UInt(bitPattern: count)), limit: 1 << 47) }
        return try unsafe Memory(
            unsafeImporting: UnsafeMutableRawBufferPointer(start: address, count: address == nil ? 0 : count), onRelease: nil)
    }

    private func mapRaw(
        _ kind: MappingKind, _ memories: [Memory], _ direction: Direction, _ call: Origin, isChecked: Bool
    ) throws(DMAError) -> [MappedRange] {
        // SAFETY: the record is this call's until it is the registry's.
        let record: UnsafeMutablePointer<MappingRecord>
        if kind == .list {
            let parts = MappingParts()
            parts.memories = memories
            parts.words = memories.map { MemoryWords($0) }
            parts.entries = memories.indices.map { ScatterList.Entry(buffer: $0, offset: 0, count: memories[$0].count) }
            unsafe record = try domain.core.establish(kind, parts, direction, call, isRaw: true)
        } else {
            unsafe record = try domain.core.establish(kind, retaining: memories[0], direction, call, isRaw: true)
        }
        let ranges = unsafe record.pointee.regionWords.map { MappedRange($0) }
        let size = kind == .list ? UInt64(memories.count) : UInt64(memories[0].count)
        let mapping = unsafe RawMapping(
            record: record, kind: kind, direction: direction, origin: call, size: size, isChecked: isChecked)
        domain.core.raw.withLock { raw in raw[ranges[0].start, default: []].append(mapping) }
        return ranges
    }

    /// Finds the mapping that a call names and takes it out of the registry.
    ///
    /// The same bytes may be mapped more than once where nothing translates; as the kernel does, the best match is taken.
    private func takeRaw(
        _ kind: MappingKind, _ iova: IOVA, _ size: UInt64, _ direction: Direction, _ call: Origin
    ) throws(DMAError) -> RawMapping {
        func matches(_ mapping: RawMapping) -> Bool {
            mapping.kind == kind && mapping.direction == direction && mapping.size == size
        }
        let (taken, nearest) = domain.core.raw.withLock { raw -> (RawMapping?, RawMapping?) in
            guard let entries = raw[iova] else { return (nil, nil) }
            guard let index = entries.firstIndex(where: matches) else { return (nil, entries.first) }
            let entry = raw[iova]?.remove(at: index)
            if raw[iova]?.isEmpty == true { raw[iova] = nil }
            return (entry, nil)
        }
        if let taken {
            if !taken.isChecked {
                Sanitizer.report(
                    .mapErrorUnchecked, domain.id, "the mapping at \(iova) ends, and its result was never checked",
                    at: call,
                    mapping: taken.origin)
            }
            return taken
        }
        guard let nearest else {
            let isNothing = iova == .mappingError || iova.rawValue == 0
            Sanitizer.report(
                isNothing ? .unmapInvalidAddress : .unmapNotMapped, domain.id,
                isNothing ? "\(iova) is never a mapping" : "nothing is mapped at \(iova) from a raw address", at: call)
            throw DMAError(.notMapped, asked: iova.rawValue)
        }
        if nearest.kind != kind {
            Sanitizer.report(
                .unmapOtherKind, domain.id, "a \(nearest.kind.name) mapping is ended as a \(kind.name) one", at: call,
                mapping: nearest.origin)
            throw DMAError(.unmapMismatch, asked: size, limit: nearest.size)
        }
        if nearest.size != size {
            Sanitizer.report(
                kind == .list ? .unmapOtherCount : .unmapOtherSize, domain.id,
                "mapped with \(nearest.size), ended with \(size) \(kind == .list ? "entries" : "bytes")", at: call,
                mapping: nearest.origin)
            throw DMAError(.unmapMismatch, asked: size, limit: nearest.size)
        }
        Sanitizer.report(
            .unmapOtherDirection, domain.id, "mapped \(nearest.direction), ended \(direction)", at: call,
            mapping: nearest.origin)
        throw DMAError(.wrongDirection)
    }

    private func syncRaw(
        _ iova: IOVA, _ range: Range<Int>, _ direction: Direction, _ turn: MappedEntry.Turn, _ call: Origin
    ) throws(DMAError) {
        // SAFETY: the registry's records stay while its lock is held: a sync races with no unmap.
        let (found, total) = try domain.core.raw.withLock { raw throws(DMAError) -> (RawMapping?, Int) in
            let candidates = raw[iova] ?? []
            guard let found = candidates.first(where: { $0.direction == direction }) ?? candidates.first else {
                return (nil, 0)
            }
            let record = unsafe found.record
            let total = Int(clamping: unsafe record.pointee.byteCount)
            guard found.direction == direction || found.direction == .bidirectional, range.lowerBound >= 0,
                range.upperBound <= total
            else { return (found, total) }
            var start = 0
            for index in 0..<(unsafe record.pointee.entryCount) {
                let count = unsafe record.pointee.entry(at: index).count
                let part = range.clamped(to: start..<start + count)
                if !part.isEmpty {
                    unsafe try domain.core.sync(
                        record, entry: index, part.lowerBound - start..<part.upperBound - start, for: turn)
                }
                start += count
            }
            return (found, total)
        }
        // Reports are made without the lock.
        guard let found else {
            Sanitizer.report(.syncNotMapped, domain.id, "nothing is mapped at \(iova) from a raw address", at: call)
            throw DMAError(.notMapped, asked: iova.rawValue)
        }
        guard found.direction == direction || found.direction == .bidirectional else {
            Sanitizer.report(
                .syncWrongDirection, domain.id, "mapped \(found.direction), synced \(direction)", at: call,
                mapping: found.origin)
            throw DMAError(.wrongDirection)
        }
        guard range.lowerBound >= 0, range.upperBound <= total else {
            Sanitizer.report(
                .syncOutOfRange, domain.id, "bytes \(range.lowerBound) to \(range.upperBound) of \(total)", at: call,
                mapping: found.origin)
            let asked = range.lowerBound < 0 ? range.lowerBound : range.upperBound
            throw DMAError(.outOfRange, asked: UInt64(UInt(bitPattern: asked)), limit: UInt64(total))
        }
    }

    /// What an entry of a raw list must obey by itself, because nothing cuts it.
    private func inspectList(_ counts: [UInt64], _ addresses: [UInt64], _ call: Origin) throws(DMAError) {
        let rules = SegmentRules(domain.constraints)
        if counts.count > domain.constraints.maximumSegments {
            Sanitizer.report(
                .listTooLong, domain.id,
                "a list of \(counts.count) entries for a device that takes \(domain.constraints.maximumSegments)",
                at: call)
            throw DMAError(.tooManySegments, asked: UInt64(counts.count), limit: UInt64(domain.constraints.maximumSegments))
        }
        for (index, count) in counts.enumerated() {
            if count > rules.maximum {
                Sanitizer.report(
                    .segmentTooLong, domain.id, "entry \(index) has \(count) bytes, the longest segment \(rules.maximum)",
                    at: call)
                throw DMAError(.mappingTooLarge, asked: count, limit: rules.maximum)
            }
            if rules.crossesBoundary(BusRange(start: addresses[index], count: count)) {
                Sanitizer.report(
                    .segmentAcrossBoundary, domain.id,
                    "entry \(index) at 0x\(String(addresses[index], radix: 16)) crosses a multiple of \(rules.boundary)",
                    at: call)
                throw DMAError(.notContiguous, asked: count, limit: rules.boundary - (addresses[index] & (rules.boundary - 1)))
            }
        }
    }
}
