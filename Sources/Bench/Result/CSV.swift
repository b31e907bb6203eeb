// SPDX-License-Identifier: Apache-2.0

extension BenchResult {
    /// The rows as RFC 4180 has it: one line each, with a header; medians, and the spread of the speed.
    package var csv: String {
        let header = [
            "case", "engine", "operation", "bytes", "depth", "in_flight", "threads", "mode", "wait", "repeats",
            "bytes_per_second", "lowest", "highest", "spread", "operations_per_second", "cpu_seconds_per_gb", "submit_ns",
            "issue_ns", "latency_alone_p50_ns", "latency_alone_p99_ns", "latency_p50_ns", "latency_p90_ns", "latency_p99_ns",
            "latency_p999_ns", "latency_maximum_ns", "share",
            "foreground_alone_p99_ns", "foreground_beside_p99_ns", "disturbed_repeats", "bytes_verified", "bytes_wrong",
            "implementation", "notes", "failure", "rate", "source_node", "destination_node", "beside",
        ]
        let lines = rows.map { row in
            let point = row.point
            let key = [
                row.name, point.engine, point.operation.rawValue, "\(point.bytes)", "\(point.depth)", "\(row.inFlight)",
                "\(point.threads)", point.mode.text, point.wait.rawValue, "\(row.bytesPerSecond.count)",
            ]
            let speed = [
                row.speed, row.bytesPerSecond.min() ?? .nan, row.bytesPerSecond.max() ?? .nan, row.spread,
                row.operationsPerSecond,
                row.cpuCost, row.submitCost, row.issueCost,
            ].map(CSVField.number)
            let latency = [
                row.unloaded?.p50, row.unloaded?.p99, row.latency?.p50, row.latency?.p90, row.latency?.p99, row.latency?.p999,
                row.latency?.maximum,
            ].map { $0.map(String.init) ?? "" }
            let modes = [
                Statistics.median(row.share), Statistics.median(row.foreground.map(\.aloneP99)),
                Statistics.median(row.foreground.map(\.besideP99)),
            ].map(CSVField.number)
            let rest =
                [
                    "\(row.disturbedRepeats)", "\(row.bytesVerified)", "\(row.bytesWrong)", row.implementation,
                    row.notes.joined(separator: "; "), row.failure ?? "",
                ] + BenchResult.conditions(point)
            return key + speed + latency + modes + rest
        }
        return CSVField.text(header, lines)
    }

    /// The time series as RFC 4180 has it: one line for each interval of each repeat.
    package var seriesCSV: String {
        let header = [
            "case", "engine", "operation", "bytes", "depth", "threads", "mode", "wait", "rate", "source_node",
            "destination_node", "beside", "repeat", "seconds", "bytes_per_second",
        ]
        let lines = rows.flatMap { row in
            let point = row.point
            let interval = row.series?.interval ?? 0
            return (row.series?.bytesPerSecond ?? []).enumerated().flatMap { number, speeds in
                speeds.enumerated().map { place, speed in
                    [
                        row.name, point.engine, point.operation.rawValue, "\(point.bytes)", "\(point.depth)",
                        "\(point.threads)", point.mode.text, point.wait.rawValue,
                    ] + BenchResult.conditions(point) + [
                        "\(number + 1)", CSVField.number((Double(place) * interval * 1e6).rounded() / 1e6),
                        CSVField.number(speed),
                    ]
                }
            }
        }
        return CSVField.text(header, lines)
    }

    private static func conditions(_ point: BenchPoint) -> [String] {
        [
            point.rate.map(String.init) ?? "", point.nodes.map { "\($0.source)" } ?? "",
            point.nodes.map { "\($0.destination)" } ?? "", point.beside ?? "",
        ]
    }
}

enum CSVField {
    static func text(_ header: [String], _ lines: [[String]]) -> String {
        ([header] + lines).map { $0.map(quoted).joined(separator: ",") + "\r\n" }.joined()
    }

    /// Empty where there is no number.
    static func number(_ value: Double) -> String { value.isFinite ? "\(value)" : "" }

    /// In quotes where it must be. A field that a spreadsheet would take for a formula gets an apostrophe, as spreadsheets have
    /// it.
    static func quoted(_ field: String) -> String {
        var text = field
        if let first = text.first, "=+@\t\r".contains(first) || (first == "-" && Double(text) == nil) { text = "'" + text }
        let needs = text.contains { ",\"\n\r".contains($0) || $0 == "\r\n" }
        return needs
            ? "\"" + text.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\"" : text
    }
}
