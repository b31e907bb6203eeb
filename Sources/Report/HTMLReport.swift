// SPDX-License-Identifier: Apache-2.0

package import DMABench
internal import DMAUnits

/// A benchmark's result as one HTML file, to be opened offline: charts as SVG, a table behind each, light and dark, print; no
/// script, and nothing that is fetched from anywhere, which its content security policy states.
package struct HTMLReport: Sendable {
    private let result: BenchResult
    private let comparison: Comparison?

    package init(_ result: BenchResult, comparison: Comparison? = nil) {
        self.result = result
        self.comparison = comparison
    }

    /// The file's contents, in UTF-8.
    package var text: String {
        let machine = result.machine.processor ?? result.machine.architecture
        let title = "dmactl bench · \(machine)"
        var sections: [(id: String, heading: String, body: String)] = []
        var engines: [String] = []
        for row in result.rows where !row.point.isBaseline && !engines.contains(row.point.engine) {
            engines.append(row.point.engine)
        }
        let groups = RowGroup.groups(result).enumerated().map { GroupFigures(group: $1, number: $0, engines: engines) }
        var modes = ModeFigures(result, engines: engines).figures
        var modesHeading = "Transfer modes"
        let compared = comparison.map { ComparisonFigure(comparison: $0, words: words) }
        if let compared { sections.append(("compared", "Compared with the earlier run", compared.html)) }
        for figures in groups {
            let group = figures.group
            let name = heading(group, of: groups.map(\.group))
            if !modes.isEmpty, group.sizes.count == 1, group.rows.contains(where: { !$0.foreground.isEmpty }) {
                // What the modes do to a foreground task says more than bars of speed.
                modes += figures.curves
                modesHeading = name.isEmpty ? modesHeading : name
                continue
            }
            sections.append(
                (
                    "g\(figures.number)", name.isEmpty ? group.heading : name,
                    "<p class=\"lead\">\(Markup.escape(group.heading))</p>"
                        + grid(figures.figures + figures.courses + figures.curves)
                ))
        }
        if !modes.isEmpty {
            sections.append(("modes", modesHeading, "<p class=\"lead\">beside a foreground task</p>" + grid(modes)))
        }
        sections.append(("rows", "All rows", allRows))
        sections.append(("machine", "Machine and run", self.machine))
        let navigation = sections.map { "<a href=\"#\($0.id)\">\(Markup.escape($0.heading))</a>" }.joined()
        let body = sections.map {
            "<section id=\"\($0.id)\"><h2>\(Markup.escape($0.heading))</h2>\($0.body)</section>"
        }.joined()
        return """
            <!DOCTYPE html>
            <html lang="en"><head><meta charset="utf-8">\
            <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">\
            <meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">\
            <meta name="generator" content="dmactl bench"><meta name="referrer" content="no-referrer">\
            <title>\(Markup.escape(title))</title><style>\(Style.sheet)</style></head>
            <body><header><p class="kicker">dmactl bench · \(Markup.escape(machine))</p><h1>\(Markup.escape(headline(compared, on: machine)))</h1>\
            <p class="facts">\(Markup.escape(facts))</p>\(warnings)<div class="tiles">\(tiles)</div><nav>\(navigation)</nav></header>
            <main>\(body)</main>
            <footer>One file, no script, nothing fetched. GB/s are 10⁹ bytes a second; KiB, MiB and GiB are powers of 1024.</footer>
            </body></html>

            """
    }

    /// What was compared, on what, and what came out, in a sentence.
    private func headline(_ compared: ComparisonFigure?, on machine: String) -> String {
        if let compared { return "Compared with the earlier run, \(compared.sentence)" }
        if let range = ratios {
            let (low, high) = (Quantity.ratio(range.low.ratio), Quantity.ratio(range.high.ratio))
            let how = low == high ? "\(low) times" : "\(low) to \(high) times"
            return
                "\(range.engines.joined(separator: " and ")): copies at \(how) the speed of memcpy, over \(range.rows) rows, on \(machine)"
        }
        let measured = result.rows.filter { !$0.point.isBaseline && !$0.bytesPerSecond.isEmpty }
        guard let best = measured.max(by: { $0.speed < $1.speed }) else { return "Nothing was measured on \(machine)" }
        return "\(words(best.point)) is the fastest of \(measured.count), at \(Quantity.rate(best.speed)) GB/s, on \(machine)"
    }

    /// Copies beside memcpy, over all rows: the least and the largest ratio, and how many those are.
    private var ratios:
        (low: (row: BenchRow, ratio: Double), high: (row: BenchRow, ratio: Double), rows: Int, engines: [String])?
    {
        let memcpy = Dictionary(
            result.rows.filter(\.point.isMemcpy).map { ("\($0.name) \($0.point)", $0.speed) },
            uniquingKeysWith: { first, _ in first })
        let all = measuredEngines.filter { $0.point.operation == .copy }.compactMap { row in
            memcpy["\(row.name) \(row.point.besideMemcpy)"].map { (row: row, ratio: row.speed / $0) }
        }.filter(\.ratio.isFinite)
        guard let low = all.min(by: { $0.ratio < $1.ratio }), let high = all.max(by: { $0.ratio < $1.ratio }) else {
            return nil
        }
        var engines: [String] = []
        for one in all where !engines.contains(one.row.point.engine) { engines.append(one.row.point.engine) }
        return (low, high, all.count, engines)
    }

    /// Rows of engines with figures, but for those beside a foreground task.
    private var measuredEngines: [BenchRow] {
        result.rows.filter { !$0.point.isBaseline && !$0.bytesPerSecond.isEmpty && $0.foreground.isEmpty }
    }

    /// A group's case; and its operation, where the case has charts of several.
    private func heading(_ group: RowGroup, of all: [RowGroup]) -> String {
        guard let first = group.rows.first else { return "" }
        let operations = all.filter { $0.rows.first?.name == first.name }.compactMap { $0.rows.first?.point.operation }
        guard Set(operations).count > 1, let operation = group.rows.last?.point.operation else { return first.name }
        return first.name.isEmpty ? group.heading : "\(first.name): \(operation.rawValue)"
    }

    private func grid(_ figures: [Figure]) -> String { "<div class=\"grid2\">\(figures.map(\.html).joined())</div>" }

    private var facts: String {
        let machine = result.machine
        var facts = ["\(machine.processorsAllowed) of \(machine.processors) processors"]
        if machine.isVirtual { facts.append("virtual machine") }
        if let caches = machine.caches { facts.append(caches) }
        facts += [machine.kernel, machine.compiler]
        if let revision = machine.revision { facts.append("revision \(revision.prefix(12))") }
        facts.append(result.began)
        return facts.joined(separator: " · ")
    }

    private var warnings: String {
        let failed = PointGroups.byText(
            result.rows.filter(\.hasFailed).map { ($0.point, $0.failure ?? "\($0.bytesWrong) bytes wrong") }
        ).map { "\(PointGroups.name($0.points, one: words)): \($0.text)" }
        guard !result.warnings.isEmpty || !failed.isEmpty else { return "" }
        let items =
            failed.map { "<li class=\"bad\"><strong>Failed.</strong> \(Markup.escape($0))</li>" }
            + result.warnings.map { "<li><strong>Warning.</strong> \(Markup.escape($0))</li>" }
        return "<ul class=\"warnings\">\(items.joined())</ul>"
    }

    // MARK: Tiles

    private var tiles: String {
        func tile(_ value: String, _ label: String, _ what: String) -> String {
            "<div class=\"tile\"><b>\(Markup.escape(value))</b><span>\(Markup.escape(label))</span><small>\(Markup.escape(what))</small></div>"
        }
        let engines = measuredEngines
        var tiles: [String] = []
        if let best = engines.filter({ !$0.point.operation.isPeripheral }).max(by: { $0.speed < $1.speed }) {
            tiles.append(tile("\(Quantity.rate(best.speed)) GB/s", "fastest engine", words(best.point)))
        }
        if let best = engines.filter(\.point.operation.isPeripheral).max(by: { $0.speed < $1.speed }) {
            tiles.append(tile("\(Quantity.rate(best.speed)) GB/s", "fastest with a file", words(best.point)))
        }
        if let range = ratios {
            // All of them, not the kindest one.
            let (low, high) = (Quantity.ratio(range.low.ratio), Quantity.ratio(range.high.ratio))
            let what =
                range.rows == 1
                ? words(range.low.row.point)
                : "\(words(range.low.row.point)), to \(words(range.high.row.point)); \(range.rows) rows"
            tiles.append(tile(low == high ? "× \(low)" : "× \(low) to \(high)", "copies beside memcpy", what))
        }
        if let most = engines.filter({ $0.operationsPerSecond.isFinite }).max(by: {
            $0.operationsPerSecond < $1.operationsPerSecond
        }) {
            tiles.append(tile("\(Quantity.count(most.operationsPerSecond)) op/s", "most operations", words(most.point)))
        }
        let cheap = engines.filter { $0.submitCost.isFinite }
        if !cheap.isEmpty {
            tiles.append(
                tile(
                    Quantity.time(Statistics.median(cheap.map(\.submitCost))), "to submit",
                    "median of all rows, apart from the transfer"))
        }
        return tiles.joined()
    }

    private func words(_ point: BenchPoint) -> String {
        var words = ["\(point.engine) \(point.operation.rawValue) \(ByteSize.exact(point.bytes))"]
        // Those have one in flight; the depth says only beside what they stand.
        words.append(point.isBaseline ? "beside \(point.depth) in flight" : "\(point.depth) in flight")
        if point.threads > 1 { words.append("\(point.threads) threads") }
        if point.mode != .burst { words.append(point.mode.words) }
        if point.wait != .poll { words.append(point.wait.words) }
        words += point.conditions
        return words.joined(separator: ", ")
    }

    // MARK: Tables

    private var allRows: String {
        var table = DataTable(
            header: [
                "case", "engine", "operation", "size", "in flight", "threads", "mode", "wait", "conditions", "GB/s", "±",
                "op/s",
                "p50 of one", "p50",
                "p99", "p99.9", "submit", "doorbell", "CPU s/GB", "disturbed", "verified", "notes",
            ], leading: 3, words: ["mode", "wait", "conditions", "notes"])
        for row in result.rows {
            let point = row.point
            let latency = [row.unloaded?.p50, row.latency?.p50, row.latency?.p99, row.latency?.p999].map {
                Quantity.time($0.map(Double.init) ?? .nan)
            }
            table.rows.append(
                [
                    row.name, point.engine, point.operation.rawValue, ByteSize.exact(point.bytes),
                    row.inFlight > 0 ? "\(row.inFlight)" : "–",
                    "\(point.threads)",
                    point.mode.words, point.isBaseline ? "–" : point.wait.words,
                    point.conditions.isEmpty ? "–" : point.conditions.joined(separator: ", "), Quantity.rate(row.speed),
                    Quantity.percent(row.spread),
                    Quantity.count(row.operationsPerSecond),
                ] + latency + [
                    Quantity.time(row.submitCost), Quantity.time(row.issueCost), Quantity.decimal(row.cpuCost, 4),
                    "\(row.disturbedRepeats)/\(row.bytesPerSecond.count)", Quantity.bytes(row.bytesVerified),
                    (row.notes + [row.failure].compactMap { $0 }).joined(separator: "; "),
                ])
        }
        let (shown, common) = table.withoutConstants(but: ["engine", "size", "in flight", "GB/s", "±", "p50", "notes"])
        let lead = common.isEmpty ? "" : "<p class=\"lead\">In all rows: \(Markup.escape(common.joined(separator: ", "))).</p>"
        var text = "<div class=\"card\">\(lead)\(shown.html)</div>"
        if !result.skipped.isEmpty {
            let items = PointGroups.byText(result.skipped.map { ($0.point, $0.reason) }).map {
                "<li>\(Markup.escape(PointGroups.name($0.points, one: words))): \(Markup.escape($0.text))</li>"
            }
            text +=
                "<details class=\"card\"><summary>Left out (\(result.skipped.count))</summary><ul>\(items.joined())</ul></details>"
        }
        return text
    }

    private var machine: String {
        let facts = result.machine
        let busy = result.disturbance
        func percent(_ share: Double?) -> String { share.map { Quantity.percent($0) } ?? "not known" }
        let rows: [(String, String)] = [
            ("Processor", facts.processor ?? "not known"), ("Architecture", facts.architecture),
            ("Processors", "\(facts.processorsAllowed) of \(facts.processors)" + (facts.isVirtual ? ", virtual" : "")),
            ("Caches", facts.caches ?? "not known"),
            ("Memory", facts.memory.map { "\(Quantity.decimal(Double($0) / 1_073_741_824, 1)) GiB" } ?? "not known"),
            ("Frequency governor", facts.governor ?? "not known"), ("Kernel", facts.kernel), ("Compiler", facts.compiler),
            ("Revision", facts.revision ?? "not known"), ("Began", result.began),
            ("Took", "\(Quantity.decimal(result.seconds, 1)) s"), ("Steal", percent(busy.steal)),
            ("Wait on run queues", percent(busy.runQueueWait)), ("CPU pressure", percent(busy.pressure)),
        ]
        let list = rows.map { "<div><dt>\(Markup.escape($0.0))</dt><dd>\(Markup.escape($0.1))</dd></div>" }.joined()
        let cases = result.plan.cases.map { sweep in
            let settings = sweep.settings
            return """
                <li>\(Markup.escape(sweep.name)): \(settings.repeats) repeats of \(Quantity.short(settings.seconds)) s, \
                \(settings.cache.rawValue) caches, \(settings.batch.map { "\($0) submissions" } ?? "half the depth") for each ring of the doorbell\
                \(Markup.escape(files(sweep)))</li>
                """
        }.joined()
        let command = result.command.map(shellQuoted).joined(separator: " ")
        return """
            <div class="card"><dl>\(list)</dl><h3>Command</h3><pre><code>\(Markup.escape(command))</code></pre><h3>Cases</h3><ul>\(cases)</ul>\
            <p>Points are measured in turn, in alternating order, beside memcpy over as much memory, and files beside pread or pwrite. Latencies are those of a client that keeps the \
            depth in flight (a closed loop), of all repeats together.</p></div>
            """
    }

    /// What a case's file was; empty where it had none.
    private func files(_ sweep: BenchCase) -> String {
        guard sweep.operations.contains(where: \.isPeripheral) else { return "" }
        let settings = sweep.settings
        return
            "; a file of \(ByteSize.exact(settings.fileSize)) in \(settings.directory ?? "the folder for temporary files"), "
            + "\(settings.access.rawValue), \(settings.direct ? "direct" : "buffered")"
    }

    /// An argument as a shell takes it.
    private func shellQuoted(_ argument: String) -> String {
        let plain = argument.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_./:=+,@%".contains($0)) }
        if plain, !argument.isEmpty { return argument }
        return "'" + argument.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }
}
