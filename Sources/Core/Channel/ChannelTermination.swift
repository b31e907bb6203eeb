// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMAEngineKit

// Termination, synchronization, pause, waiting.

extension Channel where E: ~Copyable, C: ~Copyable {
    /// Drops queued and running work, without waiting: `dmaengine_terminate_async` (rules 16 and 17).
    ///
    /// May be called from a callback. The memory stays the channel's until ``synchronize(by:)``; until then nothing is accepted.
    public mutating func terminateAsync() {
        guard !isForked, state != .terminating, state != .gone else { return }
        engine.terminate()
        state = .terminating
        setSlow(.terminating)
    }

    /// Makes sure that the device can no longer touch the memory of what was terminated: `dmaengine_synchronize` (rule 18).
    ///
    /// Afterwards each transaction that did not complete comes out of ``next()`` as `aborted`, once, with its cargo, in the order of
    /// submission; and the channel accepts work again. Without a termination before, does nothing.
    ///
    /// - Throws: `quiesceTimeout` where the device is still running at `deadline`. The memory stays parked in the channel; asking
    ///   again is allowed. Should the channel end first, it goes to the ``Quarantine``. `usedAfterFork` in a child process.
    public mutating func synchronize(by deadline: Deadline = .after(milliseconds: 1000)) throws(DMAError) {
        if isForked { throw DMAError(.usedAfterFork) }
        guard state == .terminating || state == .gone else { return }
        poll()
        let began = Deadline.now
        guard engine.quiesce(by: deadline) else {
            faultCounts.didNotQuiesce &+= 1
            throw DMAError(.quiesceTimeout, asked: began.nanoseconds(until: deadline))
        }
        concludeOpen(state == .gone ? .deviceGone : .aborted)
        guard state != .gone else { return }
        clearSlow([.fence, .terminating])
        state = .running
    }

    /// After the engine has quiesced: what it still reports, then the end of everything that did not complete.
    mutating func concludeOpen(_ status: TransactionStatus) {
        for _ in 0..<(2 * limits.slots + 16) {
            guard let completion = engine.next() else { break }
            settle(completion)
        }
        held = SlotList()
        let open = (0..<limits.slots).filter { isOpen($0) }
        for slot in open.sorted(by: { table.sequence($0) < table.sequence($1) }) {
            let count = table.count(slot)
            // SAFETY: `open` holds numbers of slots.
            let said = unsafe records[slot].isHeld ? nil : engine.residue(of: tag(table.sequence(slot)))
            conclude(slot, status, residue: min(said ?? count, count), value: 0)
        }
        fenceSequence = 0
        expectedSequence = nextSequence
        issuedEnd = nextSequence
    }

    /// The device is gone: nothing is accepted any more. If it has provably stopped, what was in flight comes back as `deviceGone`;
    /// otherwise its memory stays parked.
    @usableFromInline
    mutating func markGone() {
        guard !slowPaths.contains(.gone) else { return }
        setSlow(.gone)
        state = .gone
        engine.terminate()
        // Bounded, and short: this runs inside polls.
        if engine.quiesce(by: .after(milliseconds: 10)) {
            concludeOpen(.deviceGone)
        } else {
            faultCounts.didNotQuiesce &+= 1
        }
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
    /// - Throws: `notPausable` where the capabilities lack it; `terminating`; `deviceGone`; `engineFailed` where the engine did not pause.
    public mutating func pause() throws(DMAError) {
        try checkUsable()
        guard traits.canPause else { throw DMAError(.notPausable) }
        guard state != .terminating else { throw DMAError(.terminating) }
        guard state != .paused else { return }
        guard engine.pause() else { throw DMAError(.engineFailed) }
        state = .paused
    }

    /// Goes on after ``pause()``: `dmaengine_resume` (rule 19).
    ///
    /// - Throws: `notPausable`; `notPaused` while it is not paused; `deviceGone`; `engineFailed` where the engine did not resume.
    public mutating func resume() throws(DMAError) {
        try checkUsable()
        guard traits.canPause else { throw DMAError(.notPausable) }
        guard state == .paused else { throw DMAError(.notPaused) }
        guard engine.resume() else { throw DMAError(.engineFailed) }
        state = .running
    }

    /// Sleeps until something may be ready to take, or `deadline`. Only transactions that asked for an interrupt wake it (rule 14).
    ///
    /// True where ``next()`` is worth a call; false at the deadline.
    ///
    /// - Throws: `deviceGone` where the device is gone and nothing is left to take; `usedAfterFork` in a child process.
    public mutating func wait(until deadline: Deadline) throws(DMAError) -> Bool {
        if isForked { throw DMAError(.usedAfterFork) }
        // What a fence holds back is not in the engine and cannot interrupt: only a poll releases it. So no long sleep meanwhile.
        while slowPaths.contains(.fence), !slowPaths.contains(.done), !slowPaths.contains(.gone) {
            poll()
            if slowPaths.contains(.done) || !slowPaths.contains(.fence) { break }
            let slice = min(deadline, .after(nanoseconds: 100_000))
            if !engine.wait(until: slice), slice == deadline { return false }
        }
        if slowPaths.contains(.done) { return true }
        if !slowPaths.contains(.gone) {
            let isReady = engine.wait(until: deadline)
            if !engine.isGone { return isReady }
            poll()
            if slowPaths.contains(.done) { return true }
        }
        throw DMAError(.deviceGone)
    }
}
