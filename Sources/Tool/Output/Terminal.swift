// SPDX-License-Identifier: Apache-2.0

import DMAThreads
import Glibc

/// What the output goes to, and what it can show.
enum Terminal {
    // SAFETY: the string of getenv is copied at once; no code of this process changes the environment.
    private static func variable(_ name: String) -> String? { unsafe getenv(name).map { unsafe String(cString: $0) } }

    /// Columns that a line of output may have: COLUMNS, or the terminal's width; nil where the output is a file or a pipe.
    static var width: Int? {
        if let text = variable("COLUMNS"), let columns = Int(text), columns > 0 { return columns }
        return TerminalColumns.of(STDOUT_FILENO)
    }

    /// Whether a terminal understands escape sequences: it has a name, which is not "dumb".
    static let hasSequences: Bool = {
        guard let name = variable("TERM") else { return false }
        return !name.isEmpty && name != "dumb"
    }()

    /// Whether to use colour: on a terminal that has it, unless NO_COLOR is set and not empty (no-color.org).
    static let hasColor: Bool = {
        if let text = variable("NO_COLOR"), !text.isEmpty { return false }
        return isatty(STDOUT_FILENO) == 1 && hasSequences
    }()

    /// Words in lines that fit, where there is a width to fit, the first of them behind `prefix`, the others behind `indent` spaces.
    static func wrapped(
        _ text: String, after prefix: String = "", indent: Int = 0, width: Int? = Terminal.width
    ) -> String {
        guard let width else { return prefix + text }
        var lines: [String] = []
        var line = prefix
        var isEmpty = true
        for word in text.split(separator: " ") {
            if !isEmpty, TextWidth.columns(line) + 1 + TextWidth.columns(word) > width {
                lines.append(line)
                line = String(repeating: " ", count: indent) + word
            } else {
                line += (isEmpty ? "" : " ") + word
            }
            isEmpty = false
        }
        return (lines + [line]).joined(separator: "\n")
    }

    enum Style: String {
        case good = "32"
        case bad = "1;31"
        case warning = "33"
        case faint = "2"
    }

    static func styled(_ text: String, _ style: Style) -> String {
        hasColor ? "\u{1b}[\(style.rawValue)m\(text)\u{1b}[0m" : text
    }

    /// Writes bytes to standard error; what cannot be written is left out.
    static func note(_ text: String) {
        let bytes = Array(text.utf8)
        // SAFETY: the call reads the array's own bytes, which live through it.
        _ = unsafe Glibc.write(STDERR_FILENO, bytes, bytes.count)
    }
}
