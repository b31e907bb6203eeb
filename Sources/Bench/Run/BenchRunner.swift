// SPDX-License-Identifier: Apache-2.0

internal import CDMA
package import DMA
package import DMACore
internal import DMAEngineKit
internal import DMAUnits
internal import Glibc

/// Runs a plan on this machine's engines. Prints nothing.
///
/// All points take turns: each is measured once, then each a second time in the opposite order, and so on. What changes slowly,
/// such as the clock rate or another guest's load, then falls on all of them alike.
package struct BenchRunner: Sendable {
    private let system: DMASystem
    private let plan: BenchPlan
    /// Ends the run early, at any moment: also in a measurement, of which there is no repeat then, and while files are made. Rows keep the
    /// repeats that they have, points without one are left out with the reason, and ``BenchResult/stopped`` says how far the run was.
    package var stop: StopRequest?

    package init(_ plan: BenchPlan, on system: DMASystem) {
        self.plan = plan
        self.system = system
    }

    /// Something that has just been done.
    package struct Step: Sendable {
        package var point: BenchPoint
        /// Measurements done, of how many.
        package var done: Int
        package var all: Int
        /// Bytes in a second of this measurement.
        package var bytesPerSecond: Double
    }

    /// One point of one case while it is being measured.
    fileprivate struct PlannedPoint {
        let sweep: BenchCase
        let point: BenchPoint
        let listing: EngineListing?
        let beside: EngineListing?
        var file: BenchFile?
        var row: BenchRow
        var latencies: Latencies?
        var alone: Latencies?
    }

    /// Measures everything. A point that fails has its reason in its row; the others go on.
    ///
    /// - Parameter command: for the result.
    /// - Throws: `noSuchChannel` where the plan names an engine that the system does not have, or has none of its points.
    package func run(command: [String] = [], progress: ((Step) -> Void)? = nil) async throws(DMAError) -> BenchResult {
        let listings = system.engines
        var skipped: [SkippedPoint] = []
        var files = BenchFiles(stop)
        var entries = try entries(listings, &files, &skipped)
        guard !entries.isEmpty else { throw DMAError(.noSuchChannel) }
        let machine = MachineFacts()
        let before = DisturbanceCounters(nanoseconds: cdma_monotonic_nanoseconds())
        let all = entries.reduce(0) { $0 + $1.sweep.settings.repeats }
        let rounds = entries.map(\.sweep.settings.repeats).max() ?? 0
        var (done, made, waited, measured) = (0, 0, Int64(0), Int64(0))
        var (crowded, wasStopped) = (false, false)
        sweep: for round in 0..<rounds {
            for place in round % 2 == 0 ? Array(entries.indices) : entries.indices.reversed() {
                let settings = entries[place].sweep.settings
                guard round < settings.repeats else { continue }
                done += 1
                guard entries[place].row.failure == nil else { continue }
                // Asked for each time: others take memory, and files in it do.
                let room = MemoryRoom(settings, entries[place].point, points: entries.count, MemoryBudget.current)
                if let refusal = room.refusal {
                    entries[place].row.failure = refusal
                    continue
                }
                if let note = room.note { entries[place].note(note) }
                var bounded = settings
                bounded.memory = room.perChannel
                bounded.take(entries[place].point.nodes)
                let turn = Turn(
                    point: entries[place].point, settings: bounded, system: system, listing: entries[place].listing,
                    besideListing: entries[place].beside,
                    lastLevelCache: machine.lastLevelCache ?? 64 << 20, file: entries[place].file,
                    salt: UInt64(done) &* 0xd1b5_4a32_d192_ed03,
                    needsForeground: entries[place].sweep.modes.contains(where: \.isPaced))
                guard !stop.isStopped, let outcome = await turn.run(stop) else {
                    wasStopped = true
                    break sweep
                }
                made += 1
                entries[place].add(outcome)
                crowded = crowded || entries[place].point.threads > machine.processorsAllowed
                waited += outcome.runQueueWait?.waited ?? 0
                measured += outcome.runQueueWait?.measured ?? 0
                progress?(
                    Step(point: entries[place].point, done: done, all: all, bytesPerSecond: outcome.bytesPerSecond))
            }
        }
        let disturbance = DisturbanceCounters(nanoseconds: cdma_monotonic_nanoseconds()).since(
            before, runQueueWait: measured > 0 ? (waited, measured) : nil)
        var warnings = disturbance.warnings(ownLoad: crowded)
        if !machine.isOptimized { warnings.insert("this is a debug build: its speeds say nothing", at: 0) }
        let used = Set(entries.map(\.point.engine))
        for listing in listings where used.contains(listing.offer.name) {
            if let waiver = listing.waiver { warnings.append("\(listing.offer.name): \(waiver)") }
        }
        let stopped = wasStopped ? EarlyStop(made: made, planned: all) : nil
        if let stopped {
            warnings.insert("stopped after \(stopped.made) of \(stopped.planned) measurements", at: 0)
            skipped += entries.filter(\.isUntouched).map {
                SkippedPoint(point: $0.point, reason: "stopped before it was measured")
            }
            entries.removeAll(where: \.isUntouched)
        }
        return BenchResult(
            began: BenchRunner.timestamp(secondsAgo: disturbance.seconds), seconds: disturbance.seconds, command: command,
            machine: machine, plan: plan, rows: entries.map { $0.finished }, skipped: skipped, disturbance: disturbance,
            warnings: warnings, stopped: stopped)
    }

    private func entries(
        _ listings: [EngineListing], _ files: inout BenchFiles, _ skipped: inout [SkippedPoint]
    ) throws(DMAError) -> [PlannedPoint] {
        var entries: [PlannedPoint] = []
        let present = listings.filter { $0.offer.absence == nil }
        let names = present.filter { !$0.offer.capabilities.operations.isDisjoint(with: .ofBenchmarks) }.map(\.offer.name)
        var refusals: [String: String?] = [:]
        for sweep in plan.cases where !sweep.skip {
            for point in sweep.points(names, nodes: NodeMemory.nodes) {
                let listing = listings.first { $0.offer.name == point.engine }
                let beside = listings.first { $0.offer.name == point.beside }
                guard listing != nil || point.isBaseline, (beside == nil) == (point.beside == nil) else {
                    throw DMAError(.noSuchChannel)
                }
                if let reason = listing.flatMap({ unfit($0, for: point, in: sweep.settings) })
                    ?? beside.flatMap({ unfit($0, for: point, in: sweep.settings) })
                {
                    skipped.append(SkippedPoint(point: point, reason: reason))
                    continue
                }
                var entry = PlannedPoint(sweep, point, listing, beside)
                var settings = sweep.settings
                settings.take(point.nodes)
                entry.row.failure = NodeMemory.refusal(settings)
                if point.operation.isPeripheral {
                    let part = FileRegion.part(sweep.settings, threads: point.threads)
                    guard part >= point.bytes else {
                        let room =
                            "a thread's part of the file of \(ByteSize.exact(sweep.settings.fileSize)) is \(ByteSize.exact(part))"
                        skipped.append(SkippedPoint(point: point, reason: room))
                        continue
                    }
                    switch files.file(sweep.settings, isRead: point.operation == .fromPeripheral) {
                    case .success(let file): entry.file = file
                    // One that was not made for a stop is no failure.
                    case .failure(let refusal): entry.row.failure = stop.isStopped ? nil : refusal.text
                    }
                }
                if let listing, let file = entry.file {
                    let known = refusals[listing.offer.name] ?? refusesFiles(listing, file)
                    refusals[listing.offer.name] = known
                    if let known {
                        skipped.append(SkippedPoint(point: point, reason: known))
                        continue
                    }
                }
                entries.append(entry)
            }
        }
        return entries
    }

    /// Why an engine cannot do a point; nil where it can.
    private func unfit(_ listing: EngineListing, for point: BenchPoint, in settings: BenchSettings) -> String? {
        let capabilities = listing.offer.capabilities
        if let absence = listing.offer.absence { return "the engine is absent: \(absence.reason)" }
        guard capabilities.operations.contains(OperationSet(point.operation.kind)) else {
            return "the engine has no \(point.operation.rawValue)"
        }
        // Between quanta no interrupt comes: only a look at the engine, or a wait on it, starts the next one.
        if point.wait == .await, point.mode.isPaced, capabilities.hasInterrupts {
            return "a task asleep until an interrupt starts no quantum"
        }
        if let reason = point.rate.flatMap({ unfit(rate: $0, point, settings) }) { return reason }
        // Each thread has one, and so has what runs beside them.
        let channels = point.threads + (point.beside == listing.offer.name && point.engine == point.beside ? 1 : 0)
        let most = listing.offer.channels
        return channels > most ? "the engine has \(most) channel\(most == 1 ? "" : "s")" : nil
    }

    /// Why a point cannot be held to a rate; nil where it can.
    private func unfit(rate: Int, _ point: BenchPoint, _ settings: BenchSettings) -> String? {
        if point.mode.isPaced { return "a paced mode sets its own rate" }
        if point.wait == .await { return "a suspended task submits when a transfer ends, not at a rate: wait by poll or wait" }
        // The latency part takes a third of the time.
        guard let gap = point.gap, gap <= settings.seconds / 3 * 1e9 else {
            return
                "at \(ByteSize.exactRate(rate)) no transaction is due in a third of \(settings.seconds) s: a longer measurement, or a higher rate"
        }
        return nil
    }

    /// Why an engine that has peripherals takes no file as one; nil where it takes it.
    private func refusesFiles(_ listing: EngineListing, _ file: BenchFile) -> String? {
        do throws(DMAError) {
            var engine = try system.use(listing).open(channel: 0)
            try engine.detach(try engine.attach(PeripheralFile(file.descriptor, cache: .buffered)))
            return nil
        } catch {
            return "the engine takes no file: \(error)"
        }
    }

    /// The moment some seconds ago, as ISO 8601 in UTC.
    private static func timestamp(secondsAgo: Double) -> String {
        var seconds = time(nil) - Int(secondsAgo)
        // SAFETY: the C function fills `parts`, of which only the numbers are read; its pointer to a zone's name is not followed.
        var parts = unsafe tm()
        guard unsafe gmtime_r(&seconds, &parts) != nil else { return "" }
        func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return
            unsafe "\(Int(parts.tm_year) + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))Z"
    }
}

extension BenchRunner.PlannedPoint {
    fileprivate init(_ sweep: BenchCase, _ point: BenchPoint, _ listing: EngineListing?, _ beside: EngineListing?) {
        self.sweep = sweep
        self.point = point
        self.listing = listing
        self.beside = beside
        row = BenchRow(
            name: sweep.name, point: point,
            implementation: listing?.offer.capabilities.implementation ?? (point.isMemcpy ? "the C library" : "the kernel"),
            inFlight: 0, bytesPerSecond: [], cpuSecondsPerGB: [], submitNanoseconds: [], issueNanoseconds: [], latency: nil,
            share: [], foreground: [], disturbedRepeats: 0, bytesVerified: 0, bytesWrong: 0, notes: [], failure: nil)
        if point.wait != .poll, let listing, !listing.offer.capabilities.hasInterrupts {
            row.notes.append("the engine has no interrupts: waiting polls")
        }
        if let fallback = listing?.offer.fallback { row.notes.append("by \(row.implementation). Cure: \(fallback.cure)") }
    }

    /// Whether nothing is known of the point: neither figures nor why there are none.
    fileprivate var isUntouched: Bool { row.bytesPerSecond.isEmpty && row.failure == nil }

    fileprivate mutating func add(_ outcome: Turn.Outcome) {
        if let failure = outcome.failure {
            row.failure = "\(failure)"
            return
        }
        if let refusal = outcome.refusal {
            row.failure = refusal
            return
        }
        row.bytesPerSecond.append(outcome.bytesPerSecond)
        if let series = outcome.series, let interval = sweep.settings.interval {
            let before = row.series?.bytesPerSecond ?? []
            row.series = SpeedSeries(interval: interval, bytesPerSecond: before + [series])
        }
        row.cpuSecondsPerGB.append(outcome.cpuSecondsPerGB)
        if let cost = outcome.submitNanoseconds { row.submitNanoseconds.append(cost) }
        if let cost = outcome.issueNanoseconds { row.issueNanoseconds.append(cost) }
        if let share = outcome.share { row.share.append(share) }
        if let effect = outcome.foreground { row.foreground.append(effect) }
        row.inFlight = outcome.inFlight
        if let implementation = outcome.implementation { row.implementation = implementation }
        row.bytesVerified += outcome.bytesVerified
        row.bytesWrong += outcome.bytesWrong
        if let wait = outcome.runQueueWait, Double(wait.waited) > 0.05 * Double(wait.measured) { row.disturbedRepeats += 1 }
        for text in outcome.notes { note(text) }
        if latencies?.add(outcome.latencies) == nil { latencies = outcome.latencies }
        if let one = outcome.alone {
            if alone?.add(one) == nil { alone = one }
        }
    }

    fileprivate mutating func note(_ text: String) {
        if !row.notes.contains(text) { row.notes.append(text) }
    }

    fileprivate var finished: BenchRow {
        var row = row
        row.latency = latencies?.summary
        row.latencyAlone = alone?.summary
        if let rate = point.rate, !row.bytesPerSecond.isEmpty, row.speed < 0.95 * Double(rate) {
            row.notes.append(
                "\(ByteSize.text(rate: row.speed)) of the \(ByteSize.exactRate(rate)) that the rate allows")
        }
        return row
    }
}

extension OperationSet {
    /// What a benchmark can measure.
    static var ofBenchmarks: OperationSet { BenchOperation.allCases.reduce([]) { $0.union(OperationSet($1.kind)) } }
}
