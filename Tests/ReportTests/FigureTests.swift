// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import DMABench
@testable import DMAReport

/// What the report shows is what was measured: in each column of each table, and at each place of each chart.
@Suite("The report's figures")
struct FigureTests {
    /// Three repeats of which no two figures are the same.
    private func row(_ point: BenchPoint, factor: Double = 1, foreground: [ForegroundEffect] = []) -> BenchRow {
        BenchRow(
            name: "case", point: point, implementation: "test", inFlight: point.depth,
            bytesPerSecond: [2e9 * factor, 1e9 * factor, 3e9 * factor], cpuSecondsPerGB: [1, 0.1, 10],
            submitNanoseconds: [21, 22, 27], issueNanoseconds: [5, 6, 10],
            latency: LatencySummary(
                count: 100, minimum: 900, mean: 1500, p50: 1000, p90: 2000, p99: 10_000, p999: 200_000, p9999: 3_000_000,
                maximum: 4_000_000_000,
                curve: [(0, 900), (50, 1000), (90, 2000), (99, 10_000), (99.9, 4_000_000_000)].map {
                    .init(percentile: $0.0, nanoseconds: $0.1)
                }),
            share: foreground.isEmpty ? [] : [0.5], foreground: foreground, disturbedRepeats: 1, bytesVerified: 77,
            bytesWrong: 0,
            notes: ["a note"], failure: nil)
    }

    private func result(_ rows: [BenchRow]) -> BenchResult {
        BenchResult(
            began: "2026-01-01T00:00:00Z", seconds: 12.3, command: ["dmactl", "bench"], machine: MachineFacts(),
            plan: BenchPlan(cases: []), rows: rows, skipped: [], disturbance: Disturbance(seconds: 12),
            warnings: ["the machine was busy"])
    }

    private var bySize: BenchResult {
        result([65_536, 1024].map { row(BenchPoint(engine: "cpu", bytes: $0)) })
    }

    // MARK: What a page has

    private func section(_ id: String, _ text: String) throws -> String {
        let parts = text.components(separatedBy: "<section id=\"\(id)\">")
        try #require(parts.count == 2, "no section \(id)")
        return parts[1].components(separatedBy: "</section>")[0]
    }

    private func figure(_ heading: String, _ text: String) throws -> String {
        let figures = text.components(separatedBy: "<figure class=\"card\"><div class=\"keep\"><figcaption><h3>").filter {
            $0.hasPrefix(heading + "</h3>")
        }
        try #require(figures.count == 1, "\(heading): \(figures.count)")
        return figures[0].components(separatedBy: "</figure>")[0]
    }

    /// The texts of each element that begins so.
    private func texts(_ tag: String, _ text: String) -> [String] {
        text.components(separatedBy: "<\(tag)").dropFirst().compactMap { part in
            guard let end = part.firstIndex(of: ">") else { return nil }
            return String(part[part.index(after: end)...]).components(separatedBy: "</")[0]
        }
    }

    /// The rows of a table, each cell by its column's head.
    private func table(_ text: String) throws -> [[String: String]] {
        let parts = text.components(separatedBy: "<tbody>")
        try #require(parts.count == 2)
        let heads = texts("th scope=\"col\"", parts[0])
        return try parts[1].components(separatedBy: "<tr>").dropFirst().map { line in
            let cells = texts("th scope=\"row\"", line) + texts("td", line)
            try #require(cells.count == heads.count)
            return Dictionary(uniqueKeysWithValues: zip(heads, cells))
        }
    }

    /// The wide picture of a figure.
    private func picture(_ figure: String) -> String {
        (figure.components(separatedBy: "<svg class=\"chart wide\"").last ?? "").components(separatedBy: "</svg>")[0]
    }

    /// Where an axis has its marks, by their labels.
    private func marks(_ axis: Character, _ picture: String) throws -> [String: Double] {
        let group = try #require(picture.components(separatedBy: "<g class=\"ticks \(axis)\">").last).components(
            separatedBy: "</g>")[0]
        var marks: [String: Double] = [:]
        for part in group.components(separatedBy: "<text").dropFirst() {
            let place = try #require(part.components(separatedBy: " \(axis)=\"").last?.components(separatedBy: "\"").first)
            let label = part.components(separatedBy: ">")[1].components(separatedBy: "<")[0]
            // Labels of the upright axis stand a little below their line.
            marks[label] = try #require(Double(place.replacing("%", with: ""))) - (axis == "y" ? 4 : 0)
        }
        return marks
    }

    private func numbers(_ text: String) -> [Double] {
        text.split { !($0.isNumber || $0 == "." || $0 == "-") }.compactMap { Double($0) }
    }

    // MARK: Charts

    @Test(
        "a point lies at the marks of its size and of its value, and its whisker reaches to those of its ends",
        arguments: [
            ("Throughput by size", "2", "1", "3"), ("Latency by size", "1 µs", "1 µs", "10 µs"),
            ("Processor time by size", "1", "0.1", "10"),
        ])
    func places(_ heading: String, _ value: String, _ low: String, _ high: String) throws {
        let picture = picture(try figure(heading, HTMLReport(bySize).text))
        let (across, up) = (try marks("x", picture), try marks("y", picture))
        #expect(Set(across.keys) == ["1 KiB", "64 KiB"])
        // The larger is further to the right, and higher up.
        #expect(try #require(across["1 KiB"]) + 300 < #require(across["64 KiB"]))
        #expect(try #require(up[low]) > #require(up[high]) + 100)
        let points = picture.components(separatedBy: "<g class=\"point\">").dropFirst()
        #expect(points.count == 2)
        for (point, size) in zip(points, ["1 KiB", "64 KiB"]) {
            #expect(point.contains("<title>cpu, \(size): "))
            let wanted = (x: try #require(across[size]), y: try #require(up[value]))
            let ends = (low: try #require(up[low]), high: try #require(up[high]))
            let circle = numbers(point.components(separatedBy: "<circle")[1].components(separatedBy: "/>")[0])
            #expect(abs(circle[0] - wanted.x) < 0.2 && abs(circle[1] - wanted.y) < 0.2)
            let whisker = numbers(point.components(separatedBy: "class=\"whisker\" d=\"")[1].components(separatedBy: "\"")[0])
            #expect(abs(whisker[1] - ends.low) < 0.2 && abs(whisker[2] - ends.high) < 0.2)
        }
    }

    @Test("a bar ends at the mark of its value, and the line across it stands at that of its reference")
    func bars() throws {
        let effect = ForegroundEffect(aloneP50: 40_000, aloneP99: 50_000, besideP50: 60_000, besideP99: 100_000, rate: 0.25)
        let modes = [BenchMode.burst, .demand].map {
            row(BenchPoint(engine: "cpu", bytes: 1 << 20, mode: $0), foreground: [effect])
        }
        let text = HTMLReport(result(modes)).text
        for (heading, value, reference) in [
            ("What the task keeps", "25 %", nil), ("How long the task&#39;s pieces take", "100 µs", "50 µs"),
            ("What the transfer still does", "2", nil),
        ] as [(String, String, String?)] {
            let picture = picture(try figure(heading, text))
            let across = try marks("x", picture)
            let bars = picture.components(separatedBy: "class=\"bar\"").dropFirst()
            #expect(bars.count == 2)
            let end = try #require(across[value])
            for bar in bars {
                // x, y, width
                let place = numbers(bar.components(separatedBy: "height")[0])
                #expect(abs(place[0] + place[2] - end) < 0.2, "\(heading)")
                let line = bar.components(separatedBy: "class=\"reference\" d=\"M").dropFirst().first.map { numbers($0)[0] }
                #expect((line == nil) == (reference == nil))
                if let line, let mark = reference.flatMap({ across[$0] }) { #expect(abs(line - mark) < 0.2) }
            }
        }
        let cells = try table(try figure("What the task keeps", text))
        #expect(cells.map { $0["mode"] } == ["burst", "demand"])
        for row in cells {
            #expect(row["at work"] == "50.0 %" && row["GB/s"] == "2.00" && row["task&#39;s speed"] == "25 %")
            #expect(row["p50 alone"] == "40.0 µs" && row["p50 beside"] == "60.0 µs")
            #expect(row["p99 alone"] == "50.0 µs" && row["p99 beside"] == "100 µs")
        }
    }

    @Test("a percentile curve ends where there is nothing left to measure; its table has every percentile")
    func curves() throws {
        let figure = try figure("Percentiles at 64 KiB", HTMLReport(bySize).text)
        let picture = picture(figure)
        // Of 100 times, none is the one in a thousand.
        let (across, up) = (try marks("x", picture), try marks("y", picture))
        #expect(!up.keys.contains("1 s") && across.keys.contains("99 %"))
        let path = numbers(
            picture.components(separatedBy: "class=\"line\" d=\"")[1].components(separatedBy: "\"")[0]
                .replacing("M", with: " ").replacing("V", with: " ").replacing("H", with: " "))
        let last = [try #require(up["10 µs"]), try #require(across["99 %"])]
        #expect(path.suffix(2) == last)
        let row = try #require(try table(figure).first)
        #expect(row["count"] == "100" && row["p50"] == "1.00 µs" && row["p90"] == "2.00 µs" && row["p99"] == "10.0 µs")
        #expect(row["p99.9"] == "200 µs" && row["p99.99"] == "3.00 ms" && row["longest"] == "4.00 s")
        // Of many sizes: the least, the middle, the largest.
        let headings = HTMLReport(Sample.result()).text.components(separatedBy: "<h3>Percentiles at ").dropFirst().prefix(3)
        #expect(headings.map { $0.components(separatedBy: "</h3>")[0] } == ["64 B", "16 KiB", "4 MiB"])
    }

    // MARK: Tables

    @Test("each column of a chart's table holds what its head says")
    func tables() throws {
        let text = HTMLReport(bySize).text
        // From small to large, whatever order they were measured in.
        let speeds = try table(try figure("Throughput by size", text))
        #expect(speeds.map { $0["size"] } == ["1 KiB", "64 KiB"])
        #expect(speeds[1]["GB/s"] == "2.00" && speeds[1]["lowest"] == "1.00" && speeds[1]["highest"] == "3.00")
        #expect(speeds[1]["op/s"] == "30.5 k")
        for cells in try table(try figure("Latency by size", text)) {
            #expect(cells["p50"] == "1.00 µs" && cells["p90"] == "2.00 µs" && cells["p99"] == "10.0 µs")
            #expect(cells["p99.9"] == "200 µs" && cells["longest"] == "4.00 s")
        }
        for cells in try table(try figure("Processor time by size", text)) {
            #expect(cells["CPU s/GB"] == "1.0000" && cells["submit"] == "22 ns" && cells["doorbell"] == "6 ns")
        }
        let one = HTMLReport(result([row(BenchPoint(engine: "cpu", bytes: 1024))])).text
        let bars = try #require(try table(try figure("Throughput", one)).first)
        #expect(bars["GB/s"] == "2.00" && bars["lowest"] == "1.00" && bars["highest"] == "3.00")
        #expect(bars["p50"] == "1.00 µs" && bars["p99"] == "10.0 µs" && bars["CPU s/GB"] == "1.0000")
    }

    @Test("each column of the table of all rows holds what its head says")
    func allRows() throws {
        var result = bySize
        result.rows[0].point.threads = 2
        result.rows[0].point.wait = .wait
        result.rows[1].failure = "it broke"
        let rows = try table(try section("rows", HTMLReport(result).text))
        // What is the same in all rows stands above them.
        let expected = [
            "case": "case", "engine": "cpu", "size": "64 KiB", "in flight": "32", "threads": "2",
            "wait": "waiting", "GB/s": "2.00", "±": "25.0 %", "op/s": "30.5 k", "p50": "1.00 µs", "notes": "a note",
        ]
        #expect(rows.count == 2 && rows[0] == expected)
        #expect(rows[1]["wait"] == "polling" && rows[1]["notes"] == "a note; it broke")
        let lead = try section("rows", HTMLReport(result).text)
        for fact in [
            "operation copy", "mode burst", "p50 of one –", "p99 10.0 µs", "p99.9 200 µs", "submit 22 ns", "doorbell 6 ns",
            "CPU s/GB 1.0000", "disturbed 1/3", "verified 77 B",
        ] { #expect(lead.contains(fact), "\(fact)") }
        #expect(lead.contains("<td>a note</td>") && lead.contains("<td class=\"n\">2.00</td>"))
    }

    @Test("a comparison shows what was before, what is now, ratio and probability, and what to be careful about")
    func compared() throws {
        func run(_ factor: Double) -> BenchResult {
            var one = row(BenchPoint(engine: "cpu", bytes: 1024))
            one.bytesPerSecond = (0..<5).map { (1 + Double($0) / 1000) * 1e9 * factor }
            return result([one])
        }
        let comparison = Comparison(run(2), since: run(1))
        let text = try section("compared", HTMLReport(run(2), comparison: comparison).text)
        let cells = try #require(try table(text).first)
        #expect(
            cells["before GB/s"] == "1.00" && cells["now GB/s"] == "2.00" && cells["ratio"] == "2.000" && cells["p"] == "0.008")
        #expect(cells["verdict"] == "faster")
        #expect(text.contains("<li>then: the machine was busy</li>"))
    }

    @Test(
        "a comparison comes first: a dot for each row, the slowest first, its interval, its verdict, and the line of the earlier run"
    )
    func dots() throws {
        func run(_ factors: [Double], noise: Double = 0.001) -> BenchResult {
            result(
                factors.enumerated().map { index, factor in
                    var one = row(BenchPoint(engine: "e\(index)", bytes: 1024))
                    one.bytesPerSecond = (0..<5).map { (1 + Double($0) * noise) * 1e9 * factor }
                    return one
                })
        }
        let (before, after) = (run([1, 1, 1]), run([2, 0.5, 1]))
        let page = HTMLReport(after, comparison: Comparison(after, since: before)).text
        let text = try section("compared", page)
        #expect(page.components(separatedBy: "<section").dropFirst().first?.hasPrefix(" id=\"compared\"") == true)
        #expect(page.contains("<h1>Compared with the earlier run, 1 of 3 rows is faster, 1 is slower, 1 is the same</h1>"))
        let rows = text.components(separatedBy: "<tr><th scope=\"row\">").dropFirst()
        #expect(
            rows.map { $0.components(separatedBy: " <")[0].components(separatedBy: "<")[0] }
                == (1...3).map { "e\($0 % 3) copy 1 KiB, 32 in flight" })
        for (row, (style, verdict)) in zip(rows, [("bad", "slower"), ("neutral", "same"), ("good", "faster")]) {
            #expect(
                row.contains("<svg class=\"track point \(style)\"") && row.contains("<td class=\"\(style)\">\(verdict)</td>"))
        }
        // Places are percentages of one column.
        let across = try marks("x", text.components(separatedBy: "</thead>")[0])
        for (row, mark) in zip(rows, ["0.5", "1", "2"]) {
            let ghost = numbers(row.components(separatedBy: "class=\"ghost\" x1=\"")[1].components(separatedBy: "\"")[0])[0]
            #expect(abs(ghost - (try #require(across["1"]))) < 0.2)
            let circle = numbers(row.components(separatedBy: "<circle")[1].components(separatedBy: "/>")[0])
            #expect(abs(circle[0] - (try #require(across[mark]))) < 0.2)
            let whisker = row.components(separatedBy: "class=\"whisker\" x1=\"")[1].components(separatedBy: "\" y1")[0]
            let ends = numbers(whisker.replacing("x2", with: ""))
            #expect(ends.count == 2 && ends[0] <= circle[0] && circle[0] <= ends[1])
        }
        // Chance alone is said as such, with what would help.
        let noisy = run([1, 1, 1], noise: 0.3)
        #expect(HTMLReport(noisy, comparison: Comparison(noisy, since: noisy)).text.contains(">unclear: "))
    }

    // MARK: The rest of the page

    @Test("what is wrong is said first: failures, wrong bytes, warnings; what was left out, at the end")
    func said() throws {
        var result = result(["cpu", "lame", "false"].map { row(BenchPoint(engine: $0, bytes: 1024)) })
        result.rows[1].failure = "it broke"
        result.rows[2].bytesWrong = 3
        result.skipped = [SkippedPoint(point: BenchPoint(engine: "gone", bytes: 1), reason: "it is gone")]
        let text = HTMLReport(result).text
        let header = text.components(separatedBy: "</header>")[0]
        #expect(header.contains("lame copy 1 KiB, 32 in flight: it broke</li>"))
        #expect(
            header.contains("false copy 1 KiB, 32 in flight: 3 bytes wrong</li>")
                && !header.contains(">cpu copy 1 KiB, 32 in flight: "))
        #expect(header.contains("<strong>Warning.</strong> the machine was busy</li>"))
        #expect(text.contains("Left out (1)") && text.contains("gone copy 1 B, 32 in flight: it is gone</li>"))
        #expect(!HTMLReport(bySize).text.contains("Left out") && !HTMLReport(bySize).text.contains("Failed."))
    }

    @Test("the tiles have the best of the engines, memcpy not among them")
    func tiles() throws {
        let result = result([
            row(BenchPoint(engine: "memcpy", bytes: 1024), factor: 4), row(BenchPoint(engine: "cpu", bytes: 1024), factor: 2),
            row(BenchPoint(engine: "slow", bytes: 1024)),
            row(BenchPoint(engine: "cpu", operation: .fill, bytes: 4096), factor: 3),
        ])
        let tiles = HTMLReport(result).text.components(separatedBy: "<div class=\"tile\">").dropFirst().map { tile in
            ["b", "span", "small"].map { texts($0, tile).first ?? "" }
        }
        let expected = [
            ["6.00 GB/s", "fastest engine", "cpu fill 4 KiB, 32 in flight"],
            [
                "× 0.25 to 0.50", "copies beside memcpy",
                "slow copy 1 KiB, 32 in flight, to cpu copy 1 KiB, 32 in flight; 2 rows",
            ],
            ["3.91 M op/s", "most operations", "cpu copy 1 KiB, 32 in flight"],
            ["22 ns", "to submit", "median of all rows, apart from the transfer"],
        ]
        #expect(tiles == expected)
    }

    @Test("of the machine and the run, each fact stands behind its name")
    func machine() throws {
        var result = bySize
        result.machine.memory = 3 << 30
        result.disturbance = Disturbance(seconds: 1, steal: 0.01, runQueueWait: 0.02, pressure: 0.03)
        (result.machine.processors, result.machine.processorsAllowed, result.machine.isVirtual) = (4, 3, false)
        let text = try section("machine", HTMLReport(result).text)
        let facts = Dictionary(uniqueKeysWithValues: zip(texts("dt", text), texts("dd", text)))
        #expect(facts["Memory"] == "3.0 GiB" && facts["Processors"] == "3 of 4" && facts["Took"] == "12.3 s")
        #expect(facts["Steal"] == "1.0 %" && facts["Wait on run queues"] == "2.0 %" && facts["CPU pressure"] == "3.0 %")
        result.command = ["dmactl", "it's", "a b", "--size=4KiB"]
        #expect(
            HTMLReport(result).text.contains("<code>dmactl &#39;it&#39;\\&#39;&#39;s&#39; &#39;a b&#39; --size=4KiB</code>"))
    }

    @Test("a chart that is split by threads has the memcpy of its own threads, and no other")
    func split() throws {
        var rows: [BenchRow] = []
        for threads in [1, 2] {
            for depth in [1, 2, 4, 8, 16] {
                for bytes in [64, 4096] {
                    for engine in ["memcpy", "cpu"] {
                        rows.append(row(BenchPoint(engine: engine, bytes: bytes, depth: depth, threads: threads)))
                    }
                }
            }
        }
        let groups = RowGroup.groups(result(rows))
        #expect(groups.count > 1)
        for group in groups {
            let engines = Set(group.rows.filter { !$0.point.isBaseline }.map(\.point.besideMemcpy))
            #expect(Set(group.rows.filter(\.point.isMemcpy).map(\.point)) == engines)
        }
    }
}
