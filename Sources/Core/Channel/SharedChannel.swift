// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

/// A channel that several tasks share. Any task may call; the actor owns the channel.
///
/// Transactions are submitted in the order of the calls, as many at a time as the channel is deep; later calls wait for their turn. Each is
/// issued at once and asks for an interrupt. One task of the actor's own polls while anything is in flight.
///
/// Cancelling a task never terminates the channel: a call that waits for its turn ends and gives its cargo back; one whose transaction was
/// submitted waits until the device is done with it. No call waits for ever: at its deadline it ends, and the cargo stays the channel's until
/// the device is done.
///
/// The channel ends with the last reference, once nothing is in flight.
public actor SharedChannel<C: Cargo & ~Copyable & SendableMetatype> {
    private var channel: Channel<AnyEngine, C>
    private let line: InterruptLine?
    private let worksInPoll: Bool
    /// Map cargo for this.
    public nonisolated let domain: Domain
    /// What the engine can do.
    public nonisolated let capabilities: Capabilities
    /// Transactions submitted and not taken, and turns that were given.
    private var inFlight = 0
    /// Calls that wait for their turn, by the order in which they came; numbers of those that gave up are missing.
    private var turns: [UInt64: Turn] = [:]
    private var firstTurn: UInt64 = 0
    private var nextTurn: UInt64 = 0
    /// Calls whose transaction is under way.
    private var waiters: [Cookie: Turn] = [:]
    /// Transactions whose call has ended before them.
    private var orphans: Set<Cookie> = []
    private var progressed = Deadline.now
    private var isPumping = false
    private var isWatched = false

    /// A call that is suspended: until when, and by which it is resumed: with nil where what it waited for has come.
    private struct Turn {
        let deadline: Deadline
        let continuation: CheckedContinuation<DMAError?, Never>
    }

    /// Takes a channel on which nothing is in flight.
    public init(_ channel: consuming sending Channel<AnyEngine, C>) {
        domain = channel.space
        capabilities = channel.capabilities
        line = channel.interruptLine
        worksInPoll = capabilities.worksInPoll
        self.channel = channel
    }

    /// Runs one operation: waits for its turn, submits, issues, waits for the end.
    ///
    /// - Parameters:
    ///   - operation: neither cyclic nor with `DescriptorFlags.reuse`.
    ///   - cargo: what it works on, mapped for ``domain``.
    ///   - deadline: by when the call ends, whatever the device does.
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
        // What works in the poll may be done by now.
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

    /// Gives the channel's engine one more peripheral: see ``Channel/attach(_:)``.
    ///
    /// - Throws: as there.
    public func attach(_ file: PeripheralFile) throws(DMAError) -> UInt32 { try channel.attach(file) }

    /// Lets go of a peripheral: see ``Channel/detach(_:)``.
    ///
    /// - Throws: as there; `peripheralBusy` while a transaction names it.
    public func detach(_ number: UInt32) throws(DMAError) { try channel.detach(number) }

    /// Drops what is queued and running, of all tasks, and waits until the device has stopped; their calls end with `aborted`. Afterwards the
    /// channel accepts work again.
    ///
    /// - Throws: `quiesceTimeout`: the calls end too, and the channel keeps their cargo.
    public func terminate(by deadline: Deadline = .after(milliseconds: 1000)) throws(DMAError) {
        channel.terminateAsync()
        defer { settle() }
        try channel.synchronize(by: deadline)
    }

    /// Calls that wait for their turn or for the end of their transaction.
    package var waitingCalls: Int { turns.count + waiters.count }

    // MARK: Turns

    /// Nil where the caller may submit.
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
                // Calls that gave up waiting for their device may hold the places. The pump polls for them.
                startPump()
            }
        } onCancel: {
            // It runs after this function was suspended, by which time the turn is entered.
            Task { await self.dropTurn(number, DMAError(.cancelled)) }
        }
    }

    private func dropTurn(_ number: UInt64, _ error: DMAError) {
        turns.removeValue(forKey: number)?.continuation.resume(returning: error)
    }

    /// One transaction less: the first call that waits gets its place directly, so that a later call cannot overtake it.
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

    /// Polls while a call waits for a transaction or for its turn, and for 10 s after the last one for transactions whose calls gave up. From
    /// then on the watch polls: it does not keep the channel.
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

    /// Resumes the calls whose transaction is over. True where there were any, or a transaction that nobody waits for.
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
        // What is left of a device that is gone, or was told to stop, and did not stop.
        switch channel.channelState {
        case .gone: endAll(DMAError(.deviceGone))
        case .terminating: endAll(DMAError(.quiesceTimeout))
        default: break
        }
        return any
    }

    /// Ends every call; the channel keeps the cargo of those that were submitted.
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

    /// Ends the calls whose deadline has passed, and has the pump look whether the device is gone.
    ///
    /// - Returns: nanoseconds until it is to be done again; nil where there is nothing to watch.
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

/// What came of an operation on a ``SharedChannel``.
public enum RunOutcome<C: Cargo & ~Copyable>: ~Copyable, Sendable {
    /// It is over, in one way or another.
    case finished(Finished<C>)
    /// It was not submitted, and why; the cargo is back.
    case refused(DMAError, C)
    /// The call ended before it: at its deadline, or because the device did not stop. The channel keeps the cargo until the device is done.
    case kept(DMAError)

    /// A complete transaction; otherwise the reason is thrown.
    ///
    /// - Throws: the reason of a refusal, or of the call's end; ``Finished/error`` of one that failed or was aborted.
    public consuming func get() throws(DMAError) -> Finished<C> {
        // Named and ended by hand: with a wildcard, or a throw while it holds a value, Swift 6.3.1's optimizer fails on a cargo with a deinit.
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
    /// Whether a transaction that was not taken yet is over, as far as ``poll()`` knows.
    func isDone(_ cookie: Cookie) -> Bool {
        let slot = Int(cookie.rawValue & limits.indexMask)
        // SAFETY: the mask makes it a slot's number.
        return unsafe table.sequence(slot) == cookie.rawValue && records[slot].isDone
    }
}
