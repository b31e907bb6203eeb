// SPDX-License-Identifier: Apache-2.0

/// What one run of `dmactl bench` found out, and all that is needed to judge it. This is what `--json` prints; its schema is
/// Schemas/bench-result.schema.json.
public struct BenchResult: Hashable, Sendable, Codable {
    /// Rises when a field changes its meaning or goes. A new field is no new version.
    public static let currentVersion = 1

    public var version = BenchResult.currentVersion
    /// When the run began: ISO 8601, in UTC.
    public var began: String
    /// Seconds that it took.
    public var seconds: Double
    /// What was called, without the program's folder.
    public var command: [String]
    public var machine: MachineFacts
    /// The cases as they were run.
    public var plan: BenchPlan
    public var rows: [BenchRow]
    /// Points of the plan that were not measured, and why.
    public var skipped: [SkippedPoint]
    public var disturbance: Disturbance
    /// What a reader must know before he believes the figures.
    public var warnings: [String]
    /// How far the run was when it was stopped; nil for a whole one.
    public var stopped: EarlyStop?

    public init(
        began: String, seconds: Double, command: [String], machine: MachineFacts, plan: BenchPlan, rows: [BenchRow],
        skipped: [SkippedPoint], disturbance: Disturbance, warnings: [String], stopped: EarlyStop? = nil
    ) {
        self.began = began
        self.seconds = seconds
        self.command = command
        self.machine = machine
        self.plan = plan
        self.rows = rows
        self.skipped = skipped
        self.disturbance = disturbance
        self.warnings = warnings
        self.stopped = stopped
    }
}

/// What a run has that was stopped before its end: each of its measurements is whole.
public struct EarlyStop: Hashable, Sendable, Codable {
    /// Measurements that were made.
    public var made: Int
    /// Measurements of the plan.
    public var planned: Int

    public init(made: Int, planned: Int) {
        self.made = made
        self.planned = planned
    }
}

/// A point of the plan that was not measured: the machine has no way to, or the run was stopped before.
public struct SkippedPoint: Hashable, Sendable, Codable {
    public var point: BenchPoint
    public var reason: String

    public init(point: BenchPoint, reason: String) {
        self.point = point
        self.reason = reason
    }
}

/// One point's measurements. An array has one value a repeat, in the order in which they were made.
public struct BenchRow: Hashable, Sendable, Codable {
    /// The case's name.
    public var name: String
    public var point: BenchPoint
    /// Which code or silicon did the work, as the engine says.
    public var implementation: String
    /// What was in flight on each channel: the point's depth, or less where a note says why.
    public var inFlight: Int
    /// Bytes moved (of one source, for XOR and PQ) in a second.
    public var bytesPerSecond: [Double]
    /// Seconds of processor time, of all threads of the process, for 10⁹ bytes.
    public var cpuSecondsPerGB: [Double]
    /// Nanoseconds that one `submit` took, apart from the transfer; empty for memcpy, which has none.
    public var submitNanoseconds: [Double]
    /// Nanoseconds that one ring of the doorbell took.
    public var issueNanoseconds: [Double]
    /// From the call of `submit` to the moment the completion was taken; of all repeats together.
    public var latency: LatencySummary?
    /// Share of the time at work: of a paced engine by its own count, of others by their threads' processor time. Only where a
    /// foreground task ran beside.
    public var share: [Double]
    /// One a repeat, where a foreground task ran beside.
    public var foreground: [ForegroundEffect]
    /// Repeats in which the measuring threads had to wait for a processor.
    public var disturbedRepeats: Int
    public var bytesVerified: UInt64
    public var bytesWrong: UInt64
    public var notes: [String]
    /// Why there are no figures, or fewer than there should be.
    public var failure: String?

    public init(
        name: String, point: BenchPoint, implementation: String, inFlight: Int, bytesPerSecond: [Double],
        cpuSecondsPerGB: [Double], submitNanoseconds: [Double], issueNanoseconds: [Double], latency: LatencySummary?,
        share: [Double], foreground: [ForegroundEffect], disturbedRepeats: Int, bytesVerified: UInt64, bytesWrong: UInt64,
        notes: [String], failure: String?
    ) {
        self.name = name
        self.point = point
        self.implementation = implementation
        self.inFlight = inFlight
        self.bytesPerSecond = bytesPerSecond
        self.cpuSecondsPerGB = cpuSecondsPerGB
        self.submitNanoseconds = submitNanoseconds
        self.issueNanoseconds = issueNanoseconds
        self.latency = latency
        self.share = share
        self.foreground = foreground
        self.disturbedRepeats = disturbedRepeats
        self.bytesVerified = bytesVerified
        self.bytesWrong = bytesWrong
        self.notes = notes
        self.failure = failure
    }

    /// The middle of the repeats' speeds. Bytes in a second; not a number where there is none.
    public var speed: Double { Statistics.median(bytesPerSecond) }
    /// Transactions in a second.
    public var operationsPerSecond: Double { speed / Double(max(point.bytes, 1)) }
    /// The middle of the repeats' processor time.
    public var cpuCost: Double { Statistics.median(cpuSecondsPerGB) }
    public var submitCost: Double { Statistics.median(submitNanoseconds) }
    public var issueCost: Double { Statistics.median(issueNanoseconds) }
    /// How far a repeat lies from the middle, as a share of it.
    public var spread: Double { Statistics.spread(bytesPerSecond) }
    public var hasFailed: Bool { failure != nil || bytesWrong > 0 }
}
