// SPDX-License-Identifier: Apache-2.0

import DMACore

/// Rules 20, 21, 23 and 24.
extension SuiteRun where E: ~Copyable {
    /// Queried repeatedly while the work is in progress, for each kind of transfer.
    func rule20() throws(DMAError) {
        var kinds = plannable.filter { $0 == .copy || $0 == .fill || $0 == .scatterGather }
        if kinds.isEmpty, let first = plannable.first(where: { $0 != .null }) { kinds = [first] }
        guard !kinds.isEmpty else { return skip("Capabilities.operations has none between memories") }
        let work = try work()
        let asked = "a residue that was asked for while its transaction was under way"
        if let work, work.place == .beside {
            seek(asked)
            try repeatedly(max(min(suite.iterations, 4), 2), untilMet: asked, in: 1) { _, work, channel throws(DMAError) in
                let freight = try work.freight(0, for: suite.domain)
                if try residues(of: work.plan, freight, on: &channel) > 0 { meet(asked) }
            }
        }
        var channel = try open()
        try repeatedly { number throws(DMAError) in
            let plan = plan(kinds[number % kinds.count], count: largest)
            _ = try residues(of: plan, try freight(plan), on: &channel)
        }
        close(channel)
    }

    /// Runs one transaction and queries its residue until it has ended. Returns how often it was in progress.
    private func residues(
        of plan: Plan, _ cargo: consuming Freight, on channel: inout Channel<E, Freight>
    ) throws(DMAError) -> Int {
        parameters = plan.text
        let count = UInt64(plan.count)
        let cookie = try channel.submit(plan.operation, cargo).get()
        let queued = try channel.residue(of: cookie)
        expect(queued == count, "\(queued) bytes left of \(count) before it began")
        channel.issuePending()
        let allowed = allowedResidues(plan)
        var last = count
        var asked = 0
        let limit = Deadline.after(nanoseconds: suite.patience)
        while !(try channel.status(of: cookie).isFinal) {
            let residue = try channel.residue(of: cookie)
            asked += 1
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
        return asked
    }

    /// The values that a residue may have; nil for any.
    private func allowedResidues(_ plan: Plan) -> Set<UInt64>? {
        let count = UInt64(plan.count)
        switch capabilities.residueGranularity {
        case .burst: return nil
        case .descriptor: return [0, count]
        case .segment:
            // After each segment of either side.
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

    /// One long and one short transaction: neither reports the residue of the other.
    func rule21() throws(DMAError) {
        guard let work = try work() else { return skip(lacksWriting) }
        guard capabilities.depth > 1 else { return skip(lacksDepth) }
        let asked = "two residues that were asked for while the first transaction was under way"
        if work.place == .beside { seek(asked) }
        try repeatedly(max(min(suite.iterations, 8), 3), untilMet: asked, in: 1) { number, work, channel throws(DMAError) in
            guard let short = writingPlan(unit) else { return }
            let long = work.plan
            let a = try channel.submit(long.operation, try work.freight(0, for: suite.domain)).get()
            let b = try channel.submit(short.operation, try freight(short)).get()
            expect(try channel.residue(of: a) == UInt64(long.count), "the first one's residue is not its own")
            expect(try channel.residue(of: b) == UInt64(short.count), "the second one's residue is not its own")
            channel.issuePending()
            if number % 2 == 1 { for _ in 0..<random.int(0...10) { channel.poll() } }
            expect(try channel.residue(of: b) <= UInt64(short.count), "the second one has more left than it moves")
            if try channel.status(of: a) == .inProgress { meet(asked) }
            let over = try waits(&channel) { channel throws(DMAError) in
                try channel.finishedTransactions(of: [a, b]) == 2
            }
            guard over else { throw giveUp("no completion") }
            for (cookie, plan) in [(b, short), (a, long)] {
                expect(try channel.residue(of: cookie) == 0, "complete, with bytes left")
                guard let finished = try channel.take(cookie) else { throw giveUp("over, and not to be taken") }
                try judge(plan, finished)
            }
        }
    }

    func rule23() throws(DMAError) {
        guard capabilities.operations.contains(.interleaved) else { return skip(lacks(.interleaved)) }
        try interleaved()
    }

    /// Work is added to a running chain at random moments. Each ran once: data that the CPU writes to returned memory stays.
    func rule24() throws(DMAError) {
        guard capabilities.extendsWhileRunning else { return skip("Capabilities.extendsWhileRunning is false") }
        guard let work = try work() else { return skip(lacksWriting) }
        guard capabilities.depth > 1 else { return skip(lacksDepth) }
        guard work.place != .issuePending else { return skip(worksAtOnce) }
        let extended = "an extension of work that was under way"
        seek(extended)
        // An engine that runs a transaction twice writes to memory of an ended one, which is kept.
        var back = FixedArray<Freight>(capacity: 64)
        try repeatedly(2, untilMet: extended, in: 1) { _, work, channel throws(DMAError) in
            guard let short = writingPlan(unit) else { return }
            let long = try channel.submit(work.plan.operation, try work.freight(0, for: suite.domain)).get()
            channel.issuePending()
            // An engine that works inside polls is in progress until the client polls.
            let isUnderWay = work.place == .polls ? true : try channel.status(of: long) == .inProgress
            _ = try channel.submit(short.operation, try freight(short)).get()
            channel.issuePending()
            if isUnderWay { meet(extended) }
            for _ in 0..<2 {
                let finished = try nextFinished(&channel)
                try judge(finished.cookie == long ? work.plan : short, finished)
                if finished.cookie != long { _ = back.append(finished.takeCargo()) }
            }
        }
        var channel = try open()
        try extendAtRandom(&channel)
        close(channel)
        if !isSeeking(extended) { skip(worksAtOnce) }
    }

    private func extendAtRandom(_ channel: inout Channel<E, Freight>) throws(DMAError) {
        let late = "an extension that came too late"
        if provisions.restarts != nil { seek(late) }
        let total = suite.iterations * 8
        var plans: [UInt64: Plan] = [:]
        var back = FixedArray<Freight>(capacity: total + 200)
        var kept: [Plan] = []
        var restarts = 0
        var submitted = 0
        // A provider that counts late extensions is queried until there was one, within limits.
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
            // SAFETY: the provider's function neither replaces the engine nor stops it or takes its completions.
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
        if restarts > 0 { meet(late) }
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
