// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Foundation
import Testing

@testable import DMABench

/// What `dmactl bench` says of a result that it is given, and how it ends.
@Suite("Reports of a benchmark", .serialized)
struct BenchReportTests {
    private func row(_ point: BenchPoint, factor: Double = 1, foreground: [ForegroundEffect] = []) -> BenchRow {
        BenchRow(
            name: "case", point: point, implementation: "test", inFlight: point.depth,
            bytesPerSecond: [2e9, 1e9, 3e9, 2e9, 2e9].map { $0 * factor }, cpuSecondsPerGB: [1, 0.1, 10],
            submitNanoseconds: [21, 22, 27], issueNanoseconds: [5, 6, 10],
            latency: LatencySummary(
                count: 100, minimum: 900, mean: 1500, p50: 1000, p90: 2000, p99: 10_000, p999: 200_000, p9999: 3_000_000,
                maximum: 4_000_000, curve: []),
            share: foreground.isEmpty ? [] : [0.5], foreground: foreground, disturbedRepeats: 0, bytesVerified: 77,
            bytesWrong: 0,
            notes: [], failure: nil)
    }

    private func result(_ rows: [BenchRow]) -> BenchResult {
        BenchResult(
            began: "2026-01-01T00:00:00Z", seconds: 12.3, command: ["dmactl", "bench"], machine: MachineFacts(),
            plan: BenchPlan(cases: []), rows: rows, skipped: [],
            disturbance: Disturbance(seconds: 12, steal: 0.01, runQueueWait: 0.02, pressure: 0.03), warnings: ["it was busy"])
    }

    /// Shows a result, beside an earlier one where there is one.
    private func shown(_ result: BenchResult, since earlier: BenchResult? = nil, _ options: [String] = []) throws
        -> Command.Answer
    {
        let scratch = try Scratch()
        let file = try scratch.write("now.json", [UInt8](JSONEncoder().encode(result)))
        let compared =
            try earlier.map { ["--compare", try scratch.write("then.json", [UInt8](JSONEncoder().encode($0)))] } ?? []
        return try Program.run(["bench", "--from", file] + compared + options)
    }

    private let memcpy = BenchPoint(engine: "memcpy", bytes: 65_536)
    private let cpu = BenchPoint(engine: "cpu", bytes: 65_536)

    @Test("each column of speeds holds what its head says")
    func speeds() throws {
        var other = row(BenchPoint(engine: "cpu", bytes: 1024), factor: 3)
        other.disturbedRepeats = 2
        let file = BenchPoint(engine: "io_uring", operation: .fromPeripheral, bytes: 65_536)
        let call = try #require(file.besideSystemCall)
        let ran = try shown(result([row(memcpy, factor: 4), row(cpu), other, row(call, factor: 0.5), row(file)]))
        #expect(ran.status == 0, "\(ran.errors)")
        let rows = Tables.with("x memcpy", ran.output)
        #expect(
            rows[1] == [
                "engine": "cpu", "operation": "copy", "each": "64 KiB", "GB/s": "2.00", "+-": "0.0 %", "x memcpy": "0.25",
                "x call": "",
                "op/s": "30.5 k", "alone": "-", "p50": "1.0 us", "p99": "10.0 us", "p99.9": "200 us", "submit": "22",
                "issue": "6",
                "CPU s/GB": "1.000", "": "",
            ])
        #expect(rows[0]["submit"] == "" && rows[0]["x memcpy"] == "")
        #expect(rows[2]["each"] == "1 KiB" && rows[2]["x memcpy"] == "" && rows[2][""] == "!!")
        #expect(rows[4]["x call"] == "2.00" && rows[4]["x memcpy"] == "0.25")
        #expect(ran.output.contains("\n12 s; steal 1.0 %, run-queue wait 2.0 %, CPU pressure 3.0 %\n"))
        #expect(ran.output.contains("\nwarning: it was busy\n"))
        var wide = row(cpu)
        wide.bytesPerSecond = [1e9, 2e9, 3e9]
        #expect(Tables.with("+-", try shown(result([wide])).output).first?["+-"] == "25.0 %")
        // One measurement has no spread; 0 would say that it was steady.
        wide.bytesPerSecond = [2e9]
        #expect(Tables.with("+-", try shown(result([wide])).output).first?["+-"] == "-")
    }

    @Test("each column of what a task beside a transfer feels holds what its head says")
    func foreground() throws {
        let effect = ForegroundEffect(aloneP50: 40_000, aloneP99: 50_000, besideP50: 60_000, besideP99: 70_000, rate: 0.25)
        let ran = try shown(result([row(cpu, foreground: [effect])]))
        #expect(
            Tables.with("beside", ran.output).first == [
                "beside": "cpu", "mode": "burst", "share": "50.0 %", "GB/s": "2.00", "p50 alone us": "40.0",
                "p50 beside": "60.0",
                "p99 alone us": "50.0", "p99 beside": "70.0", "its speed": "25 %",
            ])
    }

    @Test("each column of a comparison holds what its head says")
    func compared() throws {
        let ran = try shown(result([row(cpu, factor: 4)]), since: result([row(cpu)]))
        let cells = try #require(Tables.with("verdict", ran.output).first)
        #expect(
            cells["before GB/s"] == "2.00" && cells["now"] == "8.00" && cells["ratio"] == "4.000"
                && cells["verdict"] == "faster")
        #expect(try #require(cells["p"].flatMap { Double($0) }) < 0.05)
        #expect(ran.output.contains("\ncaution: then: it was busy"))
    }

    @Test("a matrix has a row for the one and a column for the other")
    func matrices() throws {
        func pair(_ source: Int, _ destination: Int, _ factor: Double) -> BenchRow {
            var point = cpu
            point.nodes = NodePair(source: source, destination: destination)
            return row(point, factor: factor)
        }
        let nodes = try shown(result([pair(0, 0, 1), pair(0, 2, 2), pair(2, 0, 3), pair(2, 2, 4)]))
        let heading = "case: cpu copy 64 KiB x 32: GB/s from memory of the node at the left to memory of the node above\n"
        #expect(nodes.output.contains(heading), "\(nodes)")
        #expect(
            Tables.with("node", nodes.output) == [
                ["node": "0", "to 0": "2.00", "to 2": "4.00"], ["node": "2", "to 0": "6.00", "to 2": "8.00"],
            ])
        func beside(_ engine: String, _ other: String?, _ factor: Double) -> BenchRow {
            row(BenchPoint(engine: engine, bytes: 65_536, beside: other), factor: factor)
        }
        var broken = beside("b", "a", 1)
        broken.failure = "it broke"
        let channels = try shown(
            result([beside("a", nil, 4), beside("a", "a", 2), beside("a", "b", 3), beside("b", nil, 1), broken]))
        #expect(
            Tables.with("alone", channels.output) == [
                ["engine": "a", "alone": "8.00", "beside a": "4.00", "beside b": "6.00"],
                ["engine": "b", "alone": "2.00", "beside a": "FAILED", "beside b": "-"],
            ])
        #expect(channels.status == 1 && channels.output.contains("FAILED: b copy 64 KiB x 32 beside a: it broke"))
    }

    @Test("several engines are summed up as the fastest and how many times faster it is")
    func summary() throws {
        let two = BenchPoint(engine: "cpu-threads", bytes: 65_536)
        let ran = try shown(result([row(memcpy), row(cpu, factor: 4), row(two, factor: 10)]))
        // These repeats lie far apart: intervals, not middles.
        #expect(ran.output.contains("\n64 KiB: cpu-threads ran\n  "), "\(ran.output)")
        let lines = ran.output.split(separator: "\n")
        #expect(
            lines.contains { $0.hasPrefix("  ") && $0.contains(" to ") && $0.hasSuffix(" times faster than cpu") },
            "\(ran.output)")
        #expect(lines.contains { $0.hasPrefix("  ") && $0.hasSuffix(" times faster than memcpy") }, "\(ran.output)")
        let even = try shown(result([row(memcpy), row(cpu), row(two)]))
        #expect(even.output.contains("  as fast as "), "\(even.output)")
    }

    @Test("Markdown has every column, and nothing in a name means anything")
    func markdown() throws {
        let strange = BenchPoint(engine: "a|b_c*", bytes: 65_536)
        let ran = try shown(result([row(memcpy), row(strange)]), since: result([row(strange)]), ["--markdown"])
        #expect(ran.status == 0)
        let lines = ran.output.split(separator: "\n").map(String.init)
        let head = try #require(lines.first { $0.hasPrefix("| engine | each | ") })
        #expect(
            head == "| engine | each | GB/s | +- | x memcpy | op/s | alone | p50 | p99 | p99.9 | submit | issue | CPU s/GB |  |"
        )
        let place = try #require(lines.firstIndex(of: head))
        #expect(lines[place + 1].hasPrefix("| --- | ---: | ---: |"))
        #expect(lines[place + 3].hasPrefix("| a\\|b\\_c\\* | 64 KiB | 2.00 |"), "\(lines[place + 3])")
        #expect(lines.contains { $0.hasPrefix("### case: copy, ") } && lines.contains("- warning: it was busy"))
        #expect(lines.contains("### compared with the earlier run"))
        let both = try Program.run(["bench", "--markdown", "--csv"])
        #expect(both.status == 64 && both.errors.contains("one of them"))
    }

    @Test("a time series is written as CSV, and a run without one is not")
    func log() throws {
        var logged = row(cpu)
        logged.series = SpeedSeries(interval: 0.5, bytesPerSecond: [[1e9, 2e9], [3e9]])
        let scratch = try Scratch()
        let file = scratch.at("speed.csv")
        let ran = try shown(result([logged]), ["--log", file])
        #expect(ran.status == 0, "\(ran.errors)")
        let text = try String(contentsOfFile: file, encoding: .utf8)
        let head =
            "case,engine,operation,bytes,depth,threads,mode,wait,rate,source_node,destination_node,beside,repeat,seconds,bytes_per_second\r\n"
        let point = "case,cpu,copy,65536,32,1,burst,poll,,,,,"
        #expect(text == head + "\(point)1,0.0,1000000000.0\r\n\(point)1,0.5,2000000000.0\r\n\(point)2,0.0,3000000000.0\r\n")
        let none = try shown(result([row(cpu)]), ["--log", file])
        #expect(none.status == 64 && none.errors.contains("has no time series. Measure it with --log"))
    }

    @Test("what failed, and what wrote wrong bytes, is said and ends with 1; --fail-on-slower too, where a row got slower")
    func ends() throws {
        var (failed, wrong) = (row(cpu), row(cpu))
        failed.failure = "it broke"
        wrong.bytesWrong = 3
        for (row, says) in [
            (failed, "FAILED: cpu copy 64 KiB x 32: it broke"), (wrong, "WRONG: cpu copy 64 KiB x 32: 3 bytes"),
        ] {
            let ran = try shown(result([self.row(memcpy), row]))
            #expect(ran.status == 1 && ran.output.contains("\n\(says)\n"), "\(ran.output)")
            #expect(Tables.with("x memcpy", ran.output).map { $0[""] } == ["", "FAILED"])
            for format in ["--csv", "--json"] { #expect(try shown(result([row]), [format]).status == 1) }
        }
        let (fast, slow) = (result([row(cpu)]), result([row(cpu, factor: 0.2)]))
        #expect(try shown(slow, since: fast).status == 0)
        #expect(try shown(slow, since: fast, ["--fail-on-slower"]).status == 1)
        #expect(try shown(fast, since: slow, ["--fail-on-slower"]).status == 0)
    }

    @Test("every option of the plan is in the plan")
    func plan() throws {
        let options = [
            "--engine", "cpu", "--operation", "copy", "--operation", "fill", "--size", "4KiB", "--depth", "3", "--threads", "1",
            "--threads", "2", "--mode", "burst", "--wait", "wait", "--repeats", "2", "--seconds", "0.002", "--batch", "2",
            "--cache", "cold", "--processor", "0", "--directory", "/tmp", "--file-size", "1MiB", "--access", "random",
            "--direct", "--rate", "1GB", "--matrix", "nodes", "--log", "/dev/null", "--log-interval", "0.001",
        ]
        let ran = try Program.run(["bench", "--json"] + options)
        let result = try JSONDecoder().decode(BenchResult.self, from: Data(ran.output.utf8))
        var sweep = BenchCase()
        (sweep.name, sweep.engines, sweep.operations, sweep.sizes, sweep.depths) = (
            "command line", ["cpu"], [.copy, .fill], [4096], [3]
        )
        (sweep.threads, sweep.waits) = ([1, 2], [.wait])
        (sweep.settings.repeats, sweep.settings.seconds, sweep.settings.batch) = (2, 0.002, 2)
        (sweep.settings.cache, sweep.settings.processors) = (.cold, [0])
        (sweep.settings.directory, sweep.settings.fileSize, sweep.settings.access) = ("/tmp", 1 << 20, .random)
        sweep.settings.direct = true
        (sweep.rates, sweep.matrix, sweep.settings.interval) = ([1_000_000_000], .nodes, 0.001)
        #expect(result.plan.cases == [sweep])
        #expect(result.command == ["dmactl", "bench", "--json"] + options)
        #expect(result.rows.allSatisfy { $0.bytesPerSecond.count == 2 || $0.hasFailed })
        for wrong in [
            ["--processor", "1023"], ["--rate", "0"], ["--rate", "1T"], ["--matrix", "engines"], ["--log-interval", "1"],
            ["--log", "/dev/null", "--log-interval", "0"], ["--depth", "0"], ["--threads", "1025"], ["--batch", "0"],
            ["--repeats", "0"],
            ["--seconds", "0"],
        ] {
            #expect(try Program.run(["bench"] + wrong).status == 64, "\(wrong)")
        }
    }
}
