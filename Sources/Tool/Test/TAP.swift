// SPDX-License-Identifier: Apache-2.0

import DMAConformance
import DMASelfTest

/// A test's report in the Test Anything Protocol: one test point for each check and measurement of each engine.
///
/// Version 13 (https://testanything.org/tap-version-13-specification.html), because Perl's prove takes nothing later for valid.
enum TAP {
    static func text(_ report: SelfTest.Report, again: String) -> String {
        var points: [String] = []
        func add(_ passed: Bool, _ name: String, directive: String = "", _ details: [(String, String)] = []) {
            var text = "\(passed ? "ok" : "not ok") \(points.count + 1) - \(escaped(name))\(directive)"
            if !details.isEmpty {
                text += "\n  ---" + details.map { "\n  \($0.0): \(quoted($0.1))" }.joined() + "\n  ..."
            }
            points.append(text)
        }
        for contract in report.contracts {
            for row in contract.rows {
                let name = "\(contract.engine) \(row.check.rawValue): \(row.check.title)"
                switch row.outcome {
                case .passed: add(true, name)
                case .notApplicable(let reason), .notRun(let reason): add(true, name, directive: " # SKIP \(escaped(reason))")
                case .notProved(let reason): add(false, name, [("message", "not proved: \(reason)"), ("repeat", again)])
                case .failed:
                    let found = contract.failures.filter { $0.check == row.check }.map(\.message)
                    add(false, name, [("message", found.first ?? "failed"), ("repeat", again)])
                }
            }
        }
        for stop in report.stops {
            add(false, "\(stop.engine) can be tested", [("message", stop.sentence), ("repeat", again)])
        }
        for row in report.faults {
            add(row.passed, "\(row.engine) fault: \(row.fault.title)", details(row.findings, again))
        }
        for row in report.modes {
            let wrong = row.passed ? [] : ["\(row.bytesWrong) bytes wrong"]
            add(
                row.passed, "\(row.engine) mode: \(row.mode) \(Figures.decimal(row.askedShare * 100, 0)) %",
                details(wrong, again))
        }
        for row in report.streams {
            let wrong = row.passed ? [] : ["\(row.bytesWrong) bytes wrong, \(row.lost) periods lost"]
            add(row.passed, "\(row.engine) ring: \(row.direction)", details(wrong, again))
        }
        for row in report.speeds {
            add(
                row.passed, "\(row.engine) speed: \(row.operation), \(Figures.rate(row.bytesPerSecond)) GB/s",
                details(row.faults, again))
        }
        let ran = (report.engines ?? []).map { "# " + escaped(Ran.line($0.engine, $0.implementation, $0.fallback)) }
        var lines = ["TAP version 13", "1..\(points.count)", "# seed \(report.seed)"] + ran + points
        // What is missing must not count as passed: this line tells readers that the test is incomplete.
        if let stopped = report.stopped {
            lines.append("Bail out! stopped: \(escaped(stopped.engines.joined(separator: ", "))) not tested to the end")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func details(_ findings: [String], _ again: String) -> [(String, String)] {
        findings.first.map { [("message", $0), ("repeat", again)] } ?? []
    }

    /// A description, in which a number sign would begin a directive and a line end a new line.
    private static func escaped(_ text: String) -> String {
        text.reduce(into: "") { result, character in
            switch character {
            case "#", "\\": result += "\\\(character)"
            case _ where character.isNewline: result += " "
            default: result.append(character)
            }
        }
    }

    /// A value of the block, which is YAML.
    private static func quoted(_ text: String) -> String {
        "'" + text.reduce(into: "") { $0 += $1 == "'" ? "''" : $1.isNewline ? " " : String($1) } + "'"
    }
}
