// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import DMABench

@Suite("Comparisons of two runs")
struct ComparisonTests {
    private static let usual: [Double] = [100, 101, 102, 103, 104]

    /// The usual speeds, times `factor`.
    private func result(_ factor: Double = 1, _ change: (inout BenchRow) -> Void = { _ in }) -> BenchResult {
        var result = ResultTests.result(["a": Self.usual.map { $0 * factor }])
        change(&result.rows[0])
        return result
    }

    private func row(_ after: BenchResult, since before: BenchResult) throws -> Comparison.Row {
        try #require(Comparison(after, since: before).rows.first)
    }

    @Test("a row has both medians, and the ratio of the later one to the earlier one")
    func figures() throws {
        let row = try row(result(2), since: result())
        #expect(row.before == 102 && row.after == 204 && row.ratio == 2 && row.verdict == .faster)
        let back = try self.row(result(), since: result(2))
        #expect(back.before == 204 && back.after == 102 && back.ratio == 0.5 && back.verdict == .slower)
    }

    @Test(
        "from 2 % on a difference that is no chance counts, in either direction",
        arguments: [(1.05, Comparison.Verdict.faster), (1.015, .same), (1, .same), (0.985, .same), (0.95, .slower)])
    func relevance(_ factor: Double, _ verdict: Comparison.Verdict) throws {
        // So near each other that no difference between the runs is chance.
        func near(_ middle: Double) -> BenchResult {
            ResultTests.result(["a": (-2...2).map { middle * (1 + Double($0) / 10_000) }])
        }
        #expect(try row(near(factor), since: near(1)).verdict == verdict)
    }

    @Test("what chance explains is unclear, with what would have shown and how many repeats that takes; it is not the same")
    func unclear() throws {
        // Ratio 0.8, and as far apart as that: p is 0.2 or more.
        let before = ResultTests.result(["a": [60, 80, 100, 120, 140]])
        let after = ResultTests.result(["a": [50, 62, 80, 97, 115]])
        let row = try row(after, since: before)
        #expect(row.verdict == .unclear && row.ratio == 0.8 && row.probability ?? 0 > 0.2)
        let (low, high) = (try #require(row.low), try #require(row.high))
        #expect(low < 0.8 && high > 1)
        let smallest = try #require(row.smallestDifference)
        #expect(smallest > 0.2 && smallest < 5)
        #expect(try #require(row.repeatsNeeded) > 5)
        // Of the same kind, and steadier: less is enough.
        let steady = try self.row(
            ResultTests.result(["a": [99, 101, 103, 105, 107]]), since: ResultTests.result(["a": [98, 100, 102, 104, 108]]))
        #expect(steady.verdict == .unclear && steady.smallestDifference ?? 1 < smallest)
        // With as many repeats as it says, a difference as large shows.
        let wanted = try #require(row.repeatsNeeded)
        func spread(_ speeds: [Double]) -> [Double] {
            (0..<wanted).map { Statistics.quantile(speeds, Double($0) / Double(wanted - 1)) }
        }
        let more = try self.row(
            ResultTests.result(["a": spread([50, 62, 80, 97, 115])]),
            since: ResultTests.result(["a": spread([60, 80, 100, 120, 140])]))
        #expect(more.verdict == .slower)
        #expect(Comparison(after, since: before).hasRegressed == false)
    }

    @Test("another implementation gives one caution for each engine, and is shown in the rows")
    func implementations() throws {
        var (before, after) = (result(), result())
        (before.rows[0].implementation, after.rows[0].implementation) = ("ring", "threads")
        after.rows.append(after.rows[0])
        let comparison = Comparison(after, since: before)
        #expect(comparison.cautions == ["another implementation of a: ring then, threads now"])
        #expect(comparison.rows[0].implementationBefore == "ring" && comparison.rows[0].implementationAfter == "threads")
        #expect(try row(result(), since: result()).implementationBefore == nil)
    }

    @Test("what failed, or moved wrong bytes, is no speed: failed now is a regression, failed before is new now")
    func failures() throws {
        let spoils: [(inout BenchRow) -> Void] = [{ $0.failure = "late" }, { $0.bytesWrong = 1 }]
        for spoil in spoils {
            let now = Comparison(result(1, spoil), since: result())
            #expect(now.rows.map(\.verdict) == [.failed] && now.hasRegressed && now.rows[0].ratio == nil)
            let before = Comparison(result(), since: result(1, spoil))
            #expect(before.rows.map(\.verdict) == [.new] && !before.hasRegressed && before.rows[0].before == nil)
        }
        // It has no figure at all.
        let silent = Comparison(result(1) { $0.bytesPerSecond = [] }, since: result())
        #expect(silent.rows[0].verdict == .failed && silent.rows[0].after == nil)
    }

    @Test("the same point in two cases is two rows, each compared with its own")
    func cases() {
        func both(_ first: Double, _ second: Double) -> BenchResult {
            var result = result(first)
            result.rows += self.result(second) { $0.name = "other" }.rows
            return result
        }
        let comparison = Comparison(both(2, 3), since: both(1, 6))
        #expect(comparison.rows.map(\.ratio) == [2, 0.5] && comparison.gone.isEmpty)
    }

    @Test("each thing that makes two runs hard to compare is one caution")
    func cautions() throws {
        let changes: [(String, (inout BenchResult) -> Void)] = [
            ("another processor: then then, now now", { $0.machine.processor = $0.seconds == 1 ? "now" : "then" }),
            ("another number of processors: 3 then, 4 now", { $0.machine.processorsAllowed = $0.seconds == 1 ? 4 : 3 }),
            ("another kernel: then then, now now", { $0.machine.kernel = $0.seconds == 1 ? "now" : "then" }),
            ("another compiler: then then, now now", { $0.machine.compiler = $0.seconds == 1 ? "now" : "then" }),
            ("then: busy", { $0.warnings = $0.seconds == 1 ? [] : ["busy"] }),
            ("now: busy", { $0.warnings = $0.seconds == 1 ? ["busy"] : [] }),
        ]
        #expect(Comparison(result(), since: result()).cautions.isEmpty)
        for (says, change) in changes {
            var (before, after) = (result(), result())
            before.seconds = 2
            change(&before)
            change(&after)
            #expect(Comparison(after, since: before).cautions == [says])
        }
        // What the machine does not say is not compared.
        var (before, after) = (result(), result())
        (before.machine.processor, after.machine.processor) = (nil, "now")
        #expect(Comparison(after, since: before).cautions.isEmpty)
    }

    @Test("of many rows some seem different by chance, and it is said how many: one in twenty of those that were tested")
    func chance() {
        func many(_ count: Int) -> BenchResult {
            ResultTests.result(Dictionary(uniqueKeysWithValues: (0..<count).map { ("engine \($0)", Self.usual) }))
        }
        func cautions(_ count: Int) -> [String] { Comparison(many(count), since: many(count)).cautions }
        #expect(cautions(19).isEmpty)
        #expect(cautions(20) == ["of 20 rows, about 1 seem different by chance alone"])
        #expect(cautions(60) == ["of 60 rows, about 3 seem different by chance alone"])
        #expect(Comparison(many(60), since: many(19)).cautions.isEmpty)
    }
}
