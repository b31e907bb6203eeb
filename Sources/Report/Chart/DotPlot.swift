// SPDX-License-Identifier: Apache-2.0

/// Ratios one below the other, each a dot with its interval on a track of its own, beside the line of what they are compared with.
///
/// The tracks are as wide as their column: places are percentages. So text stays text of the table around them, and a page breaks between rows.
struct DotPlot {
    struct Dot {
        let value: Double
        let low: Double?
        let high: Double?
        /// The class that colours it.
        let style: String
        let title: String
    }

    let scale: Scale
    /// A value that gets a line through all tracks.
    let reference: Double

    /// Room for half of the label under the first and the last mark.
    private func across(_ value: Double) -> String { Markup.number(6 + 88 * scale.place(value)) + "%" }

    /// The narrowest column of tracks, in pixels; and the width of a character of a label.
    private static let (narrowest, characterWidth) = (240.0, 7.0)

    private var shown: [Scale.Tick] { scale.fitting(Self.narrowest, characterWidth: Self.characterWidth) }

    private var grid: String {
        shown.map { tick in
            "<line class=\"grid\" x1=\"\(across(tick.value))\" x2=\"\(across(tick.value))\" y1=\"0\" y2=\"100%\"/>"
        }
        .joined()
            + "<line class=\"ghost\" x1=\"\(across(reference))\" x2=\"\(across(reference))\" y1=\"0\" y2=\"100%\"/>"
    }

    /// The marks of the axis, for above the tracks.
    func axis(title: String) -> String {
        let labels = shown.map { "<text x=\"\(across($0.value))\" y=\"12\">\(Markup.escape($0.label))</text>" }.joined()
        return "<svg class=\"track\" role=\"img\" height=\"16\" xmlns=\"http://www.w3.org/2000/svg\">"
            + "<title>\(Markup.escape(title))</title><g class=\"ticks x\">\(labels)</g></svg>"
    }

    func track(_ dot: Dot) -> String {
        var text =
            "<svg class=\"track point \(dot.style)\" role=\"img\" height=\"24\" xmlns=\"http://www.w3.org/2000/svg\">"
            + "<title>\(Markup.escape(dot.title))</title>\(grid)"
        if let low = dot.low, let high = dot.high {
            let (from, to) = (across(low), across(high))
            text +=
                "<line class=\"whisker\" x1=\"\(from)\" x2=\"\(to)\" y1=\"12\" y2=\"12\"/>"
                + "<line class=\"whisker\" x1=\"\(from)\" x2=\"\(from)\" y1=\"8\" y2=\"16\"/>"
                + "<line class=\"whisker\" x1=\"\(to)\" x2=\"\(to)\" y1=\"8\" y2=\"16\"/>"
        }
        return text + "<g class=\"mark\"><circle cx=\"\(across(dot.value))\" cy=\"12\" r=\"4.5\"/></g></svg>"
    }
}
