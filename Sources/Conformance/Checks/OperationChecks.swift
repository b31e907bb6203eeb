// SPDX-License-Identifier: Apache-2.0

import DMACore

/// One check for each operation between memories.
extension SuiteRun where E: ~Copyable {
    func plainOperation(_ kind: OperationKind) throws(DMAError) {
        guard plannable.contains(kind) || kind == .null else {
            return skip("Capabilities.maximumSegments is \(capabilities.maximumSegments)")
        }
        var channel = try open()
        if kind != .null && kind != .scatterGather { try atBounds(kind, &channel) }
        let lists = "a list of several segments"
        // A transfer of one unit must not be split.
        if kind == .scatterGather, capabilities.maximumSegments > 2, largest > unit { seek(lists) }
        try repeatedly { number throws(DMAError) in
            // One is long enough to be split.
            let plan = plan(kind, count: kind == .scatterGather && number == 0 ? largest : nil, flags: someFlags())
            if kind == .scatterGather, plan.places.count > 2 { meet(lists) }
            try perform(plan, on: &channel)
        }
        close(channel)
    }

    /// The minimum and the maximum transfer, and those around powers of two, where implementations switch between loops.
    private func atBounds(_ kind: OperationKind, _ channel: inout Channel<E, Freight>) throws(DMAError) {
        var counts: Set<Int> = [unit, largest]
        for power in [8, 16, 32, 64, 256, 4096] {
            for count in [power - unit, power, power + unit] where count >= unit && count <= largest && count % unit == 0 {
                counts.insert(count)
            }
        }
        for count in counts.sorted() { try perform(plan(kind, count: count), on: &channel) }
    }

    /// Besides random ranges: the CRC of a whole from those of its parts.
    func crcInParts() throws(DMAError) {
        try plainOperation(.crc32c)
        var channel = try open()
        try repeatedly { _ throws(DMAError) in
            let count = length() + unit
            let bytes = random.bytes(count)
            let split = max(random.int(1...count / unit - 1), 1) * unit
            parameters = "CRC32C of \(count) bytes, cut at \(split)"
            var seed: UInt32 = 0
            for range in [0..<split, split..<count] {
                var cargo = Freight(capacity: 1)
                _ = cargo.append(try Plan.mapped(bytes, .toDevice, for: suite.domain))
                let operation = Operation.crc32c(offset: range.lowerBound, count: range.count, seed: seed)
                _ = try channel.submit(operation, cargo).get()
                channel.issuePending()
                seed = UInt32(truncatingIfNeeded: try nextFinished(&channel).value)
            }
            expect(seed == ByteModels.crc32c(bytes), "the CRC of two parts is not that of the whole")
            countBytes(count)
        }
        close(channel)
    }

    /// XOR or PQ with each combination of flags that the engine supports.
    func parity(_ kind: OperationKind) throws(DMAError) {
        var channel = try open()
        var combinations: [DescriptorFlags] = [[]]
        let offered = capabilities.flags
        if kind == .pq {
            if offered.contains(.disableP) { combinations.append(.disableP) }
            if offered.contains(.disableQ) { combinations.append(.disableQ) }
        }
        if offered.contains(.continue), capabilities.maximumSources > 1 {
            combinations += combinations.map { $0.union(.continue) }
        }
        for flags in combinations {
            try repeatedly(max(suite.iterations / combinations.count, 2)) { number throws(DMAError) in
                // Once with the maximum number of bytes.
                let count = number == 0 ? min(largest, 4096 / unit * unit + unit) : length(atMost: largest / 4)
                try perform(kind == .xor ? planXOR(count, flags) : planPQ(count, flags), on: &channel)
            }
        }
        if kind == .xor {
            try repeatedly(max(suite.iterations / 4, 2)) { _ throws(DMAError) in
                try perform(planXOR(length(atMost: largest / 4), [], inPlace: true), on: &channel)
            }
        }
        close(channel)
    }

    func xorValidation() throws(DMAError) {
        var channel = try open()
        // Both results.
        try repeatedly(max(suite.iterations, 2)) { number throws(DMAError) in
            try perform(planXORValidate(length(atMost: largest / 4), [], breaks: number % 2 == 1), on: &channel)
        }
        close(channel)
    }

    func pqValidation() throws(DMAError) {
        var channel = try open()
        var combinations: [DescriptorFlags] = [[]]
        if capabilities.flags.contains(.disableP) { combinations.append(.disableP) }
        if capabilities.flags.contains(.disableQ) { combinations.append(.disableQ) }
        for flags in combinations {
            // All four of: right, P wrong, Q wrong, both.
            try repeatedly(max(suite.iterations / combinations.count, 4)) { number throws(DMAError) in
                try perform(planPQValidate(length(atMost: largest / 4), flags, breaks: number % 4), on: &channel)
            }
        }
        close(channel)
    }

    /// All combinations of increments and scatter flags, with and without gaps.
    func interleaved() throws(DMAError) {
        var channel = try open()
        for bits in 0..<16 {
            var template = randomTemplate(min(largest, 4096 / unit * unit))
            template.sourceGap = UInt32(random.int(1...40) * unit)
            template.destinationGap = UInt32(random.int(1...40) * unit)
            template.sourceIncrements = bits & 1 != 0
            template.destinationIncrements = bits & 2 != 0
            template.sourceScatters = bits & 4 != 0
            template.destinationScatters = bits & 8 != 0
            try perform(planInterleaved(template, []), on: &channel)
        }
        try repeatedly { _ throws(DMAError) in
            try perform(plan(.interleaved, flags: someFlags()), on: &channel)
        }
        close(channel)
    }

    /// Random kinds, sizes, flags, depths and batches together; verified in the order in which they end.
    func batches() throws(DMAError) {
        guard !plannable.isEmpty else { return skip("Capabilities.operations has none between memories") }
        var channel = try open()
        var open: [UInt64: Plan] = [:]
        var left = suite.iterations * 4
        while left > 0 || !open.isEmpty {
            if open.isEmpty { try goOn() }
            let batch = random.int(1...max(min(capabilities.depth, 64), 1))
            for _ in 0..<batch where left > 0 && open.count < capabilities.depth && !suite.stop.isStopped {
                let kind = plannable[random.int(0...plannable.count - 1)]
                let plan = plan(kind, count: length(atMost: max(largest / 4, unit)), flags: someFlags())
                parameters = plan.text
                switch channel.submit(plan.operation, try freight(plan)) {
                case .queued(let cookie):
                    open[cookie.rawValue] = plan
                    left -= 1
                case .refused(let error, _):
                    expect(error.code == .queueFull, "refused with room in the queue: \(error)")
                    throw giveUp("\(open.count) in flight of a depth of \(capabilities.depth)")
                }
            }
            channel.issuePending()
            let wanted = random.int(1...max(open.count, 1))
            for _ in 0..<min(wanted, open.count) {
                let finished = try nextFinished(&channel)
                guard let plan = open.removeValue(forKey: finished.cookie.rawValue) else {
                    throw giveUp("cookie \(finished.cookie.rawValue) was never given out, or came back twice")
                }
                try judge(plan, finished)
            }
            if Deadline.now.nanoseconds >= end { left = 0 }
        }
        close(channel)
    }

    func deadlines() throws(DMAError) {
        guard let plan = writingPlan(length(atMost: largest / 2)) else { return skip(lacksWriting) }
        var channel = try open()
        let met = try channel.submit(
            Transaction(plan.operation, try freight(plan), deadline: .after(milliseconds: 3_600_000))
        ).get()
        channel.issuePending()
        let first = try nextFinished(&channel)
        expect(first.cookie == met && !first.isLate, "late by \(first.lateness) ns of an hour's deadline")
        try judge(plan, first)
        // A deadline that has passed already: reported once while it runs, and late when it has ended.
        let missed = try channel.submit(
            Transaction(plan.operation, try freight(plan), deadline: Deadline(nanoseconds: Deadline.now.nanoseconds - 1))
        ).get()
        let late = channel.nextLate()
        expect(late?.cookie == missed, "a transaction past its deadline is not reported")
        expect((late?.lateness ?? 0) > 0, "late by nothing")
        expect((late?.residue ?? 0) == UInt64(plan.count), "nothing was moved, and \(late?.residue ?? 0) are said to be left")
        expect(channel.nextLate() == nil, "reported late twice")
        channel.issuePending()
        let second = try nextFinished(&channel)
        expect(second.cookie == missed && second.isLate, "over, and not said to be late")
        try judge(plan, second)
        close(channel)
    }
}
