// SPDX-License-Identifier: Apache-2.0

internal import DMABench
internal import DMAUnits

/// The speed in the course of the measurements, for rows that have a time series.
extension GroupFigures {
    /// Steps of one line beyond which neighbours are drawn as their mean: a chart has no more columns of pixels.
    private static let most = 500

    var courses: [Figure] {
        group.sizes.compactMap { size in
            let rows = group.lines.enumerated().compactMap { index, line in
                line.rows.first { $0.point.bytes == size && $0.series != nil }.map {
                    (index: index, label: line.label, row: $0)
                }
            }
            guard !rows.isEmpty else { return nil }
            var table = DataTable(header: ["contestant", "interval", "lowest", "median", "highest", "repeats"])
            var series: [Series] = []
            for one in rows {
                guard let course = one.row.series else { continue }
                let speeds = course.bytesPerSecond.flatMap(\.self)
                series.append(Series(label: one.label, style: style(one.index), points: Self.points(course)))
                table.rows.append(
                    [one.label, Quantity.trimmed(course.interval) + " s"]
                        + [speeds.min() ?? .nan, Statistics.median(speeds), speeds.max() ?? .nan].map(Quantity.rate)
                        + ["\(course.bytesPerSecond.count)"])
            }
            let all = series.flatMap(\.points)
            let text = ByteSize.exact(size)
            let chart = LineChart(
                title: "Speed in the course of a measurement, \(text): \(group.heading)",
                description:
                    "Steps for each of \(series.map(\.label).joined(separator: "; ")). The table behind the chart has the numbers.",
                xLabel: "seconds from the beginning of a measurement", yLabel: "GB/s (1 GB = 10⁹ bytes)",
                x: Scale.linear(all.map(\.x)) { Quantity.trimmed($0) }, y: Scale.linear(all.map(\.y)) { Quantity.trimmed($0) },
                series: series, hasMarkers: false)
            return Figure(
                heading: "Speed over time at \(text)", note: "Median of the repeats in each interval.",
                svg: chart.svg(id: "g\(number)-t\(size)"), legend: series.map { (label: $0.label, style: $0.style) },
                table: table)
        }
    }

    /// The ends of the steps, behind a first point at the beginning.
    private static func points(_ course: SpeedSeries) -> [Series.Point] {
        let longest = course.bytesPerSecond.map(\.count).max() ?? 0
        let medians = (0..<longest).map { place in
            Statistics.median(course.bytesPerSecond.compactMap { place < $0.count ? $0[place] : nil })
        }
        let joined = max((longest + most - 1) / most, 1)
        let steps = stride(from: 0, to: longest, by: joined).map { first in
            let part = medians[first..<min(first + joined, longest)]
            return (x: Double(min(first + joined, longest)) * course.interval, y: part.reduce(0, +) / Double(part.count) / 1e9)
        }
        let start = steps.first.map { [(x: 0.0, y: $0.y)] } ?? []
        return (start + steps).map { Series.Point(x: $0.x, y: $0.y, low: nil, high: nil, title: "") }
    }
}
