// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAEngineKit

/// Calls to the backend at the beginning and the end of a mapping.
extension DomainCore {
    /// The kernel's EEXIST (errno-base.h).
    private static var exists: Int32 { 17 }

    /// Programs all runs of a record in the backend, or none. The caller has entered the backend, which is left here.
    ///
    /// - Throws: errors of the backend. The record is freed then. For a mapping with one piece, the caller owns the memory
    ///   again.
    @unsafe
    func program(_ record: UnsafeMutablePointer<MappingRecord>) throws(DMAError) {
        // SAFETY: the caller owns the record.
        var failure: DMAError?
        var done = 0
        let parts = unsafe record.pointee.parts
        let access = unsafe record.pointee.direction.access
        do throws(DMAError) {
            if unsafe record.pointee.run.count > 0 {
                try backend.map(unsafe record.pointee.run, access)
            } else if let parts, let runs = unsafe parts.runs {
                unsafe try backend.map(runs, parts.runCount, access, done: &done)
            }
        } catch { failure = error }
        guard let failure else { return registry.leaveBackend(unsafe record.pointee.shard) }
        // Runs mapped so far are ended again. Those that the backend refuses to end are kept alive, because the device can
        // reach them.
        if let parts {
            parts.runCount = done
            _ = unmapAll(of: parts)
        }
        registry.leaveBackend(unsafe record.pointee.shard)
        guard (parts?.runCount ?? 0) == 0 else {
            unsafe park(record)
            throw failure
        }
        // A mapping of another user lies there, which the device reaches: the address is not allocated again.
        let isRetired = failure.errno == Self.exists && isTranslated
        unsafe record.pointee.memory = nil
        if isRetired { space.retire(unsafe Self.addressBytes(of: record)) }
        unsafe recycle(record, copied: 0, keepsAddresses: isRetired)
        throw failure
    }

    /// Unmaps a run; nil where the device can no longer reach the bytes.
    @inline(__always)
    private func unmap(_ run: TranslatedRun) -> DMAError? {
        do throws(DMAError) {
            try backend.unmap(run)
            return nil
        } catch {
            // Mappings of a device or peer that is proved gone reach no memory any more.
            return backend.isDead ? nil : error
        }
    }

    /// The number of bus address bytes that a record has allocated.
    @unsafe
    private static func addressBytes(of record: UnsafeMutablePointer<MappingRecord>) -> UInt64 {
        // SAFETY: the caller owns the record.
        guard let parts = unsafe record.pointee.parts else { return unsafe record.pointee.run.count }
        return parts.moreAddresses.reduce(parts.addresses.count) { $0 &+ $1.count }
    }

    /// Ends a record's runs in the backend. Returns the first refusal; the refused runs stay in the record then, and its
    /// addresses stay allocated.
    @unsafe
    func withdraw(_ record: UnsafeMutablePointer<MappingRecord>) -> DMAError? {
        // SAFETY: the caller owns the record.
        guard backend.isThere else { return nil }
        // In a child process the mapping belongs to the parent.
        if generation != cdma_fork_generation() { return DMAError(.usedAfterFork) }
        let number = unsafe record.pointee.shard
        if registry.losesMappings {
            switch unsafe enter(record) {
            case .failure(let error): return error
            // The kernel dropped it with the last device.
            case .success(false): return nil
            case .success(true): break
            }
        }
        defer { registry.leaveBackend(number) }
        if unsafe record.pointee.run.count > 0 { return unmap(unsafe record.pointee.run) }
        guard let parts = unsafe record.pointee.parts else { return nil }
        return unmapAll(of: parts)
    }

    /// Ends a mapping's runs in the backend, the last first. Returns the first refusal; refused runs stay in the parts.
    private func unmapAll(of parts: MappingParts) -> DMAError? {
        // SAFETY: as many runs are initialized as the parts say; those that stay move to places before their own.
        guard let runs = unsafe parts.runs else { return nil }
        var refusal: DMAError?
        var left = parts.runCount
        var refused: [TranslatedRun] = []
        while left > 0 {
            do throws(DMAError) { unsafe try backend.unmap(runs, left: &left) } catch {
                // Mappings of a device or peer that is proved gone reach no memory any more.
                if backend.isDead { continue }
                refusal = refusal ?? error
                unsafe refused.append(runs[left])
            }
        }
        for (place, run) in refused.enumerated() { unsafe runs[place] = run }
        // Kept for a later release; all others have ended, and the parts end with the mapping.
        parts.runCount = refused.count
        return refusal
    }

    /// Enters the backend to end a record, once no device is being attached. False where the backend holds no mappings.
    ///
    /// From here on attaching a device does not program the record: its addresses are allocated again when it is recycled.
    @unsafe
    private func enter(_ record: UnsafeMutablePointer<MappingRecord>) -> Result<Bool, DMAError> {
        // SAFETY: the caller owns the record; the flag changes while its shard is locked.
        let number = unsafe record.pointee.shard
        while true {
            let answer = registry.withShard(number) { shard -> Bool? in
                if shard.isHeld { return nil }
                unsafe record.pointee.isWithdrawn = true
                if shard.isProgrammed { registry.enterBackend(number) }
                return shard.isProgrammed
            }
            if let answer { return .success(answer) }
            do throws(DMAError) { try registry.waitWhileHeld(number) } catch { return .failure(error) }
        }
    }
}

/// Ending a mapping.
extension DomainCore {
    /// Ends a mapping: the device can no longer reach it, and data that it wrote to bounce memory has been copied to the
    /// client's memory.
    ///
    /// - Parameter record: the caller's, which must not use it afterwards.
    /// - Returns: the memory of a mapping with one entry: the caller's share.
    /// - Throws: errors of the backend; the memory is in quarantine then.
    @unsafe
    func dissolve(_ record: UnsafeMutablePointer<MappingRecord>) throws(DMAError) -> Unmanaged<Memory>? {
        // SAFETY: the caller owns the record, which keeps the memory of its entries until it is recycled.
        if backend.isThere, let error = unsafe withdraw(record) {
            unsafe park(record)
            throw error
        }
        guard let parts = unsafe record.pointee.parts else {
            if unsafe record.pointee.entry.buffer >= 0 { unsafe record.pointee.entry.bracketAccess(begins: true) }
            let memory = unsafe record.pointee.memory
            unsafe record.pointee.memory = nil
            unsafe recycle(record)
            return unsafe memory
        }
        var copied: UInt64 = 0
        if unsafe record.pointee.wasBounced || !constraints.isCoherent || parts.words.contains(where: { $0.buffer >= 0 }) {
            copied = unsafe takeBack(record)
        }
        let memory = unsafe parts.memories.first.map { unsafe Unmanaged.passRetained($0) }
        unsafe recycle(record, copied: copied)
        return unsafe memory
    }

    /// The last sync for the CPU.
    @unsafe
    private func takeBack(_ record: UnsafeMutablePointer<MappingRecord>) -> UInt64 {
        // SAFETY: as for `dissolve`.
        var copied: UInt64 = 0
        let direction = unsafe record.pointee.direction
        for index in 0..<(unsafe record.pointee.entryCount) {
            let entry = unsafe record.pointee.entry(at: index)
            copied &+= unsafe entry.sync(for: .cpu, 0..<entry.count, direction, constraints)
            entry.bracketAccess(begins: true)
        }
        return copied
    }

    /// Keeps the memory of a mapping alive until its device is known to have stopped, and reports it (rule 18).
    @unsafe
    func park(_ record: UnsafeMutablePointer<MappingRecord>) {
        // SAFETY: the caller owned the record, and the quarantine owns it now.
        Quarantine.park(unsafe ParkedMapping(record, in: self))
    }

    /// Frees a record whose mapping has ended, with everything that it owns, and the core, if this was the last mapping that
    /// kept it: nothing of the core is used after the lock of the shard is released.
    ///
    /// - Parameters:
    ///   - record: of this domain, withdrawn; not used afterwards.
    ///   - copied: bytes copied, for the statistics.
    ///   - keepsAddresses: whether the addresses stay allocated.
    @unsafe @inline(__always)
    func recycle(_ record: UnsafeMutablePointer<MappingRecord>, copied: UInt64 = 0, keepsAddresses: Bool = false) {
        // SAFETY: the caller owns the record, and the shard is its. The registry looks at a record while the shard is locked.
        if unsafe record.pointee.parts != nil { return unsafe recycleParts(record, copied, keepsAddresses) }
        let memory = unsafe record.pointee.memory
        let (start, length) = unsafe (record.pointee.run.iova, record.pointee.run.count)
        let lock = unsafe registry.shards + record.pointee.shard
        let shard = unsafe lock.pointee.acquire()
        if length > 0 {
            unsafe record.pointee.run.count = 0
            if rules.isTranslated, !keepsAddresses,
                unsafe !shard.pointee.addresses.keep(start, granules: length >> rules.pageShift)
            {
                // The address space locks shards itself, so this one must be unlocked. The record is no mapping any more at
                // this point.
                unsafe record.pointee.identifier = 0
                unsafe lock.pointee.release()
                space.free([BusRange(start: start, count: length)])
                _ = unsafe lock.pointee.acquire()
            }
        }
        unsafe shard.pointee.uncount(record.pointee.byteCount)
        let tells = unsafe shard.pointee.isAbandoned && !record.pointee.isRaw
        unsafe shard.pointee.giveBack(record)
        unsafe lock.pointee.release()
        if tells { mappingEnded() }
        if let memory = unsafe memory { unsafe memory.release() }
    }

    @unsafe @inline(never)
    private func recycleParts(_ record: UnsafeMutablePointer<MappingRecord>, _ copied: UInt64, _ keepsAddresses: Bool) {
        // SAFETY: as above.
        let parts = unsafe record.pointee.parts
        if let parts, keepsAddresses {
            parts.addresses = BusRange(start: 0, count: 0)
            parts.moreAddresses = []
        }
        let addresses = parts?.addresses ?? BusRange(start: 0, count: 0)
        let lock = unsafe registry.shards + record.pointee.shard
        let shard = unsafe lock.pointee.acquire()
        if addresses.count > 0,
            unsafe shard.pointee.addresses.keep(addresses.start, granules: addresses.count >> rules.pageShift)
        {
            parts?.addresses = BusRange(start: 0, count: 0)
        }
        if let parts, parts.addresses.count > 0 || !parts.moreAddresses.isEmpty {
            // As above.
            unsafe record.pointee.identifier = 0
            unsafe lock.pointee.release()
            giveBackAddresses(of: parts)
            _ = unsafe lock.pointee.acquire()
        }
        unsafe shard.pointee.uncount(record.pointee.byteCount)
        unsafe shard.pointee.statistics.bouncedBytes &+= copied
        let tells = unsafe shard.pointee.isAbandoned && !record.pointee.isRaw
        unsafe record.pointee.parts = nil
        unsafe record.pointee.pointAtOwnRegion(record)
        unsafe shard.pointee.giveBack(record)
        unsafe lock.pointee.release()
        if tells { mappingEnded() }
        parts?.clear()
    }

    /// Returns a mapping's bus addresses to the address space.
    func giveBackAddresses(of parts: MappingParts) {
        if parts.addresses.count > 0 { space.free([parts.addresses]) }
        parts.addresses = BusRange(start: 0, count: 0)
        guard !parts.moreAddresses.isEmpty else { return }
        space.free(parts.moreAddresses)
        parts.moreAddresses = []
    }

    func countCopied(_ bytes: UInt64) {
        if bytes > 0 { registry.withShard(registry.ownShard) { $0.statistics.bouncedBytes &+= bytes } }
    }
}

/// Syncs of a live mapping.
extension DomainCore {
    /// Writes back and invalidates the cache lines of a part of an entry, where the device does not snoop the CPU's caches;
    /// counted.
    @unsafe
    func maintainCaches(of entry: MappedEntry, _ offset: Int, _ count: Int) {
        // SAFETY: the caller has checked the part against the entry, whose memory it keeps.
        guard !constraints.isCoherent else { return }
        unsafe flush(UnsafeRawPointer(bitPattern: UInt(entry.deviceAddress) &+ UInt(offset)), count)
        registry.withShard(registry.ownShard) { $0.statistics.maintainedBytes &+= UInt64(count) }
    }

    /// Writes back and invalidates cache lines, where the device does not snoop the CPU's caches.
    @unsafe
    func flush(_ start: UnsafeRawPointer?, _ count: Int) {
        // SAFETY: the caller vouches for the range; the bytes do not change.
        guard !constraints.isCoherent, let start = unsafe start else { return }
        _ = unsafe cdma_cache_flush(start, count, Int(constraints.cacheLineSize))
    }

    /// Syncs `range` of one entry; counted. Throws `noSuchRegion`, `outOfRange`.
    @unsafe
    func sync(
        _ record: UnsafeMutablePointer<MappingRecord>, entry index: Int, _ range: Range<Int>, for turn: MappedEntry.Turn
    ) throws(DMAError) {
        // SAFETY: the caller owns the record; index and range are checked.
        let entry = unsafe try entry(index, range, of: record)
        if turn == .cpu { entry.bracketAccess(begins: true) }
        countCopied(unsafe entry.sync(for: turn, range, record.pointee.direction, constraints))
        if turn == .device { entry.bracketAccess(begins: false) }
    }

    /// Entry `index` of a mapping, which contains `range`.
    ///
    /// - Throws: `noSuchRegion`, `outOfRange`.
    @unsafe
    func entry(
        _ index: Int, _ range: Range<Int>, of record: UnsafeMutablePointer<MappingRecord>
    ) throws(DMAError) -> MappedEntry {
        // SAFETY: the caller owns the record.
        let count = unsafe record.pointee.entryCount
        guard index >= 0, index < count else {
            throw DMAError(.noSuchRegion, asked: UInt64(UInt(bitPattern: index)), limit: UInt64(count))
        }
        let entry = unsafe record.pointee.entry(at: index)
        guard range.lowerBound >= 0, range.upperBound <= entry.count else {
            let asked = range.lowerBound < 0 ? range.lowerBound : range.upperBound
            throw DMAError(.outOfRange, asked: UInt64(UInt(bitPattern: asked)), limit: UInt64(entry.count))
        }
        return entry
    }
}
