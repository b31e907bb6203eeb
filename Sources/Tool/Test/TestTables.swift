// SPDX-License-Identifier: Apache-2.0

import DMAConformance
import DMASelfTest

/// A self-test's report as people read it: the contract, what was made to go wrong, modes and rings, and last the one table of all engines and
/// operations.
enum TestTables {
    static func text(_ report: SelfTest.Report, verbose: Bool) -> String {
        var parts = [introduction, ran(report)].filter { !$0.isEmpty }
        if !report.contracts.isEmpty { parts.append(contract(report, verbose: verbose)) }
        if !report.faults.isEmpty { parts.append(faults(report)) }
        if !report.modes.isEmpty { parts.append(modes(report)) }
        if !report.streams.isEmpty { parts.append(streams(report)) }
        if !report.speeds.isEmpty { parts.append(speeds(report)) }
        let waivers = (report.waivers ?? []).map { Terminal.styled("\($0.engine): \($0.sentence)", .warning) }
        if !waivers.isEmpty { parts.append(waivers.joined(separator: "\n")) }
        let failures = failures(report) + hint(report)
        if !failures.isEmpty { parts.append(failures.map { Terminal.styled($0, .bad) }.joined(separator: "\n")) }
        var verified = report.bytesVerified == 0 ? "nothing verified" : "\(Figures.bytes(report.bytesVerified)) verified"
        let rules = report.contracts.map(\.rules).reduce((0, 0)) { ($0.0 + $1.held, $0.1 + $1.applying) }
        if rules.1 > 0 { verified += ", \(rules.0) of \(rules.1) rules that apply held" }
        let verdict =
            !report.hasFailed
            ? Terminal.styled(report.bytesVerified == 0 ? "nothing failed" : "every byte right", .good)
            : Terminal.styled("FAILED", .bad)
        let lack = report.stopped.map { "stopped: \($0.engines.joined(separator: ", ")) not tested to the end" }
        let rest = lack.map { ", " + Terminal.styled($0, .warning) } ?? ""
        parts.append(Terminal.wrapped("\(verified), \(verdict)\(rest); seed \(report.seed)"))
        return parts.joined(separator: "\n\n")
    }

    private static let introduction = caption(
        "Each engine moves random bytes in every way that it offers, and every byte is compared with what it must be.")

    /// A sentence above a table, for who does not know the words in it.
    private static func caption(_ text: String) -> String { Terminal.wrapped(text, width: Terminal.width ?? 80) }

    /// What each engine ran on, a line each.
    private static func ran(_ report: SelfTest.Report) -> String {
        (report.engines ?? []).map { ran in
            let line = Terminal.wrapped(Ran.line(ran.engine, ran.implementation, ran.fallback), indent: 2)
            return ran.fallback == nil ? line : Terminal.styled(line, .warning)
        }.joined(separator: "\n")
    }

    private static func verdict(_ passed: Bool) -> Table.Cell { passed ? Table.Cell("ok", .good) : Table.Cell("WRONG", .bad) }

    private static func speeds(_ report: SelfTest.Report) -> String {
        var table = Table(
            ["engine", "operation", "each", "verified", "GB/s", "op/s", "p50 us", "p99 us", "CPU s/GB", ""], leading: 2,
            optional: ["each", "op/s", "CPU s/GB", "verified"])
        for row in report.speeds {
            table.add(
                [
                    row.engine, row.operation, Figures.bytes(UInt64(row.bytesEach)), Figures.bytes(row.bytesVerified),
                    Figures.rate(row.bytesPerSecond), Figures.count(row.operationsPerSecond),
                    Figures.microseconds(row.latencyP50),
                    Figures.microseconds(row.latencyP99), Figures.decimal(row.cpuSecondsPerGB, 3),
                ].map { Table.Cell($0) } + [verdict(row.passed)])
        }
        let depths = report.speeds.map(\.depth)
        let (least, most) = (depths.min() ?? 0, depths.max() ?? 0)
        let inFlight = least == most ? "\(most)" : "\(least) to \(most)"
        return caption("Speed: each operation as fast as it goes.") + "\n" + table.text + "\n"
            + Terminal.wrapped(
                "GB/s and op/s with \(inFlight) in flight; p50 and p99 of one alone; 1 GB = 10^9 bytes; XOR and PQ count the bytes of one source"
            )
    }

    private static func modes(_ report: SelfTest.Report) -> String {
        var table = Table(["engine", "mode", "asked", "measured", "GB/s", "verified", ""], leading: 2, optional: ["verified"])
        for row in report.modes {
            table.add(
                [
                    row.engine, row.mode, Figures.percent(row.askedShare, 0),
                    Figures.percent(row.measuredShare), Figures.rate(row.bytesPerSecond),
                    Figures.bytes(row.bytesVerified),
                ].map { Table.Cell($0) } + [verdict(row.passed)])
        }
        return caption("Transfer modes: the share of the time that an engine was to be at work, and was.") + "\n" + table.text
    }

    private static func streams(_ report: SelfTest.Report) -> String {
        var table = Table(["engine", "ring", "periods", "each", "lost", "verified", ""], leading: 2, optional: ["each"])
        for row in report.streams {
            table.add(
                [
                    row.engine, row.direction, String(row.periods), Figures.bytes(UInt64(row.periodBytes)), String(row.lost),
                    Figures.bytes(row.bytesVerified),
                ].map { Table.Cell($0) } + [verdict(row.passed)])
        }
        return caption("Rings: a stream in periods, each read or written before the next one comes.") + "\n" + table.text
    }

    private static func faults(_ report: SelfTest.Report) -> String {
        var table = Table(
            ["engine", "injected", "times", "noticed", "memory back", "verified", ""], leading: 2,
            optional: ["verified", "memory back"])
        for row in report.faults {
            table.add(
                [
                    row.engine, row.fault.title, String(row.injected), row.noticed.map(String.init) ?? "-",
                    "\(row.cargoBack)/\(row.transactions)", Figures.bytes(row.bytesVerified),
                ].map { Table.Cell($0) } + [verdict(row.passed)])
        }
        return caption("Injected faults: what an engine reports is spoiled; it must be noticed, and no memory lost.") + "\n"
            + table.text
    }

    private static func contract(_ report: SelfTest.Report, verbose: Bool) -> String {
        var table = Table(
            [
                "contract", "rules held", "other checks", "failed", "not proved", "not run", "not applicable", "verified",
            ], leading: 1, optional: ["verified", "not applicable", "other checks", "not run", "not proved"])
        for contract in report.contracts {
            let (counts, rules) = (contract.counts, contract.rules)
            let others = (passed: counts.passed - rules.held, all: contract.rows.count - counts.notApplicable - rules.applying)
            table.add(
                [
                    contract.engine, "\(rules.held) of \(rules.applying)", "\(others.passed) of \(others.all)",
                    String(counts.failed), String(counts.notProved), String(counts.notRun), String(counts.notApplicable),
                    Figures.bytes(contract.rows.reduce(0) { $0 + $1.bytesVerified }),
                ].map { Table.Cell($0) })
        }
        var text =
            caption(
                "The contract: the rules that programs count on, each tried with random lengths and offsets (dmactl explain rule18)."
            )
            + "\n" + table.text
        guard verbose else { return text }
        for contract in report.contracts {
            for row in contract.rows {
                let outcome =
                    switch row.outcome {
                    case .passed: row.check.rule == nil ? "passed" : "held"
                    case .failed(let count): "FAILED, \(count)"
                    case .notProved(let reason): "NOT PROVED: \(reason)"
                    case .notApplicable(let reason): "not applicable: \(reason)"
                    case .notRun(let reason): "not run: \(reason)"
                    }
                text += "\n\(contract.engine) \(row.check.rawValue) (\(row.check.title)): \(outcome)"
            }
        }
        return text
    }

    /// Where to read about what did not hold.
    private static func hint(_ report: SelfTest.Report) -> [String] {
        var checks: [String] = []
        for row in report.contracts.flatMap(\.rows) where !checks.contains(row.check.rawValue) {
            switch row.outcome {
            case .failed, .notProved: checks.append(row.check.rawValue)
            case .passed, .notApplicable, .notRun: break
            }
        }
        guard let first = checks.first else { return [] }
        return ["what a check is about: dmactl explain \(checks.count > 4 ? first : checks.joined(separator: " "))"]
    }

    private static func failures(_ report: SelfTest.Report) -> [String] {
        var lines = report.stops.map { "\($0.engine): \($0.sentence)" }
        for row in report.speeds { lines += row.faults.map { "\(row.engine) \(row.operation): \($0)" } }
        for row in report.faults { lines += row.findings.map { "\(row.engine) \(row.fault.title): \($0)" } }
        for row in report.modes where !row.passed { lines.append("\(row.engine) \(row.mode): \(row.bytesWrong) bytes wrong") }
        for row in report.streams where !row.passed {
            lines.append("\(row.engine) \(row.direction): \(row.bytesWrong) bytes wrong, \(row.lost) periods lost")
        }
        for contract in report.contracts {
            for row in contract.rows {
                if case .notProved(let reason) = row.outcome {
                    lines.append("\(contract.engine) \(row.check.rawValue): not proved: \(reason)")
                }
            }
            lines += contract.failures.map { failure in
                "\(contract.engine) \(failure.check.rawValue) #\(failure.iteration): \(failure.message)"
                    + (failure.parameters.isEmpty ? "" : " {\(failure.parameters)}")
            }
        }
        return lines
    }
}
