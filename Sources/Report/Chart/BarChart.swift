// SPDX-License-Identifier: Apache-2.0

/// Bars side by side with their labels: for what has no axis to lie on.
struct BarChart {
    struct Bar {
        let label: String
        let value: Double
        let text: String
        /// A second value, marked by a line across: what the bar is compared with.
        let reference: Double?
        let style: Int
        let title: String
    }

    let title: String
    let description: String
    let xLabel: String
    let bars: [Bar]
    let scale: Scale

    func svg(id: String) -> String {
        [LineChart.Canvas.wide, .narrow].map { picture($0, id: "\(id)-\($0.name)") }.joined()
    }

    private func picture(_ canvas: LineChart.Canvas, id: String) -> String {
        // The label stands above its bar, so that it may be as long as the picture is wide.
        let pitch = 44.0
        let (left, top) = (8.0, 8.0)
        let width = canvas.width - left - 84
        let height = top + Double(bars.count) * pitch
        var text = """
            <svg class="chart \(canvas.name)" role="img" aria-labelledby="\(id)-t \(id)-d" viewBox="0 0 \(Markup.number(canvas.width)) \
            \(Markup.number(height + 46))" xmlns="http://www.w3.org/2000/svg">\
            <title id="\(id)-t">\(Markup.escape(title))</title><desc id="\(id)-d">\(Markup.escape(description))</desc><g class="grid">
            """
        func across(_ value: Double) -> Double { left + scale.place(value) * width }
        let shown = scale.fitting(width, characterWidth: canvas.characterWidth)
        for tick in shown {
            text += "<path d=\"M\(Markup.number(across(tick.value))) \(Markup.number(top))V\(Markup.number(height))\"/>"
        }
        text += "</g><g class=\"ticks x\">"
        for tick in shown {
            let anchor = tick.value == scale.lowest ? " style=\"text-anchor:start\"" : ""
            text +=
                "<text\(anchor) x=\"\(Markup.number(across(tick.value)))\" y=\"\(Markup.number(height + 16))\">\(Markup.escape(tick.label))</text>"
        }
        text +=
            "</g><text class=\"axis\" x=\"\(Markup.number(left + width / 2))\" y=\"\(Markup.number(height + 38))\">\(Markup.escape(xLabel))</text>"
        let room = Int((canvas.width - 16) / canvas.characterWidth)
        for (index, bar) in bars.enumerated() {
            let y = top + Double(index) * pitch
            let end = max(across(bar.value), left + 1)
            let label = bar.label.count > room ? String(bar.label.prefix(room - 1)) + "…" : bar.label
            text += "<g class=\"point s\(bar.style % Series.styles)\"><title>\(Markup.escape(bar.title))</title>"
            text +=
                "<text class=\"label\" x=\"\(Markup.number(left))\" y=\"\(Markup.number(y + 14))\">\(Markup.escape(label))</text>"
            text +=
                "<rect class=\"bar\" x=\"\(Markup.number(left))\" y=\"\(Markup.number(y + 20))\" width=\"\(Markup.number(end - left))\" height=\"14\" rx=\"2\"/>"
            if let reference = bar.reference {
                text +=
                    "<path class=\"reference\" d=\"M\(Markup.number(across(reference))) \(Markup.number(y + 17))v20\"/>"
            }
            let textX = max(end, bar.reference.map(across) ?? 0) + 6
            text +=
                "<text class=\"value\" x=\"\(Markup.number(textX))\" y=\"\(Markup.number(y + 31))\">\(Markup.escape(bar.text))</text></g>"
        }
        return text + "</svg>"
    }
}
