// SPDX-License-Identifier: Apache-2.0

// Termination, synchronization, pause; and the end of a channel.

extension Channel where E: ~Copyable, C: ~Copyable {
    /// Drops queued and running work, without waiting: `dmaengine_terminate_async` (rules 16 and 17).
    ///
    /// May be called from a callback. The memory stays the channel's until ``synchronize(by:)``; until then nothing is accepted.
    public mutating func terminateAsync() {
        guard state != .terminating else { return }
        engine.terminate()
        state = .terminating
        detours.insert(.terminating)
    }

    /// Makes sure that the device can no longer touch the memory of what was terminated: `dmaengine_synchronize` (rule 18).
    ///
    /// Afterwards each transaction that did not complete comes out of ``next()`` as `aborted`, once, with its cargo, in the order of
    /// submission; and the channel accepts work again. Without a termination before, does nothing.
    ///
    /// - Throws: `quiesceTimeout` where the device is still running at `deadline`. The memory stays parked in the channel; asking
    ///   again is allowed. Should the channel end first, it goes to quarantine and is never freed.
    public mutating func synchronize(by deadline: Deadline = .after(milliseconds: 1000)) throws(DMAError) {
        guard state == .terminating else { return }
        poll()
        let began = Deadline.now
        guard engine.quiesce(by: deadline) else {
            faultCounts.didNotQuiesce &+= 1
            throw DMAError(
                .quiesceTimeout, asked: UInt64(clamping: deadline.nanoseconds - min(began.nanoseconds, deadline.nanoseconds)))
        }
        for _ in 0..<(2 * limits.slots + 16) {
            guard let completion = engine.next() else { break }
            settle(completion)
        }
        held = SlotList()
        let open = (0..<limits.slots).filter { isOpen($0) }
        for slot in open.sorted(by: { table.sequence($0) < table.sequence($1) }) {
            let count = table.count(slot)
            let said = unsafe records[slot].isHeld ? nil : engine.residue(of: tag(table.sequence(slot)))
            conclude(slot, .aborted, residue: min(said ?? count, count), value: 0)
        }
        fenceSequence = 0
        detours.remove([.fence, .terminating])
        orderExpected = nextSequence
        issuedEnd = nextSequence
        periods = 0
        state = .running
    }

    /// Terminates and waits: `dmaengine_terminate_sync`.
    ///
    /// - Throws: `quiesceTimeout`, as ``synchronize(by:)``.
    public mutating func terminateSync(by deadline: Deadline = .after(milliseconds: 1000)) throws(DMAError) {
        terminateAsync()
        try synchronize(by: deadline)
    }

    /// Stops the channel without losing data: `dmaengine_pause` (rule 19).
    ///
    /// - Throws: `notPausable` where the capabilities lack it; `terminating`; `engineFailed` where the engine would not.
    public mutating func pause() throws(DMAError) {
        guard traits.canPause else { throw DMAError(.notPausable) }
        guard state != .terminating else { throw DMAError(.terminating) }
        guard state != .paused else { return }
        guard engine.pause() else { throw DMAError(.engineFailed) }
        state = .paused
    }

    /// Goes on after ``pause()``: `dmaengine_resume` (rule 19).
    ///
    /// - Throws: `notPausable`; `notPaused` while it is not paused; `engineFailed` where the engine would not.
    public mutating func resume() throws(DMAError) {
        guard traits.canPause else { throw DMAError(.notPausable) }
        guard state == .paused else { throw DMAError(.notPaused) }
        guard engine.resume() else { throw DMAError(.engineFailed) }
        state = .running
    }

    /// Sleeps until something may be ready to take, or `deadline`. Only transactions that asked for an interrupt wake it (rule 14).
    ///
    /// True where ``next()`` is worth a call; false at the deadline.
    public mutating func wait(until deadline: Deadline) -> Bool {
        // What a fence holds back is not in the engine and cannot interrupt: only a poll lets it go. So no long sleep meanwhile.
        while detours.contains(.fence) {
            poll()
            if detours.contains(.done) { return true }
            let slice = min(deadline, .after(nanoseconds: 100_000))
            if detours.contains(.fence), !engine.wait(until: slice), slice == deadline { return false }
        }
        if detours.contains(.done) { return true }
        return engine.wait(until: deadline)
    }

}

/// A channel's end: stops the device, then lets the cargo go, or parks it where the device would not stop.
@usableFromInline
enum ChannelEnd<E: Engine & ~Copyable, C: Cargo & ~Copyable> {
    @usableFromInline
    static func run(
        _ engine: inout E, records: UnsafeMutablePointer<SlotRecord>, table: SlotTable<C>, arena: SlotArena, slots: Int
    ) {
        let open = (0..<slots).contains { unsafe table.sequence($0) != SlotRecord.idle && !records[$0].isClosed }
        var stopped = true
        if open {
            engine.terminate()
            stopped = engine.quiesce(by: .after(milliseconds: 1000))
        }
        for slot in 0..<slots {
            let record = unsafe records[slot]
            guard table.sequence(slot) != SlotRecord.idle, !record.isReserved else { continue }
            if !record.isDone && !stopped { unsafe table.cargo(slot).pointee.quarantine() }
            unsafe table.cargo(slot).deinitialize(count: 1)
        }
        // An operand list that a running device may still read is left where it is, like the memory it names.
        if stopped { arena.deallocate() }
        unsafe records.deallocate()
        table.deallocate()
    }
}
