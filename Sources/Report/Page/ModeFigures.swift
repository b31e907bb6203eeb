// SPDX-License-Identifier: Apache-2.0

internal import DMABench
internal import DMAUnits

/// What the transfer modes leave to a task on the same processor.
struct ModeFigures {
    let rows: [BenchRow]

    /// All engines of the report, in its order: each keeps its colour.
    let engines: [String]

    init(_ result: BenchResult, engines: [String]) {
        rows = result.rows.filter { !$0.foreground.isEmpty }
        self.engines = engines
    }

    private func label(_ row: BenchRow) -> String {
        let others = Set(rows.map { "\($0.point.engine) \($0.point.bytes) \($0.point.operation)" }).count > 1
        return others
            ? "\(row.point.engine), \(row.point.operation.rawValue) \(ByteSize.exact(row.point.bytes)), \(row.point.mode.words)"
            : row.point.mode.words
    }

    private func median(_ row: BenchRow, _ value: (ForegroundEffect) -> Double) -> Double {
        Statistics.median(row.foreground.map(value))
    }

    private var table: DataTable {
        var table = DataTable(header: [
            "mode", "at work", "GB/s", "task's speed", "p50 alone", "p50 beside", "p99 alone", "p99 beside",
        ])
        for row in rows {
            table.rows.append(
                [
                    label(row), Quantity.percent(Statistics.median(row.share)), Quantity.rate(row.speed),
                    Quantity.percent(median(row, \.rate), 0),
                ]
                    + [
                        median(row, \.aloneP50), median(row, \.besideP50), median(row, \.aloneP99), median(row, \.besideP99),
                    ].map(Quantity.time))
        }
        return table
    }

    private func bars(_ value: (BenchRow) -> Double, _ text: (Double) -> String, reference: ((BenchRow) -> Double)? = nil)
        -> [BarChart.Bar]
    {
        rows.map { row in
            BarChart.Bar(
                label: label(row), value: value(row), text: text(value(row)), reference: reference?(row),
                style: (engines.firstIndex(of: row.point.engine) ?? 0) % (Series.styles - 1),
                title: "\(label(row)): \(text(value(row)))" + (reference.map { ", alone \(text($0(row)))" } ?? ""))
        }
    }

    var figures: [Figure] {
        guard !rows.isEmpty else { return [] }
        let keeps = BarChart(
            title: "What a foreground task keeps of its speed beside a transfer, by mode",
            description: "A bar for each mode. The table behind the chart has the numbers.",
            xLabel: "share of the speed that the task has alone",
            bars: bars({ median($0, \.rate) }, { Quantity.percent($0, 0) }),
            scale: Scale(
                lowest: 0, highest: 1, isLogarithmic: false,
                ticks: [0, 0.25, 0.5, 0.75, 1].map { Scale.Tick(value: $0, label: Quantity.percent($0, 0)) }))
        let waits = bars({ median($0, \.besideP99) }, { Quantity.time($0) }, reference: { median($0, \.aloneP99) })
        let longest = BarChart(
            title: "99th percentile of a foreground task's pieces of 50 µs beside a transfer, by mode",
            description:
                "A bar for each mode, and a line across it where the task is without a transfer. The table behind the chart has the numbers.",
            xLabel: "99th percentile (logarithmic); line: alone", bars: waits,
            scale: Scale.logarithmic(waits.map(\.value) + waits.compactMap(\.reference) + [20_000]) { Quantity.tick($0) })
        let speeds = bars({ $0.speed / 1e9 }, { Quantity.decimal($0, 2) + " GB/s" })
        let speed = BarChart(
            title: "Throughput of the transfer beside a foreground task, by mode",
            description: "A bar for each mode. The table behind the chart has the numbers.", xLabel: "GB/s (1 GB = 10⁹ bytes)",
            bars: speeds,
            scale: Scale.linear(speeds.map(\.value)) { Quantity.trimmed($0) })
        return [
            Figure(
                heading: "What the task keeps", note: "A task that computes in pieces of 50 µs, on the transfer's processor.",
                svg: keeps.svg(id: "m-keeps"), legend: [], table: table),
            Figure(
                heading: "How long the task's pieces take", note: "99 of 100 are shorter. Less is better.",
                svg: longest.svg(id: "m-waits"), legend: [], table: table),
            Figure(
                heading: "What the transfer still does", note: "Beside the task.", svg: speed.svg(id: "m-speed"), legend: [],
                table: table),
        ]
    }
}
