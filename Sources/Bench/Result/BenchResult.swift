// SPDX-License-Identifier: Apache-2.0

/// What one run of `dmactl bench` found out, and all that is needed to judge it. This is what `--json` prints; its schema is
/// Schemas/bench-result.schema.json.
package struct BenchResult: Hashable, Sendable, Codable {
    /// Rises when a field changes its meaning or goes. A new field is no new version.
    package static let currentVersion = 1

    package var version = BenchResult.currentVersion
    /// When the run began: ISO 8601, in UTC.
    package var began: String
    /// Seconds that it took.
    package var seconds: Double
    /// What was called, without the program's folder.
    package var command: [String]
    package var machine: MachineFacts
    /// The cases as they were run.
    package var plan: BenchPlan
    package var rows: [BenchRow]
    /// Points of the plan that were not measured, and why.
    package var skipped: [SkippedPoint]
    package var disturbance: Disturbance
    /// What a reader must know before he believes the figures.
    package var warnings: [String]
    /// How far the run was when it was stopped; nil for a whole one.
    package var stopped: EarlyStop?

    /// Whether it has no figure of any engine, although engines were to be measured: then it says nothing.
    package var isEmpty: Bool {
        let measured = rows.filter { !$0.bytesPerSecond.isEmpty }
        return measured.isEmpty
            || measured.allSatisfy(\.point.isBaseline) && (rows.contains { !$0.point.isBaseline } || !skipped.isEmpty)
    }

    package init(
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
package struct EarlyStop: Hashable, Sendable, Codable {
    /// Measurements that were made.
    package var made: Int
    /// Measurements of the plan.
    package var planned: Int

    package init(made: Int, planned: Int) {
        self.made = made
        self.planned = planned
    }
}

/// The speed in the course of a row's repeats.
package struct SpeedSeries: Hashable, Sendable, Codable {
    /// Of each step but a repeat's last, which may take half as long again or half as long. Seconds.
    package var interval: Double
    /// Bytes moved in a second, in each interval of each repeat.
    package var bytesPerSecond: [[Double]]

    package init(interval: Double, bytesPerSecond: [[Double]]) {
        self.interval = interval
        self.bytesPerSecond = bytesPerSecond
    }
}

/// A point of the plan that was not measured: the machine has no way to, or the run was stopped before.
package struct SkippedPoint: Hashable, Sendable, Codable {
    package var point: BenchPoint
    package var reason: String

    package init(point: BenchPoint, reason: String) {
        self.point = point
        self.reason = reason
    }
}

/// One point's measurements. An array has one value a repeat, in the order in which they were made.
package struct BenchRow: Hashable, Sendable, Codable {
    /// The case's name.
    package var name: String
    package var point: BenchPoint
    /// Which code or silicon did the work, as the engine says.
    package var implementation: String
    /// What was in flight on each channel: the point's depth, or less where a note says why.
    package var inFlight: Int
    /// Bytes moved (of one source, for XOR and PQ) in a second.
    package var bytesPerSecond: [Double]
    /// Seconds of processor time, of all threads of the process, for 10⁹ bytes.
    package var cpuSecondsPerGB: [Double]
    /// Nanoseconds that one `submit` took, apart from the transfer; empty for memcpy, which has none.
    package var submitNanoseconds: [Double]
    /// Nanoseconds that one ring of the doorbell took.
    package var issueNanoseconds: [Double]
    /// From the call of `submit` to the moment the completion was taken, with ``inFlight`` in flight; of all repeats together.
    package var latency: LatencySummary?
    /// The same with one in flight on each channel; nil where it was not measured, as beside a foreground task, and where ``latency`` is that.
    package var latencyAlone: LatencySummary?
    /// Share of the time at work: of a paced engine by its own count, of others by their threads' processor time. Only where a
    /// foreground task ran beside.
    package var share: [Double]
    /// One a repeat, where a foreground task ran beside.
    package var foreground: [ForegroundEffect]
    /// Repeats in which the measuring threads had to wait for a processor.
    package var disturbedRepeats: Int
    package var bytesVerified: UInt64
    package var bytesWrong: UInt64
    package var notes: [String]
    /// Why there are no figures, or fewer than there should be.
    package var failure: String?
    /// The speed in the course of each repeat; nil where no time series was kept.
    package var series: SpeedSeries?

    package init(
        name: String, point: BenchPoint, implementation: String, inFlight: Int, bytesPerSecond: [Double],
        cpuSecondsPerGB: [Double], submitNanoseconds: [Double], issueNanoseconds: [Double], latency: LatencySummary?,
        share: [Double], foreground: [ForegroundEffect], disturbedRepeats: Int, bytesVerified: UInt64, bytesWrong: UInt64,
        notes: [String], failure: String?, latencyAlone: LatencySummary? = nil
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
        self.latencyAlone = latencyAlone
        self.share = share
        self.foreground = foreground
        self.disturbedRepeats = disturbedRepeats
        self.bytesVerified = bytesVerified
        self.bytesWrong = bytesWrong
        self.notes = notes
        self.failure = failure
    }

    /// The middle of the repeats' speeds. Bytes in a second; not a number where there is none.
    package var speed: Double { Statistics.median(bytesPerSecond) }
    /// Transactions in a second.
    package var operationsPerSecond: Double { speed / Double(max(point.bytes, 1)) }
    /// The middle of the repeats' processor time.
    package var cpuCost: Double { Statistics.median(cpuSecondsPerGB) }
    package var submitCost: Double { Statistics.median(submitNanoseconds) }
    package var issueCost: Double { Statistics.median(issueNanoseconds) }
    /// How far a repeat lies from the middle, as a share of it.
    package var spread: Double { Statistics.spread(bytesPerSecond) }
    /// Latency with one in flight on each channel; nil where that was not measured.
    package var unloaded: LatencySummary? { latencyAlone ?? (inFlight == 1 ? latency : nil) }
    package var hasFailed: Bool { failure != nil || bytesWrong > 0 }
}
