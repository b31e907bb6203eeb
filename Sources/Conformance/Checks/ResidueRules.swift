// SPDX-License-Identifier: Apache-2.0

import DMACore

/// Rules 20, 21, 23 and 24.
extension Bench where E: ~Copyable {
    func rule20() throws(DMAError) {
        var channel = try open()
        var kinds = plannable.filter { $0 == .copy || $0 == .fill || $0 == .scatterGather }
        if kinds.isEmpty, let first = plannable.first(where: { $0 != .null }) { kinds = [first] }
        guard !kinds.isEmpty else { return skip("no operation between memories") }
        try repeatedly { number throws(DMAError) in
            let plan = plan(kinds[number % kinds.count], count: largest)
            parameters = plan.text
            let count = UInt64(plan.count)
            let cookie = try channel.submit(plan.operation, try freight(plan)).get()
            let queued = try channel.residue(of: cookie)
            expect(queued == count, "\(queued) bytes left of \(count) before it began")
            channel.issuePending()
            let allowed = allowedResidues(plan)
            var last = count
            let limit = Deadline.after(nanoseconds: suite.patience)
            while !(try channel.status(of: cookie).isFinal) {
                let residue = try channel.residue(of: cookie)
                expect(residue <= last, "the residue grew from \(last) to \(residue)")
                if let allowed {
                    expect(
                        allowed.contains(residue),
                        "\(residue) bytes left of \(count), with a granularity of \(capabilities.residueGranularity)")
                }
                last = residue
                if Deadline.now >= limit { throw giveUp("no completion") }
            }
            let final = try channel.residue(of: cookie)
            expect(final == 0, "complete, with \(final) bytes left")
            try judge(plan, try nextFinished(&channel))
            expectRefusal(.staleCookie, of: "the residue of a transaction that was taken") { () throws(DMAError) in
                _ = try channel.residue(of: cookie)
            }
        }
        close(channel)
    }

    /// The values that a residue may have; nil for any.
    private func allowedResidues(_ plan: Plan) -> Set<UInt64>? {
        let count = UInt64(plan.count)
        switch capabilities.residueGranularity {
        case .burst: return nil
        case .descriptor: return [0, count]
        case .segment:
            // After each segment of whichever side the engine goes by.
            var values: Set<UInt64> = [0, count]
            guard plan.operation.kind == .scatterGather else { return values }
            for isSource in [true, false] {
                var left = count
                for place in plan.places where place.isSource == isSource {
                    left -= UInt64(place.before.count)
                    values.insert(left)
                }
            }
            return values
        }
    }

    func rule21() throws(DMAError) {
        guard writingPlan() != nil else { return skip("no operation that writes memory") }
        guard capabilities.depth > 1, largest >= 4 * unit else { return skip("one transaction at a time") }
        var channel = try open()
        try repeatedly(min(suite.iterations, 8)) { _ throws(DMAError) in
            guard let long = writingPlan(largest), let short = writingPlan(unit) else { return }
            let a = try channel.submit(long.operation, try freight(long)).get()
            let b = try channel.submit(short.operation, try freight(short)).get()
            expect(try channel.residue(of: a) == UInt64(long.count), "the first one's residue is not its own")
            expect(try channel.residue(of: b) == UInt64(short.count), "the second one's residue is not its own")
            channel.issuePending()
            for _ in 0..<random.int(0...10) { channel.poll() }
            expect(try channel.residue(of: b) <= UInt64(short.count), "the second one has more left than it moves")
            let over = try waits(&channel) { channel throws(DMAError) in
                try channel.finishedTransactions(of: [a, b]) == 2
            }
            guard over else { throw giveUp("no completion") }
            if let finished = try channel.take(b) {
                try judge(short, finished)
            } else {
                expect(false, "over, and not to be taken")
            }
            expect(try channel.residue(of: a) == 0, "complete, with bytes left")
            if let finished = try channel.take(a) {
                try judge(long, finished)
            } else {
                expect(false, "over, and not to be taken")
            }
        }
        close(channel)
    }

    func rule23() throws(DMAError) {
        guard capabilities.operations.contains(.interleaved) else { return skip("no interleaved transfers") }
        try interleaved()
    }

    /// Work is added to what runs at random moments. Each ran once: what the CPU writes to memory that came back stays.
    func rule24() throws(DMAError) {
        guard capabilities.extendsWhileRunning else { return skip("the engine does not extend a running chain") }
        guard writingPlan() != nil, capabilities.depth > 1 else { return skip("no operation that writes memory") }
        var channel = try open()
        let total = suite.iterations * 8
        var plans: [UInt64: Plan] = [:]
        var back = FixedArray<Freight>(capacity: total + 200)
        var kept: [Plan] = []
        var restarts = 0
        var submitted = 0
        // A maker that counts late extensions is asked until there was one, within reason.
        let most = provisions.restarts == nil ? total : total + 200
        while submitted < most, submitted < total || restarts == 0 {
            guard plans.count < capabilities.depth, var plan = writingPlan(length(atMost: min(largest, 4096 / unit * unit)))
            else { return }
            for index in plan.places.indices { plan.places[index].direction = .bidirectional }
            plans[try channel.submit(plan.operation, try freight(plan)).get().rawValue] = plan
            submitted += 1
            channel.issuePending()
            for _ in 0..<random.int(0...3) where !plans.isEmpty {
                guard let finished = channel.next() else { continue }
                try keep(finished, &plans, &kept, &back)
            }
            while plans.count >= capabilities.depth { try keep(try nextFinished(&channel), &plans, &kept, &back) }
            // SAFETY: the maker's function neither exchanges the engine nor stops it or takes its completions.
            if let count = provisions.restarts { restarts = unsafe channel.withUnsafeEngine { count(&$0) } }
        }
        while !plans.isEmpty { try keep(try nextFinished(&channel), &plans, &kept, &back) }
        linger(&channel)
        expect(channel.next() == nil, "more completions than transactions")
        for index in kept.indices {
            try back.withElement(at: index) { cargo throws(DMAError) in
                try judgeUntouched(kept[index], cargo, "run twice")
            }
        }
        if provisions.restarts != nil { expect(restarts > 0, "no extension came too late: the race was not met") }
        close(channel)
    }

    private func keep(
        _ finished: consuming Finished<Freight>, _ plans: inout [UInt64: Plan], _ kept: inout [Plan],
        _ back: inout FixedArray<Freight>
    ) throws(DMAError) {
        guard let plan = plans.removeValue(forKey: finished.cookie.rawValue) else {
            throw giveUp("cookie \(finished.cookie.rawValue) ended twice")
        }
        try judge(plan, finished)
        guard back.append(finished.takeCargo()) == nil else { return }
        kept.append(plan)
        try restore(plan, &back, kept.count - 1)
    }
}
