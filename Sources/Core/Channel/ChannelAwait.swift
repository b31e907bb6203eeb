// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

// `await` over polling: polls first, and suspends only where nothing is finished.

extension Channel where E: ~Copyable, C: ~Copyable {
    /// Waits for the completion of one transaction.
    ///
    /// Issues what is queued. On an engine with an interrupt line, the task is suspended until the line is raised, if the
    /// transaction has the interrupt flag. Otherwise the task polls, and sleeps between polls that find nothing for an eighth
    /// of the time waited so far, at most 20 ms.
    ///
    /// - Throws: `staleCookie`; `paused` where it has not ended on a paused channel; `terminating` on a channel that was
    ///   terminated and not yet synchronized; `cancelled` in a cancelled task. The transaction then continues and its cargo
    ///   stays with the channel: cancelling a task frees no memory that a device can still write to (rule 18).
    @inlinable @inline(__always)
    public mutating func finished(_ cookie: Cookie) async throws(DMAError) -> Finished<C> {
        // The common case: it is the next completion, and it is available.
        if table.isSteady, let completion = engine.next() {
            if isExpected(completion), sequence(of: completion) == cookie.rawValue { return takeExpected(completion) }
            settleChecked(
                completion.tag, completion.status, completion.isPeriod, completion.deviceStatus, completion.residue,
                completion.value)
        }
        return try await finishedLater(cookie)
    }

    // Inlinable, so that the whole wait is specialized for the engine: most of a suspension's cost is the runtime's.
    @inlinable @inline(never)
    mutating func finishedLater(
        _ cookie: Cookie, isolation: isolated (any Actor)? = #isolation
    ) async throws(DMAError) -> Finished<C> {
        if isForked { throw DMAError(.usedAfterFork) }
        issuePending()
        let slot = Int(truncatingIfNeeded: cookie.rawValue & limits.indexMask)
        guard table.sequence(slot) == cookie.rawValue else { throw DMAError(.staleCookie, asked: cookie.rawValue) }
        guard table.asksInterrupt(slot), let line = engine.interruptLine else {
            var pace = PollPace(worksInPoll: engine.capabilities.worksInPoll)
            while true {
                if let finished = try look(for: cookie) { return finished }
                if Task.isCancelled { throw DMAError(.cancelled) }
                await pace.rest()
            }
        }
        var pace = PollPace(worksInPoll: false)
        var result: Finished<C>?
        let waiter = line.newWaiter()
        // One handler around the whole wait, because installing it is most of the cost of a suspension.
        let failure: DMAError? = await withTaskCancellationHandler {
            _ = isolation
            do throws(DMAError) {
                var wasWoken = false
                while true {
                    let seen = line.count
                    result = try look(for: cookie)
                    if result != nil { return nil }
                    // A wait in a cancelled task ends at once, so that checking after a wait that found nothing is enough.
                    if wasWoken, Task.isCancelled { return DMAError(.cancelled) }
                    wasWoken = true
                    // A transaction held back by a fence is not in the engine: only a poll submits it, and it raises no
                    // interrupt before.
                    if slowPaths.contains(.fence) {
                        await pace.rest()
                    } else {
                        // Not through a function of the line: each call level costs two changes of executor. SAFETY: no other
                        // code has the continuation, and the line resumes it exactly once: at once where there was an interrupt
                        // since `seen`, otherwise with the next one or by `wake`. The waiting task keeps the line alive
                        // meanwhile.
                        unsafe await withUnsafeContinuation { continuation in
                            unsafe line.suspend(waiter, continuation, after: seen)
                        }
                    }
                }
            } catch {
                return error
            }
        } onCancel: {
            line.wake(waiter)
        }
        if let failure { throw failure }
        guard let finished = result.take() else { throw DMAError(.staleCookie, asked: cookie.rawValue) }
        return finished
    }

    /// The completion of one transaction if it is available; others stay, and can be taken later.
    @inlinable @inline(__always)
    mutating func look(for cookie: Cookie) throws(DMAError) -> Finished<C>? {
        while slowPaths.isSteady {
            guard let finished = next() else {
                if !engine.isGone {
                    // Only this owner of the channel could resume it, and it is waiting here.
                    if state == .paused { throw DMAError(.paused) }
                    return nil
                }
                markGone()
                break
            }
            if finished.cookie == cookie { return finished }
            putBack(finished)
        }
        if let finished = try take(cookie) { return finished }
        // It ends only with synchronize, which needs the channel that this wait borrows.
        if state == .terminating { throw DMAError(.terminating) }
        if state == .gone { throw DMAError(.deviceGone) }
        if state == .paused { throw DMAError(.paused) }
        return nil
    }

    /// - Throws: `deviceGone` where the device is gone and nothing is left to take; `usedAfterFork` in a child process.
    @usableFromInline
    mutating func checkAlive() throws(DMAError) {
        if isForked { throw DMAError(.usedAfterFork) }
        if engine.isGone { markGone() }
        if slowPaths.contains(.gone), !slowPaths.contains(.done) { throw DMAError(.deviceGone) }
    }

    /// Undoes a `next`: puts the transaction back among the finished ones.
    @usableFromInline
    mutating func putBack(_ finished: consuming Finished<C>) {
        let slot = Int(truncatingIfNeeded: finished.cookie.rawValue & limits.indexMask)
        table.setSequence(slot, finished.cookie.rawValue)
        if !keepsOrder { takeFree(slot) }
        // SAFETY: the mask makes it a slot's number.
        unsafe records[slot].deviceStatus = finished.deviceStatus
        conclude(slot, finished.status, residue: finished.residue, value: finished.value)
        // SAFETY: `next` has just moved the cargo out of this slot.
        unsafe table.cargo(slot).initialize(to: finished.takeCargo())
    }

    /// Removes a slot that was just released from the list of free slots.
    mutating func takeFree(_ slot: Int) {
        // SAFETY: the places from `freeIndex` to -1 hold free slots, and this one was among the last to be released.
        var place = freeIndex
        while place < 0, unsafe table.free(place).pointee != UInt32(truncatingIfNeeded: slot) { place += 1 }
        guard place < 0 else { return }
        unsafe table.free(place).pointee = table.free(freeIndex).pointee
        freeIndex += 1
    }
}
