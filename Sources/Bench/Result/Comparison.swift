// SPDX-License-Identifier: Apache-2.0

/// This run beside an earlier one, row by row, by speed.
///
/// A row has changed where the test of Mann and Whitney finds less than 5 % probability for so different repeats from one and
/// the same speed, *and* the medians lie at least 2 % apart. It is the same where the ratio lies within 2 % of 1 with 95 % confidence, and
/// unclear otherwise. The repeats of one run share that run's machine, its memory's
/// pages, its hour; a real change shows again when both versions are run in turn.
package struct Comparison: Hashable, Sendable, Codable {
    /// What is said of a row.
    package enum Verdict: String, Hashable, Sendable, Codable {
        case faster
        case slower
        /// Whatever difference there is, is too small to matter.
        case same
        /// Chance explains the difference, and would explain one that matters: more repeats are needed.
        case unclear
        /// So few repeats that no difference could be told from chance.
        case tooFewRepeats
        /// In the earlier run there is no such row, or it failed.
        case new
        /// It failed in this run.
        case failed
    }

    /// One row of this run.
    package struct Row: Hashable, Sendable, Codable {
        package var name: String
        package var point: BenchPoint
        /// Medians, bytes in a second; nil where there is none.
        package var before: Double?
        package var after: Double?
        /// `after / before`.
        package var ratio: Double?
        /// Of the test, two-sided.
        package var probability: Double?
        /// Between these `ratio` lies with 95 % confidence; nil for too few repeats.
        package var low: Double?
        package var high: Double?
        /// The smallest difference, as a share, that so many repeats would have shown; nil for too few.
        package var smallestDifference: Double?
        /// How many repeats the difference that there is takes to be shown; nil where it is shown, or too few repeats tell nothing.
        package var repeatsNeeded: Int?
        /// What the engine ran on in each run, where that differs: then something else was measured.
        package var implementationBefore: String?
        package var implementationAfter: String?
        package var verdict: Verdict
    }

    /// Below it, a difference counts as more than chance.
    package static let significance = 0.05
    /// Below it, a difference counts as none.
    package static let relevance = 0.02

    package var rows: [Row]
    /// Points of the earlier run that this one does not have.
    package var gone: [BenchPoint]
    /// What makes the two runs hard to compare: another processor, kernel, compiler, settings, or a busy machine.
    package var cautions: [String]

    package init(_ after: BenchResult, since before: BenchResult) {
        func key(_ row: BenchRow) -> String { "\(row.name)\u{0}\(row.point)" }
        let earlier = Dictionary(before.rows.map { (key($0), $0) }, uniquingKeysWith: { first, _ in first })
        let later = Set(after.rows.map(key))
        rows = after.rows.map { Row($0, since: earlier[key($0)]) }
        gone = before.rows.filter { !later.contains(key($0)) }.map(\.point)
        var cautions: [String] = []
        func compare(_ what: String, _ old: String?, _ new: String?) {
            if let old, let new, old != new { cautions.append("another \(what): \(old) then, \(new) now") }
        }
        compare("processor", before.machine.processor, after.machine.processor)
        compare("number of processors", "\(before.machine.processorsAllowed)", "\(after.machine.processorsAllowed)")
        compare("kernel", before.machine.kernel, after.machine.kernel)
        compare("compiler", before.machine.compiler, after.machine.compiler)
        let settings = Dictionary(before.plan.cases.map { ($0.name, $0.settings) }, uniquingKeysWith: { first, _ in first })
        for sweep in after.plan.cases where settings[sweep.name].map({ !$0.measuresLike(sweep.settings) }) ?? false {
            cautions.append("\"\(sweep.name)\" was measured with other settings")
        }
        var others: [String] = []
        for row in rows {
            guard let old = row.implementationBefore, let new = row.implementationAfter else { continue }
            let text = "another implementation of \(row.point.engine): \(old) then, \(new) now"
            if !others.contains(text) { others.append(text) }
        }
        cautions += others
        for warning in before.warnings { cautions.append("then: \(warning)") }
        for warning in after.warnings { cautions.append("now: \(warning)") }
        let tested = rows.count { $0.probability != nil }
        if tested >= 20 {
            let expected = Int((Double(tested) * Comparison.significance).rounded())
            cautions.append("of \(tested) rows, about \(expected) seem different by chance alone")
        }
        self.cautions = cautions
    }

    /// Whether some row got slower, or failed.
    package var hasRegressed: Bool { rows.contains { $0.verdict == .slower || $0.verdict == .failed } }
}

extension Comparison.Row {
    init(_ after: BenchRow, since before: BenchRow?) {
        name = after.name
        point = after.point
        self.after = after.bytesPerSecond.isEmpty ? nil : after.speed
        guard !after.hasFailed, !after.bytesPerSecond.isEmpty else {
            verdict = .failed
            return
        }
        guard let before, !before.hasFailed, !before.bytesPerSecond.isEmpty, before.speed > 0 else {
            verdict = .new
            return
        }
        self.before = before.speed
        if before.implementation != after.implementation {
            (implementationBefore, implementationAfter) = (before.implementation, after.implementation)
        }
        let ratio = after.speed / before.speed
        self.ratio = ratio
        let (now, then) = (after.bytesPerSecond, before.bytesPerSecond)
        let probability = MannWhitney(now, then).probability
        self.probability = probability
        let interval = SpeedRatio(now, then)
        (low, high, smallestDifference) = (interval?.low, interval?.high, interval?.smallestDifference)
        if MannWhitney.floor(now.count, then.count) >= Comparison.significance {
            verdict = .tooFewRepeats
        } else if probability < Comparison.significance, abs(ratio - 1) >= Comparison.relevance {
            verdict = ratio > 1 ? .faster : .slower
        } else if let interval, interval.low >= 1 - Comparison.relevance, interval.high <= 1 + Comparison.relevance {
            verdict = .same
        } else {
            verdict = .unclear
            repeatsNeeded = interval?.repeatsNeeded
        }
    }
}
