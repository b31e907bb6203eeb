// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// How many times as fast one set of repeats is as another, with the interval that holds it with 95 % confidence.
///
/// The value is the median of the ratios of all pairs, the interval is what the test of Mann and Whitney does not refuse: neither assumes a
/// distribution, and both agree with that test's verdict.
///
/// Source: J. L. Hodges and E. L. Lehmann, "Estimates of Location Based on Rank Tests", Annals of Mathematical Statistics 34 (1963).
package struct SpeedRatio: Hashable, Sendable {
    package let value: Double
    package let low: Double
    package let high: Double
    /// Repeats of the side that has fewer.
    private let repeats: Int

    /// Values a side beyond which only as many, evenly spread over the sorted ones, are paired.
    private static let most = 200
    /// The quantile of the normal distribution that 2.5 % lie above; and that, and the one that 20 % lie above, as a multiple of it.
    private static let quantile = 1.959964
    private static let power = (1.959964 + 0.841621) / 1.959964

    /// Nil where a side has so few repeats that no interval can be told, or has one that is no speed.
    package init?(_ left: [Double], _ right: [Double]) {
        guard MannWhitney.floor(left.count, right.count) < Comparison.significance else { return nil }
        guard (left + right).allSatisfy({ $0 > 0 && $0.isFinite }) else { return nil }
        let (left, right) = (Self.thinned(left), Self.thinned(right))
        let logarithms = left.flatMap { a in right.map { log(a / $0) } }.sorted()
        let (m, n) = (left.count, right.count)
        let cut =
            max(m, n) <= MannWhitney.exactLimit
            ? MannWhitney.critical(m, n, below: Comparison.significance)
            : Int(Double(m * n) / 2 - Self.quantile * (Double(m * n * (m + n + 1)) / 12).squareRoot())
        guard cut > 0, cut * 2 <= logarithms.count else { return nil }
        value = exp(Statistics.median(logarithms))
        low = exp(logarithms[cut - 1])
        high = exp(logarithms[logarithms.count - cut])
        repeats = min(m, n)
    }

    private static func thinned(_ values: [Double]) -> [Double] {
        guard values.count > most else { return values }
        return (0..<most).map { Statistics.quantile(values, Double($0) / Double(most - 1)) }
    }

    /// Half of the interval.
    package var half: Double { (high - low) / 2 }

    /// Whether one is the faster, as far as these repeats can tell.
    package var isTold: Bool { low > 1 || high < 1 }

    /// The smallest difference, as a share, that so many repeats, as far apart as these, would have shown four times in five.
    package var smallestDifference: Double { exp(Self.power * log(high / low) / 2) - 1 }

    /// How many repeats of each side would show the difference that there is, or ``Comparison/relevance`` where it is less than that, four times
    /// in five.
    package var repeatsNeeded: Int {
        let wanted = max(abs(log(value)), log(1 + Comparison.relevance))
        let times = Self.power * log(high / low) / 2 / wanted
        let number = (Double(repeats) * times * times).rounded(.up)
        return max(repeats + 1, number < 1e9 ? Int(number) : 1_000_000_000)
    }

    /// "cpu is 1.43 +- 0.06 times faster than memcpy".
    package func sentence(_ name: String, than other: String, _ decimal: (Double, Int) -> String) -> String {
        guard isTold else {
            let percent = decimal(smallestDifference * 100, 0)
            return
                "which of \(name) and \(other) is faster is unclear: \(percent) % or more would have shown, \(repeatsNeeded) repeats are needed for what there is"
        }
        if value < 1 { return inverse.sentence(other, than: name, decimal) }
        return "\(name) is \(times(decimal)) times faster than \(other)"
    }

    /// "1.43 +- 0.06", or "1.10 to 8.21" where the interval is too wide for its middle to mean anything.
    package func times(_ decimal: (Double, Int) -> String) -> String {
        value - half > 1 ? "\(decimal(value, 2)) +- \(decimal(half, 2))" : "\(decimal(low, 2)) to \(decimal(high, 2))"
    }

    private init(_ value: Double, _ low: Double, _ high: Double, _ repeats: Int) {
        (self.value, self.low, self.high, self.repeats) = (value, low, high, repeats)
    }

    /// The ratio of the other to the one.
    private var inverse: SpeedRatio { SpeedRatio(1 / value, 1 / high, 1 / low, repeats) }
}
