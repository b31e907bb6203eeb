// SPDX-License-Identifier: Apache-2.0

import DMACore

/// One transaction of a data test: the contents of every region before and after, and the expected completion.
struct Plan: Sendable {
    struct Place: Sendable {
        var before: [UInt8]
        var after: [UInt8]
        /// The ranges that the transfer may write, in order; empty for a source.
        var written: [Range<Int>] = []
        var direction: Direction
        var isSource: Bool { written.isEmpty }
    }

    var places: [Place]
    var operation: Operation
    /// The expected ``Finished/value``; nil where it has no meaning.
    var value: UInt64?
    /// Bytes that the operation moves.
    var count: Int
    /// A description for the report.
    var text: String
    /// The range of the storage that it reads or writes.
    var stored: StoredPlace?
}

extension Plan {
    /// Allocates and maps the plan's regions, with their contents.
    func freight(for domain: Domain) throws(DMAError) -> Freight {
        if let stored { stored.storage.put(stored.before, at: stored.position) }
        var freight = Freight(capacity: places.count)
        for place in places {
            let mapped = try Plan.mapped(place.before, place.direction, for: domain)
            // The list has room for each.
            _ = freight.append(mapped)
        }
        return freight
    }

    /// A mapped buffer of one region with the contents `image`.
    static func mapped(_ image: [UInt8], _ direction: Direction, for domain: Domain) throws(DMAError) -> MappedBuffer {
        var alignment = max(64, domain.constraints.alignment)
        // A buffer aligned to its size, rounded up, crosses no boundary of that size.
        while domain.constraints.segmentBoundary != 0, alignment < UInt64(image.count) { alignment *= 2 }
        var buffer = try Buffer(count: max(image.count, 1), alignment: Int(clamping: alignment))
        buffer.withMutableBytes { $0.put(image) }
        return try buffer.mapped(for: domain, direction: direction)
    }

    /// Bytes that are compared with their expected values.
    var bytesCompared: Int { places.reduce(0) { $0 + $1.before.count } + (stored?.after.count ?? 0) }

    /// All faults of a completion and of the returned memory; empty where all is right.
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

    /// The parts of the memory that differ from their initial contents.
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

    /// Compares all returned memory with the plan.
    func judge(_ plan: Plan, _ finished: borrowing Finished<Freight>) throws(DMAError) {
        parameters = plan.text
        report(try plan.findings(finished), plan)
    }

    /// Whether the memory has its initial contents: for transfers that must not have begun.
    func judgeUntouched(_ plan: Plan, _ cargo: borrowing Freight, _ what: String) throws(DMAError) {
        parameters = plan.text
        report(try plan.changes(cargo).map { what + ": " + $0 }, plan)
    }

    /// One assertion for each region and one for the completion.
    func report(_ findings: [String], _ plan: Plan) {
        countBytes(plan.bytesCompared)
        for _ in findings.count..<max(plan.places.count + 1, findings.count) { expect(true, "") }
        for finding in findings { expect(false, finding) }
    }

    /// Submits, issues, waits for and checks one transaction. Returns the cargo.
    @discardableResult
    func perform(_ plan: Plan, on channel: inout Channel<E, Freight>) throws(DMAError) -> Freight {
        parameters = plan.text
        _ = try channel.submit(plan.operation, try freight(plan)).get()
        channel.issuePending()
        let finished = try nextFinished(&channel)
        try judge(plan, finished)
        return finished.takeCargo()
    }

    // MARK: Random numbers within the engine's limits

    /// The longest transfer that engine, domain and suite allow. Bytes.
    var largest: Int {
        var limit = min(UInt64(suite.maximumBytes), capabilities.maximumCount)
        let constraints = suite.domain.constraints
        // Offsets and margins lie in the same region.
        limit = min(limit, constraints.maximumSegmentSize / 2, constraints.maximumMappingSize / 2)
        if constraints.segmentBoundary != 0 { limit = min(limit, constraints.segmentBoundary / 4) }
        return max(Int(clamping: limit) / unit * unit, unit)
    }

    /// The flags that the engine supports; every channel accepts a fence and an interrupt.
    func someFlags() -> DescriptorFlags {
        var flags: DescriptorFlags = []
        if random.once(in: 6) { flags.insert(.fence) }
        if random.once(in: 4) { flags.insert(.interrupt) }
        return flags
    }
}
