// SPDX-License-Identifier: Apache-2.0

import DMACore

/// One transaction of a data test: what every region holds before, what each must hold after, and what the completion must
/// carry.
struct Plan: Sendable {
    struct Place: Sendable {
        var before: [UInt8]
        var after: [UInt8]
        /// What the transfer may write, in order; empty for a source.
        var written: [Range<Int>] = []
        var direction: Direction
        var isSource: Bool { written.isEmpty }
    }

    var places: [Place]
    var operation: Operation
    /// What ``Finished/value`` must be; nil where it means nothing.
    var value: UInt64?
    /// Bytes that the operation moves.
    var count: Int
    /// For the report.
    var text: String
    /// What it reads of the storage, or writes there.
    var stored: StoredPlace?
}

extension Plan {
    /// Allocates and maps what the plan names, with its contents.
    func freight(for domain: Domain) throws(DMAError) -> Freight {
        if let stored { stored.storage.put(stored.before, at: stored.position) }
        var freight = Freight(capacity: places.count)
        for place in places {
            let mapped = try Plan.mapped(place.before, place.direction, for: domain)
            // There is room for each.
            _ = freight.append(mapped)
        }
        return freight
    }

    /// A mapped buffer of one region that holds `image`.
    static func mapped(_ image: [UInt8], _ direction: Direction, for domain: Domain) throws(DMAError) -> MappedBuffer {
        var alignment = max(64, domain.constraints.alignment)
        // A buffer aligned to its size, rounded up, crosses no boundary that is as large.
        while domain.constraints.segmentBoundary != 0, alignment < UInt64(image.count) { alignment *= 2 }
        var buffer = try Buffer(count: max(image.count, 1), alignment: Int(clamping: alignment))
        buffer.withMutableBytes { $0.put(image) }
        return try buffer.mapped(for: domain, direction: direction)
    }

    /// Bytes that are compared with what they must be.
    var bytesCompared: Int { places.reduce(0) { $0 + $1.before.count } + (stored?.after.count ?? 0) }

    /// Everything that is wrong with a completion and with what came back; empty where all is right.
    func findings(_ finished: borrowing Finished<Freight>) throws(DMAError) -> [String] {
        guard finished.status == .complete else { return ["ended as \(finished.status)"] }
        var findings: [String] = []
        if finished.residue != 0 { findings.append("complete with a residue of \(finished.residue)") }
        if let value, finished.value != value {
            findings.append("value 0x\(String(finished.value, radix: 16)), 0x\(String(value, radix: 16)) expected")
        }
        for index in places.indices {
            let place = places[index]
            let finding = try Plan.look(at: index, of: finished.cargo) { span in
                place.isSource
                    ? Oracle.judgeSource(span, before: place.before)
                    : Oracle.judgeDestination(span, before: place.before, expected: place.after, written: place.written)
            }
            if let finding { findings.append("region \(index): \(finding)") }
        }
        if let finding = stored?.finding { findings.append(finding) }
        return findings
    }

    /// What of the memory is not as it was before.
    func changes(_ cargo: borrowing Freight) throws(DMAError) -> [String] {
        var findings: [String] = []
        for index in places.indices {
            let before = places[index].before
            let finding = try Plan.look(at: index, of: cargo) { span in
                Oracle.judgeDestination(span, before: before, expected: before, written: [])
            }
            if let finding { findings.append("region \(index): \(finding)") }
        }
        return findings
    }

    private static func look(
        at index: Int, of cargo: borrowing Freight, _ body: (RawSpan) -> OracleFinding?
    ) throws(DMAError) -> OracleFinding? {
        let found = try cargo.elements.withElement(at: index) { buffer throws(DMAError) in
            try buffer.withCPUAccess { span throws(DMAError) in body(span) }
        }
        return found ?? nil
    }
}

extension SuiteRun where E: ~Copyable {
    /// A plan's memory, in the suite's domain.
    func freight(_ plan: Plan) throws(DMAError) -> Freight { try plan.freight(for: suite.domain) }

    /// Compares everything that came back with the plan.
    func judge(_ plan: Plan, _ finished: borrowing Finished<Freight>) throws(DMAError) {
        parameters = plan.text
        report(try plan.findings(finished), plan)
    }

    /// Whether the memory holds what it did before: for transfers that must not have begun.
    func judgeUntouched(_ plan: Plan, _ cargo: borrowing Freight, _ what: String) throws(DMAError) {
        parameters = plan.text
        report(try plan.changes(cargo).map { what + ": " + $0 }, plan)
    }

    /// One question for each region and one for the completion.
    func report(_ findings: [String], _ plan: Plan) {
        countBytes(plan.bytesCompared)
        for _ in findings.count..<max(plan.places.count + 1, findings.count) { expect(true, "") }
        for finding in findings { expect(false, finding) }
    }

    /// Submits, issues, waits and judges one transaction. Returns the cargo.
    @discardableResult
    func perform(_ plan: Plan, on channel: inout Channel<E, Freight>) throws(DMAError) -> Freight {
        parameters = plan.text
        _ = try channel.submit(plan.operation, try freight(plan)).get()
        channel.issuePending()
        let finished = try nextFinished(&channel)
        try judge(plan, finished)
        return finished.takeCargo()
    }

    // MARK: Random numbers that fit the engine

    /// The largest transfer that engine, domain and suite allow. Bytes.
    var largest: Int {
        var limit = min(UInt64(suite.maximumBytes), capabilities.maximumCount)
        let constraints = suite.domain.constraints
        // Offsets and margins lie in the same region.
        limit = min(limit, constraints.maximumSegmentSize / 2, constraints.maximumMappingSize / 2)
        if constraints.segmentBoundary != 0 { limit = min(limit, constraints.segmentBoundary / 4) }
        return max(Int(clamping: limit) / unit * unit, unit)
    }

    /// What of the flags the engine offers; a fence and an interrupt every channel takes.
    func someFlags() -> DescriptorFlags {
        var flags: DescriptorFlags = []
        if random.once(in: 6) { flags.insert(.fence) }
        if random.once(in: 4) { flags.insert(.interrupt) }
        return flags
    }
}
