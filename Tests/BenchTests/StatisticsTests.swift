// SPDX-License-Identifier: Apache-2.0

import DMABench
import DMATestSupport
import Foundation
import Testing

@Suite("Ratios of speeds")
struct SpeedRatioTests {
    /// The interval that no cut of the exact test refuses, by counting every order.
    @Test("the interval is what the test of Mann and Whitney does not refuse", arguments: [4, 5, 7, 12])
    func interval(_ count: Int) throws {
        var random = Seeded("ratios")
        let left = (0..<count).map { _ in Double.random(in: 90...130, using: &random) }
        let right = (0..<count).map { _ in Double.random(in: 80...120, using: &random) }
        let ratio = try #require(SpeedRatio(left, right))
        #expect(ratio.low <= ratio.value && ratio.value <= ratio.high)
        // Just inside it the test finds no difference, just outside it does.
        for (scale, isRefused) in [
            (ratio.low * 1.000_001, false), (ratio.low * 0.999_999, true), (ratio.high * 0.999_999, false),
            (ratio.high * 1.000_001, true),
        ] {
            let probability = MannWhitney(left, right.map { $0 * scale }).probability
            #expect((probability < 0.05) == isRefused, "\(scale) \(probability)")
        }
        #expect(ratio.isTold == (MannWhitney(left, right).probability < 0.05))
    }

    @Test("of sure differences it says how large they are, of others what would have shown")
    func sentences() throws {
        func text(_ value: Double, _ places: Int) -> String { String(format: "%.\(places)f", value) }
        let fast = try #require(SpeedRatio([142, 143, 143.5, 144, 143.2], [100, 100.5, 99.5, 100.2, 99.8]))
        #expect(fast.sentence("a", than: "b", text) == "a is 1.43 +- 0.01 times faster than b")
        let slow = try #require(SpeedRatio([100, 100.5, 99.5, 100.2, 99.8], [142, 143, 143.5, 144, 143.2]))
        #expect(slow.sentence("a", than: "b", text) == "b is 1.43 +- 0.01 times faster than a")
        let noise = try #require(SpeedRatio([50, 80, 110, 140], [60, 90, 100, 130]))
        #expect(noise.sentence("a", than: "b", text).hasPrefix("which of a and b is faster is unclear: "))
        #expect(noise.repeatsNeeded > 4 && noise.smallestDifference > 0.1)
        // So few that nothing could be told, and what is no speed.
        #expect(SpeedRatio([1, 2, 3], [1, 2, 3]) == nil && SpeedRatio([], []) == nil)
        #expect(SpeedRatio([1, 2, 3, 0], [1, 2, 3, 4]) == nil && SpeedRatio([1, 2, 3, .infinity], [1, 2, 3, 4]) == nil)
    }

    @Test("thousands of repeats take no longer than people wait")
    func many() throws {
        let left = (0..<1000).map { 100 + Double($0 % 37) }
        let right = left.map { $0 * 1.1 }
        let ratio = try #require(SpeedRatio(right, left))
        #expect(abs(ratio.value - 1.1) < 0.02 && ratio.isTold)
    }
}

@Suite("Statistics")
struct StatisticsTests {
    struct Known: Sendable, CustomTestStringConvertible {
        let left: [Double]
        let right: [Double]
        let u: Double
        let probability: Double
        let isExact: Bool
        var testDescription: String { "\(left.count) against \(right.count), p \(probability)" }
    }

    /// Calculated with SciPy 1.13's scipy.stats.mannwhitneyu, two-sided; the first is 2 of 252 orders.
    static let known: [Known] = [
        Known(left: [1, 2, 3, 4, 5], right: [6, 7, 8, 9, 10], u: 0, probability: 0.007936507936507936, isExact: true),
        Known(
            left: [1.1, 2.2, 3.3, 4.4, 5.5], right: [2, 3, 4, 6, 7], u: 9, probability: 0.5476190476190477, isExact: true),
        Known(left: [19, 22, 16, 29, 24], right: [20, 11, 17, 12], u: 17, probability: 0.1111111111111111, isExact: true),
        Known(
            left: (1...20).map(Double.init), right: (4...23).map { Double($0) + 0.5 }, u: 136,
            probability: 0.0859140199856938, isExact: true),
        // With ties: the normal approximation.
        Known(left: [1, 1, 2, 3], right: [1, 2, 2, 4], u: 6, probability: 0.6489418131874136, isExact: false),
        Known(
            left: [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30],
            right: [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29], u: 58, probability: 0.13291945818531892,
            isExact: false),
    ]

    @Test("Mann and Whitney's test gives known values", arguments: known)
    func mannWhitney(_ known: Known) {
        let test = MannWhitney(known.left, known.right)
        #expect(test.u == known.u)
        #expect(abs(test.probability - known.probability) < 1e-12)
        #expect(test.isExact == known.isExact)
        let turned = MannWhitney(known.right, known.left)
        #expect(abs(turned.probability - test.probability) < 1e-12)
        #expect(turned.u == Double(known.left.count * known.right.count) - known.u)
    }

    @Test("of equal sides about one in twenty seems different, and no more")
    func underTheNull() {
        var random = Seeded("null")
        let rounds = 4000
        let found = (0..<rounds).count { _ in
            let values = (0..<14).map { _ in Double.random(in: 0...1, using: &random) }
            return MannWhitney(Array(values[..<7]), Array(values[7...])).probability < 0.05
        }
        // For 7 and 7 the exact test's level is 0.0379; five standard deviations of 4,000 draws around it.
        #expect(Double(found) / Double(rounds) > 0.0379 - 5 * 0.0031)
        #expect(Double(found) / Double(rounds) < 0.0379 + 5 * 0.0031)
    }

    @Test("nothing to compare is no difference; few values cannot be significant")
    func bounds() {
        #expect(MannWhitney([], [1, 2]).probability == 1)
        #expect(MannWhitney([3, 3], [3, 3]).probability == 1)
        #expect(MannWhitney.floor(3, 3) == 0.1)
        #expect(MannWhitney.floor(4, 4) < 0.05)
        #expect(MannWhitney.floor(5, 5) == MannWhitney([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]).probability)
    }

    @Test("median, quantiles, spread")
    func middles() {
        #expect(Statistics.median([3, 1, 2]) == 2)
        #expect(Statistics.median([4, 1, 3, 2]) == 2.5)
        #expect(Statistics.median([]).isNaN)
        #expect(Statistics.quantile([1, 2, 3, 4], 0.25) == 1.75)
        #expect(Statistics.quantile([5], 0.9) == 5)
        #expect(Statistics.quantile([1, 2], 2) == 2)
        #expect(Statistics.spread([7]).isNaN && Statistics.spread([]).isNaN)
        #expect(Statistics.spread([90, 100, 110]) == 0.05)
    }

    @Test("percentiles of a histogram keep three digits")
    func histogram() throws {
        var latencies = Latencies()
        for value in 1...100_000 { latencies.record(Int64(value)) }
        var more = Latencies()
        more.record(-5)
        more.record(.max)
        latencies.add(more)
        let summary = try #require(latencies.summary)
        #expect(summary.count == 100_002)
        #expect(summary.minimum == 1)
        let percentiles = [
            (summary.p50, 50_000), (summary.p90, 90_000), (summary.p99, 99_000), (summary.p999, 99_900),
            (summary.p9999, 99_990),
        ]
        for (found, wanted) in percentiles { #expect(abs(Double(found) / Double(wanted) - 1) < 0.001, "\(wanted)") }
        #expect(abs(summary.mean / ((100_000 * 50_000.5 + 60e9) / 100_002) - 1) < 0.001)
        // What is longer than a minute counts as one.
        #expect(abs(Double(summary.maximum) / 60e9 - 1) < 0.001)
        #expect(summary.curve.count > 20)
        // The curve says the same as the percentiles, up to where nothing is left above.
        for point in summary.curve where point.percentile > 1 && point.percentile < 99.99 {
            #expect(abs(Double(point.nanoseconds) / (point.percentile * 1000) - 1) < 0.01, "\(point)")
        }
        #expect(summary.curve.allSatisfy { (0..<100).contains($0.percentile) })
        #expect(zip(summary.curve, summary.curve.dropFirst()).allSatisfy { $0.percentile < $1.percentile })
        #expect(zip(summary.curve, summary.curve.dropFirst()).allSatisfy { $0.nanoseconds <= $1.nanoseconds })
        #expect(Latencies().summary == nil)
        // One in two thousand is slow: in a thousand none, in ten thousand some.
        var rare = Latencies()
        for number in 0..<20_000 { rare.record(number % 2000 == 0 ? 1_000_000 : 1000) }
        let tail = try #require(rare.summary)
        #expect(tail.p999 < 1010 && tail.p9999 > 990_000)
    }
}
