// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

// `await` over polling: looks first, suspends only on a miss.

extension Channel where E: ~Copyable, C: ~Copyable {
    /// The completion of one transaction.
    ///
    /// Issues what is queued. On an engine with an interrupt line, a transaction that asked for an interrupt suspends the task until
    /// the line is raised; on others, and for transactions that did not ask, the task yields between polls.
    ///
    /// - Throws: `staleCookie`; `terminating` on a channel that was terminated and has yet to be synchronized; `cancelled` in a
    ///   cancelled task. Then the transaction goes on and its cargo stays the channel's:
    ///   cancelling a task frees no memory that a device can still write (rule 18).
    @inlinable @inline(__always)
    public mutating func finished(_ cookie: Cookie) async throws(DMAError) -> Finished<C> {
        // The steady case: it is the next completion, and it is there.
        if table.isSteady, let completion = engine.next() {
            if isExpected(completion), sequence(of: completion) == cookie.rawValue { return takeExpected(completion) }
            settleChecked(
                completion.tag, completion.status, completion.isPeriod, completion.deviceStatus, completion.residue,
                completion.value)
        }
        return try await finishedLater(cookie)
    }

    // Inlinable, so that the whole wait is compiled for the engine at hand: of what a suspension costs, the most is the runtime's.
    @inlinable @inline(never)
    mutating func finishedLater(
        _ cookie: Cookie, isolation: isolated (any Actor)? = #isolation
    ) async throws(DMAError) -> Finished<C> {
        if isForked { throw DMAError(.usedAfterFork) }
        issuePending()
        let slot = Int(truncatingIfNeeded: cookie.rawValue & limits.indexMask)
        guard table.sequence(slot) == cookie.rawValue else { throw DMAError(.staleCookie, asked: cookie.rawValue) }
        guard table.asksInterrupt(slot), let line = engine.interruptLine else {
            while true {
                if let finished = try look(for: cookie) { return finished }
                if Task.isCancelled { throw DMAError(.cancelled) }
                await Task.yield()
            }
        }
        var result: Finished<C>?
        let waiter = line.newWaiter()
        // One handler around all of the wait: what it costs is the most of a suspension.
        let failure: DMAError? = await withTaskCancellationHandler {
            _ = isolation
            do throws(DMAError) {
                var wasWoken = false
                while true {
                    let seen = line.count
                    result = try look(for: cookie)
                    if result != nil { return nil }
                    // A wait in a cancelled task ends at once, so that it is enough to ask after one that found nothing.
                    if wasWoken, Task.isCancelled { return DMAError(.cancelled) }
                    wasWoken = true
                    // What a fence holds back is not in the engine: only a poll lets it go, so that no interrupt of its own can come.
                    if slowPaths.contains(.fence) {
                        await Task.yield()
                    } else {
                        // Not through a function of the line's own: each one on the way costs two changes of executor.
                        // SAFETY: nobody else has the continuation, and the line resumes it exactly once: at once where there was an
                        // interrupt since `seen`, otherwise with the next one or by `wake`. The task that waits holds the line meanwhile.
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

    /// The completion of one transaction if it is there; others stay, to be asked for.
    @inlinable @inline(__always)
    mutating func look(for cookie: Cookie) throws(DMAError) -> Finished<C>? {
        while slowPaths.isSteady {
            guard let finished = next() else {
                if !engine.isGone { return nil }
                markGone()
                break
            }
            if finished.cookie == cookie { return finished }
            putBack(finished)
        }
        if let finished = try take(cookie) { return finished }
        // Its end comes with synchronize, for which the channel is needed that this wait holds.
        if state == .terminating { throw DMAError(.terminating) }
        if state == .gone { throw DMAError(.deviceGone) }
        return nil
    }

    /// Hands every completion to `body`, which may submit more, until it answers false: the loop of a long-lived task that serves the
    /// channel. Suspends where nothing is finished.
    ///
    /// The task's cancellation is watched once for the whole loop, not once for each wait: that makes a wait cost half of what
    /// ``finished(_:)`` does. Transactions that did not ask for an interrupt are seen at the next one that did, so the last one of a
    /// batch should ask.
    ///
    /// - Throws: `cancelled` in a cancelled task; `deviceGone`; what `body` throws.
    @inlinable
    public mutating func drain(
        isolation: isolated (any Actor)? = #isolation,
        _ body: (consuming Finished<C>, inout Channel) throws(DMAError) -> Bool
    ) async throws(DMAError) {
        guard let line = engine.interruptLine else { return try await drainByPolling(body) }
        let waiter = line.newWaiter()
        let failure: DMAError? = await withTaskCancellationHandler {
            // Captured, so that the loop runs where the caller runs and not on the global executor.
            _ = isolation
            do throws(DMAError) {
                var wasWoken = false
                while true {
                    let seen = line.count
                    if let finished = next() {
                        if try !body(finished, &self) { return nil }
                        wasWoken = false
                        continue
                    }
                    // A wait in a cancelled task ends at once, so that it is enough to ask after one that found nothing.
                    if wasWoken, Task.isCancelled { return DMAError(.cancelled) }
                    wasWoken = true
                    try checkAlive()
                    // As in `finishedLater`: what a fence holds back wants polling.
                    if slowPaths.contains(.fence) {
                        await Task.yield()
                        continue
                    }
                    // Not through a function of the line's own: each one on the way costs two changes of executor.
                    // SAFETY: as in `finishedLater`: the line resumes the continuation exactly once.
                    unsafe await withUnsafeContinuation { continuation in
                        unsafe line.suspend(waiter, continuation, after: seen)
                    }
                }
            } catch {
                return error
            }
        } onCancel: {
            line.wake(waiter)
        }
        if let failure { throw failure }
    }

    @inlinable
    mutating func drainByPolling(
        _ body: (consuming Finished<C>, inout Channel) throws(DMAError) -> Bool
    ) async throws(DMAError) {
        while true {
            if let finished = next() {
                if try !body(finished, &self) { return }
                continue
            }
            if Task.isCancelled { throw DMAError(.cancelled) }
            try checkAlive()
            await Task.yield()
        }
    }

    /// - Throws: `deviceGone` where the device is gone and nothing is left to take; `usedAfterFork` in a child process.
    @usableFromInline
    mutating func checkAlive() throws(DMAError) {
        if isForked { throw DMAError(.usedAfterFork) }
        if engine.isGone { markGone() }
        if slowPaths.contains(.gone), !slowPaths.contains(.done) { throw DMAError(.deviceGone) }
    }

    /// Undoes a `next`: the transaction waits among the finished ones again.
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

    /// Takes a slot that was just released off the list of free ones again.
    mutating func takeFree(_ slot: Int) {
        // SAFETY: the places from `freeIndex` to -1 hold free slots, and this one was released last or close to last.
        var place = freeIndex
        while place < 0, unsafe table.free(place).pointee != UInt32(truncatingIfNeeded: slot) { place += 1 }
        guard place < 0 else { return }
        unsafe table.free(place).pointee = table.free(freeIndex).pointee
        freeIndex += 1
    }
}
