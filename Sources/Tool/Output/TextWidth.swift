// SPDX-License-Identifier: Apache-2.0

/// How many columns of a terminal a text takes, and texts cut to columns.
///
/// Source: Unicode Standard Annex 11 (East Asian Width): wide and full-width characters take two columns; marks that combine with the
/// character before them, and format characters, take none.
enum TextWidth {
    /// Columns that a text takes.
    static func columns(_ text: some StringProtocol) -> Int {
        text.unicodeScalars.reduce(0) { $0 + columns($1) }
    }

    static func columns(_ scalar: Unicode.Scalar) -> Int {
        let value = scalar.value
        if value < 0x300 { return value == 0xad || value >= 0x20 && !(0x7f..<0xa0).contains(value) ? 1 : 0 }
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .format: return 0
        default: break
        }
        // Vowels and final consonants of Hangul join the consonant before them.
        if (0x1160...0x11ff).contains(value) || (0xd7b0...0xd7fb).contains(value) { return 0 }
        if scalar.properties.isEmojiPresentation { return 2 }
        return wide.contains { $0.contains(value) } ? 2 : 1
    }

    /// Wide and full-width characters that are no emoji, with unassigned ones between them: in doubt a text is too short for its line.
    private static let wide: [ClosedRange<UInt32>] = [
        0x1100...0x115f, 0x2329...0x232a, 0x2630...0x2637, 0x268a...0x268f, 0x2e80...0x303e, 0x3041...0x4dbf, 0x4dc0...0x4dff,
        0x4e00...0xa4cf, 0xa960...0xa97f, 0xac00...0xd7a3, 0xf900...0xfaff, 0xfe10...0xfe1f, 0xfe30...0xfe6f, 0xff01...0xff60,
        0xffe0...0xffe6, 0x16fe0...0x18dff, 0x1aff0...0x1b2ff, 0x1d300...0x1d376, 0x1f200...0x1f265, 0x1f300...0x1faff,
        0x20000...0x3fffd,
    ]

    /// As much of the beginning as takes `limit` columns at most.
    static func prefix(_ text: String, _ limit: Int) -> String {
        var (taken, left) = (String.UnicodeScalarView(), limit)
        for scalar in text.unicodeScalars {
            left -= columns(scalar)
            guard left >= 0 else { break }
            taken.append(scalar)
        }
        return String(taken)
    }

    /// As much of the end as takes `limit` columns at most, beginning with a character that takes some.
    static func suffix(_ text: String, _ limit: Int) -> String {
        var (taken, left) = ([Unicode.Scalar](), limit)
        for scalar in text.unicodeScalars.reversed() {
            left -= columns(scalar)
            guard left >= 0 else { break }
            taken.append(scalar)
        }
        while let last = taken.last, columns(last) == 0 { taken.removeLast() }
        var result = String.UnicodeScalarView()
        result.append(contentsOf: taken.reversed())
        return String(result)
    }

    /// A text with spaces behind it, or before it, up to `width` columns.
    static func padded(_ text: String, _ width: Int, toTheRight: Bool = false) -> String {
        let fill = String(repeating: " ", count: max(width - columns(text), 0))
        return toTheRight ? fill + text : text + fill
    }

    /// The text with control characters, format characters (among them those that change the direction) and line separators replaced by
    /// escapes with their numbers, so that a terminal does not interpret them.
    static func visible(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator:
                result += "\\u{" + String(scalar.value, radix: 16) + "}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
