// SPDX-License-Identifier: Apache-2.0

import DMAConformance
import DMASelfTest

/// A self-test's report as people read it.
enum TestTables {
    static func text(_ report: SelfTest.Report, verbose: Bool) -> String {
        var parts: [String] = []
        if !report.speeds.isEmpty { parts.append(speeds(report)) }
        if !report.modes.isEmpty { parts.append(modes(report)) }
        if !report.streams.isEmpty { parts.append(streams(report)) }
        parts.append(contract(report))
        let failures = failures(report)
        if !failures.isEmpty { parts.append(failures.joined(separator: "\n")) }
        let verdict = report.passed ? "every byte right" : "FAILED"
        parts.append("\(Figures.bytes(report.bytesVerified)) verified, \(verdict); seed \(report.seed)")
        return parts.joined(separator: "\n\n")
    }

    private static func speeds(_ report: SelfTest.Report) -> String {
        var table = Table(
            ["engine", "operation", "each", "verified", "GB/s", "op/s", "p50 us", "p99 us", "CPU s/GB", ""], leading: 2)
        for row in report.speeds {
            table.add([
                row.engine, row.operation, Figures.bytes(UInt64(row.bytesEach)), Figures.bytes(row.bytesVerified),
                Figures.rate(row.bytesPerSecond), Figures.count(row.operationsPerSecond), Figures.microseconds(row.latencyP50),
                Figures.microseconds(row.latencyP99), Figures.decimal(row.cpuSecondsPerGB, 3), row.passed ? "ok" : "WRONG",
            ])
        }
        let depth = report.speeds.first?.depth ?? 0
        return table.text
            + "\nGB/s and op/s with \(depth) in flight; p50 and p99 of one alone; 1 GB = 10^9 bytes;\nXOR and PQ have \(Survey.sources) sources and count the bytes of one"
    }

    private static func modes(_ report: SelfTest.Report) -> String {
        var table = Table(["engine", "mode", "asked", "measured", "GB/s", "verified", ""], leading: 2)
        for row in report.modes {
            table.add([
                row.engine, row.mode, Figures.decimal(row.askedShare * 100, 0) + " %",
                Figures.decimal(row.measuredShare * 100, 1) + " %", Figures.rate(row.bytesPerSecond),
                Figures.bytes(row.bytesVerified), row.passed ? "ok" : "WRONG",
            ])
        }
        return table.text
    }

    private static func streams(_ report: SelfTest.Report) -> String {
        var table = Table(["engine", "ring", "periods", "each", "lost", "verified", ""], leading: 2)
        for row in report.streams {
            table.add([
                row.engine, row.direction, String(row.periods), Figures.bytes(UInt64(row.periodBytes)), String(row.lost),
                Figures.bytes(row.bytesVerified), row.passed ? "ok" : "WRONG",
            ])
        }
        return table.text
    }

    private static func contract(_ report: SelfTest.Report) -> String {
        var table = Table(["contract", "passed", "failed", "not applicable", "not run", "questions", "verified"], leading: 1)
        for contract in report.contracts {
            let counts = contract.counts
            table.add([
                contract.engine, String(counts.passed), String(counts.failed), String(counts.notApplicable),
                String(counts.notRun),
                String(contract.rows.reduce(0) { $0 + $1.questions }),
                Figures.bytes(contract.rows.reduce(0) { $0 + $1.bytesVerified }),
            ])
        }
        var text = table.text
        for contract in report.contracts {
            for row in contract.rows {
                if case .notApplicable(let reason) = row.outcome {
                    text += "\n\(contract.engine): \(row.check.rawValue) not applicable: \(reason)"
                } else if case .notRun(let reason) = row.outcome {
                    text += "\n\(contract.engine): \(row.check.rawValue) not run: \(reason)"
                }
            }
        }
        return text
    }

    private static func failures(_ report: SelfTest.Report) -> [String] {
        var lines: [String] = []
        for row in report.speeds { lines += row.faults.map { "\(row.engine) \(row.operation): \($0)" } }
        for row in report.modes where !row.passed { lines.append("\(row.engine) \(row.mode): \(row.bytesWrong) bytes wrong") }
        for row in report.streams where !row.passed {
            lines.append("\(row.engine) \(row.direction): \(row.bytesWrong) bytes wrong, \(row.lost) periods lost")
        }
        for contract in report.contracts {
            lines += contract.failures.map { failure in
                "\(contract.engine) \(failure.check.rawValue) #\(failure.iteration): \(failure.message)"
                    + (failure.parameters.isEmpty ? "" : " {\(failure.parameters)}")
            }
        }
        return lines
    }
}
