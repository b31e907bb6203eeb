// SPDX-License-Identifier: Apache-2.0

/// The outcome of a check.
public enum ConformanceOutcome: Hashable, Sendable {
    /// No failure.
    case passed
    /// Failed, with the number of failures.
    case failed(Int)
    /// No failure, but the run did not reach the case that the check is about: not a pass. With the missing case.
    case notProved(String)
    /// The engine lacks the feature that the check is about. With the missing feature.
    case notApplicable(String)
    /// The time was over, or another reason unrelated to the engine.
    case notRun(String)
}

/// As `{"kind": "failed", "count": 3}`: a name, with its number or reason.
extension ConformanceOutcome: Codable {
    private enum Kind: String, Codable {
        case passed, failed, notProved, notApplicable, notRun
    }

    private enum Key: String, CodingKey {
        case kind, count, reason
    }

    private var kind: Kind {
        switch self {
        case .passed: .passed
        case .failed: .failed
        case .notProved: .notProved
        case .notApplicable: .notApplicable
        case .notRun: .notRun
        }
    }

    /// Decodes the output of ``encode(to:)``.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        func reason() throws -> String { try container.decode(String.self, forKey: .reason) }
        self =
            switch try container.decode(Kind.self, forKey: .kind) {
            case .passed: .passed
            case .failed: .failed(try container.decode(Int.self, forKey: .count))
            case .notProved: .notProved(try reason())
            case .notApplicable: .notApplicable(try reason())
            case .notRun: .notRun(try reason())
            }
    }

    /// Encodes the kind, and its number or reason.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(kind, forKey: .kind)
        if case .failed(let count) = self { try container.encode(count, forKey: .count) }
        try container.encodeIfPresent(reason, forKey: .reason)
    }
}

extension ConformanceOutcome {
    /// Why a check neither passed nor failed; nil for the others.
    public var reason: String? {
        switch self {
        case .passed, .failed: nil
        case .notProved(let reason), .notApplicable(let reason), .notRun(let reason): reason
        }
    }
}

/// A failure, with the parameters that reproduce it.
public struct ConformanceFailure: Hashable, Sendable, Codable {
    /// The check that found it.
    public let check: ConformanceCheck
    /// The run's seed: a suite with this seed, and with only this check, repeats it.
    public let seed: UInt64
    /// The iteration of the check, from 0.
    public let iteration: Int
    /// Sizes, offsets and flags of the transaction; empty where there is none.
    public let parameters: String
    /// The finding.
    public let message: String
}

/// The results of the suite for one engine.
public struct ConformanceReport: Hashable, Sendable, Codable {
    /// One check on this engine.
    public struct Row: Hashable, Sendable, Codable {
        /// The check.
        public let check: ConformanceCheck
        /// The outcome.
        public let outcome: ConformanceOutcome
        /// The number of assertions.
        public let questions: Int
        /// Bytes compared with their expected values.
        public let bytesVerified: UInt64
        /// The duration of the check.
        public let nanoseconds: Int64
    }

    /// The engine's name.
    public let engine: String
    /// The code or hardware that did the work, as the engine reports it.
    public let implementation: String
    /// Whether the engine is scripted by a test; a rule that only such engines exercise is not proved on a real one.
    public let isScripted: Bool
    /// The seed, which reproduces the run.
    public let seed: UInt64
    /// The number of iterations of each repeated check.
    public let iterations: Int
    /// The maximum size of a transfer. Bytes.
    public let maximumBytes: Int
    /// One row for each check, in the suite's order.
    public let rows: [Row]
    /// The failures, at least the first of each check.
    public let failures: [ConformanceFailure]
    /// Failures that were counted and not stored.
    public let furtherFailures: Int

    /// Whether nothing failed, and no check that ran was left unproved. Ignores checks that are not applicable or were not run.
    public var passed: Bool { counts.failed == 0 && counts.notProved == 0 }

    /// The number of the contract's rules that apply to this engine, and how many of those held.
    public var rules: (held: Int, applying: Int) {
        rows.reduce(into: (held: 0, applying: 0)) { rules, row in
            guard row.check.rule != nil else { return }
            switch row.outcome {
            case .passed: rules = (rules.held + 1, rules.applying + 1)
            case .failed, .notProved, .notRun: rules.applying += 1
            case .notApplicable: break
            }
        }
    }

    /// The row of one check; nil where it was left out.
    public func row(_ check: ConformanceCheck) -> Row? { rows.first { $0.check == check } }

    /// The number of rows that passed, failed, were not proved, not applicable, or not run.
    public var counts: (passed: Int, failed: Int, notProved: Int, notApplicable: Int, notRun: Int) {
        rows.reduce(into: (passed: 0, failed: 0, notProved: 0, notApplicable: 0, notRun: 0)) { counts, row in
            switch row.outcome {
            case .passed: counts.passed += 1
            case .failed: counts.failed += 1
            case .notProved: counts.notProved += 1
            case .notApplicable: counts.notApplicable += 1
            case .notRun: counts.notRun += 1
            }
        }
    }

    /// The rows as text: check, outcome, bytes verified, title; then the number of rules that held, and the failures.
    public var table: String {
        let (counts, rules) = (counts, rules)
        var text = "\(engine) (\(implementation)), seed \(seed), \(iterations) iterations of up to \(maximumBytes) bytes\n"
        for row in rows {
            let name = row.check.rawValue.padded(to: 14)
            let outcome = describe(row.outcome).padded(to: 24)
            let bytes = String(row.bytesVerified).padded(to: 12, right: true)
            let reason = row.outcome.reason.map { " — " + $0 } ?? ""
            text += name + outcome + bytes + "  " + row.check.title + reason + "\n"
        }
        text +=
            "\(rules.held) of \(rules.applying) rules that apply held; of all checks \(counts.passed) passed, \(counts.failed) failed, "
            + "\(counts.notProved) not proved, \(counts.notApplicable) not applicable, \(counts.notRun) not run\n"
        for failure in failures {
            text += "  \(failure.check.rawValue) #\(failure.iteration): \(failure.message)"
            if !failure.parameters.isEmpty { text += " {\(failure.parameters)}" }
            text += "\n"
        }
        if furtherFailures > 0 { text += "  and \(furtherFailures) more\n" }
        return text
    }

    private func describe(_ outcome: ConformanceOutcome) -> String {
        switch outcome {
        case .passed: isScripted ? "passed (scripted only)" : "passed"
        case .failed(let count): "FAILED (\(count))"
        case .notProved: "NOT PROVED"
        case .notApplicable: "not applicable"
        case .notRun: "not run"
        }
    }
}

/// Several reports side by side: which engines prove each row.
public struct ConformanceSummary: Hashable, Sendable, Codable {
    /// One check, over all engines.
    public struct Row: Hashable, Sendable, Codable {
        /// The check.
        public let check: ConformanceCheck
        /// Real engines and scripted engines that passed.
        public let passedOn: [String]
        /// Scripted engines that passed.
        public let scriptedOn: [String]
        /// Engines of either kind that failed, or for which the check was not proved.
        public let failedOn: [String]
        /// Whether only scripted engines passed.
        public var isScriptedOnly: Bool { passedOn.isEmpty && !scriptedOn.isEmpty }
    }

    /// One for each check, in the suite's order.
    public let rows: [Row]

    /// Combines the reports of one build's engines.
    public init(_ reports: [ConformanceReport]) {
        rows = ConformanceCheck.allCases.map { check in
            func engines(_ isScripted: Bool, _ wanted: (ConformanceOutcome) -> Bool) -> [String] {
                reports.filter { report in
                    report.isScripted == isScripted && report.row(check).map { wanted($0.outcome) } == true
                }.map(\.engine)
            }
            let failed: (ConformanceOutcome) -> Bool = {
                switch $0 {
                case .failed, .notProved: true
                case .passed, .notApplicable, .notRun: false
                }
            }
            return Row(
                check: check, passedOn: engines(false) { $0 == .passed }, scriptedOn: engines(true) { $0 == .passed },
                failedOn: engines(false, failed) + engines(true, failed))
        }
    }
}

extension String {
    fileprivate func padded(to width: Int, right: Bool = false) -> String {
        let fill = String(repeating: " ", count: max(width - count, right ? 0 : 1))
        return right ? fill + self : self + fill
    }
}
