// SPDX-License-Identifier: Apache-2.0

/// Lines over two axes, drawn twice: for a wide place and for a telephone's.
struct LineChart {
    let title: String
    let description: String
    let xLabel: String
    let yLabel: String
    let x: Scale
    let y: Scale
    let series: [Series]
    /// Whether each point has a marker; without them a curve is drawn as steps.
    var hasMarkers = true

    /// The size of a picture, and of its margins.
    struct Canvas {
        let name: String
        let width: Double
        let height: Double
        let left: Double
        let fontSize: Double
        /// Half of the longest label under the last tick.
        var right: Double { labelsEnds ? 96 : 30 }
        /// Whether there is room for the lines' names at their ends.
        var labelsEnds: Bool { name == "wide" }
        var top: Double { 30 }
        var bottom: Double { 46 }
        /// Of the fonts that a browser may take for system-ui: the broad ones.
        var characterWidth: Double { fontSize * 0.58 }

        static let wide = Canvas(name: "wide", width: 560, height: 330, left: 58, fontSize: 12)
        static let narrow = Canvas(name: "narrow", width: 340, height: 270, left: 54, fontSize: 12)
    }

    /// Both pictures; the style sheet shows the one that fits.
    func svg(id: String) -> String { [Canvas.wide, Canvas.narrow].map { picture($0, id: "\(id)-\($0.name)") }.joined() }

    private func picture(_ canvas: Canvas, id: String) -> String {
        let (left, top) = (canvas.left, canvas.top)
        let (width, height) = (canvas.width - left - canvas.right, canvas.height - top - canvas.bottom)
        func across(_ value: Double) -> Double { left + x.place(value) * width }
        func up(_ value: Double) -> Double { top + height - y.place(value) * height }
        var parts = [
            """
            <svg class="chart \(canvas.name)" role="img" aria-labelledby="\(id)-t \(id)-d" viewBox="0 0 \(Markup.number(canvas.width)) \
            \(Markup.number(canvas.height))" xmlns="http://www.w3.org/2000/svg">\
            <title id="\(id)-t">\(Markup.escape(title))</title><desc id="\(id)-d">\(Markup.escape(description))</desc>
            """
        ]
        parts.append("<g class=\"grid\">")
        for tick in y.ticks {
            let place = Markup.number(up(tick.value))
            parts.append("<path d=\"M\(Markup.number(left)) \(place)H\(Markup.number(left + width))\"/>")
        }
        let shown = x.fitting(width, characterWidth: canvas.characterWidth)
        for tick in shown {
            let place = Markup.number(across(tick.value))
            parts.append("<path d=\"M\(place) \(Markup.number(top))V\(Markup.number(top + height))\"/>")
        }
        parts.append("</g><g class=\"ticks y\">")
        for tick in y.ticks {
            parts.append(
                "<text x=\"\(Markup.number(left - 8))\" y=\"\(Markup.number(up(tick.value) + 4))\">\(Markup.escape(tick.label))</text>"
            )
        }
        parts.append("</g><g class=\"ticks x\">")
        for tick in shown {
            parts.append(
                "<text x=\"\(Markup.number(across(tick.value)))\" y=\"\(Markup.number(top + height + 18))\">\(Markup.escape(tick.label))</text>"
            )
        }
        parts.append(
            """
            </g><text class="axis" x="\(Markup.number(left + width / 2))" y="\(Markup.number(canvas.height - 6))">\(Markup.escape(xLabel))</text>\
            <text class="axis y" x="4" y="16">\(Markup.escape(yLabel))</text>
            """)
        for (index, one) in series.enumerated() {
            // Whiskers at the same x are drawn side by side.
            let aside = (Double(index) - Double(series.count - 1) / 2) * 4
            parts.append(draw(one, aside, across, up))
        }
        if canvas.labelsEnds, hasMarkers, series.count > 1 {
            parts.append(ends(across, up, characterWidth: canvas.characterWidth))
        }
        parts.append("</svg>")
        return parts.joined()
    }

    /// The name of each line at its end, no two of them in the same place.
    private func ends(_ across: (Double) -> Double, _ up: (Double) -> Double, characterWidth: Double) -> String {
        var taken = -Double.infinity
        let lasts = series.compactMap { one in one.points.last.map { (one: one, x: across($0.x), y: up($0.y)) } }.sorted {
            $0.y < $1.y
        }
        return lasts.map { last in
            let y = max(last.y + 4, taken + 12)
            taken = y
            let room = Int(88 / characterWidth)
            let label = last.one.label.count > room ? String(last.one.label.prefix(room - 1)) + "…" : last.one.label
            return
                "<text class=\"end s\(last.one.style % Series.styles)\" x=\"\(Markup.number(last.x + 8))\" y=\"\(Markup.number(y))\">\(Markup.escape(label))</text>"
        }.joined()
    }

    private func draw(_ series: Series, _ aside: Double, _ across: (Double) -> Double, _ up: (Double) -> Double) -> String {
        let places = series.points.map { (across($0.x), up($0.y)) }
        var text = "<g class=\"series s\(series.style % Series.styles)\">"
        var path = ""
        for (index, place) in places.enumerated() {
            let (px, py) = (Markup.number(place.0), Markup.number(place.1))
            if index == 0 {
                path += "M\(px) \(py)"
            } else {
                // A percentile's value holds up to that percentile: a step, not a slope.
                path += hasMarkers ? "L\(px) \(py)" : "V\(py)H\(px)"
            }
        }
        let dash = series.dash.isEmpty ? "" : " stroke-dasharray=\"\(series.dash)\""
        text += "<path class=\"line\" d=\"\(path)\"\(dash)/>"
        for (point, place) in zip(series.points, places) {
            guard hasMarkers else { break }
            text += "<g class=\"point\"><title>\(Markup.escape(point.title))</title>"
            if let low = point.low, let high = point.high, abs(up(low) - up(high)) > 1 {
                let (px, from, to) = (place.0 + aside, up(low), up(high))
                text +=
                    "<path class=\"whisker\" d=\"M\(Markup.number(px)) \(Markup.number(from))V\(Markup.number(to))"
                    + "M\(Markup.number(px - 3)) \(Markup.number(from))h6M\(Markup.number(px - 3)) \(Markup.number(to))h6\"/>"
            }
            text += "<g class=\"mark\">\(Series.marker(series.style, place.0, place.1))</g></g>"
        }
        return text + "</g>"
    }
}
