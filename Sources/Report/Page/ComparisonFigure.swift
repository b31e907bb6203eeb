// SPDX-License-Identifier: Apache-2.0

internal import DMABench

/// This run beside an earlier one: a dot for each row that both have, the slowest first, and a table of all.
struct ComparisonFigure {
    let comparison: Comparison
    /// A point in words.
    let words: (BenchPoint) -> String

    private var sorted: [Comparison.Row] {
        comparison.rows.sorted { ($0.ratio ?? .infinity, $0.name) < ($1.ratio ?? .infinity, $1.name) }
    }

    /// "3 of 24 rows are faster, 1 is slower, 12 are the same, 8 are unclear".
    var sentence: String {
        let all = comparison.rows.count
        let counts: [(Comparison.Verdict, String)] = [
            (.faster, "faster"), (.slower, "slower"), (.same, "the same"), (.unclear, "unclear"),
            (.tooFewRepeats, "of too few repeats"), (.failed, "failed"), (.new, "new"),
        ]
        let parts = counts.compactMap { verdict, word -> String? in
            let number = comparison.rows.count { $0.verdict == verdict }
            return number == 0 ? nil : "\(number) \(number == 1 ? "is" : "are") \(word)"
        }
        guard let first = parts.first else { return "no row was compared" }
        return "of \(all) \(all == 1 ? "row" : "rows") " + ([first] + parts.dropFirst()).joined(separator: ", ")
    }

    static func verdict(_ row: Comparison.Row) -> String {
        switch row.verdict {
        case .tooFewRepeats: return "too few repeats"
        case .unclear:
            guard let smallest = row.smallestDifference, let needed = row.repeatsNeeded else { return "unclear" }
            return
                "unclear: \(Quantity.percent(smallest, 0)) would show, \(needed > 1000 ? "over 1000" : "\(needed)") repeats needed"
        default: return row.verdict.rawValue
        }
    }

    private static func style(_ row: Comparison.Row) -> String {
        switch row.verdict {
        case .faster: "good"
        case .slower, .failed: "bad"
        default: "neutral"
        }
    }

    var html: String {
        let dots = sorted.compactMap { row -> DotPlot.Dot? in
            guard let ratio = row.ratio, ratio.isFinite, ratio > 0 else { return nil }
            let interval =
                row.low.flatMap { low in row.high.map { ", \(Quantity.decimal(low, 3)) to \(Quantity.decimal($0, 3))" } } ?? ""
            return DotPlot.Dot(
                label: words(row.point), value: ratio, low: row.low, high: row.high, verdict: Self.verdict(row),
                style: Self.style(row),
                title: "\(words(row.point)): \(Quantity.decimal(ratio, 3))\(interval)")
        }
        guard !dots.isEmpty else { return card }
        var ends = [1.0]
        for dot in dots { ends += [dot.value, dot.low ?? dot.value, dot.high ?? dot.value] }
        let chart = DotPlot(
            title: "Speed as a share of the earlier run's",
            description: "A dot for each row, the slowest first, with its interval of 95 %. The line at 1 is the earlier run.",
            xLabel: "speed now over speed then (logarithmic); line: the earlier run", dots: dots,
            scale: Scale.logarithmic(ends) { Quantity.trimmed($0) })
        let figure = Figure(
            heading: "Ratio to the earlier run",
            note: "To the right is faster. A whisker that crosses the line leaves it unclear.",
            svg: chart.svg(id: "compared"), legend: [], table: table)
        return figure.html + card
    }

    private var card: String {
        let cautions = comparison.cautions.map { "<li>\(Markup.escape($0))</li>" }.joined()
        return """
            <div class="card"><p>Faster or slower: the test of Mann and Whitney over the repeats, two-sided, gives p below 0.05, and the difference is \
            2 % or more. The same: the interval lies within 2 %. Unclear: chance explains the difference.</p>\
            \(cautions.isEmpty ? "" : "<ul>\(cautions)</ul>")\(comparison.rows.contains { $0.ratio != nil } ? "" : table.html)</div>
            """
    }

    private var table: DataTable {
        var table = DataTable(
            header: ["case", "point", "verdict", "before GB/s", "now GB/s", "ratio", "from", "to", "p"], leading: 3)
        for row in sorted {
            table.rows.append([
                row.name, words(row.point), Self.verdict(row), row.before.map(Quantity.rate) ?? "–",
                row.after.map(Quantity.rate) ?? "–",
                row.ratio.map { Quantity.decimal($0, 3) } ?? "–", row.low.map { Quantity.decimal($0, 3) } ?? "–",
                row.high.map { Quantity.decimal($0, 3) } ?? "–", row.probability.map { Quantity.decimal($0, 3) } ?? "–",
            ])
        }
        return table
    }
}
