// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMAEngineKit

// The slow path of a channel: completions that are not plain, and submissions that need more than queueing.

extension Channel where E: ~Copyable, C: ~Copyable {
    /// Collects completions from the engine without returning them: afterwards ``status(of:)`` and ``take(_:)`` know of them.
    ///
    /// Bounded: an engine that reports without end keeps this for twice the depth at most.
    public mutating func poll() {
        guard !isForked else { return }
        for _ in 0..<(2 * limits.slots + 16) {
            guard let completion = engine.next() else { break }
            settle(completion)
        }
        releaseHeld()
        if engine.isGone { markGone() }
    }

    /// Checks one completion and, if it is valid, moves its transaction to the finished ones.
    mutating func settle(_ completion: Completion) {
        guard UInt64(completion.tag) <= limits.tagMask else {
            faultCounts.unknownTag &+= 1
            return
        }
        let slot = Int(UInt64(completion.tag) & limits.indexMask)
        let sequence = table.sequence(slot)
        // SAFETY: here and below, `slot` is below the number of slots, for which the records were allocated.
        let isOpen = unsafe isOpen(slot) && !records[slot].isHeld
        guard isOpen, (sequence ^ UInt64(completion.tag)) & limits.tagMask == 0 else {
            faultCounts.notInFlight &+= 1
            return
        }
        guard sequence < issuedEnd else {
            faultCounts.beforeIssue &+= 1
            return
        }
        if completion.isPeriod {
            unsafe records[slot].countPeriods(completion.value, of: sequence)
            return
        }
        if keepsOrder {
            if sequence != expectedSequence, hasOpen(before: sequence) { faultCounts.outOfOrder &+= 1 }
            expectedSequence = sequence &+ 1
        }
        var status = TransactionStatus.failed
        if let said = TransactionStatus(rawValue: completion.status), said.isFinal {
            status = said
        } else {
            faultCounts.badStatus &+= 1
        }
        var residue = completion.residue
        let count = table.count(slot)
        if residue > count {
            faultCounts.badResidue &+= 1
            residue = count
        }
        unsafe records[slot].deviceStatus = completion.deviceStatus
        conclude(slot, status, residue: residue, value: completion.value)
    }

    /// Marks the transaction in `slot` as finished and waiting to be taken.
    mutating func conclude(_ slot: Int, _ status: TransactionStatus, residue: UInt64, value: UInt64) {
        // SAFETY: callers pass numbers of slots.
        unsafe records[slot].conclude(status, residue: residue, value: value)
        unsafe done.append(slot, records)
        setSlow(.done)
        if slowPaths.contains(.fence), table.sequence(slot) == fenceSequence { fenceSequence = 0 }
    }

    /// `next`, off the fast path: the slot to return, or -1.
    @usableFromInline @inline(never)
    mutating func nextSlowly() -> Int {
        guard !isForked else { return -1 }
        poll()
        return takeFirst()
    }

    /// `next`, for a completion that is not plain: a failure, a period, or an invalid report.
    @usableFromInline @inline(never)
    mutating func nextChecked(
        _ tag: UInt32, _ status: UInt8, _ isPeriod: Bool, _ deviceStatus: UInt32, _ residue: UInt64, _ value: UInt64
    ) -> Int {
        settleChecked(tag, status, isPeriod, deviceStatus, residue, value)
        if done.isEmpty { poll() }
        return takeFirst()
    }

    /// `settle`, with the fields of a completion one by one.
    @usableFromInline @inline(never)
    mutating func settleChecked(
        _ tag: UInt32, _ status: UInt8, _ isPeriod: Bool, _ deviceStatus: UInt32, _ residue: UInt64, _ value: UInt64
    ) {
        var completion = Completion(tag: tag, deviceStatus: deviceStatus, isPeriod: isPeriod, residue: residue, value: value)
        completion.status = status
        settle(completion)
    }

    mutating func takeFirst() -> Int {
        // SAFETY: the list holds numbers of slots, and `records` has one for each.
        guard let slot = unsafe done.popFirst(records) else { return -1 }
        prepareHandOut(slot)
        return slot
    }

    /// Takes a finished transaction's slot out of use, except for its cargo, which the caller moves out next.
    mutating func prepareHandOut(_ slot: Int) {
        if done.isEmpty { clearSlow(.done) }
        // SAFETY: callers pass numbers of slots.
        let record = unsafe records[slot]
        handed.sequence = table.sequence(slot)
        handed.value = record.value
        handed.ending = Ending(
            status: record.status, deviceStatus: record.deviceStatus, residue: record.residue, lateness: 0)
        if record.deadline != .max {
            handed.ending.lateness = record.deadline
            forgetRecord()
        }
        if record.isReusable { reserve(slot) } else { recycle(slot) }
    }

    mutating func handOut(_ slot: Int) -> Finished<C> {
        prepareHandOut(slot)
        return takeHanded(slot)
    }

    /// Counts one record less that needs checking.
    mutating func forgetRecord() {
        recordedCount -= 1
        if recordedCount == 0 { clearSlow(.recorded) }
    }

    /// `submit`, off the fast path.
    @inlinable @inline(never)
    mutating func submitSlowly(
        _ kind: OperationKind, _ flags: DescriptorFlags, _ source: UInt16, _ sourceCount: UInt16, _ destination: UInt16,
        _ destinationCount: UInt16, _ sourceOffset: UInt64, _ destinationOffset: UInt64, _ count: UInt64, _ value: UInt64,
        _ detail: SIMD4<UInt64>, _ cargo: consuming C
    ) -> Submission<C> {
        let operation = Operation(
            kind, source: Operation.Places(first: source, count: sourceCount),
            destination: Operation.Places(first: destination, count: destinationCount),
            sourceOffset: sourceOffset, destinationOffset: destinationOffset, length: count, value: value, detail: detail,
            flags: flags)
        do throws(DMAError) {
            let sequence = try slotForSubmission()
            let slot = Int(truncatingIfNeeded: sequence & limits.indexMask)
            if slowPaths.contains(.sanitize) {
                // Reported, like every finding of the sanitizer, and not refused: the sanitizer does not change a program's
                // behaviour.
                for index in cargo.nameableRegions { checkRegion(cargo.region(at: index)) }
            }
            var descriptor =
                kind.isPlain
                ? try resolveChecked(operation, cargo, slot: slot)
                : try resolveLists(operation, cargo, slot: slot)
            // SAFETY: the metadata area is the slot's own, and the descriptor was resolved against the cargo, which the channel
            // owns from here on.
            if slowPaths.contains(.metadata) { unsafe descriptor.metadata = arena.freshMetadata(slot) }
            try queue(operation, descriptor, slot: slot, sequence: sequence)
            return .queued(
                accept(
                    cargo, slot: slot, sequence: sequence, count: descriptor.count, asksInterrupt: flags.contains(.interrupt)))
        } catch {
            return .refused(error, cargo)
        }
    }

    @usableFromInline
    mutating func checkRegion(_ region: borrowing Region) {
        Sanitizer.check(region: region, domain: limits.domain, access: region.access)
    }

    /// The cookie of the next transaction; its slot is free.
    ///
    /// - Throws: `usedAfterFork`, `deviceGone`, `terminating`, `queueFull`.
    @usableFromInline
    mutating func slotForSubmission() throws(DMAError) -> UInt64 {
        try checkUsable()
        if slowPaths.contains(.terminating) { throw DMAError(.terminating) }
        if let sequence = nextFree() { return sequence }
        throw DMAError(.queueFull, limit: UInt64(traits.depth))
    }

    /// Passes a checked descriptor to the engine, or holds it back behind a fence.
    @usableFromInline
    mutating func queue(_ operation: Operation, _ descriptor: Descriptor, slot: Int, sequence: UInt64) throws(DMAError) {
        var descriptor = descriptor
        let fences = operation.flags.contains(.fence) && !traits.fencesItself
        if fences { descriptor.flags.remove(.fence) }
        // SAFETY: `slot` is a free slot's number, the arena has a place for each slot, and the descriptor was resolved against the cargo that
        // the channel owns from here on.
        if slowPaths.contains(.fence) {
            unsafe (arena.descriptors + slot).initialize(to: descriptor)
            unsafe (arena.operations + slot).initialize(to: operation)
            unsafe records[slot].isHeld = true
            unsafe held.append(slot, records)
        } else {
            let result = unsafe engine.enqueue(descriptor, tag: tag(sequence))
            guard case .accepted = result else { throw engineRefused(result) }
            if fences {
                setSlow(.fence)
                fenceSequence = sequence
            }
        }
        if operation.flags.contains(.reuse) {
            unsafe (arena.operations + slot).initialize(to: operation)
            unsafe records[slot].isReusable = true
            recordedCount += 1
            setSlow(.recorded)
        }
    }

    /// Submits what a fence held back, once the fenced transaction has ended (rule 26).
    mutating func releaseHeld() {
        guard slowPaths.contains(.fence), fenceSequence == 0, !slowPaths.contains(.gone) else { return }
        var issues = false
        defer { if issues { engine.issuePending() } }
        while !held.isEmpty {
            let slot = Int(held.first)
            // What was not issued stays back: in the engine, the doorbell of another transaction would start it too (rule 5).
            guard table.sequence(slot) < issuedEnd else { return }
            // SAFETY: the list holds numbers of slots, whose descriptors `queue` has stored, and whose cargo the channel still
            // owns.
            let result = unsafe engine.enqueue(arena.descriptors[slot], tag: tag(table.sequence(slot)))
            switch result {
            case .accepted:
                _ = unsafe held.popFirst(records)
                unsafe records[slot].isHeld = false
                issues = true
                if unsafe arena.operations[slot].flags.contains(.fence) {
                    fenceSequence = table.sequence(slot)
                    return
                }
            case .full:
                // The engine has no room at the moment, although its declared depth promises it: the next poll tries again.
                faultCounts.refusedEnqueue &+= 1
                return
            case .refused(let error):
                // The client was told that it is queued, so it ends here, as failed.
                _ = unsafe held.popFirst(records)
                unsafe records[slot].deviceStatus = UInt32(bitPattern: error.errno)
                conclude(slot, .failed, residue: table.count(slot), value: UInt64(bitPattern: Int64(error.errno)))
            case .deviceGone:
                markGone()
                return
            }
        }
        clearSlow(.fence)
    }

    /// Why the engine did not accept a descriptor.
    @usableFromInline @inline(never)
    mutating func engineRefused(_ result: EnqueueResult) -> DMAError {
        switch result {
        case .refused(let error):
            return error
        case .deviceGone:
            markGone()
            return DMAError(.deviceGone)
        case .accepted, .full:
            // An engine that has no room with fewer transactions than its depth contradicts itself.
            if !hasInFlight(atLeast: traits.depth) { faultCounts.refusedEnqueue &+= 1 }
            return DMAError(.queueFull, limit: UInt64(traits.depth))
        }
    }

    func tag(_ sequence: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: sequence) }
}

extension SlotRecord {
    /// The engine's count of periods is untrusted: it only increases.
    mutating func countPeriods(_ value: UInt64, of sequence: UInt64) {
        if periodSequence != sequence { (periodSequence, periods) = (sequence, 0) }
        if value > periods { periods = value }
    }

    mutating func conclude(_ status: TransactionStatus, residue: UInt64, value: UInt64) {
        self.status = status
        self.residue = residue
        self.value = value
        isDone = true
        isHeld = false
        if deadline != .max {
            // From here on the field holds the lateness.
            let late = Deadline.now.nanoseconds.subtractingReportingOverflow(deadline)
            deadline = late.overflow ? .max - 1 : max(late.partialValue, 0)
        }
    }
}
