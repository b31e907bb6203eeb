// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

/// What a task that works on the same processor feels of a transfer: the times of its pieces of work, alone and beside it.
/// Nanoseconds.
package struct ForegroundEffect: Hashable, Sendable, Codable {
    package var aloneP50: Double
    package var aloneP99: Double
    package var besideP50: Double
    package var besideP99: Double
    /// Pieces done in a second, beside as a share of alone: 1 where the transfer costs the task nothing.
    package var rate: Double

    package init(aloneP50: Double, aloneP99: Double, besideP50: Double, besideP99: Double, rate: Double) {
        self.aloneP50 = aloneP50
        self.aloneP99 = aloneP99
        self.besideP50 = besideP50
        self.besideP99 = besideP99
        self.rate = rate
    }
}

/// A task that computes in pieces of about 50 µs, back to back.
struct Foreground: Sendable {
    /// Bytes that it asks for after each piece, in demand mode.
    static let request: UInt64 = 256 << 10

    let stage: Stage
    let processor: Int
    let aloneNanoseconds: Int64
    let demand: DemandLine?

    /// What a piece is meant to take, and what it may take before the task is none to measure by. Nanoseconds.
    static let piece = 50_000.0
    static let rightPieces = piece / 2...piece * 10

    struct Tally: Sendable {
        var effect: ForegroundEffect?
        /// Why the task is none to measure by; nil where it is one.
        var refusal: String?
        /// Processor time while the transfer ran.
        var processorNanoseconds: Int64 = 0
    }

    /// On a thread of its own; the stage counts it as one lane.
    func run() -> Tally {
        var tally = Tally()
        _ = Processors.pin(processor)
        // The transfers are ready and asleep by then.
        stage.waitForLanes(stage.lanes - 1)
        let alone = pieces(until: Deadline.after(nanoseconds: aloneNanoseconds).nanoseconds, asks: false)
        stage.arrive(for: .throughput)
        let worked = cdma_thread_nanoseconds()
        let beside = pieces(until: stage.end, asks: true)
        tally.processorNanoseconds = cdma_thread_nanoseconds() - worked
        // What is suspended for want of a request is to finish what it has, and see that its time is over.
        demand?.request(1 << 40)
        stage.arrive(for: .latency)
        demand?.withdraw()
        _ = pieces(until: stage.end, asks: true)
        demand?.request(1 << 40)
        let rate = (Double(beside.count) / beside.reduce(0, +)) / (Double(alone.count) / alone.reduce(0, +))
        tally.effect = ForegroundEffect(
            aloneP50: Statistics.quantile(alone, 0.5), aloneP99: Statistics.quantile(alone, 0.99),
            besideP50: Statistics.quantile(beside, 0.5), besideP99: Statistics.quantile(beside, 0.99), rate: rate)
        if !stage.isCalledOff { tally.refusal = Foreground.refusal(Statistics.quantile(alone, 0.5)) }
        return tally
    }

    /// Why a task whose pieces take `median` nanoseconds alone is none to measure by; nil where it is one.
    static func refusal(_ median: Double) -> String? {
        guard !rightPieces.contains(median) else { return nil }
        let tenths = median.isFinite ? Int(min(max(median / 100, 0), 1e12).rounded()) : 0
        return
            "the foreground task's pieces take \(tenths / 10).\(tenths % 10) us alone, and are meant to take 50 us (25 to 500 us): "
            + "what it feels of the transfer says nothing. Cure: repeat it on a processor that others leave alone"
    }

    // Not inlined, so that `Benchmarks/loops` finds the call in the loop.
    @inline(never)
    private func pieces(until end: Int64, asks: Bool) -> [Double] {
        var times: [Double] = []
        times.reserveCapacity(16_384)
        var began = cdma_monotonic_nanoseconds()
        var value = UInt64(bitPattern: began)
        // One in any case: a machine that was held up for all of the time has a figure, which says so.
        repeat {
            value = Foreground.compute(Foreground.roundsInPiece, from: value)
            if asks { demand?.request(Foreground.request) }
            let over = cdma_monotonic_nanoseconds()
            times.append(Double(over - began))
            began = over
        } while began < end && !stage.isCalledOff
        cdma_keep(value)
        return times
    }

    private static let roundsInPiece: Int = {
        let rounds = 50_000
        var value = compute(rounds, from: UInt64(bitPattern: cdma_monotonic_nanoseconds()))
        // The shortest of some: one in which no other thread ran.
        var shortest = Int64.max
        for _ in 0..<8 {
            let began = cdma_monotonic_nanoseconds()
            value = compute(rounds, from: value)
            shortest = min(shortest, cdma_monotonic_nanoseconds() - began)
        }
        cdma_keep(value)
        return max(Int(piece / (Double(max(shortest, 1)) / Double(rounds))), 1)
    }()

    /// Each round depends on the result of the round before, and each call on that of the call before: of calls with the same arguments the optimizer
    /// would make one, before the loop that measures them. The caller must use the last result, because a call whose result is unused is removed.
    /// `Benchmarks/loops` checks that the release build contains both loops.
    @inline(never)
    private static func compute(_ rounds: Int, from start: UInt64) -> UInt64 {
        var value = start
        for round in 0..<rounds { value = (value ^ UInt64(truncatingIfNeeded: round)) &* 0x9e37_79b9_7f4a_7c15 }
        return value
    }
}
