// SPDX-License-Identifier: Apache-2.0

extension BenchResult {
    /// The first thing in a result that no run can have found, for results that come from a file; nil where there is none.
    ///
    /// What shows or compares results counts on it: numbers are finite and in a range that can be drawn, repeats are as few as a plan
    /// may ask for, and no text has characters that a terminal would obey.
    package var implausibility: String? {
        if !Plausible.time.contains(seconds) || !Plausible.time.contains(disturbance.seconds) { return "seconds" }
        let shares = [disturbance.steal, disturbance.runQueueWait, disturbance.pressure]
        if !shares.compactMap(\.self).allSatisfy(Plausible.time.contains) { return "disturbance" }
        if let stopped, stopped.made < 0 || stopped.made > stopped.planned { return "stopped" }
        if rows.count > 10 * BenchPlan.pointLimit || skipped.count > 10 * BenchPlan.pointLimit { return "the number of rows" }
        let names = plan.cases.flatMap { [$0.name] + $0.engines } + command + warnings + skipped.map(\.reason)
        let facts = [machine.processor, machine.caches, machine.governor, machine.revision].compactMap(\.self)
        let texts = names + facts + [began, machine.architecture, machine.kernel, machine.compiler]
        if texts.contains(where: \.hasControls) { return "a text" }
        for (number, row) in rows.enumerated() {
            if let what = row.implausibility { return "rows[\(number)]: \(what)" }
        }
        for (number, one) in skipped.enumerated() {
            if let what = one.point.implausibility { return "skipped[\(number)]: \(what)" }
        }
        return nil
    }
}

private enum Plausible {
    static let time = 0.0...1e12
    static let nanoseconds = 0...1_000_000_000_000
    static let repeats = 0...1000
}

extension BenchPoint {
    fileprivate var implausibility: String? {
        if engine.hasControls { return "engine" }
        if !(1...(1 << 40)).contains(bytes) { return "bytes" }
        if !BenchConfiguration.depthRange.contains(depth) { return "depth" }
        if let rate, !BenchConfiguration.rateRange.contains(rate) { return "rate" }
        if let nodes, ![nodes.source, nodes.destination].allSatisfy((0...1023).contains) { return "nodes" }
        if beside?.hasControls ?? false { return "beside" }
        return BenchConfiguration.threadRange.contains(threads) ? nil : "threads"
    }
}

extension BenchRow {
    fileprivate var implausibility: String? {
        if let what = point.implausibility { return what }
        if ([name, implementation, failure ?? ""] + notes).contains(where: \.hasControls) { return "a text" }
        if !Plausible.repeats.contains(disturbedRepeats) { return "disturbedRepeats" }
        if inFlight < 0 { return "inFlight" }
        let effects = foreground.flatMap { [$0.aloneP50, $0.aloneP99, $0.besideP50, $0.besideP99, $0.rate] }
        let series = [
            ("bytesPerSecond", bytesPerSecond), ("cpuSecondsPerGB", cpuSecondsPerGB), ("submitNanoseconds", submitNanoseconds),
            ("issueNanoseconds", issueNanoseconds), ("share", share), ("foreground", effects),
        ]
        for (name, values) in series {
            guard Plausible.repeats.contains(values.count / (name == "foreground" ? 5 : 1)),
                values.allSatisfy({ name == "bytesPerSecond" ? (0...1e15).contains($0) : Plausible.time.contains($0) })
            else { return name }
        }
        if let course = self.series {
            guard BenchConfiguration.intervalRange.contains(course.interval),
                Plausible.repeats.contains(course.bytesPerSecond.count),
                course.bytesPerSecond.allSatisfy({ $0.count <= BenchPlan.pointLimit && $0.allSatisfy((0...1e15).contains) })
            else { return "series" }
        }
        if latencyAlone?.isPlausible == false { return "latencyAlone" }
        return latency?.isPlausible == false ? "latency" : nil
    }
}

extension LatencySummary {
    fileprivate var isPlausible: Bool {
        let times = [minimum, p50, p90, p99, p999, p9999, maximum]
        return (times + curve.map(\.nanoseconds)).allSatisfy(Plausible.nanoseconds.contains) && count >= 0
            && Plausible.time.contains(mean) && curve.count <= 10_000
            && curve.allSatisfy { (0.0...100).contains($0.percentile) }
    }
}
