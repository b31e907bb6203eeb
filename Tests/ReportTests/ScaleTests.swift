// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Foundation
import Testing

@testable import DMAReport

@Suite("Axes and numbers of the report")
struct ScaleTests {
    @Test("a linear axis goes from 0 to above the largest value, by less than a step, and each mark says where it is")
    func linear() {
        var random = Seeded("linear")
        for _ in 0..<500 {
            let values = (0..<4).map { _ in pow(10, Double.random(in: -4...6, using: &random)) }
            let scale = Scale.linear(values) { "\($0)" }
            let (largest, step) = (values.max() ?? 0, scale.ticks[1].value)
            #expect(scale.lowest == 0 && scale.highest >= largest && scale.highest - largest <= step * 1.0001, "\(values)")
            #expect((2...6).contains(scale.ticks.count) && scale.ticks.allSatisfy { $0.label == "\($0.value)" })
            #expect(scale.ticks.first?.value == 0 && scale.ticks.last?.value == scale.highest)
            for share in [0, 0.25, 1] { #expect(abs(scale.place(scale.highest * share) - share) < 1e-9) }
        }
        // Nothing to show is an axis all the same.
        #expect(Scale.linear([]) { "\($0)" }.highest >= 1 && Scale.linear([0, .nan]) { "\($0)" }.highest >= 1)
    }

    @Test("a logarithmic axis has room for every value, and the same factor is the same distance everywhere")
    func logarithmic() {
        var random = Seeded("logarithmic")
        for _ in 0..<500 {
            let values = (0..<4).map { _ in pow(10, Double.random(in: -3...9, using: &random)) }
            let scale = Scale.logarithmic(values) { "\($0)" }
            let (least, most) = (values.min() ?? 0, values.max() ?? 0)
            #expect(scale.lowest <= least * 1.0001 && scale.highest >= most * 0.9999, "\(values)")
            #expect(scale.ticks.count > 1 && scale.ticks.allSatisfy { $0.label == "\($0.value)" })
            let middle = (scale.lowest * scale.highest).squareRoot()
            #expect(abs(scale.place(middle) - 0.5) < 1e-9)
            #expect(scale.place(scale.lowest) == 0 && abs(scale.place(scale.highest) - 1) < 1e-9)
        }
        let sizes = Scale.sizes([64, 1024, 16_384]) { "\($0)" }
        #expect(sizes.ticks.map(\.label) == ["64", "1024", "16384"] && abs(sizes.place(1024) - 0.5) < 1e-9)
        #expect(sizes.place(64) > 0 && sizes.place(16_384) < 1)
    }

    @Test("of percentiles, 90 is as far from 99 as 99 is from 99.9, and each mark stands at its own")
    func percentiles() throws {
        let scale = Scale.percentiles(upTo: 99.9)
        #expect(scale.ticks.map(\.label) == ["0 %", "50 %", "90 %", "99 %", "99.9 %"])
        for tick in scale.ticks {
            let percentile = try #require(Double(tick.label.dropLast(2)))
            #expect(abs(tick.value - 100 / (100 - percentile)) < 1e-6 * tick.value)
            #expect(abs(scale.place(Scale.rarity(percentile)) - scale.place(tick.value)) < 1e-9)
        }
        let places = [90, 99, 99.9].map { scale.place(Scale.rarity($0)) }
        #expect(abs(places[0] - 1 / 3.0) < 1e-9 && abs(places[1] - 2 / 3.0) < 1e-9 && abs(places[2] - 1) < 1e-9)
        #expect(Scale.percentiles(upTo: 99.95).ticks.last?.label == "99.99 %")
    }

    @Test("labels do not touch each other, on however short an axis")
    func fitting() throws {
        let scale = Scale.sizes((6...30).map { 1 << $0 }) { "\($0) bytes" }
        for length in stride(from: 60.0, through: 2000, by: 20) {
            let kept = scale.fitting(length, characterWidth: 7)
            #expect(kept.first?.value == 64)
            let spans = kept.map { tick -> (left: Double, right: Double) in
                let middle = scale.place(tick.value) * length
                return (middle - Double(tick.label.count) * 3.5, middle + Double(tick.label.count) * 3.5)
            }
            for (one, next) in zip(spans, spans.dropFirst()) { #expect(one.right < next.left, "\(length)") }
            if length >= 500 { #expect(kept.count > 2 && kept.last?.value == 1_073_741_824) }
        }
    }

    @Test("quantities with their units")
    func quantities() {
        let times: [(Double, String)] = [
            (0, "0 ns"), (7.4, "7 ns"), (999, "999 ns"), (1000, "1.00 µs"), (12_340, "12.3 µs"), (250_000, "250 µs"),
            (3_000_000, "3.00 ms"), (45_600_000, "45.6 ms"), (1_500_000_000, "1.50 s"), (.nan, "–"),
            // Rounded, a thousand of one unit is one of the next.
            (999_499, "999 µs"), (999_600, "1.00 ms"),
        ]
        for (value, text) in times { #expect(Quantity.time(value) == text) }
        let ticks: [(Double, String)] = [
            (0.5, "0.5 ns"), (20, "20 ns"), (5e3, "5 µs"), (1e5, "100 µs"), (1e7, "10 ms"), (2e9, "2 s"),
        ]
        for (value, text) in ticks { #expect(Quantity.tick(value) == text) }
        let counts: [(Double, String)] = [
            (999, "999"), (1000, "1.00 k"), (999_700, "1.00 M"), (123_456, "123 k"), (1_500_000, "1.50 M"), (2e9, "2.00 G"),
            (.nan, "–"),
        ]
        for (value, text) in counts { #expect(Quantity.count(value) == text) }
        #expect(Quantity.bytes(77) == "77 B" && Quantity.bytes(1_500_000) == "1.50 MB")
        let ratios: [(Double, String)] = [
            (0, "0.00"), (1.534, "1.53"), (0.1, "0.10"), (0.0996, "0.10"), (0.0994, "0.099"), (0.05, "0.050"),
            (0.00689, "0.0069"),
            (1e-12, "0.000000000"), (.nan, "–"),
        ]
        for (value, text) in ratios { #expect(Quantity.ratio(value) == text) }
        #expect(Quantity.rate(2.5e9) == "2.50" && Quantity.rate(.infinity) == "–")
        #expect(
            Quantity.percent(0.25) == "25.0 %" && Quantity.percent(0.256, 0) == "26 %" && Quantity.percent(-0.5, 0) == "−50 %")
        #expect(Quantity.trimmed(1.5) == "1.5" && Quantity.trimmed(2) == "2" && Quantity.trimmed(0.0004) == "0.0004")
    }
}
