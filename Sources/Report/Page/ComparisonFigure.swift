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
        let counts: [(verdict: Comparison.Verdict, one: String, many: String)] = [
            (.faster, "is faster", "are faster"), (.slower, "is slower", "are slower"), (.same, "is the same", "are the same"),
            (.unclear, "is unclear", "are unclear"), (.tooFewRepeats, "has too few repeats", "have too few repeats"),
            (.failed, "has failed", "have failed"), (.new, "is new", "are new"),
        ]
        var parts: [String] = []
        for (verdict, one, many) in counts {
            let number = comparison.rows.count { $0.verdict == verdict }
            if number == 0 { continue }
            let whole = parts.isEmpty ? " of \(all) \(all == 1 ? "row" : "rows")" : ""
            parts.append("\(number)\(whole) \(number == 1 ? one : many)")
        }
        return parts.isEmpty ? "no row was compared" : parts.joined(separator: ", ")
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

    private static func interval(_ row: Comparison.Row) -> String? {
        guard let low = row.low, let high = row.high else { return nil }
        return "\(Quantity.decimal(low, 3)) to \(Quantity.decimal(high, 3))"
    }

    private static func dot(_ row: Comparison.Row, named name: String) -> DotPlot.Dot? {
        guard let ratio = row.ratio, ratio.isFinite, ratio > 0 else { return nil }
        return DotPlot.Dot(
            value: ratio, low: row.low, high: row.high, style: style(row),
            title: "\(name): \(Quantity.decimal(ratio, 3))" + (interval(row).map { ", \($0)" } ?? ""))
    }

    var html: String {
        let rows = sorted.map { row in (row: row, dot: Self.dot(row, named: words(row.point))) }
        var ends = [1.0]
        for case let dot? in rows.map(\.dot) { ends += [dot.value, dot.low ?? dot.value, dot.high ?? dot.value] }
        let plot = DotPlot(scale: Scale.logarithmic(ends) { Quantity.trimmed($0) }, reference: 1)
        var text = """
            <figure class="card"><figcaption><h3>Speed now over speed then</h3><p>The slowest first. To the right is faster; the dashed line is the \
            earlier run. An interval of 95 % that crosses the line leaves the row unclear.</p></figcaption>\
            <div class="scroll" tabindex="0"><table class="dots"><thead><tr><th scope="col">point</th>\
            <th scope="col">\(plot.axis(title: "speed now over speed then, logarithmic"))</th>
            """
        let heads = ["ratio", "95 %", "before GB/s", "now GB/s", "p", "verdict"]
        for head in heads { text += "<th scope=\"col\"\(head == "verdict" ? "" : " class=\"n\"")>\(Markup.escape(head))</th>" }
        text += "</tr></thead><tbody>"
        for (row, dot) in rows {
            let cells = [
                row.ratio.map { Quantity.decimal($0, 3) }, Self.interval(row), row.before.map(Quantity.rate),
                row.after.map(Quantity.rate),
                row.probability.map { Quantity.decimal($0, 3) },
            ]
            text += "<tr><th scope=\"row\">\(Markup.escape(words(row.point)))"
            if !row.name.isEmpty { text += " <small>\(Markup.escape(row.name))</small>" }
            text += "</th><td class=\"plot\">\(dot.map(plot.track) ?? "")</td>"
            for (head, cell) in zip(heads, cells) {
                text += "<td class=\"n\" data-head=\"\(head)\">\(Markup.escape(cell ?? "–"))</td>"
            }
            text += "<td class=\"\(Self.style(row))\">\(Markup.escape(Self.verdict(row)))</td></tr>"
        }
        return text + "</tbody></table></div></figure>" + card
    }

    private var card: String {
        let cautions = comparison.cautions.map { "<li>\(Markup.escape($0))</li>" }.joined()
        return """
            <div class="card"><p>Faster or slower: the test of Mann and Whitney over the repeats, two-sided, gives p below 0.05, and the difference is \
            2 % or more. The same: the interval lies within 2 %. Unclear: chance explains the difference; the verdict says which difference so many \
            repeats would have shown, and how many repeats this one needs.</p>\(cautions.isEmpty ? "" : "<ul>\(cautions)</ul>")</div>
            """
    }
}
