// SPDX-License-Identifier: Apache-2.0

import DMACore

/// Rules 25 to 28.
extension SuiteRun where E: ~Copyable {
    func rule25() throws(DMAError) {
        guard let plan = writingPlan(length(atMost: 1024)) else { return skip(lacksWriting) }
        var channel = try open()
        // Completions that are not taken keep their descriptors.
        var accepted = 0
        var refusal: DMAError.Code?
        while refusal == nil, accepted <= 65_536 {
            switch channel.submit(plan.operation, try freight(plan)) {
            case .queued:
                accepted += 1
                channel.issuePending()
            case .refused(let error, _): refusal = error.code
            }
        }
        expect(refusal == .queueFull, "refused with \(refusal.map { "\($0)" } ?? "nothing") after \(accepted)")
        expect(accepted >= capabilities.depth, "only \(accepted) in flight of a depth of \(capabilities.depth)")
        let first = try nextFinished(&channel)
        try judge(plan, first)
        let isAccepted = try waits(&channel) { channel throws(DMAError) in
            if case .queued = channel.submit(plan.operation, try freight(plan)) { return true }
            return false
        }
        expect(isAccepted, "no room after a completion was taken")
        channel.issuePending()
        for _ in 0..<accepted { try judge(plan, try nextFinished(&channel)) }
        try reuse(plan, &channel)
        close(channel)
    }

    private func reuse(_ plan: Plan, _ channel: inout Channel<E, Freight>) throws(DMAError) {
        var plan = plan
        for index in plan.places.indices { plan.places[index].direction = .bidirectional }
        _ = try channel.submit(plan.operation, try freight(plan)).get()
        channel.issuePending()
        switch channel.resubmit(try nextFinished(&channel)) {
        case .queued: throw giveUp("a transaction without the reuse flag ran again")
        case .refused(let error, _): expect(error.code == .notReusable, "\(error.code), notReusable expected")
        }
        guard capabilities.flags.contains(.reuse) else { return }
        plan.operation.flags.insert(.reuse)
        var last = try channel.submit(plan.operation, try freight(plan)).get()
        for _ in 0..<5 {
            channel.issuePending()
            let finished = try nextFinished(&channel)
            expect(finished.cookie == last, "another cookie than was given")
            try judge(plan, finished)
            var cargoes = FixedArray<Freight>(capacity: 1)
            // The result of the first run is wiped, so that the next run must produce it again.
            var again = finished
            _ = cargoes.append(try swap(&again.cargo))
            try restore(plan, &cargoes, 0)
            if let cargo = cargoes.popLast() { again.cargo = cargo }
            let next = try channel.resubmit(again).get()
            expect(next > last, "a cookie was used again")
            last = next
        }
        channel.issuePending()
        let finished = try nextFinished(&channel)
        try judge(plan, finished)
        _ = channel.retire(finished)
    }

    /// Takes a cargo out and leaves an empty one.
    private func swap(_ cargo: inout Freight) throws(DMAError) -> Freight {
        var other = Freight(capacity: 0)
        Swift.swap(&other, &cargo)
        return other
    }

    /// Nothing submitted after a fenced transaction ends before it.
    func rule26() throws(DMAError) {
        guard let work = try work() else { return skip(lacksWriting) }
        guard capabilities.depth > 1 else { return skip(lacksDepth) }
        guard work.place != .issuePending else { return skip(worksAtOnce) }
        let fenced = "a transaction issued behind a fenced one that was under way"
        seek(fenced)
        try repeatedly(max(min(suite.iterations, 6), 3), untilMet: fenced, in: 1) { number, work, channel throws(DMAError) in
            var plan = work.plan
            plan.operation.flags.insert(.fence)
            var plans: [UInt64: Plan] = [:]
            // The fenced one is long and the others short, so that a missing fence shows.
            let fence = try channel.submit(plan.operation, try work.freight(0, for: suite.domain)).get()
            plans[fence.rawValue] = plan
            if number % 2 == 0 { channel.issuePending() }
            for _ in 1..<min(capabilities.depth, 10) {
                guard let short = writingPlan(unit) else { return }
                plans[try channel.submit(short.operation, try freight(short)).get().rawValue] = short
            }
            channel.issuePending()
            // An engine that works inside polls is in progress until the client polls.
            let isUnderWay = work.place == .polls ? true : try channel.status(of: fence) == .inProgress
            if isUnderWay { meet(fenced) }
            while !plans.isEmpty {
                let finished = try nextFinished(&channel)
                let cookie = finished.cookie
                guard let plan = plans.removeValue(forKey: cookie.rawValue) else {
                    throw giveUp("cookie \(cookie.rawValue) ended twice")
                }
                try judge(plan, finished)
                // Out of order, completions may be taken in any order (rule 9); but a query must find the fenced one ended.
                if cookie != fence, plans[fence.rawValue] != nil {
                    let isOver = try channel.status(of: fence).isFinal
                    expect(isOver, "cookie \(cookie.rawValue) is over before the fenced \(fence.rawValue)")
                }
            }
        }
        var channel = try open()
        try fencesBetweenOthers(&channel)
        close(channel)
        if !isSeeking(fenced) { skip(worksAtOnce) }
    }

    /// Fences at random positions among random transactions, several at once.
    private func fencesBetweenOthers(_ channel: inout Channel<E, Freight>) throws(DMAError) {
        try repeatedly { _ throws(DMAError) in
            var plans: [UInt64: Plan] = [:]
            var fences: [Cookie] = []
            let number = min(capabilities.depth, 10)
            for index in 0..<number {
                let isFenced = random.once(in: 3)
                guard let plan = writingPlan(isFenced ? largest : unit, flags: isFenced ? .fence : []) else { return }
                let cookie = try channel.submit(plan.operation, try freight(plan)).get()
                plans[cookie.rawValue] = plan
                if isFenced { fences.append(cookie) }
                if random.once(in: 3) || index == number - 1 { channel.issuePending() }
                if random.once(in: 3) { channel.poll() }
            }
            while !plans.isEmpty {
                let finished = try nextFinished(&channel)
                let cookie = finished.cookie
                guard let plan = plans.removeValue(forKey: cookie.rawValue) else {
                    throw giveUp("cookie \(cookie.rawValue) ended twice")
                }
                try judge(plan, finished)
                for fence in fences where fence < cookie && plans[fence.rawValue] != nil {
                    let isOver = try channel.status(of: fence).isFinal
                    expect(isOver, "cookie \(cookie.rawValue) is over before the fenced \(fence.rawValue)")
                }
            }
        }
    }

    func rule27() throws(DMAError) {
        var any = false
        for kind in [OperationKind.xor, .pq] where capabilities.operations.contains(OperationSet(kind)) {
            any = true
            try parity(kind)
        }
        if capabilities.operations.contains(.xorValidate) {
            any = true
            try xorValidation()
        }
        if capabilities.operations.contains(.pqValidate) { try pqValidation() }
        if !any { skip("Capabilities.operations lacks .xor, .xorValidate and .pq") }
    }

    func rule28() throws(DMAError) {
        guard capabilities.metadataCount > 0 else { return skip("Capabilities.metadataCount is 0") }
        guard let plan = writingPlan(length(atMost: 1024)) else { return skip(lacksWriting) }
        var channel = try open()
        let size = capabilities.metadataCount
        // More rounds than slots, so that each slot is used in both modes.
        try repeatedly(capabilities.depth * 2 + 3) { number throws(DMAError) in
            let bytes = random.bytes(number % 5 == 0 ? max(size / 2, 1) : size)
            var whole = bytes + [UInt8](repeating: 0, count: size - bytes.count)
            let isClientMode = number % 3 != 0
            let cookie: Cookie
            if isClientMode {
                // Bytes have no padding: their span may be read raw. Likewise below.
                // SAFETY: bytes have no padding, so that their span may be read raw.
                cookie = try unsafe channel.submit(plan.operation, try freight(plan), metadata: bytes.span.bytes).get()
                expectRefusal(.metadataInUse, of: "a client-mode descriptor's metadata") { () throws(DMAError) in
                    try channel.withMetadata(of: cookie) { _ in }
                }
            } else {
                cookie = try channel.submit(plan.operation, try freight(plan)).get()
                let left = try channel.withMetadata(of: cookie) { span -> [UInt8] in
                    let before = span.bytes.copied()
                    span.put(whole)
                    return before
                }
                expect(left.allSatisfy { $0 == 0 }, "the last descriptor's metadata can be read in the next one's")
            }
            channel.issuePending()
            let over = try waits(&channel) { channel throws(DMAError) in try channel.status(of: cookie).isFinal }
            guard over else { throw giveUp("no completion") }
            let read = try channel.withMetadata(of: cookie) { $0.bytes.copied() }
            seek("metadata that the engine has worked on")
            if provisions.metadata != nil { meet("metadata that the engine has worked on") }
            if let transform = provisions.metadata {
                whole = transform(whole)
                expect(read == whole, "metadata \(read), \(whole) expected")
                countBytes(size)
            }
            try judge(plan, try nextFinished(&channel))
            expectRefusal(.staleCookie, of: "metadata after its lifetime") { () throws(DMAError) in
                try channel.withMetadata(of: cookie) { _ in }
            }
        }
        let excess = random.bytes(size + 1)
        switch unsafe channel.submit(plan.operation, try freight(plan), metadata: excess.span.bytes) {
        case .queued: throw giveUp("more metadata than there is room for was accepted")
        case .refused(let error, _): expect(error.code == .noMetadata, "\(error.code), noMetadata expected")
        }
        close(channel)
    }
}
