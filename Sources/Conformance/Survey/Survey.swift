// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMACore

/// How fast an engine moves bytes that are then verified: throughput at depth, latency alone, and what it costs the processor.
///
/// Each operation runs in rounds. A round's transactions are random in content and alignment; only their transfer is timed;
/// afterwards every byte of every region is compared, as the conformance suite does. Times are this machine's and this
/// moment's.
public struct Survey: Sendable {
    /// What the data and its alignment follow from.
    public let seed: UInt64
    /// Bytes in each transaction.
    public let bytes: Int
    /// Transactions in flight while throughput is measured.
    public let depth: Int
    /// Nanoseconds for each operation, verification included; one round runs in any case.
    public let duration: Int64
    /// What the engine's memory is mapped for.
    public let domain: Domain

    /// - Parameters: as the properties; numbers out of range are brought to the nearest bound.
    public init(seed: UInt64, bytes: Int = 65_536, depth: Int = 32, duration: Int64 = 1_000_000_000, domain: Domain) {
        self.seed = seed
        self.bytes = min(max(bytes, 64), 1 << 30)
        self.depth = min(max(depth, 1), 4096)
        self.duration = max(duration, 0)
        self.domain = domain
    }

    /// Sources of XOR and PQ. Their rates count the bytes of one.
    public static let sources = 4

    /// What came of one operation.
    public struct Row: Hashable, Sendable, Codable {
        /// The engine's name.
        public let engine: String
        /// What was done.
        public let operation: String
        /// Bytes in each transaction.
        public let bytesEach: Int
        /// Transactions in flight at once.
        public let depth: Int
        /// Transactions that were timed.
        public let transactions: Int
        /// Bytes compared with what they must be.
        public let bytesVerified: UInt64
        /// What was wrong, the first few; empty where every byte was right.
        public let faults: [String]
        /// Bytes moved, at depth.
        public let bytesPerSecond: Double
        /// Transactions completed, at depth.
        public let operationsPerSecond: Double
        /// Of one transaction alone, from its issue to its completion. Nanoseconds.
        public let latencyP50: Int64
        /// The same, of the slowest in a hundred. Nanoseconds.
        public let latencyP99: Int64
        /// Processor time of the whole process while bytes moved, for each 10⁹ bytes. Seconds.
        public let cpuSecondsPerGB: Double

        /// Whether every byte was right.
        public var passed: Bool { faults.isEmpty }
    }

    /// Measures the kinds of operation that need nothing but memory.
    ///
    /// - Parameters:
    ///   - kinds: which; nil for all that the engine has.
    ///   - provisions: with a storage, transfers from and to it are measured too.
    ///   - progress: called after each operation with its row.
    public func run<E: Engine & ~Copyable & SendableMetatype>(
        _ name: String, kinds: Set<OperationKind>? = nil, makeEngine: @escaping @Sendable () throws(DMAError) -> E,
        provisions: ConformanceProvisions<E> = ConformanceProvisions<E>(), progress: ((Row) -> Void)? = nil
    ) -> [Row] {
        let suite = ConformanceSuite(seed: seed, maximumBytes: bytes, domain: domain)
        let bench = Bench(suite, end: .max, make: makeEngine, provisions: provisions)
        _ = bench.survey()
        bench.sources = Survey.sources
        var rows: [Row] = []
        for kind in bench.plannable where kind != .null && kinds?.contains(kind) ?? true {
            // With a storage, the two directions are two measurements.
            for reads in kind == .peripheral ? [true, false] : [nil] {
                let operation = reads.map { $0 ? "fromPeripheral" : "toPeripheral" } ?? "\(kind)"
                bench.random = SeededRandom(seed: seed, part: "survey \(operation)")
                var tally = Tally()
                do throws(DMAError) {
                    try measure(kind, reads, bench, &tally)
                } catch {
                    tally.faults.append("unexpected: \(error)")
                }
                let row = tally.row(name, operation, self)
                rows.append(row)
                progress?(row)
            }
        }
        return rows
    }

    private func measure<E: Engine & ~Copyable & SendableMetatype>(
        _ kind: OperationKind, _ reads: Bool?, _ bench: Bench<E>, _ tally: inout Tally
    ) throws(DMAError) {
        let end = Deadline.after(nanoseconds: duration)
        let inFlight = min(depth, bench.capabilities.depth)
        var channel = try bench.open()
        repeat {
            let plans = (0..<inFlight).map { _ in
                reads.map { bench.planStorage(bytes, [], reads: $0) } ?? bench.plan(kind, count: bytes)
            }
            try alone(Array(plans.prefix(8)), &channel, bench, &tally)
            try together(plans, &channel, bench, &tally)
        } while Deadline.now < end && tally.faults.isEmpty
    }

    /// One transaction at a time: latency.
    private func alone<E: Engine & ~Copyable & SendableMetatype>(
        _ plans: [Plan], _ channel: inout Channel<E, Freight>, _ bench: Bench<E>, _ tally: inout Tally
    ) throws(DMAError) {
        for plan in plans {
            _ = try channel.submit(plan.operation, try bench.freight(plan)).get()
            let began = Deadline.now.nanoseconds
            channel.issuePending()
            let finished = try bench.nextFinished(&channel)
            tally.latencies.append(Deadline.now.nanoseconds - began)
            try tally.judge(plan, finished)
        }
    }

    /// As many as the depth allows: throughput.
    private func together<E: Engine & ~Copyable & SendableMetatype>(
        _ plans: [Plan], _ channel: inout Channel<E, Freight>, _ bench: Bench<E>, _ tally: inout Tally
    ) throws(DMAError) {
        var planOf: [Cookie: Plan] = [:]
        for plan in plans { planOf[try channel.submit(plan.operation, try bench.freight(plan)).get()] = plan }
        var finished = FixedArray<Finished<Freight>>(capacity: plans.count)
        let processor = cdma_process_nanoseconds()
        let began = Deadline.now.nanoseconds
        channel.issuePending()
        for _ in plans { _ = finished.append(try bench.nextFinished(&channel)) }
        tally.nanoseconds += Deadline.now.nanoseconds - began
        tally.processorNanoseconds += cdma_process_nanoseconds() - processor
        while let one = finished.popLast() {
            guard let plan = planOf[one.cookie] else { continue }
            tally.timedTransactions += 1
            tally.timedBytes += UInt64(plan.count)
            try tally.judge(plan, one)
        }
    }
}

/// The sums of one operation's rounds.
private struct Tally {
    var transactions = 0
    var timedTransactions = 0
    var timedBytes: UInt64 = 0
    var bytesVerified: UInt64 = 0
    var nanoseconds: Int64 = 0
    var processorNanoseconds: Int64 = 0
    var latencies: [Int64] = []
    var faults: [String] = []

    mutating func judge(_ plan: Plan, _ finished: borrowing Finished<Freight>) throws(DMAError) {
        transactions += 1
        bytesVerified += UInt64(plan.bytesCompared)
        for finding in try plan.findings(finished) where faults.count < 8 { faults.append("\(plan.text): \(finding)") }
    }

    func row(_ engine: String, _ operation: String, _ survey: Survey) -> Survey.Row {
        let seconds = Double(max(nanoseconds, 1)) / 1e9
        let sorted = latencies.sorted()
        func percentile(_ share: Double) -> Int64 {
            sorted.isEmpty ? 0 : sorted[min(Int(Double(sorted.count) * share), sorted.count - 1)]
        }
        return Survey.Row(
            engine: engine, operation: operation, bytesEach: survey.bytes, depth: survey.depth, transactions: transactions,
            bytesVerified: bytesVerified, faults: faults, bytesPerSecond: Double(timedBytes) / seconds,
            operationsPerSecond: Double(timedTransactions) / seconds, latencyP50: percentile(0.5), latencyP99: percentile(0.99),
            cpuSecondsPerGB: timedBytes == 0 ? 0 : Double(processorNanoseconds) / Double(timedBytes))
    }
}
