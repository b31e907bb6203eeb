// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import DMABench

@Suite("CSV")
struct CSVTests {
    /// The fields of each line, as RFC 4180 has them.
    private func parsed(_ text: String) -> [[String]] {
        var (lines, line, field): ([[String]], [String], String) = ([], [], "")
        var isQuoted = false
        // A quote in quotes is two: the first ends, the second begins again and is kept.
        var before: Unicode.Scalar = ","
        for scalar in text.unicodeScalars {
            defer { before = scalar }
            if scalar == "\"" {
                isQuoted.toggle()
                if isQuoted, before == "\"" { field.unicodeScalars.append(scalar) }
            } else if isQuoted {
                field.unicodeScalars.append(scalar)
            } else if scalar == "," || scalar == "\n" {
                line.append(field)
                field = ""
                if scalar == "\n" {
                    lines.append(line)
                    line = []
                }
            } else if scalar != "\r" {
                field.unicodeScalars.append(scalar)
            }
        }
        return lines
    }

    private func columns(_ result: BenchResult) throws -> [String: String] {
        let lines = parsed(result.csv)
        try #require(lines.count == 2 && lines[0].count == lines[1].count)
        return Dictionary(uniqueKeysWithValues: zip(lines[0], lines[1]))
    }

    @Test("each column holds what its head says")
    func heads() throws {
        var result = ResultTests.result(["a": [3e9, 1e9, 2e9, 2e9]])
        result.rows[0].inFlight = 31
        result.rows[0].point.mode = .cycleStealing(0.5)
        result.rows[0].point.wait = .wait
        result.rows[0].point.threads = 2
        result.rows[0].cpuSecondsPerGB = [0.25, 0.5, 4]
        result.rows[0].submitNanoseconds = [21, 22, 27]
        result.rows[0].issueNanoseconds = [5, 6, 10]
        result.rows[0].latency = LatencySummary(
            count: 9, minimum: 1, mean: 2, p50: 50, p90: 90, p99: 99, p999: 999, p9999: 9999, maximum: 10_000, curve: [])
        result.rows[0].share = [0.125, 0.25, 0.5]
        result.rows[0].foreground = [.init(aloneP50: 1, aloneP99: 2, besideP50: 3, besideP99: 4, rate: 0.5)]
        result.rows[0].disturbedRepeats = 1
        (result.rows[0].bytesVerified, result.rows[0].bytesWrong) = (77, 3)
        result.rows[0].implementation = "words, \"fast\"\nones"
        result.rows[0].notes = ["one", "two"]
        result.rows[0].failure = "late"
        result.rows[0].point.rate = 1_000_000
        result.rows[0].point.nodes = NodePair(source: 0, destination: 1)
        result.rows[0].point.beside = "b"
        let expected = [
            "case": "test", "engine": "a", "operation": "copy", "bytes": "4096", "depth": "32", "in_flight": "31",
            "threads": "2", "mode": "cycle-stealing:0.5", "wait": "wait", "repeats": "4", "bytes_per_second": "2000000000.0",
            "lowest": "1000000000.0", "highest": "3000000000.0", "spread": "0.125", "operations_per_second": "488281.25",
            "cpu_seconds_per_gb": "0.5", "submit_ns": "22.0", "issue_ns": "6.0", "latency_alone_p50_ns": "",
            "latency_alone_p99_ns": "", "latency_p50_ns": "50", "latency_p90_ns": "90",
            "latency_p99_ns": "99", "latency_p999_ns": "999", "latency_maximum_ns": "10000", "share": "0.25",
            "foreground_alone_p99_ns": "2.0", "foreground_beside_p99_ns": "4.0", "disturbed_repeats": "1",
            "bytes_verified": "77", "bytes_wrong": "3", "implementation": "words, \"fast\"\nones", "notes": "one; two",
            "failure": "late", "rate": "1000000", "source_node": "0", "destination_node": "1", "beside": "b",
        ]
        let found = try columns(result)
        for (name, value) in expected { #expect(found[name] == value, "\(name)") }
        #expect(found.count == expected.count)
    }

    @Test("where there is no figure, the field is empty")
    func empty() throws {
        let found = try columns(ResultTests.result(["a": []]))
        for name in ["bytes_per_second", "lowest", "highest", "operations_per_second", "latency_p50_ns", "share", "failure"] {
            #expect(found[name] == "", "\(name)")
        }
        #expect(found["repeats"] == "0")
    }

    @Test("what a spreadsheet would take for a formula gets an apostrophe; numbers do not")
    func formulas() {
        for field in ["=1+1", "+1", "@sum", "\tx", "-x", "-1-1"] { #expect(CSVField.quoted(field) == "'" + field) }
        for field in ["-1", "-1e-3", "1", "a=b", "", "memcpy"] { #expect(CSVField.quoted(field) == field) }
        #expect(CSVField.quoted("\rx") == "\"'\rx\"")
        #expect(CSVField.quoted("=a,b") == "\"'=a,b\"")
    }
}
