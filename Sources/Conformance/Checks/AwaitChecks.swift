// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAEngineKit

/// `await`, and what becomes of it when the task is cancelled. Each run is a task of its own with a watchdog, so that a waiter
/// that is
/// never woken is a failure and not a hang.
extension Bench where E: ~Copyable {
    /// Runs `body` in a task of its own, cancelled at the end of patience; with a point, that many turns after `started` was
    /// raised.
    private func inTask(
        cancelledAt point: Int? = nil, after started: InterruptLine? = nil,
        _ body: @escaping @concurrent @Sendable () async -> [String]
    ) async -> [String] {
        let task = Task.detached(operation: body)
        // A task waits for a thread as well as for the engine, and others of the process may keep the threads for a while.
        let patience = UInt64(suite.patience) &* 5
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
        guard writingPlan() != nil else { return skip("no operation that writes memory") }
        let makers = (make, suite.domain)
        for flags in [DescriptorFlags(), .interrupt, .fence, [.fence, .interrupt]] {
            for order in 0..<3 {
                // Long, so that the wait for the second begins while the first is under way.
                guard let first = writingPlan(largest, flags: flags),
                    let second = writingPlan(length(atMost: largest / 4), flags: .interrupt)
                else { return }
                try goOn()
                parameters = "flags \(flags.rawValue), order \(order), \(first.text)"
                // Both at once where the engine takes two.
                let together = capabilities.depth > 1 && order > 0
                let findings = await inTask { [make = makers.0, domain = makers.1] in
                    await AwaitScript.pair(make, domain, first, second, together: together, lastFirst: order == 2)
                }
                report(findings, first)
                countBytes(second.bytesCompared)
            }
        }
    }

    /// Cancelled before submit, before the await, and after any number of turns: the cargo comes back once, complete or
    /// aborted.
    func cancellation() async throws(DMAError) {
        guard writingPlan() != nil else { return skip("no operation that writes memory") }
        let base = suite.domain.statistics
        let makers = (make, suite.domain)
        for flags in [DescriptorFlags(), .interrupt] {
            for point in [-2, -1, 0, 1, 2, 4, 16, 64, 256] {
                guard let plan = writingPlan(largest, flags: flags) else { return }
                try goOn()
                parameters = "cancelled at point \(point), \(plan.text)"
                let started = InterruptLine()
                let findings = await inTask(cancelledAt: max(point, 0), after: started) {
                    [make = makers.0, domain = makers.1] in
                    await AwaitScript.cancelled(make, domain, plan, point: point, started)
                }
                report(findings, plan)
            }
        }
        expect(suite.domain.statistics.mappings == base.mappings, "mappings are left")
        expect(suite.domain.statistics.quarantined == base.quarantined, "memory was quarantined")
    }
}

/// What the tasks of the await checks do. They report in words, because a bench belongs to one task.
private enum AwaitScript {
    static func pair<E: Engine & ~Copyable & SendableMetatype>(
        _ make: @Sendable () throws(DMAError) -> E, _ domain: Domain, _ first: Plan, _ second: Plan, together: Bool,
        lastFirst: Bool
    ) async -> [String] {
        do throws(DMAError) {
            var channel = try Channel(try make(), domain: domain, of: Freight.self)
            let a = try channel.submit(first.operation, try first.freight(for: domain)).get()
            var findings: [String] = []
            if together {
                let b = try channel.submit(second.operation, try second.freight(for: domain)).get()
                if lastFirst {
                    findings += try second.findings(try await channel.finished(b))
                    findings += try first.findings(try await channel.finished(a))
                } else {
                    findings += try first.findings(try await channel.finished(a))
                    findings += try second.findings(try await channel.finished(b))
                }
            } else {
                findings += try first.findings(try await channel.finished(a))
            }
            // The watchdog's cancellation wakes a waiter too, who then finds what it had waited for in vain.
            if Task.isCancelled { return findings + ["the waiter was not woken in time"] }
            // What was awaited is taken.
            do throws(DMAError) {
                _ = try await channel.finished(a)
                findings.append("awaited twice")
            } catch { if error.code != .staleCookie { findings.append("\(error.code), staleCookie expected") } }
            if channel.inFlight != 0 || channel.faults.total != 0 { findings.append("transactions or faults are left") }
            return findings
        } catch {
            return [error.code == .cancelled ? "the waiter was not woken in time" : "unexpected: \(error)"]
        }
    }

    static func cancelled<E: Engine & ~Copyable & SendableMetatype>(
        _ make: @Sendable () throws(DMAError) -> E, _ domain: Domain, _ plan: Plan, point: Int, _ started: InterruptLine
    ) async -> [String] {
        // A task cancels itself at the points before the await, and is cancelled by another one during it.
        // SAFETY: the task does not leave the closure that it is lent to.
        func cancelHere() { unsafe withUnsafeCurrentTask { unsafe $0?.cancel() } }
        do throws(DMAError) {
            if point == -2 { cancelHere() }
            var channel = try Channel(try make(), domain: domain, of: Freight.self)
            let cookie = try channel.submit(plan.operation, try plan.freight(for: domain)).get()
            if point == -1 { cancelHere() }
            started.raise()
            var findings: [String] = []
            do throws(DMAError) {
                let finished = try await channel.finished(cookie)
                findings += try plan.findings(finished)
                return findings
            } catch {
                guard error.code == .cancelled else { return ["unexpected: \(error)"] }
            }
            if channel.inFlight != 1 { findings.append("\(channel.inFlight) in flight after a cancelled wait, 1 expected") }
            try channel.terminateSync()
            guard let finished = try channel.take(cookie) else { return findings + ["neither complete nor aborted"] }
            if finished.status == .complete {
                findings += try plan.findings(finished)
            } else if finished.status != .aborted {
                findings.append("ended as \(finished.status)")
            }
            if channel.next() != nil || channel.inFlight != 0 { findings.append("the cargo came back twice") }
            return findings
        } catch {
            return ["unexpected: \(error)"]
        }
    }
}
