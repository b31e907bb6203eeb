// SPDX-License-Identifier: Apache-2.0

import DMACore

/// Rules 1 to 10, but for rule 3, which has a file of its own.
extension Bench where E: ~Copyable {
    private var noWriting: String { "no operation that writes memory" }

    /// The channel's end stops the engine and gives back what was queued; then another channel works.
    func rule01() throws(DMAError) {
        guard let plan = writingPlan() else { return skip(noWriting) }
        try repeatedly(min(suite.iterations, 5)) { number throws(DMAError) in
            let before = suite.domain.statistics
            do {
                var channel = try open()
                for _ in 0..<min(capabilities.depth, 3) {
                    _ = try channel.submit(plan.operation, try freight(plan)).get()
                    if number % 2 == 0 { channel.issuePending() }
                }
            }
            let after = suite.domain.statistics
            expect(
                after.mappings == before.mappings,
                "\(Int64(after.mappings) - Int64(before.mappings)) mappings outlive their channel")
            expect(
                after.quarantined == before.quarantined, "the engine did not stop at the channel's end: memory is quarantined")
            var channel = try open()
            try perform(plan, on: &channel)
            close(channel)
        }
    }

    /// With a peripheral of two lines: what was submitted before a configuration goes where it went before.
    func rule02() throws(DMAError) {
        var channel = try open()
        var excess = EngineConfiguration()
        excess.priority = UInt32(clamping: max(capabilities.priorities, 1))
        var wide = EngineConfiguration()
        wide.width = 65_537
        guard capabilities.operations.contains(.peripheral) else {
            return skip("the channel moves memory to memory; configuration is for peripherals")
        }
        expectRefusal(.badConfiguration, of: "a priority beyond the last") { () throws(DMAError) in
            try channel.configure(excess)
        }
        expectRefusal(.badConfiguration, of: "a width of 65,537 bytes") { () throws(DMAError) in try channel.configure(wide) }
        guard let provide = provisions.peripheral else { return skip("the maker gave no peripheral") }
        // SAFETY: the maker's function neither exchanges the engine nor stops it or takes its completions.
        let device = unsafe channel.withUnsafeEngine { provide(&$0) }
        guard device.lines.count >= 2 else { return skip("the peripheral has one request line") }
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
        guard let plan = writingPlan() else { return skip(noWriting) }
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
        // And one that is submitted runs once.
        let cookie = try channel.submit(Transaction(plan.operation, try freight(plan))).get()
        channel.issuePending()
        let finished = try nextFinished(&channel)
        expect(finished.cookie == cookie, "another cookie than was given")
        try judge(plan, finished)
        linger(&channel)
        expect(channel.next() == nil, "one transaction came out twice")
        close(channel)
    }

    func rule05() throws(DMAError) {
        var channel = try open()
        try repeatedly(min(suite.iterations, 6)) { _ throws(DMAError) in
            guard let plan = writingPlan(length(atMost: 1024)) else { return skip(noWriting) }
            let cookie = try channel.submit(plan.operation, try freight(plan)).get()
            linger(&channel)
            let status = try channel.status(of: cookie)
            expect(status == .queued, "\(status) before issuePending")
            try channel.terminateSync()
            let finished = try nextFinished(&channel)
            expect(finished.status == .aborted, "ended as \(finished.status) without having been issued")
            try judgeUntouched(plan, finished.cargo, "written before issuePending")
        }
        close(channel)
    }

    func rule06() throws(DMAError) {
        guard let plan = writingPlan() else { return skip(noWriting) }
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

    func rule07() throws(DMAError) {
        guard writingPlan() != nil else { return skip(noWriting) }
        var channel = try open()
        try repeatedly(min(suite.iterations, 10)) { _ throws(DMAError) in
            guard capabilities.depth > 1, let first = writingPlan(), let second = writingPlan() else { return }
            let a = try channel.submit(first.operation, try freight(first)).get()
            channel.issuePending()
            let b = try channel.submit(second.operation, try freight(second)).get()
            let finished = try nextFinished(&channel)
            expect(finished.cookie == a, "what was not issued came before what was")
            try judge(first, finished)
            linger(&channel, 50)
            let status = try channel.status(of: b)
            expect(status == .queued, "\(status), though it was submitted after the issue")
            channel.issuePending()
            let last = try nextFinished(&channel)
            expect(last.cookie == b, "the second is not the second")
            try judge(second, last)
        }
        if capabilities.depth == 1, let plan = writingPlan() { try perform(plan, on: &channel) }
        close(channel)
    }

    func rule08() throws(DMAError) {
        guard writingPlan() != nil else { return skip(noWriting) }
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
        guard writingPlan() != nil else { return skip(noWriting) }
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

    func rule10() throws(DMAError) {
        guard let plan = writingPlan(largest) else { return skip(noWriting) }
        var channel = try open()
        let cookie = try channel.submit(plan.operation, try freight(plan)).get()
        expect(try channel.status(of: cookie) == .queued, "not queued after submit")
        channel.issuePending()
        var seen: [TransactionStatus] = []
        let isOver = try waits(&channel) { channel throws(DMAError) in
            let status = try channel.status(of: cookie)
            if seen.last != status { seen.append(status) }
            return status.isFinal
        }
        guard isOver else { throw giveUp("no completion") }
        expect(seen == [.complete] || seen == [.inProgress, .complete], "went through \(seen)")
        let finished = try nextFinished(&channel)
        try judge(plan, finished)
        if capabilities.canPause {
            let paused = try channel.submit(plan.operation, try freight(plan)).get()
            channel.issuePending()
            try channel.pause()
            let status = try channel.status(of: paused)
            expect(status == .paused || status == .complete, "\(status) on a paused channel")
            try channel.resume()
            try judge(plan, try nextFinished(&channel))
        }
        let dropped = try channel.submit(plan.operation, try freight(plan)).get()
        channel.terminateAsync()
        let status = try channel.status(of: dropped)
        expect(status == .aborted, "\(status) after termination")
        try channel.synchronize()
        let last = try nextFinished(&channel)
        expect(last.status == .aborted, "ended as \(last.status)")
        close(channel)
    }
}
