// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMAEngineKit

// Termination, synchronization, pause, waiting.

extension Channel where E: ~Copyable, C: ~Copyable {
    /// Drops queued and running work, without waiting: `dmaengine_terminate_async` (rules 16 and 17).
    ///
    /// Allowed inside a callback. The channel keeps the memory until ``synchronize(by:)``, and accepts nothing before that.
    public mutating func terminateAsync() {
        guard !isForked, state != .terminating, state != .gone else { return }
        engine.terminate()
        state = .terminating
        setSlow(.terminating)
    }

    /// Waits until the device can no longer access the memory of terminated transactions: `dmaengine_synchronize` (rule 18).
    ///
    /// Afterwards each transaction that did not complete is returned by ``next()`` as `aborted`, once, with its cargo, in the
    /// order of submission; and the channel accepts work again. Does nothing on a channel that was not terminated.
    ///
    /// - Throws: `quiesceTimeout` where the device is still running at `deadline`. The channel keeps the memory, and the call
    ///   can be repeated. If the channel ends first, the memory goes to the ``Quarantine``. `usedAfterFork` in a child process.
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

    /// After the engine has quiesced: takes its remaining reports, then ends everything that did not complete.
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

    /// The device is gone and nothing is accepted any more. If it has provably stopped, transactions in flight are returned as
    /// `deviceGone`; otherwise the channel keeps their memory.
    @usableFromInline
    mutating func markGone() {
        guard !slowPaths.contains(.gone) else { return }
        setSlow(.gone)
        state = .gone
        engine.terminate()
        // Bounded and short, because this runs inside polls.
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

    /// Continues after ``pause()``: `dmaengine_resume` (rule 19).
    ///
    /// - Throws: `notPausable`; `notPaused` while it is not paused; `deviceGone`; `engineFailed` where the engine did not resume.
    public mutating func resume() throws(DMAError) {
        try checkUsable()
        guard traits.canPause else { throw DMAError(.notPausable) }
        guard state == .paused else { throw DMAError(.notPaused) }
        guard engine.resume() else { throw DMAError(.engineFailed) }
        state = .running
    }

    /// Sleeps until a completion may be available, or `deadline`. Only transactions with the interrupt flag wake it (rule 14).
    ///
    /// - Returns: true where ``next()`` may return something; false at the deadline.
    ///
    /// - Throws: `deviceGone` where the device is gone and nothing is left to take; `usedAfterFork` in a child process.
    public mutating func wait(until deadline: Deadline) throws(DMAError) -> Bool {
        if isForked { throw DMAError(.usedAfterFork) }
        // A transaction held back by a fence is not in the engine and cannot interrupt: only a poll releases it. So the sleeps
        // are short meanwhile.
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
