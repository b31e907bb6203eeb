// SPDX-License-Identifier: Apache-2.0

import DMABench
import DMAUnits

/// A benchmark's result as people read it.
struct BenchTables {
    /// Tables in Markdown, for a page or a pull request; else for a terminal.
    var isMarkdown = false

    func text(_ result: BenchResult, _ comparison: Comparison?) -> String {
        var parts: [String] = [heading(result)]
        let ran = implementations(result)
        if !ran.isEmpty { parts.append(ran) }
        for (name, rows) in cases(result) {
            // The row of an engine that ran alone belongs to the matrix of those that ran beside it.
            let isOfChannels = rows.contains { $0.point.beside != nil }
            let pairs = rows.filter { isOfChannels || $0.point.nodes != nil }
            let single = rows.filter { !isOfChannels && $0.point.nodes == nil }
            if !pairs.isEmpty { parts += MatrixTable.tables(of: pairs, name).map { titled($0.title, $0.table) } }
            if !single.isEmpty { parts.append(speeds(name, single)) }
        }
        let modes = result.rows.filter { !$0.foreground.isEmpty }
        if !modes.isEmpty { parts.append(foreground(modes)) }
        if let comparison { parts.append(compared(comparison)) }
        var ends: [String] = []
        func say(_ word: String, _ items: [(point: BenchPoint, text: String)], _ style: Terminal.Style? = nil) {
            for group in PointGroups.byText(items) {
                let line = "\(word): \(PointGroups.name(group.points) { BenchTables.name($0) }): \(group.text)"
                ends.append(item(line, style))
            }
        }
        say("note", result.rows.flatMap { row in row.notes.map { (row.point, $0) } })
        say("FAILED", result.rows.compactMap { row in row.failure.map { (row.point, $0) } }, .bad)
        say("WRONG", result.rows.filter { $0.bytesWrong > 0 }.map { ($0.point, "\($0.bytesWrong) bytes") }, .bad)
        say("left out", result.skipped.map { ($0.point, $0.reason) })
        for warning in result.warnings { ends.append(item("warning: \(warning)", .warning)) }
        if !ends.isEmpty { parts.append(ends.joined(separator: "\n")) }
        parts.append(
            """
            GB/s: median of the repeats, 1 GB = 10^9 bytes; +-: half the distance of
            their quartiles. x call: beside pread or pwrite. alone: the median latency with
            one in flight; p50, p99, p99.9: with as many in flight as the row says; submit
            and issue: ns; all of these of all repeats together. CPU s/GB: processor time
            of all threads. !: repeats that had to wait for a processor.
            """)
        return parts.joined(separator: "\n\n")
    }

    /// A line below the tables: an item of a list in Markdown, where lines are joined otherwise.
    private func item(_ line: String, _ style: Terminal.Style?) -> String {
        if isMarkdown { return "- " + Table.escaped(line) }
        return style.map { Terminal.styled(line, $0) } ?? line
    }

    /// A table below its title.
    private func titled(_ title: String, _ table: Table) -> String {
        isMarkdown ? "### \(Table.escaped(title))\n\n\(table.markdown)" : "\(title)\n\(table.text)"
    }

    private func heading(_ result: BenchResult) -> String {
        let machine = result.machine
        var line = machine.processor ?? machine.architecture
        line += ", \(machine.processorsAllowed) of \(machine.processors) processors"
        if let caches = machine.caches { line += ", \(caches)" }
        line += "; \(machine.kernel); \(machine.compiler)"
        if let revision = machine.revision { line += "; revision \(revision.prefix(12))" }
        let busy = result.disturbance
        func percent(_ share: Double?) -> String { share.map { Figures.percent($0) } ?? "not known" }
        line +=
            "\n\(Figures.decimal(result.seconds, 0)) s; steal \(percent(busy.steal)), run-queue wait \(percent(busy.runQueueWait)), "
            + "CPU pressure \(percent(busy.pressure))"
        return line
    }

    /// What each engine ran on, a line each: more than one, where a run had several.
    private func implementations(_ result: BenchResult) -> String {
        var lines: [String] = []
        for row in result.rows where !row.point.isBaseline {
            let line = Ran.line(row.point.engine, row.implementation, nil)
            if !lines.contains(line) { lines.append(line) }
        }
        return lines.map { Terminal.wrapped($0, indent: 2) }.joined(separator: "\n")
    }

    /// Rows by case, in order.
    private func cases(_ result: BenchResult) -> [(String, [BenchRow])] {
        var groups: [(String, [BenchRow])] = []
        for row in result.rows {
            if groups.last?.0 == row.name { groups[groups.count - 1].1.append(row) } else { groups.append((row.name, [row])) }
        }
        return groups
    }

    private func speeds(_ name: String, _ rows: [BenchRow]) -> String {
        // A column in which all rows say the same is left out, and said above.
        func differs<Value: Hashable>(_ value: (BenchPoint) -> Value) -> Bool { Set(rows.map { value($0.point) }).count > 1 }
        let hasFiles = rows.contains { $0.point.operation.isPeripheral }
        let first = rows.first?.point ?? BenchPoint(engine: "", bytes: 0)
        var columns = ["engine"]
        var common: [String] = []
        let shows = (
            operation: differs(\.operation), depth: Set(rows.map(\.inFlight)).count > 1, threads: differs(\.threads),
            mode: differs(\.mode), wait: differs(\.wait), rate: differs(\.rate)
        )
        if shows.operation { columns.append("operation") } else { common.append(first.operation.rawValue) }
        if shows.mode { columns.append("mode") } else { common.append(first.mode.text) }
        if shows.wait { columns.append("wait") } else { common.append("by \(first.wait.rawValue)") }
        let leading = columns.count
        if shows.rate {
            columns.append("rate")
        } else {
            common += first.rate.map { ["at \(ByteSize.exactRate($0))"] } ?? []
        }
        columns.append("each")
        // The measured number in flight: memcpy, pread and pwrite have one, at any configured depth.
        if shows.depth { columns.append("in flight") } else { common.append("\(rows.first?.inFlight ?? 0) in flight") }
        if shows.threads {
            columns.append("threads")
        } else {
            common.append(first.threads == 1 ? "1 thread" : "\(first.threads) threads")
        }
        columns += ["GB/s", "+-", "x memcpy"] + (hasFiles ? ["x call"] : [])
        columns += ["op/s", "alone", "p50", "p99", "p99.9", "submit", "issue", "CPU s/GB", ""]
        var table = Table(
            columns, leading: leading,
            optional: ["p99.9", "issue", "submit", "+-", "op/s", "p99", "CPU s/GB", "x memcpy", "alone"])
        let baselines = Dictionary(
            rows.filter { $0.point.isBaseline }.map { ($0.point, $0.speed) }, uniquingKeysWith: { first, _ in first })
        for row in rows {
            let point = row.point
            var cells = [point.engine]
            if shows.operation { cells.append(point.operation.rawValue) }
            if shows.mode { cells.append(point.mode.text) }
            if shows.wait { cells.append(point.isBaseline ? "" : point.wait.rawValue) }
            if shows.rate { cells.append(point.rate.map { ByteSize.exactRate($0) } ?? "") }
            cells.append(ByteSize.exact(point.bytes))
            if shows.depth { cells.append(row.inFlight > 0 ? "\(row.inFlight)" : "-") }
            if shows.threads { cells.append("\(point.threads)") }
            func beside(_ other: BenchPoint?) -> String {
                guard let other, other != point, let speed = baselines[other] else { return "" }
                return Figures.decimal(row.speed / speed, 2)
            }
            func time(_ nanoseconds: Int?) -> String { nanoseconds.map(Figures.nanoseconds) ?? "-" }
            cells += [
                Figures.rate(row.speed), Figures.percent(row.spread),
                beside(point.besideMemcpy),
            ]
            if hasFiles { cells.append(beside(point.besideSystemCall)) }
            cells += [
                Figures.count(row.operationsPerSecond), time(row.unloaded?.p50), time(row.latency?.p50), time(row.latency?.p99),
                time(row.latency?.p999),
                point.isBaseline ? "" : Figures.decimal(row.submitCost, 0),
                point.isBaseline ? "" : Figures.decimal(row.issueCost, 0), Figures.decimal(row.cpuCost, 3),
                row.hasFailed ? "FAILED" : String(repeating: "!", count: min(row.disturbedRepeats, 5)),
            ]
            table.add(cells)
        }
        let text = titled("\(name): \(common.joined(separator: ", "))", table)
        let summary = BenchSummary.lines(rows)
        guard !summary.isEmpty else { return text }
        // One sentence belongs to its table; a block of them is another.
        let isBlock = isMarkdown || summary.count > 1
        return text + (isBlock ? "\n\n" : "\n")
            + summary.map { isMarkdown ? item($0, nil) : $0 }.joined(separator: "\n")
    }

    private func foreground(_ rows: [BenchRow]) -> String {
        var table = Table(
            ["beside", "mode", "share", "GB/s", "p50 alone us", "p50 beside", "p99 alone us", "p99 beside", "its speed"],
            leading: 2, optional: ["p50 alone us", "p50 beside", "GB/s"])
        let isOne = Set(rows.map { "\($0.point.operation) \($0.point.bytes)" }).count == 1
        for row in rows {
            func median(_ value: (ForegroundEffect) -> Double) -> Double { Statistics.median(row.foreground.map(value)) }
            func micro(_ value: Double) -> String { Figures.decimal(value / 1000, 1) }
            table.add([
                isOne
                    ? row.point.engine
                    : "\(row.point.engine) \(row.point.operation.rawValue) \(ByteSize.exact(row.point.bytes))",
                row.point.mode.text, Figures.percent(Statistics.median(row.share)),
                Figures.rate(row.speed), micro(median(\.aloneP50)), micro(median(\.besideP50)), micro(median(\.aloneP99)),
                micro(median(\.besideP99)), Figures.percent(median(\.rate), 0),
            ])
        }
        return titled("a task with pieces of 50 us on the same processor", table)
    }

    private func compared(_ comparison: Comparison) -> String {
        // Points of several cases may be the same.
        let hasCases = Set(comparison.rows.map(\.name)).count > 1
        let isUnclear = comparison.rows.contains { $0.verdict == .unclear }
        var table = Table(
            (hasCases ? ["case"] : []) + ["engine", "point", "before GB/s", "now", "ratio", "+-", "p"]
                + (isUnclear ? ["would show", "repeats"] : []) + ["verdict"],
            leading: hasCases ? 3 : 2, optional: ["p", "before GB/s", "now", "+-"])
        for row in comparison.rows {
            var cells = hasCases ? [row.name] : []
            cells += [row.point.engine, BenchTables.name(row.point, engine: false)]
            cells += [row.before, row.after].map { $0.map(Figures.rate) ?? "-" }
            cells.append(row.ratio.map { Figures.decimal($0, 3) } ?? "-")
            cells.append(half(row))
            cells.append(row.probability.map { Figures.decimal($0, 3) } ?? "-")
            if isUnclear { cells += unclear(row) }
            cells.append(row.verdict == .tooFewRepeats ? "too few repeats" : row.verdict.rawValue)
            table.add(cells)
        }
        var text = titled("compared with the earlier run", table)
        let line = isMarkdown ? "\n\n" : "\n"
        text +=
            line
            + Terminal.wrapped(
                "p: Mann-Whitney U over the repeats, two-sided; faster or slower wants p below 0.05 and 2 % of difference; same: within 2 %, "
                    + "by the interval of 95 % that +- is half of")
        if isUnclear {
            text +=
                line
                + Terminal.wrapped(
                    "unclear: chance explains it. would show: the smallest difference that so many repeats show four times in five; repeats: how "
                        + "many of each run are needed for the difference that there is, or for 2 %: --repeats")
        }
        let ends =
            comparison.gone.map { item("gone: \(BenchTables.name($0))", nil) }
            + comparison.cautions.map { item("caution: \($0)", .warning) }
        return ends.isEmpty ? text : text + line + ends.joined(separator: "\n")
    }

    private func half(_ row: Comparison.Row) -> String {
        guard let low = row.low, let high = row.high else { return "-" }
        return Figures.decimal((high - low) / 2, 3)
    }

    private func unclear(_ row: Comparison.Row) -> [String] {
        guard row.verdict == .unclear, let smallest = row.smallestDifference, let needed = row.repeatsNeeded else {
            return ["", ""]
        }
        return [Figures.percent(smallest, 0), needed > 1000 ? "over 1000" : "\(needed)"]
    }

    /// A point in words.
    static func name(_ point: BenchPoint, engine: Bool = true) -> String {
        var words = engine ? [point.engine] : []
        words += [point.operation.rawValue, ByteSize.exact(point.bytes)]
        // Those have one in flight; the depth says only beside what they stand.
        words.append(point.isBaseline ? "beside x \(point.depth)" : "x \(point.depth)")
        if point.threads > 1 { words.append("\(point.threads) threads") }
        if point.mode != .burst { words.append(point.mode.text) }
        if point.wait != .poll { words.append(point.wait.rawValue) }
        words += point.conditions
        return words.joined(separator: " ")
    }
}
