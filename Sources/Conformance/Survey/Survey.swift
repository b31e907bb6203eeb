// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMACore
public import DMAEngineKit

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
    /// What of the data is chosen. Without a choice, XOR and PQ have ``sources`` sources, so that their rates can be compared.
    public var choice: DataChoice
    /// Channels with transfers in flight at the same time, each with an engine and a task of its own; 1 or more. Tasks run on as many threads
    /// as there are processors: what an engine does in the poll is no faster for more channels than that.
    public var channels = 1
    /// Nanoseconds to wait for a completion, before that counts as a failure.
    public var patience: Int64 = 10_000_000_000
    /// Ends the survey early. It is looked at before each operation, between its rounds, and while data is made for one: an operation of which
    /// no round was whole has no row, unless something was wrong. A row of fewer rounds is as good as one of a shorter ``duration``.
    package var stop: StopRequest?

    /// - Parameters: as the properties; numbers out of range are brought to the nearest bound.
    public init(seed: UInt64, bytes: Int = 65_536, depth: Int = 32, duration: Int64 = 1_000_000_000, domain: Domain) {
        self.seed = seed
        self.bytes = min(max(bytes, 64), 1 << 30)
        self.depth = min(max(depth, 1), 4096)
        self.duration = max(duration, 0)
        self.domain = domain
        choice = DataChoice()
        choice.xorSources = Survey.sources
        choice.pqSources = Survey.sources
    }

    /// Sources of XOR and PQ. Their rates count the bytes of one.
    public static let sources = 4

    /// What came of one operation.
    public struct Row: Hashable, Sendable, Codable {
        /// The engine's name.
        public let engine: String
        /// What was done.
        public let operation: String
        /// Bytes that a timed transaction moved, on average: interleaved ones differ in length.
        public let bytesEach: Int
        /// Transactions in flight at once on a channel: what was asked, or what the engine takes.
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

    /// Measures the kinds of operation that need nothing but memory; with a storage among the provisions, peripheral transfers too, each
    /// direction for itself and on one channel.
    ///
    /// - Parameters:
    ///   - kinds: which; nil for all that the engine has.
    ///   - provisions: what the suite would be given; nothing but its storage is used.
    ///   - progress: called after each operation with its row.
    public func run<E: Engine & ~Copyable & SendableMetatype>(
        _ name: String, kinds: Set<OperationKind>? = nil, makeEngine: @escaping @Sendable () throws(DMAError) -> E,
        provisions: ConformanceProvisions<E> = ConformanceProvisions<E>(), progress: ((Row) -> Void)? = nil
    ) async -> [Row] {
        let bench = newBench(makeEngine, provisions, part: "survey")
        var rows: [Row] = []
        for kind in bench.plannable where kind != .null && kinds?.contains(kind) ?? true {
            for reads in kind == .peripheral ? [true, false] : [nil] where !stop.isStopped {
                let work = SurveyWork(kind: kind, reads: reads)
                let tally = await measure(work, makeEngine, provisions)
                if stop.isStopped, tally.timedTransactions == 0, tally.faults.isEmpty { continue }
                let row = tally.row(name, work, self)
                rows.append(row)
                progress?(row)
            }
        }
        return rows
    }

    func newBench<E: Engine & ~Copyable & SendableMetatype>(
        _ make: @escaping @Sendable () throws(DMAError) -> E, _ provisions: ConformanceProvisions<E>, part: String
    ) -> SuiteRun<E> {
        var suite = ConformanceSuite(seed: seed, maximumBytes: bytes, domain: domain, patience: patience)
        suite.choice = choice
        let bench = SuiteRun(suite, end: .max, make: make, provisions: provisions)
        _ = bench.survey()
        bench.random = SeededRandom(seed: seed, part: part)
        return bench
    }
}

/// What is measured for one row.
struct SurveyWork: Sendable {
    let kind: OperationKind
    /// Of a peripheral transfer, whether it comes from there.
    let reads: Bool?
    var name: String { reads.map { $0 ? "fromPeripheral" : "toPeripheral" } ?? "\(kind)" }
}

/// The sums of one operation's rounds.
struct SurveyTally: Sendable {
    /// On each channel.
    var inFlight = 0
    var transactions = 0
    var timedTransactions = 0
    var timedBytes: UInt64 = 0
    var bytesVerified: UInt64 = 0
    var nanoseconds: Int64 = 0
    var processorNanoseconds: Int64 = 0
    var latencies: [Int64] = []
    var faults: [String] = []

    /// Takes in what another channel did beside this one. Time, which passed for both at once, was counted by one of them.
    mutating func add(_ other: SurveyTally) {
        inFlight = max(inFlight, other.inFlight)
        transactions += other.transactions
        timedTransactions += other.timedTransactions
        timedBytes += other.timedBytes
        bytesVerified += other.bytesVerified
        nanoseconds += other.nanoseconds
        processorNanoseconds += other.processorNanoseconds
        latencies += other.latencies
        faults += other.faults
    }

    mutating func judge(_ plan: Plan, _ finished: borrowing Finished<Freight>, _ choice: DataChoice) throws(DMAError) {
        transactions += 1
        guard choice.verifies else {
            if finished.status != .complete, faults.count < 8 { faults.append("\(plan.text): ended as \(finished.status)") }
            return
        }
        bytesVerified += UInt64(plan.bytesCompared)
        for finding in try plan.findings(finished) where faults.count < 8 { faults.append("\(plan.text): \(finding)") }
    }

    func row(_ engine: String, _ work: SurveyWork, _ survey: Survey) -> Survey.Row {
        let seconds = Double(max(nanoseconds, 1)) / 1e9
        let sorted = latencies.sorted()
        func percentile(_ share: Double) -> Int64 {
            sorted.isEmpty ? 0 : sorted[min(Int(Double(sorted.count) * share), sorted.count - 1)]
        }
        return Survey.Row(
            engine: engine, operation: work.name, bytesEach: Int(clamping: timedBytes) / max(timedTransactions, 1),
            depth: inFlight, transactions: transactions,
            bytesVerified: bytesVerified, faults: faults, bytesPerSecond: Double(timedBytes) / seconds,
            operationsPerSecond: Double(timedTransactions) / seconds, latencyP50: percentile(0.5), latencyP99: percentile(0.99),
            cpuSecondsPerGB: timedBytes == 0 ? 0 : Double(processorNanoseconds) / Double(timedBytes))
    }
}
