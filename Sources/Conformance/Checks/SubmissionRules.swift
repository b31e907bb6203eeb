// SPDX-License-Identifier: Apache-2.0

import DMACore

/// Rules 1 to 10, except for rule 3, which has its own file.
extension SuiteRun where E: ~Copyable {
    /// The channel's end stops the engine and returns queued and running work; then another channel works.
    func rule01() throws(DMAError) {
        guard let plan = writingPlan(), let work = try work() else { return skip(lacksWriting) }
        let underWay = "a channel that ended with work under way"
        if work.place != .issuePending { seek(underWay) }
        try repeatedly(max(min(suite.iterations, 6), 4), untilMet: underWay) { number, work throws(DMAError) in
            let before = suite.domain.statistics
            do {
                var channel = try open()
                let cookies = try submit(work, on: &channel)
                if number % 2 == 0 {
                    channel.issuePending()
                    // An engine that works inside polls is in progress until the client polls.
                    let isUnderWay = work.place == .polls ? true : try self.underWay(cookies, on: &channel) > 0
                    if isUnderWay { meet(underWay) }
                }
            }
            let after = suite.domain.statistics
            expect(
                after.mappings == before.mappings,
                "\(Int64(after.mappings) - Int64(before.mappings)) mappings outlive their channel")
            let hasStopped = after.quarantined == before.quarantined
            expect(hasStopped, "the engine did not stop at the channel's end: memory is quarantined")
            if hasStopped { untouchedAfterEnd(work) }
            var channel = try open()
            try perform(plan, on: &channel)
            close(channel)
        }
    }

    /// The channel and its mappings are gone, and the memory is the suite's own: data written there now stays.
    private func untouchedAfterEnd(_ work: MeasuredWork) {
        for number in 0..<work.number {
            for index in work.plan.places.indices {
                work.arena.put(work.plan.places[index].before, at: work.offset(number, index))
            }
        }
        let limit = Deadline.after(nanoseconds: work.nanoseconds * 2)
        while Deadline.now < limit {}
        for number in 0..<work.number {
            for index in work.plan.places.indices {
                expect(
                    work.arena.holds(work.plan.places[index].before, at: work.offset(number, index)),
                    "memory was written after its channel had ended")
            }
        }
    }

    /// With a peripheral of two lines: a transaction submitted before a configuration uses the earlier line.
    func rule02() throws(DMAError) {
        var channel = try open()
        var excess = EngineConfiguration()
        excess.priority = UInt32(clamping: max(capabilities.priorities, 1))
        var wide = EngineConfiguration()
        wide.width = 65_537
        guard capabilities.operations.contains(.peripheral) else {
            return skip(lacks(.peripheral))
        }
        expectRefusal(.badConfiguration, of: "a priority beyond the last") { () throws(DMAError) in
            try channel.configure(excess)
        }
        expectRefusal(.badConfiguration, of: "a width of 65,537 bytes") { () throws(DMAError) in try channel.configure(wide) }
        guard let provide = provisions.peripheral else { return skip(lacks(provision: "peripheral")) }
        // SAFETY: the provider's function neither replaces the engine nor stops it or takes its completions.
        let device = unsafe channel.withUnsafeEngine { provide(&$0) }
        guard device.lines.count >= 2 else { return skip("ConformancePeripheral.lines has one line") }
        try repeatedly(4) { _ throws(DMAError) in
            let count = max(length(atMost: 512) / device.unit, 1) * device.unit
            let streams = [random.bytes(count), random.bytes(count)]
            for (line, stream) in zip(device.lines, streams) {
                try channel.configure(EngineConfiguration(peripheral: line))
                var cargo = Freight(capacity: 1)
                _ = cargo.append(try Plan.mapped(stream, .toDevice, for: suite.domain))
                _ = try channel.submit(.toPeripheral(0..<1), cargo).get()
            }
            channel.issuePending()
            for _ in streams {
                let finished = try nextFinished(&channel)
                expect(finished.status == .complete, "ended as \(finished.status)")
            }
            for (line, stream) in zip(device.lines, streams) {
                expect(
                    device.drain(line: line) == stream,
                    "line \(line) did not get the transfer submitted under its configuration")
                countBytes(count)
            }
        }
        close(channel)
    }

    func rule04() throws(DMAError) {
        guard let plan = writingPlan() else { return skip(lacksWriting) }
        var channel = try open()
        let before = suite.domain.statistics.mappings
        do {
            let prepared = Transaction(plan.operation, try freight(plan))
            expect(
                suite.domain.statistics.mappings == before + UInt64(prepared.cargo.elements.count),
                "prepared memory is not mapped")
        }
        expect(suite.domain.statistics.mappings == before, "a dropped transaction left its memory mapped")
        linger(&channel)
        expect(channel.inFlight == 0, "a transaction that was dropped is in the channel")
        // And a submitted one runs once.
        let cookie = try channel.submit(Transaction(plan.operation, try freight(plan))).get()
        channel.issuePending()
        let finished = try nextFinished(&channel)
        expect(finished.cookie == cookie, "another cookie than was given")
        try judge(plan, finished)
        linger(&channel)
        expect(channel.next() == nil, "one transaction came out twice")
        close(channel)
    }

    /// Waits as long as the work would have taken, had submitting started it.
    func rule05() throws(DMAError) {
        guard let work = try work() else { return skip(lacksWriting) }
        var channel = try open()
        try repeatedly(max(min(suite.iterations, 4), 2)) { _ throws(DMAError) in
            let cookies = try submit(work, on: &channel)
            lingerBeyond(work, on: &channel)
            for cookie in cookies {
                let status = try channel.status(of: cookie)
                expect(status == .queued, "\(status) before issuePending")
            }
            try channel.terminateSync(by: .after(nanoseconds: suite.patience))
            for _ in cookies {
                let finished = try nextFinished(&channel)
                expect(finished.status == .aborted, "ended as \(finished.status) without having been issued")
                try judgeUntouched(work.plan, finished.cargo, "written before issuePending")
            }
        }
        close(channel)
    }

    func rule06() throws(DMAError) {
        guard let plan = writingPlan() else { return skip(lacksWriting) }
        var channel = try open()
        let before = suite.domain.statistics.mappings
        let cookie = try channel.submit(plan.operation, try freight(plan)).get()
        let mapped = before + UInt64(plan.places.count)
        expect(channel.inFlight == 1, "\(channel.inFlight) in flight after one submit")
        channel.issuePending()
        let isOver = try waits(&channel) { channel throws(DMAError) in try channel.status(of: cookie).isFinal }
        guard isOver else { throw giveUp("no completion") }
        expect(suite.domain.statistics.mappings == mapped, "unmapped before the completion was taken")
        let finished = try nextFinished(&channel)
        expect(channel.inFlight == 0, "still in flight after its completion was taken")
        expect(suite.domain.statistics.mappings == mapped, "taking the completion ended the mapping, which is the client's")
        try judge(plan, finished)
        _ = finished.takeCargo()
        expect(suite.domain.statistics.mappings == before, "mappings are left")
        close(channel)
    }

    /// A transaction submitted while another runs waits for the next issue.
    func rule07() throws(DMAError) {
        guard let work = try work() else { return skip(lacksWriting) }
        guard capabilities.depth > 1 else { return skip(lacksDepth) }
        let behind = "a submission while an earlier transaction was under way"
        if work.place == .beside { seek(behind) }
        try repeatedly(max(min(suite.iterations, 5), 3), untilMet: behind, in: 1) { _, work, channel throws(DMAError) in
            guard let second = writingPlan() else { return }
            let a = try channel.submit(work.plan.operation, try work.freight(0, for: suite.domain)).get()
            channel.issuePending()
            let b = try channel.submit(second.operation, try freight(second)).get()
            if try channel.status(of: a) == .inProgress { meet(behind) }
            let finished = try nextFinished(&channel)
            expect(finished.cookie == a, "what was not issued came before what was")
            try judge(work.plan, finished)
            // Long enough for a short transfer to end, had it been started.
            linger(&channel, 50, for: 2_000_000)
            let status = try channel.status(of: b)
            expect(status == .queued, "\(status), though it was submitted after the issue")
            channel.issuePending()
            let last = try nextFinished(&channel)
            expect(last.cookie == b, "the second is not the second")
            try judge(second, last)
        }
    }

    func rule08() throws(DMAError) {
        guard writingPlan() != nil else { return skip(lacksWriting) }
        var channel = try open()
        var last: UInt64 = 0
        try repeatedly(max(suite.iterations, 2 * capabilities.depth)) { _ throws(DMAError) in
            guard let plan = writingPlan(unit) else { return }
            let cookie = try channel.submit(plan.operation, try freight(plan)).get()
            expect(cookie.rawValue > last, "cookie \(cookie.rawValue) after \(last)")
            last = cookie.rawValue
            channel.issuePending()
            let finished = try nextFinished(&channel)
            expect(finished.cookie == cookie, "cookie \(finished.cookie.rawValue) for \(cookie.rawValue)")
            try judge(plan, finished)
            expectRefusal(.staleCookie, of: "the status of a transaction that was taken") { () throws(DMAError) in
                _ = try channel.status(of: cookie)
            }
        }
        close(channel)
    }

    /// In order, or in any order with the right status for each.
    func rule09() throws(DMAError) {
        guard writingPlan() != nil else { return skip(lacksWriting) }
        guard capabilities.depth > 1 else { return skip(lacksDepth) }
        var channel = try open()
        try repeatedly { _ throws(DMAError) in
            var plans: [UInt64: Plan] = [:]
            for _ in 0..<min(capabilities.depth, 12) {
                guard let plan = writingPlan(length(atMost: largest / 4)) else { return }
                plans[try channel.submit(plan.operation, try freight(plan)).get().rawValue] = plan
            }
            channel.issuePending()
            var before: UInt64 = 0
            while !plans.isEmpty {
                let finished = try nextFinished(&channel)
                let cookie = finished.cookie.rawValue
                guard let plan = plans.removeValue(forKey: cookie) else { throw giveUp("cookie \(cookie) came back twice") }
                if capabilities.completesInOrder {
                    expect(cookie > before, "cookie \(cookie) after \(before) on an engine that keeps the order")
                }
                before = cookie
                try judge(plan, finished)
            }
        }
        close(channel)
    }

    /// A transaction goes through its states in order, without skipping an observable one.
    func rule10() throws(DMAError) {
        guard let work = try work() else { return skip(lacksWriting) }
        let inProgress = "a transaction that was in progress when it was asked about"
        if work.place == .beside { seek(inProgress) }
        try repeatedly(max(min(suite.iterations, 5), 3), untilMet: inProgress) { _, work, channel throws(DMAError) in
            let cookies = try submit(work, on: &channel)
            for cookie in cookies { expect(try channel.status(of: cookie) == .queued, "not queued after submit") }
            channel.issuePending()
            var seen = [[TransactionStatus]](repeating: [], count: cookies.count)
            let isOver = try waits(&channel) { channel throws(DMAError) in
                var isOver = true
                for (index, cookie) in cookies.enumerated() {
                    let status = try channel.status(of: cookie)
                    if seen[index].last != status { seen[index].append(status) }
                    if !status.isFinal { isOver = false }
                }
                return isOver
            }
            guard isOver else { throw giveUp("no completion") }
            for states in seen {
                expect(states == [.complete] || states == [.inProgress, .complete], "went through \(states)")
                if states.first == .inProgress { meet(inProgress) }
            }
            for _ in cookies { try judge(work.plan, try nextFinished(&channel)) }
        }
        if capabilities.canPause { try pausedState(work) }
        var channel = try open()
        let dropped = try submit(work, on: &channel)
        channel.terminateAsync()
        for cookie in dropped {
            let status = try channel.status(of: cookie)
            expect(status == .aborted, "\(status) after termination")
        }
        try channel.synchronize(by: .after(nanoseconds: suite.patience))
        for _ in dropped {
            let last = try nextFinished(&channel)
            expect(last.status == .aborted, "ended as \(last.status)")
        }
        close(channel)
    }

    private func pausedState(_ work: MeasuredWork) throws(DMAError) {
        let paused = "a transaction that was paused"
        if work.place != .issuePending { seek(paused) }
        let most = max(min(64, capabilities.depth - 1), 1)
        try repeatedly(2, untilMet: paused, in: most) { _, work, channel throws(DMAError) in
            var cookies = try submit(work, on: &channel)
            channel.issuePending()
            try channel.pause()
            // An engine may have finished transactions that it had begun. One issued now has not begun.
            let later = writingPlan(unit)
            if let later, cookies.count < capabilities.depth {
                cookies.append(try channel.submit(later.operation, try freight(later)).get())
                channel.issuePending()
            }
            for cookie in cookies {
                let status = try channel.status(of: cookie)
                expect(status == .paused || status == .complete, "\(status) on a paused channel")
                if status == .paused { meet(paused) }
            }
            try channel.resume()
            for _ in cookies {
                let finished = try nextFinished(&channel)
                let isLater = cookies.count > work.number && finished.cookie == cookies[work.number]
                try judge(isLater ? later ?? work.plan : work.plan, finished)
            }
        }
    }
}
