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
        let frame = RowFrame(canvas, scale, margin: (8, 84), top: 8, rows: bars.count, pitch: pitch)
        let left = frame.left
        var text = frame.opening(id: id, title: title, description: description, xLabel: xLabel)
        for (index, bar) in bars.enumerated() {
            let y = frame.top + Double(index) * pitch
            let end = max(frame.across(bar.value), left + 1)
            let label = frame.fitted(bar.label)
            text += "<g class=\"point s\(bar.style % Series.styles)\"><title>\(Markup.escape(bar.title))</title>"
            text +=
                "<text class=\"label\" x=\"\(Markup.number(left))\" y=\"\(Markup.number(y + 14))\">\(Markup.escape(label))</text>"
            text +=
                "<rect class=\"bar\" x=\"\(Markup.number(left))\" y=\"\(Markup.number(y + 20))\" width=\"\(Markup.number(end - left))\" height=\"14\" rx=\"2\"/>"
            if let reference = bar.reference {
                text +=
                    "<path class=\"reference\" d=\"M\(Markup.number(frame.across(reference))) \(Markup.number(y + 17))v20\"/>"
            }
            let textX = max(end, bar.reference.map(frame.across) ?? 0) + 6
            text +=
                "<text class=\"value\" x=\"\(Markup.number(textX))\" y=\"\(Markup.number(y + 31))\">\(Markup.escape(bar.text))</text></g>"
        }
        return text + "</svg>"
    }
}
