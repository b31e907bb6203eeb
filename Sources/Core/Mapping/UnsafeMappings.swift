// SPDX-License-Identifier: Apache-2.0

internal import DMAEngineKit

extension IOVA {
    /// The result of ``UnsafeMappings/mapUnchecked(address:count:direction:file:line:)`` where mapping fails:
    /// `DMA_MAPPING_ERROR`.
    public static var mappingError: IOVA { IOVA(.max) }
}

/// A mapping that was made from a raw address, and whether its result was checked.
// SAFETY: the record belongs to the registry, and is read and removed under its lock.
@safe
struct RawMapping: @unchecked Sendable {
    let record: UnsafeMutablePointer<MappingRecord>
    let kind: MappingKind
    let direction: Direction
    let origin: Origin
    /// The value that a raw unmap must repeat: bytes of a single mapping, entries of a list.
    let size: UInt64
    /// False for a result that could be the error value, until it was checked.
    var isChecked: Bool
}

/// Raw mappings of imported memory, with the signatures of the kernel's functions, for code that has pointers and cannot have
/// owners (a C library's callbacks, a ported driver). The compiler checks nothing here; everything is checked at run time, with
/// an error, and with a report if the ``Sanitizer`` is on.
///
/// The caller guarantees, for each mapping made here, that the memory stays valid and that the CPU does not access it while the
/// device owns it, from the call that maps until the call that unmaps has returned.
///
/// Thread rules: all functions may be called from any thread.
public struct UnsafeMappings: Sendable {
    private let domain: Domain

    /// Raw mappings in `domain`, which this value keeps alive. The mappings keep nothing alive.
    public init(_ domain: Domain) { self.domain = domain }

    /// `dma_map_single`, with a reason where it fails.
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

    /// `dma_map_single` as in the kernel: the result may be `IOVA.mappingError`, and must be passed to ``check(_:)`` before it
    /// is used. The sanitizer reports results that were not checked.
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

    /// `dma_mapping_error`: checks that `iova` is a mapping of this domain that was made from a raw address.
    ///
    /// - Throws: `backendFailed` for `IOVA.mappingError`; `notMapped` for a value that is no mapping's first address.
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
    ///   - iova: the result of the map.
    ///   - count: the mapped number of bytes.
    ///   - direction: the mapping's direction.
    ///   - file: for reports.
    ///   - line: for reports.
    /// - Throws: `notMapped`; `unmapMismatch` (another size or kind), `wrongDirection`: nothing is unmapped then; errors of the
    ///   backend: the mapping is removed, and the device may still reach the memory.
    @unsafe
    public func unmap(
        _ iova: IOVA, count: Int, direction: Direction, file: StaticString = #fileID, line: UInt = #line
    ) throws(DMAError) {
        let call = Origin(file: file, line: line)
        // SAFETY: the record was taken out of the registry, and is this call's.
        let record = unsafe try takeRaw(.single, iova, UInt64(UInt(bitPattern: count)), direction, call).record
        unsafe try domain.core.dissolve(record)?.release()
    }

    /// `dma_map_sg`. Entries are not split: each must meet the device's limits on segment size and boundary by itself.
    ///
    /// - Parameters:
    ///   - list: at least one range; none empty.
    ///   - direction: what the device may do.
    ///   - file: for reports.
    ///   - line: for reports.
    /// - Returns: the mapped segments, at most as many as entries. The start of the first one identifies the mapping.
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
    ///   - originalCount: the number of original entries, not of mapped segments (rule 32).
    ///   - direction: the mapping's direction.
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
    ///   - iova: the result of the map.
    ///   - range: bytes, counted from there.
    ///   - direction: the mapping's direction or, for a bidirectional mapping, either way.
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
        // SAFETY: the record belongs to this call until it is entered in the registry.
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

    /// Finds the mapping that a call refers to and removes it from the registry.
    ///
    /// The same bytes may be mapped more than once without translation; as in the kernel, the best match is taken.
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
                    .mapErrorUnchecked, domain.id, "the mapping at \(iova) is unmapped, and its result was never checked",
                    at: call,
                    mapping: taken.origin)
            }
            return taken
        }
        guard let nearest else {
            let isNothing = iova == .mappingError || iova.rawValue == 0
            Sanitizer.report(
                isNothing ? .unmapInvalidAddress : .unmapNotMapped, domain.id,
                isNothing ? "\(iova) cannot be a mapping" : "nothing is mapped at \(iova) from a raw address", at: call)
            throw DMAError(.notMapped, asked: iova.rawValue)
        }
        if nearest.kind != kind {
            Sanitizer.report(
                .unmapOtherKind, domain.id, "a \(nearest.kind.name) mapping is unmapped as a \(kind.name) one", at: call,
                mapping: nearest.origin)
            throw DMAError(.unmapMismatch, asked: size, limit: nearest.size)
        }
        if nearest.size != size {
            Sanitizer.report(
                kind == .list ? .unmapOtherCount : .unmapOtherSize, domain.id,
                "mapped with \(nearest.size), unmapped with \(size) \(kind == .list ? "entries" : "bytes")", at: call,
                mapping: nearest.origin)
            throw DMAError(.unmapMismatch, asked: size, limit: nearest.size)
        }
        Sanitizer.report(
            .unmapOtherDirection, domain.id, "mapped \(nearest.direction), unmapped \(direction)", at: call,
            mapping: nearest.origin)
        throw DMAError(.wrongDirection)
    }

    private func syncRaw(
        _ iova: IOVA, _ range: Range<Int>, _ direction: Direction, _ turn: MappedEntry.Turn, _ call: Origin
    ) throws(DMAError) {
        // SAFETY: the registry's records stay while its lock is held: no unmap can run during a sync.
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
        // Reports are made after the lock is released.
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

    /// Limits that an entry of a raw list must meet by itself, because entries are not split.
    private func inspectList(_ counts: [UInt64], _ addresses: [UInt64], _ call: Origin) throws(DMAError) {
        let rules = SegmentRules(domain.constraints)
        if counts.count > domain.constraints.maximumSegments {
            Sanitizer.report(
                .listTooLong, domain.id,
                "a list has \(counts.count) entries, the device takes at most \(domain.constraints.maximumSegments)",
                at: call)
            throw DMAError(.tooManySegments, asked: UInt64(counts.count), limit: UInt64(domain.constraints.maximumSegments))
        }
        for (index, count) in counts.enumerated() {
            if count > rules.maximum {
                Sanitizer.report(
                    .segmentTooLong, domain.id, "entry \(index) has \(count) bytes, a segment at most \(rules.maximum)",
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
