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
        let pitch = 36.0
        let frame = RowFrame(canvas, scale, margin: (12, 24), top: 10, rows: dots.count, pitch: pitch)
        func place(_ value: Double) -> String { Markup.number(value) }
        // The line is the earlier run.
        var text = frame.opening(id: id, title: title, description: description, xLabel: xLabel, reference: 1)
        for (index, dot) in dots.enumerated() {
            let y = frame.top + Double(index) * pitch
            let label = frame.fitted("\(dot.label): \(dot.verdict)")
            text += "<g class=\"point \(dot.style)\"><title>\(Markup.escape(dot.title))</title>"
            text += "<text class=\"label\" x=\"\(place(frame.left))\" y=\"\(place(y + 13))\">\(Markup.escape(label))</text>"
            let middle = y + 24
            if let low = dot.low, let high = dot.high {
                let (from, to) = (frame.across(low), frame.across(high))
                text +=
                    "<path class=\"whisker\" d=\"M\(place(from)) \(place(middle))H\(place(to))M\(place(from)) \(place(middle - 4))v8"
                    + "M\(place(to)) \(place(middle - 4))v8\"/>"
            }
            text +=
                "<g class=\"mark\"><circle cx=\"\(place(frame.across(dot.value)))\" cy=\"\(place(middle))\" r=\"4\"/></g></g>"
        }
        return text + "</svg>"
    }
}
