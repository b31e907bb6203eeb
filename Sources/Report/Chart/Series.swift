// SPDX-License-Identifier: Apache-2.0

/// A line of a chart: one contestant.
struct Series {
    struct Point {
        let x: Double
        let y: Double
        /// The whisker's ends; nil where there is none.
        let low: Double?
        let high: Double?
        /// What a pointer that rests on the point sees, and what a screen reader reads.
        let title: String
    }

    let label: String
    /// Its place in the palette: colour, dash and marker together, so that none of them is needed alone.
    let style: Int
    var points: [Point]

    /// How many styles there are.
    static let styles = 8

    /// Dash patterns, in the units of the picture.
    static let dashes = ["", "7 3", "2 3", "10 3 2 3", "5 2", "1 2", "8 2 2 2 2 2", "4 4"]

    var dash: String { Series.dashes[style % Series.styles] }

    /// The marker's outline around a point.
    static func marker(_ style: Int, _ x: Double, _ y: Double, _ r: Double = 4) -> String {
        func path(_ corners: [(Double, Double)]) -> String {
            let text = corners.map { Markup.number(x + $0.0 * r) + " " + Markup.number(y + $0.1 * r) }.joined(separator: "L")
            return "<path d=\"M\(text)Z\"/>"
        }
        return switch style % styles {
        case 0: "<circle cx=\"\(Markup.number(x))\" cy=\"\(Markup.number(y))\" r=\"\(Markup.number(r))\"/>"
        case 1: path([(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)])
        case 2: path([(0, -1.2), (1.1, 0.8), (-1.1, 0.8)])
        case 3: path([(0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)])
        case 4: path([(0, 1.2), (1.1, -0.8), (-1.1, -0.8)])
        case 5:
            path([
                (-0.4, -1.2), (0.4, -1.2), (0.4, -0.4), (1.2, -0.4), (1.2, 0.4), (0.4, 0.4), (0.4, 1.2), (-0.4, 1.2),
                (-0.4, 0.4), (-1.2, 0.4), (-1.2, -0.4), (-0.4, -0.4),
            ])
        case 6: path([(0, -1.2), (1.15, -0.35), (0.7, 1), (-0.7, 1), (-1.15, -0.35)])
        default: path([(-1.2, -0.5), (1.2, -0.5), (1.2, 0.5), (-1.2, 0.5)])
        }
    }

    /// The line with its marker, as the legend shows it.
    static func swatch(_ style: Int) -> String {
        let dash = dashes[style % styles]
        return """
            <svg class="swatch s\(style % styles)" width="34" height="14" viewBox="0 0 34 14" aria-hidden="true">\
            <path class="line" d="M1 7H33"\(dash.isEmpty ? "" : " stroke-dasharray=\"\(dash)\"")/>\
            <g class="mark">\(marker(style, 17, 7))</g></svg>
            """
    }
}
