// SPDX-License-Identifier: Apache-2.0

/// Ratios one below the other, each a dot with its interval, beside the line of what they are compared with.
struct DotPlot {
    struct Dot {
        let label: String
        let value: Double
        let low: Double?
        let high: Double?
        /// What is said of it, in words; and the class that colours it.
        let verdict: String
        let style: String
        let title: String
    }

    let title: String
    let description: String
    let xLabel: String
    let dots: [Dot]
    let scale: Scale

    func svg(id: String) -> String {
        [LineChart.Canvas.wide, .narrow].map { picture($0, id: "\(id)-\($0.name)") }.joined()
    }

    private func picture(_ canvas: LineChart.Canvas, id: String) -> String {
        // The label stands above its dot, so that it may be as long as the picture is wide.
        let (left, top, pitch) = (12.0, 10.0, 36.0)
        let width = canvas.width - left - 24
        let height = top + Double(dots.count) * pitch
        func across(_ value: Double) -> Double { left + scale.place(value) * width }
        func place(_ value: Double) -> String { Markup.number(value) }
        var text = """
            <svg class="chart \(canvas.name)" role="img" aria-labelledby="\(id)-t \(id)-d" viewBox="0 0 \(place(canvas.width)) \
            \(place(height + 46))" xmlns="http://www.w3.org/2000/svg">\
            <title id="\(id)-t">\(Markup.escape(title))</title><desc id="\(id)-d">\(Markup.escape(description))</desc><g class="grid">
            """
        let shown = scale.fitting(width, characterWidth: canvas.characterWidth)
        for tick in shown { text += "<path d=\"M\(place(across(tick.value))) \(place(top))V\(place(height))\"/>" }
        // The earlier run.
        text += "</g><path class=\"ghost\" d=\"M\(place(across(1))) \(place(top))V\(place(height))\"/><g class=\"ticks x\">"
        for tick in shown {
            text += "<text x=\"\(place(across(tick.value)))\" y=\"\(place(height + 16))\">\(Markup.escape(tick.label))</text>"
        }
        text +=
            "</g><text class=\"axis\" x=\"\(place(left + width / 2))\" y=\"\(place(height + 38))\">\(Markup.escape(xLabel))</text>"
        let room = Int((canvas.width - 16) / canvas.characterWidth)
        for (index, dot) in dots.enumerated() {
            let y = top + Double(index) * pitch
            let words = "\(dot.label): \(dot.verdict)"
            let label = words.count > room ? String(words.prefix(room - 1)) + "…" : words
            text += "<g class=\"point \(dot.style)\"><title>\(Markup.escape(dot.title))</title>"
            text += "<text class=\"label\" x=\"\(place(left))\" y=\"\(place(y + 13))\">\(Markup.escape(label))</text>"
            let middle = y + 24
            if let low = dot.low, let high = dot.high {
                let (from, to) = (across(low), across(high))
                text +=
                    "<path class=\"whisker\" d=\"M\(place(from)) \(place(middle))H\(place(to))M\(place(from)) \(place(middle - 4))v8"
                    + "M\(place(to)) \(place(middle - 4))v8\"/>"
            }
            text += "<g class=\"mark\"><circle cx=\"\(place(across(dot.value)))\" cy=\"\(place(middle))\" r=\"4\"/></g></g>"
        }
        return text + "</svg>"
    }
}
