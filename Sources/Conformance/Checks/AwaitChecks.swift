// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAEngineKit

/// Tests of `await`, and of its behaviour when the task is cancelled. Each run is a separate task with a watchdog, so that a
/// waiter that is never woken is a failure and not a hang.
extension SuiteRun where E: ~Copyable {
    /// Runs `body` in a task, which is cancelled when the patience is over; with a point, that many yields after `started` was
    /// raised.
    private func inTask(
        cancelledAt point: Int? = nil, after started: InterruptLine? = nil,
        _ body: @escaping @concurrent @Sendable () async -> AwaitAnswer
    ) async -> AwaitAnswer {
        let task = Task.detached(operation: body)
        // A task waits for a thread as well as for the engine, and other tasks of the process may keep the threads for a while.
        let patience = UInt64(max(suite.patience, 300_000_000))
        let watchdog = Task.detached {
            if let point, let started {
                await started.wait(after: 0)
                for _ in 0..<point { await Task.yield() }
            } else {
                try? await Task.sleep(nanoseconds: patience)
            }
            task.cancel()
        }
        let answer = await task.value
        watchdog.cancel()
        return answer
    }

    func awaiting() async throws(DMAError) {
        guard let work = try work() else { return skip(lacksWriting) }
        let suspended = "an await whose transaction was under way"
        if work.place != .issuePending { seek(suspended) }
        try await awaiting(try reshaped(work, into: 1, for: suspended), suspended)
        while let longer = try longerWork(untilMet: suspended) {
            try await awaiting(try reshaped(longer, into: 1, for: suspended), suspended)
        }
    }

    private func awaiting(_ work: MeasuredWork, _ suspended: String) async throws(DMAError) {
        let makers = (make, suite.domain)
        for flags in [DescriptorFlags(), .interrupt, .fence, [.fence, .interrupt]] {
            for order in 0..<3 {
                guard let second = writingPlan(length(atMost: largest / 4), flags: .interrupt) else { return }
                try goOn()
                // Long, so that the wait for the second begins while the first is running.
                var first = work
                first.plan.operation.flags.formUnion(flags)
                parameters = "flags \(flags.rawValue), order \(order), \(first.plan.text)"
                // Both at once where the depth allows it.
                let together = capabilities.depth > 1 && order > 0
                let answer = await inTask { [make = makers.0, domain = makers.1, first] in
                    await AwaitScript.pair(make, domain, first, second, together: together, lastFirst: order == 2)
                }
                guard !answer.isLost else { throw lost(answer) }
                // An engine that works inside polls is in progress until the waiting task polls.
                if answer.isCase || work.place == .polls { meet(suspended) }
                report(answer.findings, first.plan)
                countBytes(second.bytesCompared)
            }
        }
    }

    /// The waiter was not woken. On an engine without interrupts nothing had to wake it: the transaction did not end.
    private func lost(_ answer: AwaitAnswer) -> DMAError {
        let message = answer.findings.last ?? "the waiter was not woken in time"
        return capabilities.hasInterrupts ? loseWakeUp(message) : giveUp(message)
    }

    /// Cancelled before submit, before the await, and after any number of yields: the cargo is returned once, complete or
    /// aborted.
    func cancellation() async throws(DMAError) {
        guard let work = try work() else { return skip(lacksWriting) }
        let cancelled = "a wait that was cancelled while its transaction was under way"
        if work.place != .issuePending { seek(cancelled) }
        let base = suite.domain.statistics
        try await cancelling(try reshaped(work, into: 1, for: cancelled), cancelled)
        while let longer = try longerWork(untilMet: cancelled) {
            try await cancelling(try reshaped(longer, into: 1, for: cancelled), cancelled)
        }
        expect(suite.domain.statistics.mappings == base.mappings, "mappings are left")
        expect(suite.domain.statistics.quarantined == base.quarantined, "memory was quarantined")
    }

    private func cancelling(_ work: MeasuredWork, _ cancelled: String) async throws(DMAError) {
        let makers = (make, suite.domain)
        for flags in [DescriptorFlags(), .interrupt] {
            for point in [-2, -1, 0, 1, 2, 4, 16, 64, 256] {
                try goOn()
                var asked = work
                asked.plan.operation.flags.formUnion(flags)
                parameters = "cancelled at point \(point), \(asked.plan.text)"
                let started = InterruptLine()
                let answer = await inTask(cancelledAt: max(point, 0), after: started) {
                    [make = makers.0, domain = makers.1, asked] in
                    await AwaitScript.cancelled(make, domain, asked, point: point, started)
                }
                if answer.isCase { meet(cancelled) }
                report(answer.findings, asked.plan)
            }
        }
    }
}

/// The result of a task of an await check.
private struct AwaitAnswer: Sendable {
    var findings: [String] = []
    /// Whether the case was met.
    var isCase = false
    /// Whether the watchdog ended it.
    var isLost = false

    static func unexpected(_ error: DMAError) -> AwaitAnswer { AwaitAnswer(findings: ["unexpected: \(error)"]) }
    mutating func lose() {
        isLost = true
        findings.append("the waiter was not woken in time")
    }
}

/// The bodies of the tasks of the await checks. They return text, because a bench belongs to one task.
private enum AwaitScript {
    static func pair<E: Engine & ~Copyable & SendableMetatype>(
        _ make: @Sendable () throws(DMAError) -> E, _ domain: Domain, _ work: MeasuredWork, _ second: Plan, together: Bool,
        lastFirst: Bool
    ) async -> AwaitAnswer {
        var answer = AwaitAnswer()
        let first = work.plan
        do throws(DMAError) {
            var channel = try Channel(try make(), domain: domain, of: Freight.self)
            let a = try channel.submit(first.operation, try work.freight(0, for: domain)).get()
            if together {
                let b = try channel.submit(second.operation, try second.freight(for: domain)).get()
                answer.isCase = try isUnderWay(a, on: &channel)
                if lastFirst {
                    answer.findings += try second.findings(try await channel.finished(b))
                    answer.findings += try first.findings(try await channel.finished(a))
                } else {
                    answer.findings += try first.findings(try await channel.finished(a))
                    answer.findings += try second.findings(try await channel.finished(b))
                }
            } else {
                answer.isCase = try isUnderWay(a, on: &channel)
                answer.findings += try first.findings(try await channel.finished(a))
            }
            // The watchdog's cancellation wakes a waiter too, whose wait then ends without its transaction.
            if Task.isCancelled { answer.lose() }
            if answer.isLost { return answer }
            // The awaited transaction has been taken.
            do throws(DMAError) {
                _ = try await channel.finished(a)
                answer.findings.append("awaited twice")
            } catch { if error.code != .staleCookie { answer.findings.append("\(error.code), staleCookie expected") } }
            if channel.inFlight != 0 || channel.faults.total != 0 { answer.findings.append("transactions or faults are left") }
            return answer
        } catch {
            guard error.code == .cancelled else { return .unexpected(error) }
            answer.lose()
            return answer
        }
    }

    /// Whether a transaction, issued now, is in progress when it is queried: just before it is awaited.
    private static func isUnderWay<E: Engine & ~Copyable & SendableMetatype>(
        _ cookie: Cookie, on channel: inout Channel<E, Freight>
    ) throws(DMAError) -> Bool {
        channel.issuePending()
        return try channel.status(of: cookie) == .inProgress
    }

    static func cancelled<E: Engine & ~Copyable & SendableMetatype>(
        _ make: @Sendable () throws(DMAError) -> E, _ domain: Domain, _ work: MeasuredWork, point: Int,
        _ started: InterruptLine
    ) async -> AwaitAnswer {
        // A task cancels itself at the points before the await, and another task cancels it during the await. SAFETY: the task
        // does not leave the closure that it is lent to.
        func cancelHere() { unsafe withUnsafeCurrentTask { unsafe $0?.cancel() } }
        var answer = AwaitAnswer()
        let plan = work.plan
        do throws(DMAError) {
            if point == -2 { cancelHere() }
            var channel = try Channel(try make(), domain: domain, of: Freight.self)
            let cookie = try channel.submit(plan.operation, try work.freight(0, for: domain)).get()
            if point == -1 { cancelHere() }
            started.raise()
            do throws(DMAError) {
                let finished = try await channel.finished(cookie)
                answer.findings += try plan.findings(finished)
                return answer
            } catch {
                guard error.code == .cancelled else { return .unexpected(error) }
            }
            answer.isCase = true
            if channel.inFlight != 1 {
                answer.findings.append("\(channel.inFlight) in flight after a cancelled wait, 1 expected")
            }
            try channel.terminateSync()
            guard let finished = try channel.take(cookie) else {
                answer.findings.append("neither complete nor aborted")
                return answer
            }
            if finished.status == .complete {
                answer.findings += try plan.findings(finished)
            } else if finished.status != .aborted {
                answer.findings.append("ended as \(finished.status)")
            }
            if channel.next() != nil || channel.inFlight != 0 { answer.findings.append("the cargo came back twice") }
            return answer
        } catch {
            return .unexpected(error)
        }
    }
}
