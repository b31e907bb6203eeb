// SPDX-License-Identifier: Apache-2.0

import DMACore

/// Rules 16, 18 and 19.
extension SuiteRun where E: ~Copyable {
    /// At random moments, with queued and running transactions: each ends once, complete and correct, or aborted.
    func rule16() throws(DMAError) {
        guard let work = try work() else { return skip(lacksWriting) }
        var channel = try open()
        seek(queuedAtTermination)
        try repeatedly { number throws(DMAError) in try terminateMixture(&channel, leavesQueued: number == 0) }
        close(channel)
        guard work.place != .issuePending else { return }
        seek(underWayAtTermination)
        try repeatedly(max(min(suite.iterations, 4), 2), untilMet: underWayAtTermination) {
            number, work, channel throws(DMAError) in
            let cookies = try submit(work, on: &channel)
            channel.issuePending()
            // Polling advances engines that work inside polls: every other time there are no polls.
            let seen = number % 2 == 1 ? try underWay(cookies, on: &channel) : 0
            try end(&channel)
            var aborted = 0
            for cookie in cookies {
                guard let finished = try channel.take(cookie) else {
                    throw giveUp("a transaction is neither complete nor aborted")
                }
                if finished.status == .complete {
                    try judge(work.plan, finished)
                } else {
                    expect(finished.status == .aborted, "ended as \(finished.status)")
                    aborted += 1
                }
            }
            if seen > 0 || aborted > 0 { meet(underWayAtTermination) }
            // An engine that continued would report transactions that it was told to drop.
            lingerBeyond(work, on: &channel)
            expect(channel.next() == nil, "one more completion than transactions")
        }
    }

    private var queuedAtTermination: String { "a transaction that was queued when the channel was terminated" }
    private var underWayAtTermination: String { "a transaction that was under way when the channel was terminated" }

    private func end(_ channel: inout Channel<E, Freight>) throws(DMAError) {
        channel.terminateAsync()
        do throws(DMAError) {
            try channel.synchronize(by: .after(nanoseconds: suite.patience))
        } catch {
            throw giveUp("the engine did not stop: \(error.code)")
        }
    }

    /// Some queued, some issued, some possibly ended; sometimes paused at the end.
    private func terminateMixture(_ channel: inout Channel<E, Freight>, leavesQueued: Bool) throws(DMAError) {
        var plans: [UInt64: Plan] = [:]
        let number = random.int(1...max(min(capabilities.depth, 12), 1))
        let issueAt = random.int(0...(leavesQueued ? number - 1 : number))
        for index in 0..<number {
            guard let plan = writingPlan(flags: someFlags()) else { return }
            plans[try channel.submit(plan.operation, try freight(plan)).get().rawValue] = plan
            if index + 1 == issueAt { channel.issuePending() }
        }
        for _ in 0..<random.int(0...30) { channel.poll() }
        if capabilities.canPause, random.once(in: 3) { try channel.pause() }
        try end(&channel)
        if issueAt < number { meet(queuedAtTermination) }
        var aborted: UInt64 = 0
        while !plans.isEmpty {
            let finished = try nextFinished(&channel)
            guard let plan = plans.removeValue(forKey: finished.cookie.rawValue) else {
                throw giveUp("cookie \(finished.cookie.rawValue) ended twice")
            }
            if finished.status == .complete {
                try judge(plan, finished)
            } else {
                parameters = plan.text
                expect(finished.status == .aborted, "ended as \(finished.status)")
                expect(finished.residue <= UInt64(plan.count), "\(finished.residue) bytes left of \(plan.count)")
                expect(finished.cookie.rawValue > aborted, "aborted transactions come out of order")
                aborted = finished.cookie.rawValue
            }
        }
        expect(channel.next() == nil, "one more completion than transactions")
        // The channel works again.
        if let plan = writingPlan(length(atMost: 4096)) { try perform(plan, on: &channel) }
    }

    /// After synchronize, the CPU's writes stay: for longer than the terminated work would have taken.
    func rule18() throws(DMAError) {
        guard let work = try work() else { return skip(lacksWriting) }
        guard work.place != .issuePending else { return skip(worksAtOnce) }
        seek(underWayAtTermination)
        try repeatedly(max(min(suite.iterations, 5), 3), untilMet: underWayAtTermination) {
            number, work, channel throws(DMAError) in
            let base = suite.domain.statistics
            let cookies = try submit(work, on: &channel)
            channel.issuePending()
            let seen = number % 2 == 1 ? try underWay(cookies, on: &channel) : 0
            channel.terminateAsync()
            let mapped = base.mappings + UInt64(work.number * work.plan.places.count)
            expect(suite.domain.statistics.mappings == mapped, "memory was unmapped before synchronize")
            try end(&channel)
            var back = FixedArray<Freight>(capacity: work.number)
            var aborted = 0
            for _ in 0..<work.number {
                let finished = try nextFinished(&channel)
                if finished.status == .aborted { aborted += 1 }
                _ = back.append(finished.takeCargo())
            }
            if seen > 0 || aborted > 0 { meet(underWayAtTermination) }
            // From here on the memory is the CPU's: data that it writes stays.
            for index in 0..<work.number { try restore(work.plan, &back, index) }
            lingerBeyond(work, on: &channel)
            for index in 0..<work.number {
                try back.withElement(at: index) { cargo throws(DMAError) in
                    try judgeUntouched(work.plan, cargo, "written after synchronize")
                }
            }
            back.removeAll()
            expect(suite.domain.statistics.mappings == base.mappings, "mappings are left")
            expect(suite.domain.statistics.quarantined == base.quarantined, "memory was quarantined")
        }
        if !isSeeking(underWayAtTermination) { skip(worksAtOnce) }
    }

    /// Writes a plan's initial contents into returned memory.
    func restore(_ plan: Plan, _ cargoes: inout FixedArray<Freight>, _ index: Int) throws(DMAError) {
        try cargoes.withMutableElement(at: index) { cargo throws(DMAError) in
            for place in plan.places.indices {
                try cargo.elements.withMutableElement(at: place) { buffer throws(DMAError) in
                    try buffer.withMutableCPUAccess { span throws(DMAError) in span.put(plan.places[place].before) }
                }
            }
        }
    }

    func rule19() throws(DMAError) {
        var channel = try open()
        guard capabilities.canPause else {
            // A channel without pause must return the right errors, which proves nothing about pausing.
            let codes = [pauseRefusal(&channel), resumeRefusal(&channel)]
            guard codes == [.notPausable, .notPausable] else {
                return expect(false, "a channel that cannot pause answers \(codes.map { $0.map { "\($0)" } ?? "nothing" })")
            }
            return skip("Capabilities.canPause is false")
        }
        guard let work = try work() else { return skip(lacksWriting) }
        expectRefusal(.notPaused, of: "resume of a running channel") { () throws(DMAError) in try channel.resume() }
        close(channel)
        let unfinished = "a transaction that was unfinished on a paused channel"
        let most = max(min(64, capabilities.depth - 1), 1)
        if work.place != .issuePending { seek(unfinished) }
        try repeatedly(max(min(suite.iterations, 5), 3), untilMet: unfinished, in: most) {
            number, work, channel throws(DMAError) in
            var cookies = try submit(work, on: &channel)
            channel.issuePending()
            if number % 2 == 1 { for _ in 0..<random.int(0...10) { channel.poll() } }
            try channel.pause()
            try channel.pause()
            expect(channel.channelState == .paused, "the channel is \(channel.channelState)")
            // An engine may have finished transactions that it had begun. One issued now has not begun.
            let later = writingPlan(unit)
            if let later, cookies.count < capabilities.depth {
                cookies.append(try channel.submit(later.operation, try freight(later)).get())
                channel.issuePending()
            }
            linger(&channel, 20)
            let before = try channel.finishedTransactions(of: cookies)
            if before < cookies.count { meet(unfinished) }
            lingerBeyond(work, on: &channel)
            expect(try channel.finishedTransactions(of: cookies) == before, "transactions complete while paused")
            for cookie in cookies {
                let status = try channel.status(of: cookie)
                expect(status == .paused || status.isFinal, "\(status) while paused")
            }
            try channel.resume()
            expectRefusal(.notPaused, of: "a second resume") { () throws(DMAError) in try channel.resume() }
            for _ in cookies {
                let finished = try nextFinished(&channel)
                let isLater = cookies.count > work.number && finished.cookie == cookies[work.number]
                try judge(isLater ? later ?? work.plan : work.plan, finished)
            }
        }
    }

    private func pauseRefusal(_ channel: inout Channel<E, Freight>) -> DMAError.Code? {
        do throws(DMAError) {
            try channel.pause()
            return nil
        } catch { return error.code }
    }

    private func resumeRefusal(_ channel: inout Channel<E, Freight>) -> DMAError.Code? {
        do throws(DMAError) {
            try channel.resume()
            return nil
        } catch { return error.code }
    }
}
