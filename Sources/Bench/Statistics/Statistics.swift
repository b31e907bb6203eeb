// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// The middle of some measurements, and how far they lie apart.
package enum Statistics {
    /// The middle value, or the mean of the two middle ones; not a number where there is none.
    package static func median(_ values: [Double]) -> Double { quantile(values, 0.5) }

    /// The value below which the share `share` of the values lies, with linear interpolation (Hyndman and Fan's type 7).
    package static func quantile(_ values: [Double], _ share: Double) -> Double {
        let sorted = values.sorted()
        guard let last = sorted.last, !share.isNaN else { return .nan }
        let place = Double(sorted.count - 1) * min(max(share, 0), 1)
        let below = Int(place)
        guard below + 1 < sorted.count else { return last }
        return sorted[below] + (sorted[below + 1] - sorted[below]) * (place - Double(below))
    }

    /// Half the distance between the quartiles, as a share of the median: how far a repeat lies from the middle. Not a number for fewer
    /// than two values: 0 would say that they were steady.
    package static func spread(_ values: [Double]) -> Double {
        let middle = median(values)
        guard values.count > 1, middle != 0 else { return .nan }
        return (quantile(values, 0.75) - quantile(values, 0.25)) / 2 / abs(middle)
    }
}

/// Whether two sets of measurements differ by more than chance: the test of Mann and Whitney, two-sided.
///
/// It compares ranks and assumes no distribution, which suits speeds: they have a ceiling, and a tail of disturbed runs.
/// Without ties and with at most ``exactLimit`` values a side the probability is exact, by counting; otherwise it is the normal
/// approximation with corrections for ties and continuity.
///
/// Source: H. B. Mann and D. R. Whitney, "On a Test of Whether one of Two Random Variables is Stochastically Larger than the
/// Other", Annals of Mathematical Statistics 18 (1947).
package struct MannWhitney: Equatable, Sendable {
    /// Pairs in which the left value is the larger one; ties count half.
    package let u: Double
    /// The probability of so extreme a result, if both sides were the same. 1 where a side is empty.
    package let probability: Double
    /// Whether `probability` was counted and not approximated.
    package let isExact: Bool

    /// Values a side up to which the probability is counted.
    package static let exactLimit = 40

    package init(_ left: [Double], _ right: [Double]) {
        var u = 0.0
        for a in left {
            for b in right { u += a > b ? 1 : a == b ? 0.5 : 0 }
        }
        self.u = u
        guard !left.isEmpty, !right.isEmpty else {
            (probability, isExact) = (1, false)
            return
        }
        let ties = MannWhitney.ties(left + right)
        isExact = ties.isEmpty && max(left.count, right.count) <= MannWhitney.exactLimit
        probability =
            isExact
            ? MannWhitney.exact(u, left.count, right.count) : MannWhitney.approximate(u, left.count, right.count, ties)
    }

    /// The smallest probability that so many values a side can reach: what no amount of difference gets below.
    package static func floor(_ left: Int, _ right: Int) -> Double {
        left > 0 && right > 0 && max(left, right) <= exactLimit ? exact(0, left, right) : 0
    }

    /// The sizes of the groups of equal values.
    private static func ties(_ values: [Double]) -> [Int] {
        var counts: [Double: Int] = [:]
        for value in values { counts[value, default: 0] += 1 }
        return counts.values.filter { $0 > 1 }
    }

    /// How many of the sorted differences of all pairs lie outside of an interval at each end, so that both ends together have less than
    /// `probability`; 0 where there is no such interval. At most ``exactLimit`` values a side.
    static func critical(_ m: Int, _ n: Int, below probability: Double) -> Int {
        let counts = orders(m, n)
        let total = counts.reduce(0, +)
        var (sum, number) = (0.0, 0)
        for count in counts {
            sum += count
            guard 2 * sum / total < probability else { break }
            number += 1
        }
        return number
    }

    /// Counts the orders in which U is at most as far out, among all orders of `m` and `n` values.
    private static func exact(_ u: Double, _ m: Int, _ n: Int) -> Double {
        let counts = orders(m, n)
        let far = Int(min(u, Double(m * n) - u))
        return min(1, 2 * counts[0...far].reduce(0, +) / counts.reduce(0, +))
    }

    /// Of all orders of `m` and `n` values, how many have U = k, for each k.
    private static func orders(_ m: Int, _ n: Int) -> [Double] {
        // counts[j][k]: orders of i left and j right values with U = k, for the i so far. Doubles: the counts of 40 and 40 are
        // near 10²³.
        let most = m * n
        var counts = [[Double]](repeating: [Double](repeating: 0, count: most + 1), count: n + 1)
        for j in 0...n { counts[j][0] = 1 }
        for _ in 0..<m {
            for j in 1...n {
                // The largest value is on the left (it beats all j on the right), or on the right.
                var row = counts[j - 1]
                for k in j...most where j <= most { row[k] += counts[j][k - j] }
                counts[j] = row
            }
        }
        return counts[n]
    }

    private static func approximate(_ u: Double, _ m: Int, _ n: Int, _ ties: [Int]) -> Double {
        let (left, right) = (Double(m), Double(n))
        let all = left + right
        let tied = ties.reduce(0.0) { $0 + Double($1 * $1 * $1 - $1) }
        let variance = left * right / 12 * (all + 1 - tied / (all * (all - 1)))
        guard variance > 0 else { return 1 }
        let distance = max(abs(u - left * right / 2) - 0.5, 0)
        return min(1, 2 * upperTail(distance / variance.squareRoot()))
    }

    /// The share of the normal distribution above `z`.
    static func upperTail(_ z: Double) -> Double { erfc(z / 2.0.squareRoot()) / 2 }
}
