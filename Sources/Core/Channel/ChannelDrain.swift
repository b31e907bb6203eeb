// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

// The loop of a task that serves a channel.

extension Channel where E: ~Copyable, C: ~Copyable {
    /// Hands every completion to `body`, which may submit more, until it answers false or nothing is in flight: the loop of a long-lived task
    /// that serves the channel. Issues what is queued. Suspends where nothing is finished.
    ///
    /// The task's cancellation is watched once for the whole loop, not once for each wait: that makes a wait cost half of what
    /// ``finished(_:)`` does. Transactions that did not ask for an interrupt are seen at the next one that did, so the last one of a
    /// batch should ask. Where none in flight asks, the task sleeps between polls, as in ``finished(_:)``.
    ///
    /// - Throws: `cancelled` in a cancelled task; `paused` where nothing more has ended on a paused channel; `terminating` on a channel that
    ///   was terminated and has yet to be synchronized; `deviceGone`; `usedAfterFork`; what `body` throws.
    @inlinable
    public mutating func drain(
        isolation: isolated (any Actor)? = #isolation,
        _ body: (consuming Finished<C>, inout Channel) throws(DMAError) -> Bool
    ) async throws(DMAError) {
        if let failure = try await serve(body).get() { throw failure }
    }

    /// The same for a body that throws errors of its own.
    @inlinable @_disfavoredOverload
    public mutating func drain(
        isolation: isolated (any Actor)? = #isolation,
        _ body: (consuming Finished<C>, inout Channel) throws -> Bool
    ) async throws {
        if let failure = try await serve(body).get() { throw failure }
    }

    /// `drain`, with the channel's reasons to end apart from the body's.
    @inlinable
    mutating func serve<Failure: Error>(
        isolation: isolated (any Actor)? = #isolation,
        _ body: (consuming Finished<C>, inout Channel) throws(Failure) -> Bool
    ) async -> Result<DMAError?, Failure> {
        guard let line = engine.interruptLine else { return await serveByPolling(body) }
        let waiter = line.newWaiter()
        return await withTaskCancellationHandler {
            // Captured, so that the loop runs where the caller runs and not on the global executor.
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
                // A wait in a cancelled task ends at once, so that it is enough to ask after one that found nothing.
                if wasWoken, Task.isCancelled { return .success(DMAError(.cancelled)) }
                wasWoken = true
                switch prepareToWait() {
                case .look: continue
                case .nothing: return .success(nil)
                case .failed(let error): return .success(error)
                case .poll: await pace.rest()
                case .interrupt:
                    // Not through a function of the line's own: each one on the way costs two changes of executor.
                    // SAFETY: as in `finishedLater`: the line resumes the continuation exactly once.
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
        // The steady case: everything is issued, and the last one submitted is under way and will raise an interrupt.
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
        // What a fence holds back is not in the engine: only a poll lets it go, so that no interrupt of its own can come.
        return asks && !slowPaths.contains(.fence) ? .interrupt : .poll
    }
}

/// What a task can wait for on a channel.
@usableFromInline @frozen
enum WaitPlan {
    /// Something has changed: worth a look before any wait.
    case look
    /// Nothing is in flight, so that nothing will come.
    case nothing
    /// An interrupt, which something in flight asked for.
    case interrupt
    /// Nothing in flight announces itself.
    case poll
    case failed(DMAError)
}
