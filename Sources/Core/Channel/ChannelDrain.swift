// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

// The loop of a task that serves a channel.

extension Channel where E: ~Copyable, C: ~Copyable {
    /// Passes every completion to `body`, which may submit more, until it returns false or nothing is in flight: the loop of a
    /// long-lived task that serves the channel. Issues what is queued. Suspends where nothing is finished.
    ///
    /// The task's cancellation handler is installed once for the whole loop instead of once per wait, which halves the cost of
    /// a wait compared with ``finished(_:)``. Transactions without the interrupt flag are seen at the next one that has it, so
    /// the last one of a batch should set it. Where none in flight has it, the task sleeps between polls, as in
    /// ``finished(_:)``.
    ///
    /// - Throws: `cancelled` in a cancelled task; `paused` where nothing more has ended on a paused channel; `terminating` on a
    ///   channel that was terminated and not yet synchronized; `deviceGone`; `usedAfterFork`; errors of `body`.
    @inlinable
    public mutating func drain(
        isolation: isolated (any Actor)? = #isolation,
        _ body: (consuming Finished<C>, inout Channel) throws(DMAError) -> Bool
    ) async throws(DMAError) {
        if let failure = try await serve(body).get() { throw failure }
    }

    /// The same for a body that throws its own errors.
    @inlinable @_disfavoredOverload
    public mutating func drain(
        isolation: isolated (any Actor)? = #isolation,
        _ body: (consuming Finished<C>, inout Channel) throws -> Bool
    ) async throws {
        if let failure = try await serve(body).get() { throw failure }
    }

    /// `drain`, which returns the channel's errors separately from the body's.
    @inlinable
    mutating func serve<Failure: Error>(
        isolation: isolated (any Actor)? = #isolation,
        _ body: (consuming Finished<C>, inout Channel) throws(Failure) -> Bool
    ) async -> Result<DMAError?, Failure> {
        guard let line = engine.interruptLine else { return await serveByPolling(body) }
        let waiter = line.newWaiter()
        return await withTaskCancellationHandler {
            // Captured, so that the loop runs on the caller's executor and not on the global one.
            _ = isolation
            var pace = PollPace(worksInPoll: false)
            var wasWoken = false
            while true {
                let seen = line.count
                if let finished = next() {
                    do throws(Failure) {
                        if try !body(finished, &self) { return .success(nil) }
                    } catch {
                        return .failure(error)
                    }
                    wasWoken = false
                    pace.reset()
                    continue
                }
                // A wait in a cancelled task ends at once, so that checking after a wait that found nothing is enough.
                if wasWoken, Task.isCancelled { return .success(DMAError(.cancelled)) }
                wasWoken = true
                switch prepareToWait() {
                case .look: continue
                case .nothing: return .success(nil)
                case .failed(let error): return .success(error)
                case .poll: await pace.rest()
                case .interrupt:
                    // Not through a function of the line: each call level costs two changes of executor. SAFETY: as in
                    // `finishedLater`: the line resumes the continuation exactly once.
                    unsafe await withUnsafeContinuation { continuation in
                        unsafe line.suspend(waiter, continuation, after: seen)
                    }
                }
            }
        } onCancel: {
            line.wake(waiter)
        }
    }

    @inlinable
    mutating func serveByPolling<Failure: Error>(
        _ body: (consuming Finished<C>, inout Channel) throws(Failure) -> Bool
    ) async -> Result<DMAError?, Failure> {
        var pace = PollPace(worksInPoll: engine.capabilities.worksInPoll)
        while true {
            if let finished = next() {
                do throws(Failure) {
                    if try !body(finished, &self) { return .success(nil) }
                } catch {
                    return .failure(error)
                }
                pace.reset()
                continue
            }
            if Task.isCancelled { return .success(DMAError(.cancelled)) }
            switch prepareToWait() {
            case .look: continue
            case .nothing: return .success(nil)
            case .failed(let error): return .success(error)
            case .poll, .interrupt: await pace.rest()
            }
        }
    }

    /// What a task that found nothing finished can wait for. Issues what is queued.
    @inlinable @inline(__always)
    mutating func prepareToWait() -> WaitPlan {
        // The common case: everything is issued, and the last transaction is in flight and will raise an interrupt.
        let last = nextSequence &- 1
        let slot = Int(truncatingIfNeeded: last & limits.indexMask)
        if table.isSteady, issuedEnd == nextSequence, state == .running, !engine.isGone, table.sequence(slot) == last,
            table.asksInterrupt(slot)
        {
            return .interrupt
        }
        return planWait()
    }

    @usableFromInline @inline(never)
    mutating func planWait() -> WaitPlan {
        do throws(DMAError) { try checkAlive() } catch { return .failed(error) }
        if slowPaths.contains(.done) { return .look }
        var isOpen = false
        var asks = false
        for slot in 0..<limits.slots where self.isOpen(slot) {
            isOpen = true
            if table.asksInterrupt(slot) {
                asks = true
                break
            }
        }
        if !isOpen { return .nothing }
        if state == .terminating { return .failed(DMAError(.terminating)) }
        if state == .paused { return .failed(DMAError(.paused)) }
        if issuedEnd != nextSequence {
            issuePending()
            return .look
        }
        // A transaction held back by a fence is not in the engine: only a poll submits it, and it raises no interrupt before.
        return asks && !slowPaths.contains(.fence) ? .interrupt : .poll
    }
}

/// What a task can wait for on a channel.
@usableFromInline @frozen
enum WaitPlan {
    /// Something has changed: poll before any wait.
    case look
    /// Nothing is in flight, so nothing will complete.
    case nothing
    /// An interrupt, which a transaction in flight will raise.
    case interrupt
    /// No transaction in flight raises an interrupt.
    case poll
    case failed(DMAError)
}
