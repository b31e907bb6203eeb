// SPDX-License-Identifier: Apache-2.0

/// Text that goes into HTML, SVG and attributes.
enum Markup {
    /// Nothing in the result can end a tag, an attribute or a comment; control characters, which XML does not have, are shown
    /// as U+FFFD.
    static func escape(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            case "\n", "\t": result.unicodeScalars.append(scalar)
            // Controls, and marks that turn the direction of what follows.
            case "\u{0}"..."\u{1f}", "\u{7f}"..."\u{9f}", "\u{202a}"..."\u{202e}", "\u{2066}"..."\u{2069}": result += "\u{fffd}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    /// A coordinate: one decimal is finer than a pixel, and keeps the file small.
    static func number(_ value: Double) -> String {
        // Beyond, there is no such place on a page.
        guard value.isFinite, abs(value) < 1e15 else { return "0" }
        let tenths = Int((value * 10).rounded())
        let sign = tenths < 0 ? "-" : ""
        let (whole, rest) = (abs(tenths) / 10, abs(tenths) % 10)
        return rest == 0 ? "\(sign)\(whole)" : "\(sign)\(whole).\(rest)"
    }
}

/// Numbers with units, as the report shows them.
enum Quantity {
    static func decimal(_ value: Double, _ places: Int) -> String {
        var scale = 1.0
        for _ in 0..<places { scale *= 10 }
        guard value.isFinite, abs(value) * scale < 1e18 else { return "–" }
        var digits = String(Int((abs(value) * scale).rounded()))
        while digits.count <= places { digits = "0" + digits }
        if places > 0 { digits.insert(".", at: digits.index(digits.endIndex, offsetBy: -places)) }
        return (value < 0 ? "−" : "") + digits
    }

    /// Three digits, whatever the size.
    static func short(_ value: Double) -> String {
        let size = abs(value)
        return decimal(value, size >= 99.95 ? 0 : size >= 9.995 ? 1 : size >= 0.9995 ? 2 : 3)
    }

    /// A round number, without zeroes at its end.
    static func trimmed(_ value: Double) -> String {
        var text = decimal(value, value >= 100 ? 0 : 4)
        guard text.contains(".") else { return text }
        while text.last == "0" { text.removeLast() }
        if text.last == "." { text.removeLast() }
        return text
    }

    /// Two decimals; of what is smaller than a tenth, two digits that are not 0.
    static func ratio(_ value: Double) -> String {
        guard value > 0, value < 0.0995 else { return decimal(value, 2) }
        var (places, rest) = (2, value)
        while rest < 0.0995, places < 9 { (places, rest) = (places + 1, rest * 10) }
        return decimal(value, places)
    }

    /// Bytes in a second as GB/s.
    static func rate(_ value: Double) -> String { ratio(value / 1e9) }

    /// Nanoseconds in the unit that leaves at least 1.
    static func time(_ nanoseconds: Double) -> String {
        guard nanoseconds.isFinite else { return "–" }
        // What would be rounded to 1000 is 1.00 of the next unit.
        for (size, unit) in [(1e9, "s"), (1e6, "ms"), (1e3, "µs")] where nanoseconds >= 0.9995 * size {
            let value = nanoseconds / size
            return decimal(value, value >= 100 ? 0 : value >= 10 ? 1 : 2) + " " + unit
        }
        return decimal(nanoseconds, 0) + " ns"
    }

    static func percent(_ share: Double, _ places: Int = 1) -> String {
        share.isFinite ? decimal(share * 100, places) + " %" : "–"
    }

    /// A number of bytes with powers of 1000.
    static func bytes(_ value: UInt64) -> String { count(Double(value)) + (value < 1000 ? " B" : "B") }

    static func count(_ value: Double) -> String {
        for (size, unit) in [(1e9, " G"), (1e6, " M"), (1e3, " k")] where value >= 0.9995 * size {
            return short(value / size) + unit
        }
        return decimal(value, 0)
    }
}
