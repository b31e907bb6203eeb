// SPDX-License-Identifier: Apache-2.0

// What happens off the steady path of a channel: completions that are not plain, and submissions that want more than queueing.

extension Channel where E: ~Copyable, C: ~Copyable {
    /// Takes from the engine what it has completed, without handing it out: afterwards ``status(of:)`` and ``take(_:)`` know of it.
    ///
    /// Bounded: a hostile engine that reports for ever keeps this for twice the depth, no longer.
    public mutating func poll() {
        for _ in 0..<(2 * limits.slots + 16) {
            guard let completion = engine.next() else { break }
            settle(completion)
        }
        releaseHeld()
    }

    /// Checks one completion and, where it is one, moves its transaction to the finished ones.
    mutating func settle(_ completion: Completion) {
        guard UInt64(completion.tag) <= limits.tagMask else {
            faultCounts.unknownTag &+= 1
            return
        }
        let slot = Int(UInt64(completion.tag) & limits.indexMask)
        let sequence = table.sequence(slot)
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
            if completion.value > periods { periods = completion.value }
            return
        }
        if limits.orderMask != 0 {
            if sequence != orderExpected, hasOpen(before: sequence) { faultCounts.outOfOrder &+= 1 }
            orderExpected = sequence &+ 1
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
        conclude(slot, status, residue: residue, value: completion.value)
    }

    /// Nothing more happens to the transaction in `slot`: it waits to be taken.
    mutating func conclude(_ slot: Int, _ status: TransactionStatus, residue: UInt64, value: UInt64) {
        unsafe records[slot].status = status
        unsafe records[slot].residue = residue
        unsafe records[slot].value = value
        unsafe records[slot].isDone = true
        unsafe records[slot].isHeld = false
        if unsafe records[slot].deadline != .max {
            // From here on the field holds how late it was.
            let late = Deadline.now.nanoseconds.subtractingReportingOverflow(unsafe records[slot].deadline)
            unsafe records[slot].deadline = late.overflow ? .max - 1 : max(late.partialValue, 0)
        }
        unsafe done.append(slot, records)
        detours.insert(.done)
        if detours.contains(.fence), table.sequence(slot) == fenceSequence { fenceSequence = 0 }
    }

    /// `next`, where there is more to look at than one plain completion: the slot to hand out, or -1.
    @usableFromInline @inline(never)
    mutating func nextParticular() -> Int {
        poll()
        return takeFirst()
    }

    /// `next`, given a completion that is not plain: a failure, a period, or something that an honest engine does not say.
    @usableFromInline @inline(never)
    mutating func nextDoubtful(_ tag: UInt32, _ status: UInt8, _ isPeriod: Bool, _ residue: UInt64, _ value: UInt64) -> Int {
        var completion = Completion(tag: tag, isPeriod: isPeriod, residue: residue, value: value)
        completion.status = status
        settle(completion)
        if !detours.isSteady || done.isEmpty { poll() }
        return takeFirst()
    }

    mutating func takeFirst() -> Int {
        guard let slot = unsafe done.popFirst(records) else { return -1 }
        prepareHandOut(slot)
        return slot
    }

    /// Takes a finished transaction's slot out of use, all but its cargo, which the caller moves out next.
    mutating func prepareHandOut(_ slot: Int) {
        if done.isEmpty { detours.remove(.done) }
        let record = unsafe records[slot]
        handed.sequence = table.sequence(slot)
        handed.value = record.value
        handed.ending = Ending(status: record.status, residue: record.residue, lateness: 0)
        if record.deadline != .max {
            handed.ending.lateness = record.deadline
            particularCount -= 1
            if particularCount == 0 { detours.remove(.particular) }
        }
        if record.isReusable { reserve(slot) } else { recycle(slot) }
    }

    mutating func handOut(_ slot: Int) -> Finished<C> {
        prepareHandOut(slot)
        return Finished(
            cookie: Cookie(handed.sequence), status: handed.ending.status, residue: handed.ending.residue, value: handed.value,
            lateness: handed.ending.lateness, cargo: unsafe table.cargo(slot).move())
    }

    /// `submit`, where the transaction or the channel is particular.
    @inlinable @inline(never)
    mutating func submitParticular(
        _ kind: OperationKind, _ flags: DescriptorFlags, _ source: UInt16, _ sourceCount: UInt16, _ destination: UInt16,
        _ destinationCount: UInt16, _ sourceOffset: UInt64, _ destinationOffset: UInt64, _ count: UInt64, _ value: UInt64,
        _ detail: SIMD4<UInt64>, _ cargo: consuming C
    ) -> Submission<C> {
        let operation = Operation(
            kind, source: Operation.Places(first: source, count: sourceCount),
            destination: Operation.Places(first: destination, count: destinationCount),
            sourceOffset: sourceOffset, destinationOffset: destinationOffset, count: count, value: value, detail: detail,
            flags: flags)
        if detours.contains(.terminating) { return .refused(DMAError(.terminating), cargo) }
        guard let sequence = nextFree() else {
            return .refused(DMAError(.queueFull, limit: UInt64(traits.depth)), cargo)
        }
        let slot = Int(truncatingIfNeeded: sequence & limits.indexMask)
        if detours.contains(.sanitize) {
            // Reported, like everything the sanitizer finds, and not refused: it changes nothing of what a program does.
            for index in 0..<cargo.regionCount {
                let region = cargo.region(at: index)
                Sanitizer.check(region: region, domain: limits.domain, access: region.access)
            }
        }
        do throws(DMAError) {
            var descriptor =
                kind.isPlain
                ? try resolveChecked(operation, cargo, slot: slot)
                : try resolveLists(operation, cargo, slot: slot)
            if detours.contains(.metadata) { unsafe descriptor.metadata = arena.freshMetadata(slot) }
            try queue(operation, descriptor, slot: slot, sequence: sequence)
            return .queued(
                accept(
                    cargo, slot: slot, sequence: sequence, count: descriptor.count, asksInterrupt: flags.contains(.interrupt)))
        } catch {
            return .refused(error, cargo)
        }
    }

    /// Hands a checked descriptor to the engine, or holds it back behind a fence.
    @usableFromInline
    mutating func queue(_ operation: Operation, _ descriptor: Descriptor, slot: Int, sequence: UInt64) throws(DMAError) {
        var descriptor = descriptor
        let fences = operation.flags.contains(.fence) && !traits.fencesItself
        if fences { descriptor.flags.remove(.fence) }
        if detours.contains(.fence) {
            unsafe (arena.descriptors + slot).initialize(to: descriptor)
            unsafe (arena.operations + slot).initialize(to: operation)
            unsafe records[slot].isHeld = true
            unsafe held.append(slot, records)
        } else {
            guard engine.enqueue(descriptor, tag: tag(sequence)) else { throw engineRefused() }
            if fences {
                detours.insert(.fence)
                fenceSequence = sequence
            }
        }
        if operation.flags.contains(.reuse) {
            unsafe (arena.operations + slot).initialize(to: operation)
            unsafe records[slot].isReusable = true
            particularCount += 1
            detours.insert(.particular)
        }
    }

    /// Lets go what a fence held back, once the fenced transaction is over (rule 26).
    mutating func releaseHeld() {
        guard detours.contains(.fence), fenceSequence == 0 else { return }
        var issues = false
        while !held.isEmpty {
            let slot = Int(held.first)
            // What was not issued stays back: in the engine, the next one's doorbell would start it too (rule 5).
            guard table.sequence(slot) < issuedEnd else {
                if issues { engine.issuePending() }
                return
            }
            guard unsafe engine.enqueue(arena.descriptors[slot], tag: tag(table.sequence(slot))) else {
                // No room in the engine just now, though its depth says otherwise: the next poll tries again.
                faultCounts.refusedEnqueue &+= 1
                if issues { engine.issuePending() }
                return
            }
            _ = unsafe held.popFirst(records)
            unsafe records[slot].isHeld = false
            issues = true
            if unsafe arena.operations[slot].flags.contains(.fence) {
                fenceSequence = table.sequence(slot)
                if issues { engine.issuePending() }
                return
            }
        }
        detours.remove(.fence)
        if issues { engine.issuePending() }
    }

    @usableFromInline @inline(never)
    mutating func engineRefused() -> DMAError {
        // With fewer in flight than its depth, an engine that has no room contradicts itself.
        if inFlight < traits.depth { faultCounts.refusedEnqueue &+= 1 }
        return DMAError(.queueFull, limit: UInt64(traits.depth))
    }

    /// The next cookie whose slot is free, or nil where none is. May take the slot of a transaction kept for reuse.
    @usableFromInline
    mutating func scanFree() -> UInt64? {
        for step in 0..<UInt64(limits.slots) {
            let sequence = nextSequence &+ step
            if table.sequence(Int(sequence & limits.indexMask)) == SlotRecord.idle { return sequence }
        }
        return nil
    }

    @usableFromInline
    mutating func nextFree() -> UInt64? {
        if let sequence = scanFree() { return sequence }
        return reclaimReserved() ? scanFree() : nil
    }

    /// The cookie that an in-order engine completes next, wherever it is kept just now.
    var orderExpected: UInt64 {
        get { detours.isSteady ? expectedSequence : parkedExpected }
        set { if detours.isSteady { expectedSequence = newValue } else { parkedExpected = newValue } }
    }

    /// Lets the steady path find out about a detour by what it looks at anyway: nothing is ready to be submitted, and no completion is
    /// the expected one.
    @usableFromInline
    mutating func redirect(from old: Detour) {
        ready = detours.isEmpty ? limits.operations : []
        switch (old.isSteady, detours.isSteady) {
        case (true, false):
            parkedExpected = expectedSequence
            expectedSequence = 0
            orderMask = .max
        case (false, true):
            expectedSequence = parkedExpected
            orderMask = limits.orderMask
        default:
            break
        }
    }

    mutating func tag(_ sequence: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: sequence) }

    /// Whether the engine may still touch the memory of the transaction in `slot`, or will once it is let go of a fence.
    mutating func isOpen(_ slot: Int) -> Bool {
        unsafe table.sequence(slot) != SlotRecord.idle && !records[slot].isClosed
    }

    /// Whether a transaction before `sequence` is with the engine.
    mutating func hasOpen(before sequence: UInt64) -> Bool {
        for slot in 0..<limits.slots {
            if isOpen(slot) && table.sequence(slot) < sequence { return true }
        }
        return false
    }

    /// Makes a slot as new.
    mutating func recycle(_ slot: Int) {
        table.setSequence(slot, SlotRecord.idle)
        unsafe records[slot] = SlotRecord()
    }
}
