// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAThreads
import Glibc

/// One line on the terminal that is written over and over, on standard error; nothing where that is no terminal. Any thread may use it.
final class StatusLine: Sendable {
    private let isShown = isatty(STDERR_FILENO) == 1
    private struct State {
        var line = RedrawnLine()
        /// Whether it stays as it is.
        var isKept = false
    }
    private let state = Locked(State())

    func show(_ text: String) { state.withLock { if !$0.isKept { draw(text, &$0) } } }

    /// Shows this, whatever comes, until the line is cleared.
    func keep(_ text: String) {
        state.withLock { state in
            state.isKept = true
            draw(text, &state)
        }
    }

    private func draw(_ text: String, _ state: inout State) {
        guard isShown else { return }
        let width = max((TerminalColumns.of(STDERR_FILENO) ?? 80) - 1, 0)
        Terminal.note(state.line.drawn(TextWidth.prefix(TextWidth.visible(text), width), hasSequences: Terminal.hasSequences))
    }

    func clear() {
        state.withLock { if isShown { Terminal.note($0.line.cleared(hasSequences: Terminal.hasSequences)) } }
    }
}

/// A line that is drawn over itself: what to write for that, with and without escape sequences.
struct RedrawnLine {
    /// Columns that the line took when it was drawn last.
    private var columns = 0

    /// What draws `text` over the line.
    mutating func drawn(_ text: String, hasSequences: Bool) -> String {
        let now = TextWidth.columns(text)
        // A terminal that cannot erase gets spaces over what was longer.
        let rest = hasSequences ? 0 : max(columns - now, 0)
        columns = now
        if hasSequences { return "\r\u{1b}[K" + text }
        return "\r" + text + String(repeating: " ", count: rest)
    }

    /// What takes the line away.
    mutating func cleared(hasSequences: Bool) -> String {
        let rest = columns
        columns = 0
        return hasSequences ? "\r\u{1b}[K" : rest == 0 ? "" : "\r" + String(repeating: " ", count: rest) + "\r"
    }
}
