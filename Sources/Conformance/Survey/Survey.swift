// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMACore
public import DMAEngineKit

/// Measures an engine with verified transfers: throughput at depth, latency at depth 1, and processor time.
///
/// Each operation runs in rounds. A round's transactions have random content and alignment; only their transfer is timed;
/// afterwards every byte of every region is compared, as in the conformance suite. The times apply to this machine at this
/// moment.
public struct Survey: Sendable {
    /// The seed of the data and its alignment.
    public let seed: UInt64
    /// Bytes in each transaction.
    public let bytes: Int
    /// Transactions in flight while throughput is measured.
    public let depth: Int
    /// The time limit for each operation, in nanoseconds, verification included; at least one round is run.
    public let duration: Int64
    /// The domain for which the engine's memory is mapped.
    public let domain: Domain
    /// The fixed data parameters. Without them, XOR and PQ have ``sources`` sources, so that their rates can be compared.
    public var choice: DataChoice
    /// The number of channels with transfers in flight at the same time, each with its own engine and task; 1 or more. Tasks
    /// run on as many threads as there are processors: more channels do not speed up an engine that works inside polls.
    public var channels = 1
    /// The time limit for a completion, in nanoseconds; exceeding it is a failure.
    public var patience: Int64 = 10_000_000_000
    /// Ends the survey early. It is checked before each operation, between its rounds, and while its data is made: an operation
    /// without a complete round has no row, unless it failed. A row with fewer rounds is as valid as one of a shorter
    /// ``duration``.
    package var stop: StopRequest?

    /// - Parameters: as the properties; numbers out of range are clamped.
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

    /// Sources of XOR and PQ. Their rates count the bytes of one source.
    public static let sources = 4

    /// The result of one operation.
    public struct Row: Hashable, Sendable, Codable {
        /// The engine's name.
        public let engine: String
        /// The operation.
        public let operation: String
        /// Bytes moved by a timed transaction, on average: interleaved ones differ in length.
        public let bytesEach: Int
        /// Transactions in flight on a channel: the requested number, or the engine's maximum.
        public let depth: Int
        /// Transactions that were timed.
        public let transactions: Int
        /// Bytes compared with their expected values.
        public let bytesVerified: UInt64
        /// The first failures; empty where every byte was right.
        public let faults: [String]
        /// Bytes per second at depth.
        public let bytesPerSecond: Double
        /// Transactions per second at depth.
        public let operationsPerSecond: Double
        /// The median time of one transaction alone, from its issue to its completion. Nanoseconds.
        public let latencyP50: Int64
        /// The 99th percentile of the same. Nanoseconds.
        public let latencyP99: Int64
        /// Processor time of the whole process during the transfers, per 10⁹ bytes. Seconds.
        public let cpuSecondsPerGB: Double

        /// Whether every byte was right.
        public var passed: Bool { faults.isEmpty }
    }

    /// Measures the operations that need only memory; with a storage among the provisions, peripheral transfers too, each
    /// direction separately and on one channel.
    ///
    /// - Parameters:
    ///   - kinds: the operations; nil for all of the engine's.
    ///   - provisions: those of the suite; only its storage is used.
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

/// The subject of one row.
struct SurveyWork: Sendable {
    let kind: OperationKind
    /// For a peripheral transfer, whether it reads from the peripheral.
    let reads: Bool?
    var name: String { reads.map { $0 ? "fromPeripheral" : "toPeripheral" } ?? "\(kind)" }
}

/// The sums over one operation's rounds.
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

    /// Adds the sums of another channel that ran at the same time. The elapsed time is counted by only one of them.
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
