// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAEngineKit

/// Telling the backend of a mapping's beginning and end.
extension DomainCore {
    /// The kernel's number for "something is there already" (errno-base.h).
    private static var exists: Int32 { 17 }

    /// Tells the backend of everything that a record maps: all of it or nothing. The caller has entered the backend, which is left here.
    ///
    /// - Throws: what the backend says. Then the record is no more.
    /// Of a mapping with one piece, the memory is the caller's again.
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
        // What was mapped until then is ended again. What the backend will not take back is kept alive, because the device reaches it.
        if let parts {
            parts.runCount = done
            _ = unmapAll(of: parts)
        }
        registry.leaveBackend(unsafe record.pointee.shard)
        guard (parts?.runCount ?? 0) == 0 else {
            unsafe park(record)
            throw failure
        }
        // Somebody else's mapping lies there, which the device reaches: nobody of ours is given the address again.
        let isRetired = failure.errno == Self.exists && isTranslated
        unsafe record.pointee.memory = nil
        if isRetired { space.retire(unsafe Self.addressBytes(of: record)) }
        unsafe recycle(record, copied: 0, keepsAddresses: isRetired)
        throw failure
    }

    /// Nil where the device reaches the bytes no more.
    @inline(__always)
    private func unmap(_ run: TranslatedRun) -> DMAError? {
        do throws(DMAError) {
            try backend.unmap(run)
            return nil
        } catch {
            // Of a device or peer that is proved gone, no mapping reaches memory any more.
            return backend.isDead ? nil : error
        }
    }

    /// Bytes of bus addresses that a record has taken.
    @unsafe
    private static func addressBytes(of record: UnsafeMutablePointer<MappingRecord>) -> UInt64 {
        // SAFETY: the caller owns the record.
        guard let parts = unsafe record.pointee.parts else { return unsafe record.pointee.run.count }
        return parts.moreAddresses.reduce(parts.addresses.count) { $0 &+ $1.count }
    }

    /// Ends what the backend has of a record. Returns its first refusal; then what it refused to end is left in the record, whose addresses
    /// stay taken.
    @unsafe
    func withdraw(_ record: UnsafeMutablePointer<MappingRecord>) -> DMAError? {
        // SAFETY: the caller owns the record.
        guard backend.isThere else { return nil }
        // In a child process the mapping is the parent's.
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

    /// Ends what the backend has of a mapping, the last first. Returns the first refusal; what was refused stays in the parts.
    private func unmapAll(of parts: MappingParts) -> DMAError? {
        // SAFETY: as many runs are initialized as the parts say; those that stay move to places before their own.
        guard let runs = unsafe parts.runs else { return nil }
        var refusal: DMAError?
        var left = parts.runCount
        var refused: [TranslatedRun] = []
        while left > 0 {
            do throws(DMAError) { unsafe try backend.unmap(runs, left: &left) } catch {
                // Of a device or peer that is proved gone, no mapping reaches memory any more.
                if backend.isDead { continue }
                refusal = refusal ?? error
                unsafe refused.append(runs[left])
            }
        }
        for (place, run) in refused.enumerated() { unsafe runs[place] = run }
        // Kept for who releases it later; all of them have ended otherwise, and the parts end with the mapping.
        parts.runCount = refused.count
        return refusal
    }

    /// Enters the backend to end a record, once no device is being attached. False where the backend has no mappings.
    ///
    /// From here on no device that is attached gets the record: its addresses are given out again when it is recycled.
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
    /// Ends a mapping: the device can no longer reach it, and what it wrote to bounce memory is in the client's.
    ///
    /// - Parameter record: the caller's, which has it no more afterwards.
    /// - Returns: the memory of a mapping with one entry, for who wants it: the caller's share.
    /// - Throws: whatever the backend says; the memory is parked then.
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

    /// The CPU's turn, for the last time.
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

    /// Keeps the memory of a mapping alive until its device was proved stopped, and says so (rule 18).
    @unsafe
    func park(_ record: UnsafeMutablePointer<MappingRecord>) {
        // SAFETY: the caller owned the record, and the quarantine owns it now.
        Quarantine.park(unsafe ParkedMapping(record, in: self))
    }

    /// Ends a record: its mapping is no more. What it owned goes, and the core, if the mapping was the last that kept it: nothing of the core
    /// is used after the lock of the shard is released.
    ///
    /// - Parameters:
    ///   - record: of this domain, withdrawn; nobody uses it afterwards.
    ///   - copied: bytes, for the statistics.
    ///   - keepsAddresses: the addresses are not given out again.
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
                // The address space locks shards itself: not while this one is locked. The record is no mapping any more meanwhile.
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

    /// Gives back to the address space what was taken for a mapping.
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

/// Syncs of a mapping that stays.
extension DomainCore {
    /// Writes back and drops the cache lines of a part of an entry, where the device does not see the CPU's caches; counted.
    @unsafe
    func maintainCaches(of entry: MappedEntry, _ offset: Int, _ count: Int) {
        // SAFETY: the caller has checked the part against the entry, whose memory it keeps.
        guard !constraints.isCoherent else { return }
        unsafe flush(UnsafeRawPointer(bitPattern: UInt(entry.deviceAddress) &+ UInt(offset)), count)
        registry.withShard(registry.ownShard) { $0.statistics.maintainedBytes &+= UInt64(count) }
    }

    /// Writes back and drops cache lines, where the device does not see the CPU's caches.
    @unsafe
    func flush(_ start: UnsafeRawPointer?, _ count: Int) {
        // SAFETY: the caller vouches for the range; the bytes stay what they are.
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

    /// Entry `index` of a mapping, of which `range` is a part.
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
