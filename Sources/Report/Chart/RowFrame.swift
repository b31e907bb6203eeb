// SPDX-License-Identifier: Apache-2.0

/// The frame of a chart whose rows lie one below the other: the title, the grid of the one axis, its ticks and its label.
struct RowFrame {
    let canvas: LineChart.Canvas
    let scale: Scale
    let left: Double
    let top: Double
    let width: Double
    let height: Double

    /// - Parameters:
    ///   - margin: left of the axis, and right of it.
    ///   - pitch: height of a row.
    init(
        _ canvas: LineChart.Canvas, _ scale: Scale, margin: (left: Double, right: Double), top: Double, rows: Int, pitch: Double
    ) {
        (self.canvas, self.scale, self.top) = (canvas, scale, top)
        left = margin.left
        width = canvas.width - margin.left - margin.right
        height = top + Double(rows) * pitch
    }

    func across(_ value: Double) -> Double { left + scale.place(value) * width }

    /// The label of a row, cut to what fits above it.
    func fitted(_ label: String) -> String {
        let room = Int((canvas.width - 16) / canvas.characterWidth)
        return label.count > room ? String(label.prefix(room - 1)) + "…" : label
    }

    /// Everything before the rows.
    func opening(id: String, title: String, description: String, xLabel: String) -> String {
        func place(_ value: Double) -> String { Markup.number(value) }
        var text = """
            <svg class="chart \(canvas.name)" role="img" aria-labelledby="\(id)-t \(id)-d" viewBox="0 0 \(place(canvas.width)) \
            \(place(height + 46))" xmlns="http://www.w3.org/2000/svg">\
            <title id="\(id)-t">\(Markup.escape(title))</title><desc id="\(id)-d">\(Markup.escape(description))</desc><g class="grid">
            """
        let shown = scale.fitting(width, characterWidth: canvas.characterWidth)
        for tick in shown { text += "<path d=\"M\(place(across(tick.value))) \(place(top))V\(place(height))\"/>" }
        text += "</g><g class=\"ticks x\">"
        for tick in shown {
            let anchor = tick.value == scale.lowest ? " style=\"text-anchor:start\"" : ""
            text +=
                "<text\(anchor) x=\"\(place(across(tick.value)))\" y=\"\(place(height + 16))\">\(Markup.escape(tick.label))</text>"
        }
        return text
            + "</g><text class=\"axis\" x=\"\(place(left + width / 2))\" y=\"\(place(height + 38))\">\(Markup.escape(xLabel))</text>"
    }
}
