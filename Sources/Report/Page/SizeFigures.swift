// SPDX-License-Identifier: Apache-2.0

internal import DMABench
internal import DMAUnits

/// The charts of one group: speed, latency and processor time by size, or as bars where there is one size; and percentile
/// curves.
struct GroupFigures {
    let group: RowGroup
    let number: Int
    /// All engines of the report, in its order.
    let engines: [String]

    /// What engines are measured beside is always the last style, engines begin with the first. Where a line is an engine, it keeps its
    /// colour through the report.
    func style(_ index: Int) -> Int {
        let isBaseline = group.lines[index].rows.first?.point.isBaseline ?? false
        if isBaseline { return Series.styles - 1 }
        let own = group.lines.compactMap { $0.rows.first?.point }.filter { !$0.isBaseline }.map(\.engine)
        if Set(own).count == own.count, let place = engines.firstIndex(of: group.lines[index].rows.first?.point.engine ?? "") {
            return place % (Series.styles - 1)
        }
        let before = group.lines[..<index].filter { !($0.rows.first?.point.isBaseline ?? false) }.count
        return before % (Series.styles - 1)
    }

    private func legend(_ lines: [Int]) -> [(label: String, style: Int)] {
        lines.map { (label: group.lines[$0].label, style: style($0)) }
    }

    var figures: [Figure] {
        guard group.sizes.count > 1 else { return [speedBars] }
        return [speed, latency, cost]
    }

    // MARK: By size

    private struct Value {
        let y: Double
        let low: Double?
        let high: Double?
        let cells: [String]
        let text: String
    }

    private func bySize(
        _ id: String, _ heading: String, _ note: String, yLabel: String, columns: [String], scale: ([Double]) -> Scale,
        value: (BenchRow) -> Value?
    ) -> Figure {
        var series: [Series] = []
        var table = DataTable(header: ["contestant", "size"] + columns, leading: 2)
        var heights: [Double] = []
        for (index, line) in group.lines.enumerated() {
            var one = Series(label: line.label, style: style(index), points: [])
            for row in line.rows {
                guard let found = value(row), found.y.isFinite else { continue }
                let size = ByteSize.exact(row.point.bytes)
                one.points.append(
                    Series.Point(
                        x: Double(row.point.bytes), y: found.y, low: found.low, high: found.high,
                        title: "\(line.label), \(size): \(found.text)"))
                heights += [found.y, found.low ?? found.y, found.high ?? found.y]
                table.rows.append([line.label, size] + found.cells)
            }
            if !one.points.isEmpty { series.append(one) }
        }
        let x = Scale.sizes(group.sizes) { ByteSize.exact($0) }
        let chart = LineChart(
            title: "\(heading) by transfer size: \(group.heading)",
            description:
                "A line for each of \(series.map(\.label).joined(separator: "; ")). The table behind the chart has the numbers.",
            xLabel: "transfer size (logarithmic)", yLabel: yLabel, x: x, y: scale(heights), series: series)
        return Figure(
            heading: "\(heading) by size", note: note, svg: chart.svg(id: "g\(number)-\(id)"),
            legend: legend(group.lines.indices.filter { index in series.contains { $0.label == group.lines[index].label } }),
            table: table)
    }

    private var speed: Figure {
        bySize(
            "speed", "Throughput", "Median of the repeats; whiskers from the slowest to the fastest. More is better.",
            yLabel: "GB/s (1 GB = 10⁹ bytes)", columns: ["GB/s", "lowest", "highest", "op/s"],
            scale: { Scale.linear($0) { Quantity.trimmed($0) } },
            value: { row in
                guard let lowest = row.bytesPerSecond.min(), let highest = row.bytesPerSecond.max() else { return nil }
                return Value(
                    y: row.speed / 1e9, low: lowest / 1e9, high: highest / 1e9,
                    cells: [
                        Quantity.rate(row.speed), Quantity.rate(lowest), Quantity.rate(highest),
                        Quantity.count(row.operationsPerSecond),
                    ],
                    text: "\(Quantity.rate(row.speed)) GB/s (\(Quantity.rate(lowest)) to \(Quantity.rate(highest)))")
            })
    }

    /// What was in flight on each channel, line by line: latencies with different numbers in flight are not the same thing.
    private var inFlight: String {
        let numbers = group.lines.map { line in Set(line.rows.map(\.inFlight)).sorted() }
        if Set(numbers).count == 1, let all = numbers.first { return Self.list(all) + " in flight" }
        return zip(group.lines, numbers).map { "\(Self.list($1)) (\($0.label))" }.joined(separator: ", ") + " in flight"
    }

    private static func list(_ numbers: [Int]) -> String {
        guard let first = numbers.first, let last = numbers.last else { return "0" }
        return first == last ? "\(first)" : "\(first) to \(last)"
    }

    private var latency: Figure {
        bySize(
            "latency", "Latency",
            "Median of single transactions with \(inFlight); whiskers up to the 99th percentile. Less is better.",
            yLabel: "time from submission to completion (logarithmic)",
            columns: ["p50", "p90", "p99", "p99.9", "longest", "in flight", "p50 of one"],
            scale: { Scale.logarithmic($0) { Quantity.tick($0) } },
            value: { row in
                guard let latency = row.latency else { return nil }
                let all = [latency.p50, latency.p90, latency.p99, latency.p999, latency.maximum]
                return Value(
                    y: Double(latency.p50), low: Double(latency.p50), high: Double(latency.p99),
                    cells: all.map { Quantity.time(Double($0)) }
                        + ["\(row.inFlight)", Quantity.time(row.unloaded.map { Double($0.p50) } ?? .nan)],
                    text: "p50 \(Quantity.time(Double(latency.p50))), p99 \(Quantity.time(Double(latency.p99)))")
            })
    }

    private var cost: Figure {
        bySize(
            "cost", "Processor time", "Of all threads of the process, for each 10⁹ bytes moved. Less is better.",
            yLabel: "CPU seconds per GB (logarithmic)", columns: ["CPU s/GB", "submit", "doorbell"],
            scale: { Scale.logarithmic($0) { Quantity.trimmed($0) } },
            value: { row in
                guard let lowest = row.cpuSecondsPerGB.min(), let highest = row.cpuSecondsPerGB.max(), row.cpuCost > 0 else {
                    return nil
                }
                return Value(
                    y: row.cpuCost, low: lowest > 0 ? lowest : row.cpuCost, high: highest,
                    cells: [Quantity.decimal(row.cpuCost, 4), Quantity.time(row.submitCost), Quantity.time(row.issueCost)],
                    text: "\(Quantity.decimal(row.cpuCost, 4)) CPU seconds per GB")
            })
    }

    // MARK: One size

    private var speedBars: Figure {
        var table = DataTable(header: ["contestant", "GB/s", "lowest", "highest", "p50", "p99", "CPU s/GB"])
        var bars: [BarChart.Bar] = []
        for (index, line) in group.lines.enumerated() {
            guard let row = line.rows.first, !row.bytesPerSecond.isEmpty else { continue }
            let (lowest, highest) = (row.bytesPerSecond.min() ?? .nan, row.bytesPerSecond.max() ?? .nan)
            bars.append(
                BarChart.Bar(
                    label: line.label, value: row.speed / 1e9, text: "\(Quantity.rate(row.speed)) GB/s", reference: nil,
                    style: style(index),
                    title:
                        "\(line.label): \(Quantity.rate(row.speed)) GB/s (\(Quantity.rate(lowest)) to \(Quantity.rate(highest)))"
                ))
            table.rows.append([
                line.label, Quantity.rate(row.speed), Quantity.rate(lowest), Quantity.rate(highest),
                Quantity.time(row.latency.map { Double($0.p50) } ?? .nan),
                Quantity.time(row.latency.map { Double($0.p99) } ?? .nan),
                Quantity.decimal(row.cpuCost, 4),
            ])
        }
        let chart = BarChart(
            title: "Throughput: \(group.heading)",
            description: "A bar for each contestant. The table behind the chart has the numbers.",
            xLabel: "GB/s (1 GB = 10⁹ bytes)", bars: bars,
            scale: Scale.linear(bars.map(\.value)) { Quantity.trimmed($0) })
        return Figure(
            heading: "Throughput", note: "Median of the repeats. More is better.", svg: chart.svg(id: "g\(number)-bars"),
            legend: [],
            table: table)
    }

    // MARK: Percentiles

    /// The sizes whose percentile curves are shown: the least, one in the middle, the largest.
    private var curveSizes: [Int] {
        let sizes = group.sizes
        guard sizes.count > 3 else { return sizes }
        return [sizes[0], sizes[sizes.count / 2], sizes[sizes.count - 1]]
    }

    var curves: [Figure] {
        curveSizes.compactMap { size in
            var series: [Series] = []
            var table = DataTable(header: ["contestant", "count", "p50", "p90", "p99", "p99.9", "p99.99", "longest"])
            var heights: [Double] = []
            var last = 99.0
            for (index, line) in group.lines.enumerated() {
                guard let latency = line.rows.first(where: { $0.point.bytes == size })?.latency else { continue }
                // What lies above the last step has no measurement of its own.
                let reached = 100 - 100 / Double(max(latency.count, 2))
                let curve = latency.curve.filter { $0.percentile <= max(reached, 50) }
                let points = curve.map {
                    Series.Point(
                        x: Scale.rarity($0.percentile), y: Double($0.nanoseconds), low: nil, high: nil, title: "")
                }
                guard points.count > 1 else { continue }
                last = max(last, reached)
                heights += points.map(\.y)
                series.append(Series(label: line.label, style: style(index), points: points))
                let all = [latency.p50, latency.p90, latency.p99, latency.p999, latency.p9999, latency.maximum]
                table.rows.append([line.label, Quantity.count(Double(latency.count))] + all.map { Quantity.time(Double($0)) })
            }
            guard !series.isEmpty else { return nil }
            let text = ByteSize.exact(size)
            let chart = LineChart(
                title: "Latency by percentile, \(text): \(group.heading)",
                description:
                    "A curve for each of \(series.map(\.label).joined(separator: "; ")). The table behind the chart has the numbers.",
                xLabel: "percentile (by what is left above)", yLabel: "latency (logarithmic)",
                x: Scale.percentiles(upTo: min(last, 99.999)), y: Scale.logarithmic(heights) { Quantity.tick($0) },
                series: series,
                hasMarkers: false)
            return Figure(
                heading: "Percentiles at \(text)", note: "", svg: chart.svg(id: "g\(number)-p\(size)"),
                legend: series.map { (label: $0.label, style: $0.style) }, table: table)
        }
    }
}

extension Quantity {
    /// A time on an axis: round numbers without a trailing zero.
    static func tick(_ nanoseconds: Double) -> String {
        for (size, unit) in [(1e9, "s"), (1e6, "ms"), (1e3, "µs")] where nanoseconds >= size {
            return decimal(nanoseconds / size, 0) + " " + unit
        }
        return decimal(nanoseconds, nanoseconds < 1 ? 1 : 0) + " ns"
    }
}
