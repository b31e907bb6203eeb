// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

/// What one lane, a channel with its thread, brings back from a measurement.
struct LaneTally: Sendable {
    /// Transactions of the throughput part, and when the last of them was over.
    var operations = 0
    var end: Int64 = 0
    /// This thread's processor time in the throughput part. Nanoseconds.
    var processorNanoseconds: Int64 = 0
    /// How long this thread waited for a processor in the throughput part. Nanoseconds; nil where the kernel does not count.
    var runQueueWait: Int64?
    /// How long a paced engine was at work, of how long. Nanoseconds.
    var duty: (busy: Int64, elapsed: Int64)?
    var latencies = Latencies()
    /// What was finished by interval; nil where no time series is kept.
    var log: SpeedLog?
    /// Of one in flight; nil where that was not measured.
    var alone: Latencies?
    /// Nanoseconds in `submit` and in `issuePending`, and how many calls that were.
    var submitNanoseconds: Int64 = 0
    var submits = 0
    var issueNanoseconds: Int64 = 0
    var issues = 0
    var bytesVerified: UInt64 = 0
    var bytesWrong: UInt64 = 0
    /// What was in flight.
    var inFlight = 0
    /// What the engine runs on, as it says itself once it was started.
    var implementation: String?
    var notes: [String] = []
    var failure: DMAError?
}

extension LaneTally {
    /// What `drive` brings back on this thread, which is pinned first where that is asked. A lane that fails calls the others off.
    static func collect(_ stage: Stage, on processor: Int?, _ drive: (inout LaneTally) throws(DMAError) -> Void) -> LaneTally {
        var tally = LaneTally()
        if let processor, !Processors.pin(processor) { tally.notes.append("processor \(processor) is not allowed: not pinned") }
        do throws(DMAError) {
            try drive(&tally)
        } catch {
            tally.failure = error
            stage.callOff()
        }
        return tally
    }

    /// Runs the throughput part, `work`, and notes what it took of this thread.
    mutating func measure(_ work: () throws(DMAError) -> Void) throws(DMAError) {
        let waitedBefore = DisturbanceCounters.runQueueWaitOfThread
        let worked = cdma_thread_nanoseconds()
        try work()
        end = cdma_monotonic_nanoseconds()
        processorNanoseconds = cdma_thread_nanoseconds() - worked
        runQueueWait = DisturbanceCounters.runQueueWaitOfThread.flatMap { now in waitedBefore.map { now - $0 } }
    }
}

/// What two readings of the clock cost, one after the other: it is in every time that is measured, and taken out of short ones.
enum ClockCost {
    static let nanoseconds: Int64 = {
        var shortest = Int64.max
        for _ in 0..<200 {
            let began = cdma_monotonic_nanoseconds()
            for _ in 0..<100 { _ = cdma_monotonic_nanoseconds() }
            shortest = min(shortest, (cdma_monotonic_nanoseconds() - began) / 101)
        }
        return shortest
    }()
}
