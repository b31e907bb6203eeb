// SPDX-License-Identifier: Apache-2.0

import DMACore

/// Records the callbacks of a check. A class, because callbacks are closures that outlive the call that makes them.
private final class Witness {
    var calls: [UInt64: Int] = [:]
    var isInside = false
    var messages: [String] = []
    var asked = 0

    func ask(_ condition: Bool, _ message: String) {
        asked += 1
        if !condition { messages.append(message) }
    }
}

/// Rules 11 to 15.
extension SuiteRun where E: ~Copyable {
    private typealias Callbacks = CallbackChannel<E, Freight>

    private func drive(_ channel: inout Callbacks, until condition: () -> Bool) throws(DMAError) {
        let limit = Deadline.after(nanoseconds: suite.patience)
        while !condition() {
            channel.runCallbacks()
            if Deadline.now >= limit { throw giveUp("the callbacks were not all called") }
        }
    }

    private func conclude(_ witness: Witness, _ channel: consuming Callbacks) {
        for _ in 0..<witness.asked - witness.messages.count { expect(true, "") }
        for message in witness.messages { expect(false, message) }
        channel.withChannel { channel in
            expect(channel.faults.total == 0, "the engine's faults were counted")
            expect(channel.inFlight == 0, "transactions are left")
        }
    }

    /// Each is called once, in the call of runCallbacks and never in the one that submits or issues.
    func rule11() throws(DMAError) {
        guard writingPlan() != nil else { return skip(lacksWriting) }
        var channel = Callbacks(try open())
        let witness = Witness()
        let number = min(suite.iterations, capabilities.depth)
        for _ in 0..<number {
            guard let plan = writingPlan(length(atMost: largest / 4)) else { return }
            let submission = channel.submit(plan.operation, try freight(plan)) { finished, _ in
                witness.calls[finished.cookie.rawValue, default: 0] += 1
                witness.ask(witness.isInside, "a callback outside runCallbacks")
                let findings = (try? plan.findings(finished)) ?? ["unreadable"]
                witness.ask(findings.isEmpty, findings.joined(separator: "; "))
            }
            _ = try submission.get()
            channel.issuePending()
        }
        for _ in 0..<100 { channel.issuePending() }
        let limit = Deadline.after(nanoseconds: suite.patience)
        while witness.calls.count < number {
            witness.isInside = true
            channel.runCallbacks()
            witness.isInside = false
            if Deadline.now >= limit { throw giveUp("\(number - witness.calls.count) callbacks were not called") }
        }
        channel.runCallbacks()
        expect(witness.calls.values.allSatisfy { $0 == 1 }, "a callback was called twice")
        conclude(witness, channel)
    }

    func rule12() throws(DMAError) {
        guard let plan = writingPlan(length(atMost: largest / 4)) else { return skip(lacksWriting) }
        var channel = Callbacks(try open())
        let witness = Witness()
        // Each callback passes the cargo on to the next transaction, as a pipeline does.
        let rounds = max(suite.iterations, 5)
        func again(_ finished: consuming Finished<Freight>, _ channel: inout Callbacks) {
            let count = witness.calls[0, default: 0] + 1
            witness.calls[0] = count
            let findings = (try? plan.findings(finished)) ?? ["unreadable"]
            witness.ask(findings.isEmpty, findings.joined(separator: "; "))
            guard count < rounds else { return }
            let submission = channel.submit(plan.operation, finished.takeCargo(), callback: again)
            channel.issuePending()
            if case .refused(let error, _) = submission { witness.ask(false, "refused in a callback: \(error)") }
        }
        _ = try channel.submit(plan.operation, try freight(plan), callback: again).get()
        channel.issuePending()
        try drive(&channel) { witness.calls[0] == rounds || !witness.messages.isEmpty }
        conclude(witness, channel)
    }

    /// A success has no residue; a failure has its status, and the next transaction works.
    func rule13() throws(DMAError) {
        guard let plan = writingPlan(length(atMost: largest / 4)) else { return skip(lacksWriting) }
        var channel = try open()
        try perform(plan, on: &channel)
        guard let failNext = provisions.failNext else {
            close(channel)
            return skip(lacks(provision: "failNext") + ": no failure can be brought about")
        }
        seek("a transaction that failed")
        if !provisions.failures.isEmpty { meet("a transaction that failed") }
        for status in provisions.failures {
            // With a peripheral, the failing side is the one that the status names.
            let writes = status == .writeFailed && plan.stored != nil
            let plan = writes ? planStorage(length(atMost: largest / 4), [], reads: false) : plan
            parameters = "\(status)"
            // SAFETY: the provider's function neither replaces the engine nor stops it or takes its completions.
            unsafe channel.withUnsafeEngine { failNext(&$0, status) }
            _ = try channel.submit(plan.operation, try freight(plan)).get()
            channel.issuePending()
            let finished = try nextFinished(&channel)
            expect(finished.status == status, "\(finished.status), \(status) expected")
            expect(finished.residue <= UInt64(plan.count), "a residue of \(finished.residue) of \(plan.count) bytes")
            // Whatever it moved before it failed, the residue is above 0: moving everything would be no failure.
            expect(finished.residue > 0, "failed with nothing left to move")
            // SAFETY: as above.
            if let recover = provisions.recover { unsafe channel.withUnsafeEngine { recover(&$0) } }
            try perform(plan, on: &channel)
        }
        close(channel)
    }

    func rule14() throws(DMAError) {
        guard capabilities.hasInterrupts else { return skip("Capabilities.hasInterrupts is false") }
        guard let plan = writingPlan(length(atMost: largest / 4)) else { return skip(lacksWriting) }
        var channel = try open()
        try repeatedly(min(suite.iterations, 8)) { _ throws(DMAError) in
            let before = channel.interruptCount
            try perform(plan, on: &channel)
            linger(&channel, 50, for: 200_000)
            expect(channel.interruptCount == before, "an interrupt for a transaction that asked for none")
            var asking = plan
            asking.operation.flags.insert(.interrupt)
            _ = try channel.submit(asking.operation, try freight(asking)).get()
            channel.issuePending()
            let woke = try channel.wait(until: .after(nanoseconds: suite.patience))
            guard woke else { throw loseWakeUp("no waiter was woken by a transaction that asked for an interrupt") }
            let finished = try nextFinished(&channel)
            try judge(asking, finished)
            let raised = try waits(&channel) { channel throws(DMAError) in channel.interruptCount > before }
            guard raised else { throw loseWakeUp("no interrupt was counted") }
            expect(channel.interruptCount <= before + 1, "\(channel.interruptCount - before) interrupts for one transaction")
        }
        close(channel)
    }

    func rule15() throws(DMAError) {
        guard capabilities.depth > 1 else { return skip(lacksDepth) }
        var channel = try open()
        var plans: [UInt64: Plan] = [:]
        var cookies: [Cookie] = []
        for _ in 0..<min(capabilities.depth, 8) {
            guard let plan = writingPlan(length(atMost: largest / 4)) else { return skip(lacksWriting) }
            let cookie = try channel.submit(plan.operation, try freight(plan)).get()
            cookies.append(cookie)
            plans[cookie.rawValue] = plan
        }
        channel.issuePending()
        // Nothing is taken until all have ended.
        let number = plans.count
        let allOver = try waits(&channel) { channel throws(DMAError) in
            try channel.finishedTransactions(of: cookies) == number
        }
        guard allOver else { throw giveUp("later transactions wait for the taking of earlier ones") }
        for _ in 0..<number {
            let finished = try nextFinished(&channel)
            guard let plan = plans.removeValue(forKey: finished.cookie.rawValue) else { throw giveUp("came back twice") }
            try judge(plan, finished)
        }
        close(channel)
    }

    func rule17() throws(DMAError) {
        guard let work = try work() else { return skip(lacksWriting) }
        // The minimum of five: a preempted thread looks like a wait. Where it was preempted during the issue, the work may have
        // ended before the channel is terminated, and there is nothing to wait for.
        var (least, whole) = (Int64.max, work.nanoseconds)
        let underWay = "a termination of work that had just been issued"
        if work.place != .issuePending { seek(underWay) }
        // Attempts, and those in which the issue took half of the work's time or more, after which all of it was complete.
        var (tries, doneByIssue) = (0, 0)
        try repeatedly(5, untilMet: underWay) { _, work, plain throws(DMAError) in
            let cookies = try submit(work, on: &plain)
            let issued = Deadline.now.nanoseconds
            plain.issuePending()
            let began = Deadline.now.nanoseconds
            plain.terminateAsync()
            plain.terminateAsync()
            let took = Deadline.now.nanoseconds - began
            switch plain.submit(work.plan.operation, try freight(work.plan)) {
            case .queued: expect(false, "accepted work before synchronize")
            case .refused(let error, _): expect(error.code == .terminating, "\(error.code), terminating expected")
            }
            try plain.synchronize(by: .after(nanoseconds: suite.patience))
            let ended = Deadline.now.nanoseconds
            var aborted = 0
            for _ in cookies where try nextFinished(&plain).status == .aborted { aborted += 1 }
            tries += 1
            if aborted == 0, began - issued >= work.nanoseconds / 2 { doneByIssue += 1 }
            // It was in progress where the issue was short and something was left to abort or to wait for, and where at least half of it was
            // aborted. A short issue alone proves nothing: the work may take less time than when it was measured.
            let isShort = began - issued < work.nanoseconds / 8
            let wasLong = ended - issued >= work.nanoseconds / 2
            if isShort && (aborted > 0 || wasLong) || (aborted > 0 && 2 * aborted >= cookies.count) {
                (least, whole) = (min(least, took), work.nanoseconds)
                meet(underWay)
            }
        }
        // The call that starts the work also does it, and sleeps meanwhile, so that it did not appear as work when it was
        // measured.
        if least == .max, tries > 0, doneByIssue == tries { drop(underWay) }
        if least < .max {
            expect(least < whole / 8, "terminateAsync took \(least) ns, with work of \(whole) ns under way: it waits")
        }
        try terminateInCallback()
    }

    private func terminateInCallback() throws(DMAError) {
        guard let plan = writingPlan(largest) else { return }
        var channel = Callbacks(try open())
        let witness = Witness()
        let depth = min(capabilities.depth, 4)
        for number in 0..<depth {
            let submission = channel.submit(plan.operation, try freight(plan)) { finished, channel in
                witness.calls[finished.cookie.rawValue, default: 0] += 1
                guard witness.calls.count == 1 else { return }
                for what in ["terminateSync", "synchronize"] {
                    do throws(DMAError) {
                        if what == "synchronize" { try channel.synchronize() } else { try channel.terminateSync() }
                        witness.ask(false, "\(what) in a callback did not throw")
                    } catch { witness.ask(error.code == .calledFromCallback, "\(what): \(error.code)") }
                }
                channel.terminateAsync()
                witness.ask(channel.runCallbacks() == 0, "callbacks within a callback")
            }
            _ = try submission.get()
            if number == 0 { channel.issuePending() }
        }
        try drive(&channel) { !witness.calls.isEmpty }
        try channel.synchronize()
        try drive(&channel) { witness.calls.count == depth }
        expect(witness.calls.values.allSatisfy { $0 == 1 }, "a waiter heard twice")
        conclude(witness, channel)
    }
}

extension Channel where E: ~Copyable, C: ~Copyable {
    /// Completed transactions that were not taken.
    mutating func finishedTransactions(of cookies: some Sequence<Cookie>) throws(DMAError) -> Int {
        var number = 0
        for cookie in cookies where try status(of: cookie).isFinal { number += 1 }
        return number
    }
}
