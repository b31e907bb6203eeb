// SPDX-License-Identifier: Apache-2.0

import DMA
import DMABench
import DMACore
import DMAEngineKit
import Testing

/// An engine that answers at once and moves nothing, or fails: what a benchmark must not call fast.
struct IdleEngine: ~Copyable, Engine {
    var addressing: EngineAddressing { .cpu }
    let fails: Bool
    private var waiting: [UInt32] = []

    init(fails: Bool) { self.fails = fails }

    var capabilities: Capabilities {
        Capabilities(name: "idle", implementation: "none", operations: [.copy, .fill], depth: 64)
    }
    @unsafe mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        waiting.append(tag)
        return .accepted
    }
    mutating func issuePending() {}
    mutating func next() -> Completion? {
        guard !waiting.isEmpty else { return nil }
        return Completion(tag: waiting.removeFirst(), status: fails ? .failed : .complete)
    }
    mutating func terminate() { waiting.removeAll() }
    mutating func quiesce(by deadline: Deadline) -> Bool { true }
}

struct IdleProvider: EngineProvider {
    let fails: Bool
    func probe() -> [EngineOffer] {
        let can = IdleEngine(fails: fails).capabilities
        return [
            EngineOffer(name: "idle", channels: 2, capabilities: can),
            EngineOffer(
                name: "gone", channels: 1, capabilities: can, absence: EngineAbsence(reason: "no device", cure: "add one")),
        ]
    }
    func open(_ offer: EngineOffer) throws(DMAError) -> EngineDevice {
        EngineDevice(offer) { _ throws(DMAError) in AnyEngine(IdleEngine(fails: fails)) }
    }
}

/// An engine with one channel.
struct LoneProvider: EngineProvider {
    func probe() -> [EngineOffer] {
        [EngineOffer(name: "idle", channels: 1, capabilities: IdleEngine(fails: false).capabilities)]
    }
    func open(_ offer: EngineOffer) throws(DMAError) -> EngineDevice {
        EngineDevice(offer) { _ throws(DMAError) in AnyEngine(IdleEngine(fails: false)) }
    }
}

@Suite("Running benchmarks", .serialized)
struct RunnerTests {
    /// A case of short measurements.
    func sweep(_ change: (inout BenchCase) -> Void) -> BenchPlan {
        var sweep = BenchCase()
        sweep.name = "test"
        sweep.sizes = [4096]
        sweep.depths = [4]
        sweep.settings.repeats = 2
        sweep.settings.seconds = 0.005
        sweep.settings.warmup = 0
        change(&sweep)
        return BenchPlan(cases: [sweep])
    }

    @Test("each operation of the CPU's engines is measured", arguments: BenchOperation.allCases.filter { !$0.isPeripheral })
    func operations(_ operation: BenchOperation) async throws {
        let plan = sweep { $0.operations = [operation] }
        let result = try await BenchRunner(plan, on: DMASystem()).run(command: ["dmactl", "bench"])
        #expect(Set(result.rows.map(\.point.engine)).isSuperset(of: ["memcpy", "cpu", "cpu-threads"]))
        for row in result.rows where ["memcpy", "cpu", "cpu-threads"].contains(row.point.engine) {
            #expect(!row.hasFailed, "\(row.point) \(row.failure ?? "")")
            #expect(row.bytesPerSecond.count == 2)
            #expect(row.bytesPerSecond.allSatisfy { $0 > 0 })
            #expect(row.cpuSecondsPerGB.allSatisfy { $0 >= 0 })
            let latency = try #require(row.latency)
            #expect(latency.minimum <= latency.p50 && latency.p50 <= latency.p99 && latency.p99 <= latency.maximum)
            #expect(row.point.isMemcpy == row.submitNanoseconds.isEmpty)
            // What was in flight: of memcpy one. Beside the loaded latency stands that of one alone.
            #expect(row.inFlight == (row.point.isMemcpy ? 1 : 4))
            let alone = try #require(row.unloaded)
            #expect(alone.count > 0 && (row.latencyAlone == nil) == row.point.isMemcpy)
            #expect(row.point.isMemcpy == (alone == latency))
            // What is copied or filled is looked at.
            if row.point.isMemcpy || [.copy, .fill, .copyCRC32C].contains(operation) { #expect(row.bytesVerified > 0) }
        }
        #expect(result.version == 1)
        #expect(result.command == ["dmactl", "bench"])
        #expect(result.disturbance.seconds > 0)
    }

    @Test("each way to wait, each mode, cold memory, two threads")
    func ways() async throws {
        let waits = sweep {
            $0.waits = CompletionWait.allCases
            $0.threads = [1, 2]
            $0.settings.cache = .cold
            $0.settings.memory = 1 << 20
        }
        let first = try await BenchRunner(waits, on: DMASystem()).run()
        #expect(first.rows.count(where: { $0.point.engine == "cpu-threads" }) == 6)
        for row in first.rows { #expect(!row.hasFailed, "\(row.point) \(row.failure ?? "")") }
        let modes = sweep {
            $0.engines = ["cpu", "cpu-threads"]
            $0.sizes = [1 << 20]
            $0.modes = [.burst, .cycleStealing(0.25), .demand]
            $0.waits = [.wait, .await]
            $0.settings.seconds = 0.05
        }
        let second = try await BenchRunner(modes, on: DMASystem()).run()
        // Two ways to wait on each engine, but for the paced modes of the one with interrupts.
        #expect(second.rows.count { !$0.point.isMemcpy } == 10)
        #expect(second.skipped.count == 2)
        for row in second.rows where !row.point.isMemcpy {
            #expect(!row.hasFailed, "\(row.point) \(row.failure ?? "")")
            // Beside each stands a foreground task.
            #expect(row.foreground.count == 2)
            // Its pieces are what they are meant to be: a task whose work was left out would have none.
            #expect(row.foreground.allSatisfy { (25_000...500_000).contains($0.aloneP50) && $0.aloneP99 >= $0.aloneP50 })
            #expect(row.foreground.allSatisfy { $0.besideP50 >= 25_000 })
            #expect(row.share.count == 2)
        }
    }

    @Test("a rate is kept, latencies count from when a transaction was due, and what is slower says so")
    func rates() async throws {
        let plan = sweep {
            $0.engines = ["cpu", "cpu-threads"]
            $0.rates = [20_000_000, 1 << 40]
            $0.waits = [.poll, .wait]
            $0.settings.seconds = 0.05
        }
        let result = try await BenchRunner(plan, on: DMASystem()).run()
        #expect(result.rows.count == 10 && result.skipped.isEmpty)
        for row in result.rows {
            #expect(!row.hasFailed && row.bytesVerified > 0, "\(row.point) \(row.failure ?? "")")
            let rate = try #require(row.point.rate)
            // 244 transactions in 50 ms; at the end up to those in flight are missing.
            #expect(row.bytesPerSecond.allSatisfy { $0 <= Double(rate) * 1.05 }, "\(row.point) \(row.bytesPerSecond)")
            let isSlower = row.notes.contains { $0.contains("that the rate allows") }
            #expect(isSlower == (row.speed < 0.95 * Double(rate)), "\(row.point) \(row.notes)")
            if rate == 1 << 40 {
                // No engine of this machine has a terabyte a second: what is due waits longer and longer.
                #expect(isSlower)
                #expect(try #require(row.latency).maximum > 1_000_000, "\(row.point)")
            }
        }
        let low = sweep {
            $0.engines = ["cpu"]
            $0.rates = [1000]
            $0.waits = [.await]
            $0.modes = [.burst, .cycleStealing(0.5)]
        }
        let none = try await BenchRunner(low, on: DMASystem()).run()
        let reasons = none.skipped.map(\.reason)
        #expect(reasons.count == 2 && reasons.contains("a paced mode sets its own rate"), "\(reasons)")
        let slow = try await BenchRunner(sweep { ($0.engines, $0.rates) = (["cpu"], [1000]) }, on: DMASystem()).run()
        #expect(slow.skipped.map(\.reason).contains { $0.hasPrefix("at 1 kB/s no transaction is due") }, "\(slow.skipped)")
    }

    @Test("a time series adds up to the speed of its repeat")
    func series() async throws {
        let plan = sweep {
            $0.operations = [.copy]
            $0.waits = [.poll, .await]
            $0.threads = [1, 2]
            ($0.settings.seconds, $0.settings.interval) = (0.04, 0.01)
        }
        let result = try await BenchRunner(plan, on: DMASystem()).run()
        for row in result.rows {
            let series = try #require(row.series)
            #expect(series.interval == 0.01 && series.bytesPerSecond.count == 2)
            for (speeds, whole) in zip(series.bytesPerSecond, row.bytesPerSecond) {
                #expect(speeds.count >= 4 && speeds.contains { $0 > 0 })
                // The last interval may be half as long again, or half as long.
                let moved = speeds.reduce(0, +) * series.interval
                let expected = whole * Double(speeds.count) * series.interval
                #expect(abs(moved - expected) <= expected * 0.6, "\(row.point): \(speeds) and \(whole)")
            }
        }
        #expect(result.seriesCSV.split(separator: "\r\n").count > 2 * 4 * result.rows.count)
        let unlogged = try await BenchRunner(sweep { $0.engines = ["cpu"] }, on: DMASystem()).run()
        #expect(unlogged.rows.allSatisfy { $0.series == nil })
    }

    @Test("a matrix of channels has each engine alone and beside each, one of nodes each pair of nodes")
    func matrices() async throws {
        let channels = sweep {
            $0.engines = ["cpu", "cpu-threads"]
            $0.matrix = .channels
        }
        let pairs = try await BenchRunner(channels, on: DMASystem()).run()
        let found = pairs.rows.map { "\($0.point.engine) \($0.point.beside ?? "alone")" }
        #expect(
            found == [
                "cpu alone", "cpu cpu", "cpu cpu-threads", "cpu-threads alone", "cpu-threads cpu", "cpu-threads cpu-threads",
            ])
        for row in pairs.rows { #expect(!row.hasFailed && row.speed > 0, "\(row.point) \(row.failure ?? "")") }
        let lone = DMASystem(providers: [LoneProvider()])
        let refused = try await BenchRunner(sweep { ($0.engines, $0.matrix) = (["idle"], .channels) }, on: lone).run()
        #expect(refused.skipped.map(\.reason) == ["the engine has 1 channel"])
        var nodes = BenchCase()
        (nodes.engines, nodes.sizes, nodes.matrix) = (["cpu"], [4096], .nodes)
        let points = nodes.points([], nodes: [0, 2])
        #expect(points.count(where: { $0.engine == "cpu" }) == 4 && points.count == 8)
        #expect(
            points.compactMap(\.nodes).filter { $0 == NodePair(source: 2, destination: 0) }.count == 2,
            "memcpy stands beside each pair")
    }

    @Test("an engine that moves nothing is found out")
    func movesNothing() async throws {
        let system = DMASystem(providers: [IdleProvider(fails: false)])
        let result = try await BenchRunner(sweep { $0.operations = [.copy, .fill] }, on: system).run()
        for row in result.rows where row.point.engine == "idle" {
            #expect(row.bytesWrong > 0)
            #expect(row.hasFailed)
        }
        #expect(result.rows.count(where: { $0.point.engine == "idle" }) == 2)
    }

    @Test("an engine that fails has its reason in its row, and the others go on")
    func fails() async throws {
        let system = DMASystem(providers: [IdleProvider(fails: true), CPUProvider()])
        let plan = sweep {
            $0.waits = [.poll, .await]
            $0.threads = [2]
        }
        let result = try await BenchRunner(plan, on: system).run()
        for row in result.rows {
            if row.point.engine == "idle" {
                #expect(row.failure?.contains("engineFailed") == true)
                #expect(row.bytesPerSecond.isEmpty)
            } else {
                #expect(!row.hasFailed)
            }
        }
    }

    @Test("what the machine cannot do is left out, with the reason")
    func leftOut() async throws {
        let system = DMASystem(providers: [IdleProvider(fails: false)])
        let plan = sweep {
            $0.engines = ["idle", "gone"]
            $0.operations = [.copy, .xor]
            $0.threads = [1, 3]
        }
        let result = try await BenchRunner(plan, on: system).run()
        let reasons = Set(result.skipped.map(\.reason))
        #expect(reasons == ["the engine is absent: no device", "the engine has no xor", "the engine has 2 channels"])
        #expect(result.rows.count(where: { $0.point.engine == "idle" }) == 1)
        await #expect(throws: DMAError(.noSuchChannel)) {
            try await BenchRunner(sweep { $0.engines = ["nobody"] }, on: system).run()
        }
    }

    @Test("memory bounds what is in flight, and the row says so")
    func memory() async throws {
        let plan = sweep {
            $0.engines = ["cpu"]
            $0.depths = [1, 1000]
            $0.settings.memory = 32_768
        }
        let result = try await BenchRunner(plan, on: DMASystem()).run()
        let row = try #require(result.rows.first { $0.point.engine == "cpu" && $0.point.depth == 1000 })
        #expect(row.inFlight == 4)
        #expect(row.notes.contains("4 in flight: 32 KiB of memory"))
        #expect(row.notes.contains("64 in flight: the engine takes no more"))
    }

    @Test("segments that the bytes do not divide into are an error of their row")
    func segments() async throws {
        let plan = sweep {
            $0.engines = ["cpu"]
            $0.operations = [.scatterGather]
            $0.settings.sourceSegments = 3
        }
        let result = try await BenchRunner(plan, on: DMASystem()).run()
        #expect(result.rows.first { $0.point.engine == "cpu" }?.failure?.contains("lengthMismatch") == true)
    }
}
