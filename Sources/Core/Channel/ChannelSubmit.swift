// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

// The fast path: submit, issue, next.

extension Channel where E: ~Copyable, C: ~Copyable {
    /// Queues one operation on a cargo without starting it (rule 5).
    ///
    /// From here on the channel owns the cargo. It is returned in ``Finished`` or, where the request is refused, at once.
    /// Refusals: `queueFull`, `unsupportedOperation`, `unsupportedFlag`, `noSuchRegion`, `foreignDomain`, `noPermission`,
    /// `outOfRange`, `zeroLength`, `misaligned`, `overlappingRegions`, `lengthMismatch`, `tooManySources`, `tooManySegments`,
    /// `terminating`, `deviceGone`, `usedAfterFork`; those of the engine itself.
    @inlinable @inline(__always)
    public mutating func submit(_ operation: Operation, _ cargo: consuming C) -> Submission<C> {
        let (slot, sequence) = nextPlace
        guard isReady(for: operation, slot: slot),
            let descriptor = resolve(operation, cargo, slot: slot)
        else {
            // The fields one by one: passed whole, the value would have to be built in memory on the fast path.
            return operation.kind.isPlain
                ? refuseOrSubmitSlowly(operation, cargo)
                : submitList(
                    operation.kind, operation.flags, operation.source, operation.sourceCount, operation.destination,
                    operation.destinationCount, operation.sourceOffset, operation.destinationOffset, operation.length,
                    operation.value, operation.detail, cargo)
        }
        // SAFETY: `resolve` has checked every address against the cargo, which the channel owns until the engine has finished
        // with it.
        let result = unsafe engine.enqueue(descriptor, tag: UInt32(truncatingIfNeeded: sequence))
        guard case .accepted = result else { return .refused(engineRefused(result), cargo) }
        return .queued(
            accept(
                cargo, slot: slot, sequence: sequence, count: descriptor.count,
                asksInterrupt: operation.flags.contains(.interrupt)))
    }

    /// The next transaction's slot, and the cookie whose low bits are that slot. `isReady` tells whether the slot is free.
    @inlinable @inline(__always)
    var nextPlace: (slot: Int, sequence: UInt64) {
        if keepsOrder { return (Int(truncatingIfNeeded: nextSequence & limits.indexMask), nextSequence) }
        // SAFETY: the index is inside the table even where no slot is free; what is read then is not used.
        let slot = unsafe Int(truncatingIfNeeded: table.free(freeIndex).pointee)
        // The next cookie whose low bits are this slot.
        return (slot, nextSequence &+ ((UInt64(truncatingIfNeeded: slot) &- nextSequence) & limits.indexMask))
    }

    /// Whether the channel is on its fast path, `slot` is free, and kind and flags need no further checks.
    @inlinable @inline(__always)
    func isReady(for operation: Operation, slot: Int) -> Bool {
        (keepsOrder ? table.sequence(slot) == SlotRecord.idle : freeIndex != 0)
            && table.ready.contains(OperationSet(operation.kind)) && operation.flags.isSubset(of: limits.plainFlags)
    }

    @inlinable @inline(__always)
    mutating func refuseOrSubmitSlowly(_ operation: Operation, _ cargo: consuming C) -> Submission<C> {
        if isFull() { return .refused(DMAError(.queueFull, limit: UInt64(truncatingIfNeeded: traits.depth)), cargo) }
        // The fields one by one: passed whole, the value would have to be built in memory on the fast path.
        return submitSlowly(
            operation.kind, operation.flags, operation.source, operation.sourceCount, operation.destination,
            operation.destinationCount, operation.sourceOffset, operation.destinationOffset, operation.length,
            operation.value, operation.detail, cargo)
    }

    /// Queues a prepared transaction.
    @inlinable
    public mutating func submit(_ transaction: consuming Transaction<C>) -> Submission<C> {
        let operation = transaction.operation
        let deadline = transaction.deadline
        switch submit(operation, transaction.cargo) {
        case .queued(let cookie):
            if deadline != .never { setDeadline(deadline, of: cookie) }
            return .queued(cookie)
        case .refused(let error, let cargo):
            return .refused(error, cargo)
        }
    }

    @inlinable @inline(__always)
    mutating func accept(_ cargo: consuming C, slot: Int, sequence: UInt64, count: UInt64, asksInterrupt: Bool) -> Cookie {
        // SAFETY: the callers took the slot from the free ones, in which no cargo is initialized; it stays so until the cargo is
        // moved out.
        nextSequence = sequence &+ 1
        if !keepsOrder { freeIndex &+= 1 }
        table.setSequence(slot, sequence)
        table.setCount(slot, count, asksInterrupt: asksInterrupt)
        unsafe table.cargo(slot).initialize(to: cargo)
        return Cookie(sequence)
    }

    /// Starts everything that is queued (rule 7).
    @inlinable
    public mutating func issuePending() {
        guard table.isSteady else { return issueSlowly() }
        issuedEnd = nextSequence
        engine.issuePending()
    }

    /// `issuePending`, off the fast path: in a child process the device belongs to the parent, and terminated transactions are
    /// never started.
    @usableFromInline @inline(never)
    mutating func issueSlowly() {
        guard !isForked, state != .terminating, state != .gone else { return }
        issuedEnd = nextSequence
        engine.issuePending()
    }

    /// The next finished transaction with its cargo, or nil. Never waits.
    @inlinable @inline(__always)
    public mutating func next() -> Finished<C>? {
        guard table.isSteady else {
            let found = nextSlowly()
            return found >= 0 ? takeHanded(found) : nil
        }
        return nextSteadily()
    }

    /// `next`, where completions can be taken directly from the engine.
    @inlinable @inline(__always)
    mutating func nextSteadily() -> Finished<C>? {
        guard let completion = engine.next() else { return nil }
        guard isExpected(completion) else {
            // Off the fast path the slot's number is returned, and the rest is in `handed`: returned whole, it would have to be
            // built in memory on the fast path too.
            let found = nextChecked(
                completion.tag, completion.status, completion.isPeriod, completion.deviceStatus, completion.residue,
                completion.value)
            return found >= 0 ? takeHanded(found) : nil
        }
        return takeExpected(completion)
    }

    /// The cookie in the slot that a completion's tag names. The number of slots is a power of two, so that every tag, masked,
    /// names a slot.
    @inlinable @inline(__always)
    func sequence(of completion: Completion) -> UInt64 {
        table.sequence(Int(truncatingIfNeeded: UInt64(completion.tag) & limits.indexMask))
    }

    /// Whether a completion is plain, and names a transaction that was issued and may complete now.
    @inlinable @inline(__always)
    func isExpected(_ completion: Completion) -> Bool {
        let sequence = sequence(of: completion)
        // A tag with more bits than the engine's tags is invalid too. An idle slot's sequence is never issued.
        return (sequence & limits.tagMask) == UInt64(completion.tag) && (!keepsOrder || sequence == expectedSequence)
            && sequence < issuedEnd && completion.isPlain
    }

    /// Returns the transaction of an expected completion.
    @inlinable @inline(__always)
    mutating func takeExpected(_ completion: Completion) -> Finished<C> {
        let slot = Int(truncatingIfNeeded: UInt64(completion.tag) & limits.indexMask)
        let sequence = table.sequence(slot)
        if keepsOrder { expectedSequence = sequence &+ 1 } else { release(slot) }
        table.setSequence(slot, SlotRecord.idle)
        // SAFETY: the slot's sequence was issued and is idle from here on, so that its cargo, which `accept` has initialized, is moved out
        // once.
        return Finished(
            cookie: Cookie(sequence), status: .complete, residue: 0, value: completion.value, deviceStatus: 0, lateness: 0,
            cargo: unsafe table.cargo(slot).move())
    }

    /// Moves out the cargo of a slot that a slow path has prepared in `handed`.
    @inlinable @inline(__always)
    mutating func takeHanded(_ slot: Int) -> Finished<C> {
        // SAFETY: the slow path returns slots whose cargo is initialized, and has taken them out of use.
        Finished(
            cookie: Cookie(handed.sequence), status: handed.ending.status, residue: handed.ending.residue, value: handed.value,
            deviceStatus: handed.ending.deviceStatus, lateness: handed.ending.lateness, cargo: unsafe table.cargo(slot).move())
    }

    /// Returns a slot to the list of free ones.
    @inlinable @inline(__always)
    mutating func release(_ slot: Int) {
        // SAFETY: each slot is on the list at most once: it is added when its sequence becomes idle. So there is room.
        freeIndex &-= 1
        unsafe table.free(freeIndex).pointee = UInt32(truncatingIfNeeded: slot)
    }
}
