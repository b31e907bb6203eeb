// SPDX-License-Identifier: Apache-2.0

import DMACore
import FoundationEssentials
import Glibc

/// What the output goes to, and what it can show.
enum Terminal {
    // SAFETY: the string of getenv is copied at once; nobody in this process changes the environment.
    private static func variable(_ name: String) -> String? { unsafe getenv(name).map { unsafe String(cString: $0) } }

    /// Columns that a line of output may have: COLUMNS, or the terminal's width; nil where the output is a file or a pipe.
    static var width: Int? {
        if let text = variable("COLUMNS"), let columns = Int(text), columns > 0 { return columns }
        var size = winsize()
        // SAFETY: the C function fills `size`, which is the structure that this request writes.
        guard unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
        return Int(size.ws_col)
    }

    /// Whether to use colour: on a terminal that has it, unless NO_COLOR is set and not empty (no-color.org).
    static let hasColor: Bool = {
        if let text = variable("NO_COLOR"), !text.isEmpty { return false }
        return isatty(STDOUT_FILENO) == 1 && variable("TERM") != "dumb"
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
            if !isEmpty, line.count + 1 + word.count > width {
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

/// One line on the terminal that is written over and over, on standard error; nothing where that is no terminal. Any thread may use it.
final class StatusLine: Sendable {
    private let isShown = isatty(STDERR_FILENO) == 1
    /// Whether it stays as it is.
    private let isKept = Locked(false)

    func show(_ text: String) { isKept.withLock { if !$0 { draw(text) } } }

    /// Shows this, whatever comes, until the line is cleared.
    func keep(_ text: String) {
        isKept.withLock { isKept in
            isKept = true
            draw(text)
        }
    }

    private func draw(_ text: String) {
        if isShown { Terminal.note("\r\u{1b}[K" + String(text.prefix(max((Terminal.width ?? 80) - 1, 20)))) }
    }

    func clear() {
        if isShown { Terminal.note("\r\u{1b}[K") }
    }
}
