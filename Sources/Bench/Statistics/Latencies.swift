// SPDX-License-Identifier: Apache-2.0

internal import Histogram

/// Times of single transactions, in a histogram of three significant digits (HdrHistogram): from 1 ns up, whatever comes, in
/// some hundred kilobytes.
///
/// The loop that feeds it is closed: a transaction is submitted when another is over. Times are those of a client that keeps
/// `depth` in flight, not of one to whom requests come by the clock.
package struct Latencies: Sendable {
    private var histogram = Histogram<UInt64>(highestTrackableValue: 1 << 36, numberOfSignificantValueDigits: .three)

    package init() {}

    /// Notes a time in nanoseconds; what is longer than a minute counts as a minute.
    package mutating func record(_ nanoseconds: Int64) {
        histogram.record(UInt64(clamping: min(max(nanoseconds, 1), 60_000_000_000)))
    }

    /// Takes in what another thread noted.
    package mutating func add(_ other: Latencies) { histogram.add(other.histogram) }

    package var count: UInt64 { histogram.totalCount }

    package var summary: LatencySummary? {
        guard count > 0 else { return nil }
        func at(_ percentile: Double) -> Int { Int(clamping: histogram.valueAtPercentile(percentile)) }
        var curve: [LatencySummary.Point] = []
        // Five steps for each halving of what is left above: dense where the tail is.
        for step in histogram.percentiles(ticksPerHalfDistance: 5) {
            let share = step.percentileLevelIteratedTo
            guard share < 100 else { break }
            curve.append(.init(percentile: share, nanoseconds: Int(clamping: step.value)))
        }
        return LatencySummary(
            count: Int(clamping: count), minimum: Int(clamping: histogram.min), mean: histogram.mean, p50: at(50), p90: at(90),
            p99: at(99), p999: at(99.9), p9999: at(99.99), maximum: Int(clamping: histogram.max), curve: curve)
    }
}

/// What is kept of a histogram. Nanoseconds.
package struct LatencySummary: Hashable, Sendable, Codable {
    /// A point of the percentile curve.
    package struct Point: Hashable, Sendable, Codable {
        /// 0 to 100.
        package var percentile: Double
        package var nanoseconds: Int

        package init(percentile: Double, nanoseconds: Int) {
            self.percentile = percentile
            self.nanoseconds = nanoseconds
        }
    }
    /// Times noted.
    package var count: Int
    package var minimum: Int
    package var mean: Double
    package var p50: Int
    package var p90: Int
    package var p99: Int
    package var p999: Int
    package var p9999: Int
    package var maximum: Int
    /// From low to high.
    package var curve: [Point]
}
