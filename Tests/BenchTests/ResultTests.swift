// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import DMABench

@Suite("Results")
struct ResultTests {
    /// A result without a machine behind it.
    static func result(_ speeds: [String: [Double]], repeats: Int = 5) -> BenchResult {
        var sweep = BenchCase()
        sweep.name = "test"
        let rows = speeds.sorted { $0.key < $1.key }.map { engine, speeds in
            BenchRow(
                name: "test", point: BenchPoint(engine: engine, bytes: 4096), implementation: "test", inFlight: 32,
                bytesPerSecond: speeds, cpuSecondsPerGB: speeds.map { _ in 0.1 }, submitNanoseconds: [20],
                issueNanoseconds: [5],
                latency: nil, share: [], foreground: [], disturbedRepeats: 0, bytesVerified: 1, bytesWrong: 0, notes: [],
                failure: nil)
        }
        return BenchResult(
            began: "2026-01-01T00:00:00Z", seconds: 1, command: ["dmactl"], machine: MachineFacts(),
            plan: BenchPlan(cases: [sweep]), rows: rows, skipped: [], disturbance: Disturbance(seconds: 1), warnings: [])
    }

    @Test("a difference counts where it is more than chance, and more than a trifle")
    func verdicts() {
        let before = Self.result([
            "faster": [10, 11, 12, 13, 14], "slower": [20, 21, 22, 23, 24], "noise": [10, 20, 30, 40, 50],
            "trifle": [100, 100.1, 100.2, 100.3, 100.4], "few": [10, 11, 12], "gone": [1, 2, 3, 4, 5],
        ])
        let after = Self.result([
            "faster": [20, 21, 22, 23, 24], "slower": [10, 11, 12, 13, 14], "noise": [15, 25, 35, 45, 12],
            "trifle": [100.5, 100.6, 100.7, 100.8, 100.9], "few": [20, 21, 22], "new": [1, 2, 3, 4, 5],
        ])
        let comparison = Comparison(after, since: before)
        let verdicts = Dictionary(uniqueKeysWithValues: comparison.rows.map { ($0.point.engine, $0.verdict) })
        #expect(verdicts["faster"] == .faster)
        #expect(verdicts["slower"] == .slower)
        #expect(verdicts["noise"] == .unclear)
        #expect(verdicts["trifle"] == .same)
        #expect(verdicts["few"] == .tooFewRepeats)
        #expect(verdicts["new"] == .new)
        #expect(comparison.gone.map(\.engine) == ["gone"])
        #expect(comparison.hasRegressed)
        #expect(comparison.rows.first { $0.point.engine == "faster" }?.probability.map { $0 < 0.01 } == true)
        #expect(!Comparison(before, since: before).hasRegressed)
    }

    @Test("JSON gives the same result back")
    func roundTrip() throws {
        var result = Self.result(["a": [1, 2], "b": []])
        result.rows[0].point.mode = .cycleStealing(0.1)
        let data = try JSONEncoder().encode(result)
        #expect(try JSONDecoder().decode(BenchResult.self, from: data) == result)
    }

    @Test("CSV has one line a row, and quotes what it must")
    func csv() {
        var result = Self.result(["a": [1e9, 3e9], "=cmd|' /C calc'!A0": []])
        result.rows[1].notes = ["a \"quoted\" note", "two\nlines"]
        let lines = result.csv.components(separatedBy: "\r\n")
        #expect(lines.count == 4)
        #expect(lines[0].hasPrefix("case,engine,operation,bytes,"))
        let columns = lines[0].split(separator: ",").count
        // No spreadsheet takes it for a formula.
        #expect(lines[1].hasPrefix("test,'=cmd|"))
        let row = lines[2]
        #expect(row.contains("\"a \"\"quoted\"\" note; two\nlines\""))
        #expect(row.contains("2000000000.0"))
        #expect(lines[1].split(separator: ",", omittingEmptySubsequences: false).count == columns)
    }

    @Test("points of a sweep: each once, memcpy beside each size")
    func points() {
        var sweep = BenchCase()
        sweep.sizes = [64, 128]
        sweep.operations = [.copy, .fill]
        sweep.waits = [.poll, .wait]
        let points = sweep.points(["x", "y"])
        #expect(points.count == 2 + 2 * 2 * 2 * 2)
        #expect(Set(points).count == points.count)
        #expect(points.count(where: \.isMemcpy) == 2)
        #expect(points.allSatisfy { $0.isMemcpy || points.contains($0.besideMemcpy) })
        sweep.memcpy = false
        #expect(sweep.points(["x"]).count(where: \.isMemcpy) == 0)
        // A sweep's own engines, not those that there are.
        sweep.engines = ["z"]
        #expect(Set(sweep.points(["x"]).map(\.engine)) == ["z"])
    }

    @Test("what engines are measured beside has the same bytes, depth and threads, and stands before them")
    func baselines() throws {
        var sweep = BenchCase()
        (sweep.sizes, sweep.depths, sweep.threads) = ([64, 128], [1, 4], [1, 2])
        sweep.operations = [.copy, .fromPeripheral, .toPeripheral]
        sweep.waits = [.poll, .wait]
        let points = sweep.points(["x"])
        #expect(points.count(where: \.isMemcpy) == 8 && points.count(where: \.isSystemCall) == 16)
        for (place, point) in points.enumerated() where !point.isBaseline {
            let calls: [BenchOperation: String] = [.fromPeripheral: "pread", .toPeripheral: "pwrite"]
            for name in ["memcpy", calls[point.operation]].compactMap(\.self) {
                let beside = points.firstIndex {
                    $0.engine == name && $0.bytes == point.bytes && $0.depth == point.depth && $0.threads == point.threads
                }
                #expect(try #require(beside, "\(name) beside \(point)") < place)
            }
        }
    }

    @Test("the points of a plan are counted without making them; a case that is left out counts none")
    func mostPoints() {
        var sweep = BenchCase()
        (sweep.engines, sweep.operations, sweep.sizes, sweep.depths) = (["x", "y"], [.copy, .fill], [1, 2], [1, 2])
        (sweep.threads, sweep.modes, sweep.waits, sweep.memcpy) = ([1, 2], [.burst, .demand], [.poll, .wait], false)
        #expect(BenchPlan(cases: [sweep]).mostPoints == 128 && sweep.points([]).count == 128)
        var skipped = sweep
        skipped.skip = true
        #expect(BenchPlan(cases: [sweep, skipped, sweep]).mostPoints == 256)
    }

    @Test("a mode's text is read back; what is no mode is none")
    func modes() {
        for mode in [BenchMode.burst, .demand, .cycleStealing(1), .cycleStealing(0.125)] {
            #expect(BenchMode(text: mode.text) == mode)
        }
        #expect(
            BenchMode.cycleStealing(0.25).text == "cycle-stealing:0.25" && BenchMode(text: "steal:0.25") == .cycleStealing(0.25)
        )
        let shares = ["", ":", ":0", ":-1", ":1.01", ":nan", ":inf", ":x"]
        for text in ["", "Burst"] + shares.flatMap({ ["cycle-stealing\($0)", "steal\($0)"] }) {
            #expect(BenchMode(text: text) == nil, "\(text)")
        }
    }

    @Test("this machine's facts")
    func facts() {
        let facts = MachineFacts()
        #expect(facts.processorsAllowed >= 1 && facts.processorsAllowed <= facts.processors)
        #expect(facts.kernel.hasPrefix("Linux "))
        #expect(facts.compiler.hasPrefix("Swift 6."))
        #expect((facts.memory ?? 1 << 30) > 1 << 20)
        #if DEBUG
            #expect(!facts.isOptimized)
        #endif
    }

    @Test("counters that go backwards, stand still or are none are no disturbance, and no trap")
    func counters() throws {
        var (before, after) = (DisturbanceCounters(nanoseconds: 0), DisturbanceCounters(nanoseconds: 1_000_000_000))
        (before.steal, before.ticks, before.pressure) = (100, 1000, 500_000)
        (after.steal, after.ticks, after.pressure) = (110, 1200, 700_000)
        let found = after.since(before, runQueueWait: (50, 1000))
        #expect(found.steal == 0.05 && found.runQueueWait == 0.05)
        #expect(abs(try #require(found.pressure) - 0.2) < 1e-9)
        // A hypervisor takes stolen time back.
        after.steal = 99
        #expect(after.since(before, runQueueWait: nil).steal == nil)
        #expect(after.since(before, runQueueWait: nil).warnings().count == 1)
        (after.steal, after.ticks, after.pressure) = (.max, 1001, 0)
        let odd = after.since(before, runQueueWait: (-5, 1000))
        #expect(odd.steal == 1 && odd.runQueueWait == 0 && odd.pressure == nil)
        #expect(odd.warnings().count == 1)
        #expect(before.since(after, runQueueWait: (1, 0)).runQueueWait == nil)
        for line in ["", "cpu", "cpu  1 2 3", "cpu  a b c d e f g h i j", "cpu  1 2 3 4 5 6 7 18446744073709551616"] {
            #expect(DisturbanceCounters.ticks(line).steal == nil, "\(line)")
        }
        let ticks = DisturbanceCounters.ticks("cpu  1 2 3 4 5 6 7 8 9 10")
        #expect(ticks.all == 36 && ticks.steal == 8)
        #expect(DisturbanceCounters.total("some avg10=0.00 avg60=0.00 avg300=0.00 total=12") == 12)
        for line in ["", "total=", "total=-1", "some avg10=0.00"] { #expect(DisturbanceCounters.total(line) == nil) }
        #expect(DisturbanceCounters.waited("1234 56 7") == 56)
        for line in ["", "1234", "1234 56", "1234 x 7"] { #expect(DisturbanceCounters.waited(line) == nil) }
    }

    @Test("a quiet machine earns no warning; each kind of disturbance earns one")
    func disturbances() {
        #expect(Disturbance(seconds: 1, steal: 0.009, runQueueWait: 0.019, pressure: 0.09).warnings(ownLoad: true).isEmpty)
        #expect(Disturbance(seconds: 1).warnings().isEmpty)
        #expect(
            Disturbance(seconds: 1, steal: 0.05).warnings() == [
                "other guests of this host had 5.0 % of the processors' time (steal)"
            ])
        let few = Disturbance(seconds: 1, steal: 0.011, runQueueWait: 0.021, pressure: 0.111)
        #expect(
            few.warnings() == [
                "other guests of this host had 1.1 % of the processors' time (steal)",
                "the measuring threads waited 2.1 % of the time for a processor",
                "in 11.1 % of the time some thread of the machine waited for a processor",
            ])
        // What the run does to itself is no steal.
        let own = "; the run itself had more threads than there are processors"
        #expect(zip(few.warnings(ownLoad: true), few.warnings()).map { $0 == $1 + own } == [false, true, true])
    }
}

@Suite("Results from files")
struct HostileResultTests {
    @Test("a measured result is accepted; an impossible one is refused, and the error names the field")
    func implausible() {
        var fine = ResultTests.result(["a": [1e9, 2e9], "b": []])
        var latencies = Latencies()
        for time in 1...100 { latencies.record(Int64(time)) }
        fine.rows[0].latency = latencies.summary
        #expect(fine.implausibility == nil)
        let spoils: [(String, (inout BenchResult) -> Void)] = [
            ("rows[0]: disturbedRepeats", { $0.rows[0].disturbedRepeats = -1 }),
            ("rows[0]: bytesPerSecond", { $0.rows[0].bytesPerSecond = [1e300] }),
            ("rows[0]: bytesPerSecond", { $0.rows[0].bytesPerSecond = [-1] }),
            ("rows[1]: bytesPerSecond", { $0.rows[1].bytesPerSecond = [.nan] }),
            // As many would be compared in pairs.
            ("rows[1]: bytesPerSecond", { $0.rows[1].bytesPerSecond = (0..<100_000).map(Double.init) }),
            ("rows[0]: cpuSecondsPerGB", { $0.rows[0].cpuSecondsPerGB = [.infinity] }),
            ("rows[0]: submitNanoseconds", { $0.rows[0].submitNanoseconds = [-5] }),
            ("rows[0]: bytes", { $0.rows[0].point.bytes = 0 }),
            ("rows[0]: bytes", { $0.rows[0].point.bytes = .min }),
            ("rows[0]: depth", { $0.rows[0].point.depth = .max }),
            ("rows[0]: threads", { $0.rows[0].point.threads = -1 }),
            ("rows[0]: inFlight", { $0.rows[0].inFlight = -1 }),
            ("rows[0]: latency", { $0.rows[0].latency?.p99 = .max }),
            ("rows[0]: latency", { $0.rows[0].latency?.curve[0].percentile = 101 }),
            ("rows[0]: engine", { $0.rows[0].point.engine = "\u{1b}[2J" }),
            ("rows[0]: a text", { $0.rows[0].name = "\u{202e}" }),
            ("rows[0]: a text", { $0.rows[0].notes = ["two\nlines"] }),
            (
                "rows[1]: foreground",
                { $0.rows[1].foreground = [.init(aloneP50: 1, aloneP99: 1, besideP50: 1, besideP99: 1, rate: 1e99)] }
            ),
            ("a text", { $0.warnings = ["\u{9b}2J"] }), ("a text", { $0.machine.kernel = "\u{7f}" }),
            ("seconds", { $0.seconds = -1 }), ("disturbance", { $0.disturbance.steal = .nan }),
            ("disturbance", { $0.disturbance.runQueueWait = .nan }), ("disturbance", { $0.disturbance.pressure = .infinity }),
            ("seconds", { $0.disturbance.seconds = .nan }),
            ("rows[0]: latency", { $0.rows[0].latency?.mean = .nan }), ("rows[0]: latency", { $0.rows[0].latency?.count = -1 }),
            (
                "rows[0]: latency",
                { $0.rows[0].latency?.curve = Array(repeating: .init(percentile: 1, nanoseconds: 1), count: 10_001) }
            ),
            ("rows[0]: share", { $0.rows[0].share = [.nan] }),
            ("rows[0]: issueNanoseconds", { $0.rows[0].issueNanoseconds = [-1] }),
            ("rows[0]: a text", { $0.rows[0].implementation = "\u{7}" }),
            ("rows[0]: a text", { $0.rows[0].failure = "\u{85}" }),
            ("a text", { $0.machine.processor = "\u{1b}" }), ("a text", { $0.command = ["\u{8}"] }),
            ("a text", { $0.plan.cases[0].name = "\u{1b}" }), ("a text", { $0.began = "\u{1b}" }),
            ("a text", { $0.skipped = [SkippedPoint(point: BenchPoint(engine: "a", bytes: 1), reason: "\u{2066}")] }),
            ("skipped[0]: bytes", { $0.skipped = [SkippedPoint(point: BenchPoint(engine: "a", bytes: -1), reason: "")] }),
        ]
        for (number, (what, spoil)) in spoils.enumerated() {
            var result = fine
            spoil(&result)
            #expect(result.implausibility == what, "\(number)")
        }
    }

    @Test("a result from before there were files is read as what it was")
    func beforeFiles() throws {
        let now = ResultTests.result(["a": [1, 2]])
        let text = String(decoding: try JSONEncoder().encode(now), as: UTF8.self)
        var document = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        var plan = try #require(document["plan"] as? [String: Any])
        var cases = try #require(plan["cases"] as? [[String: Any]])
        var settings = try #require(cases[0]["settings"] as? [String: Any])
        for key in ["fileSize", "access", "direct"] { #expect(settings.removeValue(forKey: key) != nil) }
        cases[0]["settings"] = settings
        plan["cases"] = cases
        document["plan"] = plan
        let data = try JSONSerialization.data(withJSONObject: document)
        #expect(try JSONDecoder().decode(BenchResult.self, from: data) == now)
    }
}
