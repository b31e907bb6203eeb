// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

/// A channel that several tasks share. Any task may call; the actor owns the channel.
///
/// Transactions are submitted in the order of the calls, up to the channel's depth; later calls wait for a free place. Each is
/// issued at once with the interrupt flag. One task of the actor polls while anything is in flight.
///
/// Cancelling a task never terminates the channel: a call that waits for a place ends and returns its cargo; one whose
/// transaction was submitted waits until the device has finished with it. No call waits for ever: it ends at its deadline, and
/// the channel then keeps the cargo until the device has finished.
///
/// The channel ends when the last reference is released and nothing is in flight.
public actor SharedChannel<C: Cargo & ~Copyable & SendableMetatype> {
    private var channel: Channel<AnyEngine, C>
    private let line: InterruptLine?
    private let worksInPoll: Bool
    /// The domain to map cargo for.
    public nonisolated let domain: Domain
    /// The engine's capabilities.
    public nonisolated let capabilities: Capabilities
    /// Transactions submitted and not taken, plus places granted.
    private var inFlight = 0
    /// Calls that wait for a place, in the order of arrival; the numbers of calls that gave up are missing.
    private var turns: [UInt64: Turn] = [:]
    private var firstTurn: UInt64 = 0
    private var nextTurn: UInt64 = 0
    /// Calls whose transaction is in flight.
    private var waiters: [Cookie: Turn] = [:]
    /// Transactions whose call has ended before them.
    private var orphans: Set<Cookie> = []
    private var progressed = Deadline.now
    private var isPumping = false
    private var isWatched = false

    /// A suspended call: its deadline, and its continuation, which is resumed with nil where the awaited event has occurred.
    private struct Turn {
        let deadline: Deadline
        let continuation: CheckedContinuation<DMAError?, Never>
    }

    /// Takes ownership of a channel on which nothing is in flight.
    public init(_ channel: consuming sending Channel<AnyEngine, C>) {
        domain = channel.space
        capabilities = channel.capabilities
        line = channel.interruptLine
        worksInPoll = capabilities.worksInPoll
        self.channel = channel
    }

    /// Runs one operation: waits for a place, submits, issues, and waits for the end.
    ///
    /// - Parameters:
    ///   - operation: neither cyclic nor with `DescriptorFlags.reuse`.
    ///   - cargo: what it works on, mapped for ``domain``.
    ///   - deadline: when the call ends, whatever the device does.
    public func run(
        _ operation: Operation, _ cargo: consuming C, by deadline: Deadline = .after(milliseconds: 60_000)
    ) async -> RunOutcome<C> {
        if operation.kind == .cyclic { return .refused(DMAError(.unsupportedOperation), cargo) }
        if operation.flags.contains(.reuse) {
            let asked = UInt64(DescriptorFlags.reuse.rawValue)
            return .refused(
                DMAError(.unsupportedFlag, asked: asked, limit: UInt64(capabilities.flags.rawValue) & ~asked), cargo)
        }
        if let error = await takeTurn(deadline) { return .refused(error, cargo) }
        var operation = operation
        operation.flags.insert(.interrupt)
        let cookie: Cookie
        switch channel.submit(operation, cargo) {
        case .queued(let queued): cookie = queued
        case .refused(let error, let cargo):
            passTurn()
            return .refused(error, cargo)
        }
        channel.issuePending()
        // An engine that works inside polls may have finished by now.
        channel.poll()
        if !channel.isDone(cookie) {
            startPump()
            let failure = await withCheckedContinuation { continuation in
                waiters[cookie] = Turn(deadline: deadline, continuation: continuation)
                startWatch()
            }
            if let failure { return .kept(failure) }
        }
        passTurn()
        do throws(DMAError) {
            guard let finished = try channel.take(cookie) else { return .kept(DMAError(.staleCookie, asked: cookie.rawValue)) }
            return .finished(finished)
        } catch { return .kept(error) }
    }

    /// Attaches a peripheral to the channel's engine: see ``Channel/attach(_:)``.
    ///
    /// - Throws: the errors of that function.
    public func attach(_ file: PeripheralFile) throws(DMAError) -> UInt32 { try channel.attach(file) }

    /// Detaches a peripheral: see ``Channel/detach(_:)``.
    ///
    /// - Throws: the errors of that function; `peripheralBusy` while a transaction names it.
    public func detach(_ number: UInt32) throws(DMAError) { try channel.detach(number) }

    /// Drops queued and running work of all tasks, and waits until the device has stopped; the calls end with `aborted`.
    /// Afterwards the channel accepts work again.
    ///
    /// - Throws: `quiesceTimeout`: the calls end in this case too, and the channel keeps their cargo.
    public func terminate(by deadline: Deadline = .after(milliseconds: 1000)) throws(DMAError) {
        channel.terminateAsync()
        defer { settle() }
        try channel.synchronize(by: deadline)
    }

    /// The number of calls that wait for a place or for the end of their transaction.
    package var waitingCalls: Int { turns.count + waiters.count }

    // MARK: Places

    /// Waits for a place. Nil where the caller may submit.
    private func takeTurn(_ deadline: Deadline) async -> DMAError? {
        if Task.isCancelled { return DMAError(.cancelled) }
        if turns.isEmpty, inFlight < capabilities.depth {
            inFlight += 1
            return nil
        }
        let number = nextTurn
        nextTurn += 1
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                turns[number] = Turn(deadline: deadline, continuation: continuation)
                startWatch()
                // Calls that gave up on their device may hold the places. The pump polls for them.
                startPump()
            }
        } onCancel: {
            // It runs after this function was suspended, when the waiting call is registered.
            Task { await self.dropTurn(number, DMAError(.cancelled)) }
        }
    }

    private func dropTurn(_ number: UInt64, _ error: DMAError) {
        turns.removeValue(forKey: number)?.continuation.resume(returning: error)
    }

    /// Frees one place. The first waiting call gets it directly, so that a later call cannot overtake it.
    private func passTurn() {
        while firstTurn < nextTurn {
            firstTurn += 1
            if let turn = turns.removeValue(forKey: firstTurn - 1) {
                turn.continuation.resume(returning: nil)
                return
            }
        }
        inFlight -= 1
    }

    // MARK: The pump

    private func startPump() {
        progressed = .now
        guard !isPumping else { return }
        isPumping = true
        Task { await pump() }
    }

    /// Polls while a call waits for a transaction or a place, and for 10 s after the last one for transactions whose calls gave
    /// up. After that the watch polls, which does not keep the channel alive.
    private func pump() async {
        var pace = PollPace(worksInPoll: worksInPoll)
        while !waiters.isEmpty || !turns.isEmpty
            || (!orphans.isEmpty && progressed.nanoseconds(until: .now) < 10_000_000_000)
        {
            let seen = line?.count ?? 0
            channel.poll()
            if settle() {
                pace.reset()
                await Task.yield()
            } else if let line, !channel.slowPaths.contains(.fence) {
                await line.wait(after: seen)
            } else {
                await pace.rest()
            }
        }
        isPumping = false
    }

    /// Resumes the calls whose transactions have ended. True where there were any, or a transaction without a waiting call.
    @discardableResult
    private func settle() -> Bool {
        var any = false
        for (cookie, waiter) in waiters where channel.isDone(cookie) {
            waiters[cookie] = nil
            waiter.continuation.resume(returning: nil)
            any = true
        }
        for cookie in orphans where channel.isDone(cookie) {
            orphans.remove(cookie)
            _ = try? channel.take(cookie)
            passTurn()
            any = true
        }
        if any { progressed = .now }
        // The device is gone, or was told to stop, and did not stop.
        switch channel.channelState {
        case .gone: endAll(DMAError(.deviceGone))
        case .terminating: endAll(DMAError(.quiesceTimeout))
        default: break
        }
        return any
    }

    /// Ends every call; the channel keeps the cargo of submitted transactions.
    private func endAll(_ error: DMAError) {
        for (cookie, waiter) in waiters {
            orphans.insert(cookie)
            waiter.continuation.resume(returning: error)
        }
        waiters = [:]
        for number in turns.keys { dropTurn(number, error) }
    }

    // MARK: Deadlines

    private func startWatch() {
        guard !isWatched else { return }
        isWatched = true
        // Weak, so that the actor ends with its last user.
        Task.detached { [weak self] in
            while let pause = await self?.watch() { try? await Task.sleep(nanoseconds: pause) }
        }
    }

    /// Ends the calls whose deadline has passed, and lets the pump check whether the device is gone.
    ///
    /// - Returns: nanoseconds until the next check; nil where there is nothing to watch.
    private func watch() -> UInt64? {
        let now = Deadline.now
        var next = Deadline.never
        for (number, turn) in turns {
            if let late = turn.deadline.error(at: now) { dropTurn(number, late) } else { next = min(next, turn.deadline) }
        }
        for (cookie, waiter) in waiters {
            if let late = waiter.deadline.error(at: now) {
                waiters[cookie] = nil
                orphans.insert(cookie)
                waiter.continuation.resume(returning: late)
            } else {
                next = min(next, waiter.deadline)
            }
        }
        _ = line?.nudge()
        if !isPumping, !orphans.isEmpty {
            channel.poll()
            settle()
        }
        if turns.isEmpty, waiters.isEmpty, orphans.isEmpty, !isPumping {
            isWatched = false
            return nil
        }
        return min(max(now.nanoseconds(until: next), 1_000_000), 100_000_000)
    }
}

/// The outcome of an operation on a ``SharedChannel``.
public enum RunOutcome<C: Cargo & ~Copyable>: ~Copyable, Sendable {
    /// It has ended, with any status.
    case finished(Finished<C>)
    /// It was not submitted, for this reason; the cargo is returned.
    case refused(DMAError, C)
    /// The call ended before the transaction: at its deadline, or because the device did not stop. The channel keeps the cargo
    /// until the device has finished.
    case kept(DMAError)

    /// The transaction if it is complete; otherwise throws the reason.
    ///
    /// - Throws: the reason of a refusal, or of the call's end; ``Finished/error`` of a transaction that failed or was aborted.
    public consuming func get() throws(DMAError) -> Finished<C> {
        // Named and ended by hand: with a wildcard, or a throw while a value is held, Swift 6.3.1's optimizer crashes on a
        // cargo with a deinit.
        var answer: Finished<C>?
        var refusal: DMAError?
        switch consume self {
        case .finished(let finished):
            refusal = finished.error
            answer = consume finished
        case .refused(let error, let cargo):
            _ = consume cargo
            refusal = error
        case .kept(let error): refusal = error
        }
        guard refusal == nil, let finished = answer.take() else { throw refusal ?? DMAError(.engineFailed) }
        return finished
    }
}

extension Channel where E: ~Copyable, C: ~Copyable {
    /// Whether a transaction that was not taken has ended, as far as ``poll()`` knows.
    func isDone(_ cookie: Cookie) -> Bool {
        let slot = Int(cookie.rawValue & limits.indexMask)
        // SAFETY: the mask makes it a slot's number.
        return unsafe table.sequence(slot) == cookie.rawValue && records[slot].isDone
    }
}
