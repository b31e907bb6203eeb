// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Where values lie on an axis, and which of them are marked.
struct Scale {
    struct Tick {
        let value: Double
        let label: String
    }

    let lowest: Double
    let highest: Double
    let isLogarithmic: Bool
    let ticks: [Tick]

    /// 0 at the lower end, 1 at the upper.
    func place(_ value: Double) -> Double {
        guard highest > lowest else { return 0.5 }
        let share =
            isLogarithmic
            ? log(max(value, lowest) / lowest) / log(highest / lowest) : (value - lowest) / (highest - lowest)
        return min(max(share, 0), 1)
    }

    /// From 0 to at least the largest value, marked at multiples of 1, 2 or 5 times a power of ten.
    static func linear(_ values: [Double], ticks wanted: Int = 5, label: (Double) -> String) -> Scale {
        let largest = values.filter(\.isFinite).max() ?? 1
        let top = largest > 0 ? largest : 1
        let power = pow(10, floor(log10(top / Double(wanted))))
        let step = [1, 2, 5, 10].map { $0 * power }.first { top / $0 <= Double(wanted) } ?? 10 * power
        // More marks than any axis has come of steps that a Double cannot tell apart.
        let number = Int(min(max((top / step).rounded(.up), 1), 100))
        return Scale(
            lowest: 0, highest: Double(number) * step, isLogarithmic: false,
            ticks: (0...number).map { Tick(value: Double($0) * step, label: label(Double($0) * step)) })
    }

    /// Over all values, from a power of ten (or 2 or 5 times one, for short ranges) to another.
    static func logarithmic(_ values: [Double], label: (Double) -> String) -> Scale {
        let positive = values.filter { $0.isFinite && $0 > 0 }
        let (least, most) = (positive.min() ?? 1, positive.max() ?? 10)
        let decades = log10(most / least)
        let factors: [Double] = decades < 1.2 ? [1, 2, 5] : decades < 2.5 ? [1, 3] : [1]
        var marks: [Double] = []
        for exponent in Int(floor(log10(least))) - 1...Int(ceil(log10(most))) + 1 {
            for factor in factors { marks.append(factor * pow(10, Double(exponent))) }
        }
        let first = marks.lastIndex { $0 <= least * 1.0001 } ?? 0
        var last = marks.firstIndex { $0 >= most * 0.9999 } ?? marks.count - 1
        if last == first { last = min(first + 1, marks.count - 1) }
        return Scale(
            lowest: marks[first], highest: marks[last], isLogarithmic: true,
            ticks: marks[first...last].map { Tick(value: $0, label: label($0)) })
    }

    /// Powers of two: transfer sizes.
    static func sizes(_ values: [Int], label: (Int) -> String) -> Scale {
        let sorted = Set(values).sorted()
        let (least, most) = (Double(sorted.first ?? 1), Double(sorted.last ?? 2))
        // A little room, so that the first and last markers are not on the frame.
        let room = max(pow(most / least, 0.03), 1.05)
        return Scale(
            lowest: least / room, highest: most * room, isLogarithmic: true,
            ticks: sorted.map { Tick(value: Double($0), label: label($0)) })
    }

    /// Percentiles by what is left above them: 90 as far from 99 as 99 from 99.9.
    static func percentiles(upTo highest: Double) -> Scale {
        let marks: [(Double, String)] = [
            (0, "0 %"), (50, "50 %"), (90, "90 %"), (99, "99 %"), (99.9, "99.9 %"), (99.99, "99.99 %"), (99.999, "99.999 %"),
        ]
        let last = marks.firstIndex { $0.0 >= highest } ?? marks.count - 1
        return Scale(
            lowest: 1, highest: Scale.rarity(marks[max(last, 2)].0), isLogarithmic: true,
            ticks: marks[...max(last, 2)].map { Tick(value: Scale.rarity($0.0), label: $0.1) })
    }

    /// One in how many lies above a percentile.
    static func rarity(_ percentile: Double) -> Double { 100 / max(100 - percentile, 1e-7) }

    /// Ticks whose labels do not touch each other on an axis of `length` units; the first and the last are kept.
    func fitting(_ length: Double, characterWidth: Double) -> [Tick] {
        guard let first = ticks.first, let last = ticks.last, ticks.count > 2 else { return ticks }
        func span(_ tick: Tick) -> ClosedRange<Double> {
            let middle = place(tick.value) * length
            let half = Double(tick.label.count) * characterWidth / 2 + 4
            return middle - half...middle + half
        }
        var kept = [first]
        for tick in ticks.dropFirst().dropLast() {
            guard let before = kept.last, !span(before).overlaps(span(tick)), !span(tick).overlaps(span(last)) else { continue }
            kept.append(tick)
        }
        if let before = kept.last, !span(before).overlaps(span(last)) { kept.append(last) }
        return kept
    }
}
