// SPDX-License-Identifier: Apache-2.0

import DMA
import DMACore
import DMATestSupport
import Foundation
import Testing

@testable import DMABench

/// The result of a benchmark that was stopped.
@Suite("Benchmarks that are stopped", .serialized)
struct StopTests {
    // MARK: In a measurement

    /// One measurement of each kind of lane, each way to wait and each mode.
    static let points: [BenchPoint] = {
        var points: [BenchPoint] = []
        for wait in CompletionWait.allCases {
            points.append(BenchPoint(engine: "cpu", bytes: 4096, wait: wait))
            points.append(BenchPoint(engine: "cpu-threads", bytes: 65_536, threads: 2, wait: wait))
            points.append(BenchPoint(engine: "cpu", bytes: 1 << 20, depth: 4, mode: .demand, wait: wait))
            points.append(BenchPoint(engine: "cpu", bytes: 1 << 20, depth: 4, mode: .cycleStealing(0.01), wait: wait))
            for operation in [BenchOperation.fromPeripheral, .toPeripheral] {
                points.append(BenchPoint(engine: "io_uring", operation: operation, bytes: 65_536, depth: 8, wait: wait))
            }
        }
        points.append(BenchPoint(engine: "memcpy", bytes: 4096))
        for operation in [BenchOperation.fromPeripheral, .toPeripheral] {
            let file = BenchPoint(engine: "io_uring", operation: operation, bytes: 4096)
            if let call = file.besideSystemCall { points.append(call) }
        }
        return points
    }()

    /// Stops a measurement, or its warm-up, long before its end. How many seconds it took to end.
    private func stop(_ point: BenchPoint, warmup: Double, after delay: Double) async throws -> Double {
        var settings = BenchSettings()
        settings.seconds = 20
        settings.warmup = warmup
        settings.fileSize = 8 << 20
        let isRead = point.operation == .fromPeripheral
        let stop = StopRequest()
        // Without its engine, a point would be measured as memcpy.
        let system = DMASystem()
        let listing = system.engines.first { $0.offer.name == point.engine }
        #expect((listing == nil) == point.isBaseline, "\(point)")
        let turn = Turn(
            point: point, settings: settings, system: system, listing: listing,
            lastLevelCache: 1 << 20,
            file: point.operation.isPeripheral
                ? try BenchFiles(nil).made(settings, isRead: isRead) : nil, salt: 1, needsForeground: point.mode.isPaced)
        let stopper = Task.detached {
            try? await Task.sleep(nanoseconds: UInt64(delay * 1e9))
            let now = Deadline.now.nanoseconds
            stop.stop()
            return now
        }
        let outcome = await turn.run(stop)
        let over = Deadline.now.nanoseconds
        // Neither a short measurement nor a failure.
        #expect(outcome == nil, "\(point)")
        return Double(over - (await stopper.value)) / 1e9
    }

    @Test("a measurement ends within a second however long it is, and is none", arguments: points)
    func measurement(_ point: BenchPoint) async throws {
        var random = Seeded("stop \(point)")
        for warmup in point.mode.isPaced || point.wait == .await ? [0] : [0, 20.0] {
            let isTimely = try await Machine.isTimely(1) {
                try await stop(point, warmup: warmup, after: Double.random(in: 0...0.2, using: &random))
            }
            #expect(isTimely, "\(point), warm-up \(warmup)")
        }
    }

    @Test("a file is not made to its end for a run that is stopped")
    func file() throws {
        let stop = StopRequest()
        stop.stop()
        #expect(throws: FileRefusal.self) { try BenchFile(in: BenchFile.defaultDirectory, bytes: 1 << 20, stop) }
        #expect(throws: Never.self) { try BenchFile(in: BenchFile.defaultDirectory, bytes: 1 << 20, StopRequest()) }
    }

    // MARK: Between measurements

    /// Four points with three repeats each.
    private var plan: BenchPlan {
        var sweep = BenchCase()
        sweep.name = "test"
        sweep.engines = ["cpu"]
        sweep.sizes = [4096, 65_536]
        sweep.depths = [4]
        sweep.settings.repeats = 3
        sweep.settings.seconds = 0.005
        sweep.settings.warmup = 0
        return BenchPlan(cases: [sweep])
    }

    /// A run that is stopped after so many measurements.
    private func run(_ plan: BenchPlan, stoppedAfter number: Int) async throws -> BenchResult {
        var runner = BenchRunner(plan, on: DMASystem())
        let stop = StopRequest()
        runner.stop = stop
        if number == 0 { stop.stop() }
        return try await runner.run { if $0.done == number { stop.stop() } }
    }

    @Test("rows keep their repeats, points without one are left out, and the first warning says so", arguments: 0...11)
    func between(_ number: Int) async throws {
        let result = try await run(plan, stoppedAfter: number)
        #expect(result.stopped == EarlyStop(made: number, planned: 12))
        #expect(result.warnings.first == "stopped after \(number) of 12 measurements")
        #expect(result.rows.reduce(0) { $0 + $1.bytesPerSecond.count } == number)
        #expect(result.rows.count == min(number, 4) && result.rows.count + result.skipped.count == 4)
        #expect(result.skipped.allSatisfy { $0.reason == "stopped before it was measured" })
        for row in result.rows {
            #expect(!row.hasFailed && row.latency != nil && row.cpuSecondsPerGB.count == row.bytesPerSecond.count)
        }
        // It is read back, shown, and compared on either side.
        #expect(result.implausibility == nil)
        let read = try JSONDecoder().decode(BenchResult.self, from: JSONEncoder().encode(result))
        #expect(read == result)
        #expect(result.csv.split(separator: "\r\n").count == 1 + result.rows.count)
        let whole = try await run(plan, stoppedAfter: 1000)
        #expect(whole.stopped == nil && whole.skipped.isEmpty && !whole.warnings.contains { $0.hasPrefix("stopped") })
        let later = Comparison(result, since: whole)
        #expect(later.gone.count == result.skipped.count && later.cautions.contains { $0.hasPrefix("now: stopped after") })
        #expect(later.rows.allSatisfy { $0.verdict == .tooFewRepeats } && !later.hasRegressed)
        let earlier = Comparison(whole, since: result)
        #expect(earlier.gone.isEmpty && earlier.rows.count { $0.verdict == .new } == result.skipped.count)
    }

    @Test("a stop before files are made makes none, and is no failure of theirs")
    func noFile() async throws {
        var plan = plan
        plan.cases[0].engines = ["io_uring"]
        plan.cases[0].operations = [.fromPeripheral, .toPeripheral]
        plan.cases[0].settings.fileSize = 1 << 40
        let result = try await run(plan, stoppedAfter: 0)
        #expect(result.rows.isEmpty && result.skipped.count == 10)
    }

    @Test("what no run can have made is not read", arguments: [(-1, 4), (5, 4), (1, -1)])
    func implausible(_ numbers: (Int, Int)) async throws {
        var result = try await run(plan, stoppedAfter: 1)
        result.stopped = EarlyStop(made: numbers.0, planned: numbers.1)
        #expect(result.implausibility == "stopped")
    }
}

extension BenchFiles {
    /// A file that is to be there.
    fileprivate func made(_ settings: BenchSettings, isRead: Bool) throws -> BenchFile {
        var files = self
        return try files.file(settings, isRead: isRead).get()
    }
}
