// SPDX-License-Identifier: Apache-2.0

import DMACore

/// Rules 16, 18 and 19.
extension Bench where E: ~Copyable {
    /// At random moments: each transaction ends once, complete and right or aborted.
    func rule16() throws(DMAError) {
        guard writingPlan() != nil else { return skip("no operation that writes memory") }
        var channel = try open()
        try repeatedly { _ throws(DMAError) in
            var plans: [UInt64: Plan] = [:]
            let number = random.int(1...max(min(capabilities.depth, 12), 1))
            let issueAt = random.int(0...number)
            for index in 0..<number {
                guard let plan = writingPlan(flags: someFlags()) else { return }
                plans[try channel.submit(plan.operation, try freight(plan)).get().rawValue] = plan
                if index + 1 == issueAt { channel.issuePending() }
            }
            for _ in 0..<random.int(0...30) { channel.poll() }
            // Sometimes the channel is paused when the end comes.
            if capabilities.canPause, random.once(in: 3) { try channel.pause() }
            channel.terminateAsync()
            for _ in 0..<random.int(0...5) { channel.poll() }
            do throws(DMAError) {
                try channel.synchronize(by: .after(nanoseconds: suite.patience))
            } catch {
                throw giveUp("the engine did not stop: \(error.code)")
            }
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
        close(channel)
    }

    func rule18() throws(DMAError) {
        guard writingPlan() != nil else { return skip("no operation that writes memory") }
        var channel = try open()
        try repeatedly(min(suite.iterations, 8)) { _ throws(DMAError) in
            guard var plan = writingPlan(largest) else { return }
            // Both ways, so that the CPU may write again what the device was to write.
            for index in plan.places.indices { plan.places[index].direction = .bidirectional }
            let base = suite.domain.statistics
            let number = max(min(capabilities.depth, 4), 1)
            for _ in 0..<number { _ = try channel.submit(plan.operation, try freight(plan)).get() }
            channel.issuePending()
            for _ in 0..<random.int(0...3) { channel.poll() }
            channel.terminateAsync()
            let mapped = base.mappings + UInt64(number * plan.places.count)
            expect(suite.domain.statistics.mappings == mapped, "memory was unmapped before synchronize")
            do throws(DMAError) {
                try channel.synchronize(by: .after(nanoseconds: suite.patience))
            } catch {
                throw giveUp("the engine did not stop: \(error.code)")
            }
            var back = FixedArray<Freight>(capacity: number)
            for _ in 0..<number { _ = back.append(try nextFinished(&channel).takeCargo()) }
            // From here on the memory is the CPU's: what it writes stays.
            for index in 0..<number { try restore(plan, &back, index) }
            linger(&channel, 100)
            for index in 0..<number {
                try back.withElement(at: index) { cargo throws(DMAError) in
                    try judgeUntouched(plan, cargo, "written after synchronize")
                }
            }
            back.removeAll()
            expect(suite.domain.statistics.mappings == base.mappings, "mappings are left")
            expect(suite.domain.statistics.quarantined == base.quarantined, "memory was quarantined")
        }
        close(channel)
    }

    /// Writes a plan's first contents into memory that came back.
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
            // The errors of a channel without are checked, and prove nothing of a pause.
            let codes = [pauseRefusal(&channel), resumeRefusal(&channel)]
            guard codes == [.notPausable, .notPausable] else {
                return expect(false, "a channel that cannot pause answers \(codes.map { $0.map { "\($0)" } ?? "nothing" })")
            }
            return skip("the channel cannot pause, and says so")
        }
        guard writingPlan() != nil else { return skip("no operation that writes memory") }
        expectRefusal(.notPaused, of: "resume of a running channel") { () throws(DMAError) in try channel.resume() }
        try repeatedly(min(suite.iterations, 10)) { _ throws(DMAError) in
            var plans: [UInt64: Plan] = [:]
            var cookies: [Cookie] = []
            for _ in 0..<min(capabilities.depth, 6) {
                guard let plan = writingPlan(max(largest / 2 / unit, 1) * unit) else { return }
                let cookie = try channel.submit(plan.operation, try freight(plan)).get()
                plans[cookie.rawValue] = plan
                cookies.append(cookie)
            }
            channel.issuePending()
            for _ in 0..<random.int(0...10) { channel.poll() }
            try channel.pause()
            try channel.pause()
            expect(channel.channelState == .paused, "the channel is \(channel.channelState)")
            linger(&channel, 20)
            let before = try channel.finishedTransactions(of: cookies)
            linger(&channel, 100)
            expect(try channel.finishedTransactions(of: cookies) == before, "transactions complete while paused")
            for cookie in cookies {
                let status = try channel.status(of: cookie)
                expect(status == .paused || status.isFinal, "\(status) while paused")
            }
            try channel.resume()
            expectRefusal(.notPaused, of: "a second resume") { () throws(DMAError) in try channel.resume() }
            while !plans.isEmpty {
                let finished = try nextFinished(&channel)
                guard let plan = plans.removeValue(forKey: finished.cookie.rawValue) else { throw giveUp("ended twice") }
                try judge(plan, finished)
            }
        }
        close(channel)
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
