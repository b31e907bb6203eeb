// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMA
internal import DMACore
internal import DMAEngineKit
internal import DMAThreads
internal import Glibc

/// One measurement of one point: all lanes together.
struct Turn {
    let point: BenchPoint
    let settings: BenchSettings
    let system: DMASystem
    let listing: EngineListing?
    /// The engine of which a channel runs the same transfers meanwhile, unmeasured.
    var besideListing: EngineListing?
    let lastLevelCache: Int
    /// What file transfers read or write.
    let file: BenchFile?
    /// Distinguishes what this measurement writes from what others wrote.
    let salt: UInt64

    struct Outcome: Sendable {
        var bytesPerSecond = 0.0
        var cpuSecondsPerGB = 0.0
        var submitNanoseconds: Double?
        var issueNanoseconds: Double?
        var latencies = Latencies()
        var alone: Latencies?
        var share: Double?
        var foreground: ForegroundEffect?
        var runQueueWait: (waited: Int64, measured: Int64)?
        var bytesVerified: UInt64 = 0
        var bytesWrong: UInt64 = 0
        var inFlight = 0
        var implementation: String?
        var notes: [String] = []
        var failure: DMAError?
        /// Why there are no figures, where it was no engine that failed.
        var refusal: String?
        /// Bytes a second by interval; nil where no time series is kept.
        var series: [Double]?
    }

    private var hasForeground: Bool {
        // In demand mode it is the task that asks.
        listing != nil && (settings.foreground && (point.mode.isPaced || needsForeground) || point.mode == .demand)
    }
    /// A burst in a case with paced modes is what they are compared with.
    let needsForeground: Bool

    /// Measures; nil where `stop` came before the measurement was whole. A shorter one is none: repeats of unequal length are not to be
    /// compared, and one that ends in its warm-up, or before its latency part, has nothing to say.
    func run(_ stop: StopRequest?) async -> Outcome? {
        let demand = point.mode == .demand ? DemandLine() : nil
        // Beside a foreground task, and in modes that wait for their turn, one in flight waits for something else.
        let measuresAlone = listing != nil && !hasForeground && !point.mode.isPaced && point.depth > 1
        let others = (hasForeground ? 1 : 0) + (besideListing == nil ? 0 : 1)
        let stage = Stage(lanes: point.threads + others, measuresAlone: measuresAlone)
        // The foreground task is to share a processor with the transfer: the last one, where interrupts are rarest.
        let shared = hasForeground ? settings.processors.first ?? Processors.allowed.last : nil
        let hands = Hands()
        let throughput = Int64(settings.seconds * 1e9)
        var processorTime: Int64 = 0
        var began: Int64 = 0
        await withTaskGroup(of: LaneTally?.self) { group in
            var tasks = 0
            if let stop {
                // It sleeps until then: a thread that polled would be measured too.
                group.addTask {
                    if await stop.wait() { stage.callOff() }
                    return nil
                }
            }
            for number in 0..<point.threads {
                let processor =
                    shared ?? (settings.processors.isEmpty ? nil : settings.processors[number % settings.processors.count])
                let region = file.map { FileRegion($0, point, settings, number: number, salt: salt) }
                guard let listing else {
                    if let region {
                        let lane = FileCallLane(
                            point: point, settings: settings, stage: stage, processor: processor, region: region)
                        hands.start(stage) { hands.add(lane.run()) }
                        continue
                    }
                    let lane = MemcpyLane(
                        point: point, settings: settings, stage: stage, lastLevelCache: lastLevelCache, processor: processor)
                    hands.start(stage) { hands.add(lane.run()) }
                    continue
                }
                let lane = Lane(
                    point: point, settings: settings, system: system, listing: listing, number: number,
                    stage: stage, lastLevelCache: lastLevelCache, demand: demand, processor: processor,
                    region: region)
                if point.wait == .await {
                    tasks += 1
                    group.addTask { await lane.runAwaiting() }
                } else {
                    hands.start(stage) { hands.add(lane.run()) }
                }
            }
            if let besideListing { start(besideListing, stage, hands) }
            if hasForeground {
                let task = Foreground(
                    stage: stage, processor: shared ?? 0, aloneNanoseconds: throughput / 2, demand: demand)
                hands.start(stage) { hands.set(task.run()) }
            }
            if measuresAlone {
                await stage.gather(for: .alone)
                stage.release(until: cdma_monotonic_nanoseconds() + throughput / 6)
            }
            await stage.gather(for: .throughput)
            processorTime = -cdma_process_nanoseconds()
            began = cdma_monotonic_nanoseconds()
            stage.release(until: began + throughput)
            await stage.gather(for: .latency)
            processorTime += cdma_process_nanoseconds()
            stage.release(until: cdma_monotonic_nanoseconds() + throughput / 3)
            while tasks > 0, let next = await group.next() {
                guard let tally = next else {
                    // Called off: tasks that wait for a transfer do not look.
                    group.cancelAll()
                    continue
                }
                hands.add(tally)
                tasks -= 1
            }
            await hands.end()
            group.cancelAll()
        }
        if stop.isStopped, stage.isCalledOff { return nil }
        let task = hands.foreground
        let beside = hands.beside
        var result = outcome(
            hands.tallies, task, began: began,
            processorTime: processorTime - (task?.processorNanoseconds ?? 0) - (beside?.processorNanoseconds ?? 0))
        result.failure = result.failure ?? beside?.failure
        return result
    }

    /// Runs the same transfers on a channel of `other` that no lane of the measurement has.
    private func start(_ other: EngineListing, _ stage: Stage, _ hands: Hands) {
        var point = point
        point.engine = other.offer.name
        let lane = Lane(
            point: point, settings: settings, system: system, listing: other,
            number: other.offer.name == listing?.offer.name ? point.threads : 0, stage: stage, lastLevelCache: lastLevelCache,
            demand: nil, processor: nil, region: nil)
        hands.start(stage) {
            let tally = lane.run()
            hands.addBeside(tally)
        }
    }

    /// What all lanes brought back, together.
    func outcome(
        _ tallies: [LaneTally], _ task: Foreground.Tally?, began: Int64, processorTime: Int64
    ) -> Outcome {
        var outcome = Outcome()
        outcome.failure = tallies.compactMap(\.failure).first
        let operations = tallies.reduce(0) { $0 + $1.operations }
        let elapsed = max((tallies.map(\.end).max() ?? 0) - began, 1)
        let bytes = Double(operations) * Double(point.bytes)
        outcome.bytesPerSecond = bytes / (Double(elapsed) / 1e9)
        outcome.cpuSecondsPerGB = bytes > 0 ? Double(processorTime) / bytes : 0
        for tally in tallies {
            outcome.latencies.add(tally.latencies)
            if let alone = tally.alone {
                if outcome.alone?.add(alone) == nil { outcome.alone = alone }
            }
            outcome.bytesVerified += tally.bytesVerified
            outcome.bytesWrong += tally.bytesWrong
            for note in tally.notes where !outcome.notes.contains(note) { outcome.notes.append(note) }
        }
        let logs = tallies.compactMap(\.log)
        if !logs.isEmpty {
            outcome.series = SpeedLog.speeds(logs, bytes: point.bytes, end: tallies.map(\.end).max() ?? began)
        }
        outcome.inFlight = tallies.map(\.inFlight).min() ?? 0
        outcome.implementation = tallies.compactMap(\.implementation).first
        let submits = tallies.reduce(0) { $0 + $1.submits }
        if submits > 0 {
            outcome.submitNanoseconds = max(Double(tallies.reduce(0) { $0 + $1.submitNanoseconds }) / Double(submits), 0)
        }
        let issues = tallies.reduce(0) { $0 + $1.issues }
        if issues > 0 {
            outcome.issueNanoseconds = max(Double(tallies.reduce(0) { $0 + $1.issueNanoseconds }) / Double(issues), 0)
        }
        if point.mode.isPaced || needsForeground {
            let worked = tallies.reduce(0) { $0 + $1.processorNanoseconds }
            let duty = tallies.compactMap(\.duty).reduce((busy: Int64(0), elapsed: Int64(0))) {
                ($0.busy + $1.busy, $0.elapsed + $1.elapsed)
            }
            // A paced engine counts for itself, and leaves out the time in which its thread had to wait for the processor.
            outcome.share =
                duty.elapsed > 0
                ? Double(duty.busy) / Double(duty.elapsed) : Double(worked) / Double(elapsed) / Double(point.threads)
        }
        outcome.foreground = task?.effect
        outcome.refusal = task?.refusal
        if !hasForeground {
            let waits = tallies.compactMap(\.runQueueWait)
            if !waits.isEmpty { outcome.runQueueWait = (waits.reduce(0, +), elapsed * Int64(waits.count)) }
        }
        return outcome
    }
}

/// The threads of one measurement, and what they brought back.
private final class Hands: Sendable {
    private struct State {
        var tallies: [LaneTally] = []
        var beside: LaneTally?
        var foreground: Foreground.Tally?
        var started: UInt64 = 0
    }

    private let state = Locked(State())
    private let over = InterruptLine()

    /// Runs `body` on a thread of its own.
    func start(_ stage: Stage, _ body: @escaping @Sendable () -> Void) {
        do throws(DMAError) {
            // It reports its end; the thread itself is not joined.
            _ = try NativeThread { [self] in
                body()
                over.raise()
            }
            state.withLock { $0.started += 1 }
        } catch {
            var tally = LaneTally()
            tally.failure = error
            add(tally)
            stage.callOff()
        }
    }

    func add(_ tally: LaneTally) { state.withLock { $0.tallies.append(tally) } }
    func addBeside(_ tally: LaneTally) { state.withLock { $0.beside = tally } }
    func set(_ tally: Foreground.Tally) { state.withLock { $0.foreground = tally } }
    var tallies: [LaneTally] { state.withLock { $0.tallies } }
    var beside: LaneTally? { state.withLock { $0.beside } }
    var foreground: Foreground.Tally? { state.withLock { $0.foreground } }

    /// Waits for all that were started.
    func end() async {
        let started = state.withLock { $0.started }
        while over.count < started { await over.wait(after: started - 1) }
    }
}
