// SPDX-License-Identifier: Apache-2.0

import DMACopy
import DMACore
import DMAThreads
import DMAUnits
import Glibc

/// One line on the terminal, redrawn: what, how far, how fast, how long still.
struct ProgressLine {
    private var line = RedrawnLine()
    private var isDrawn = false
    private var lastBytes: UInt64 = 0
    private var lastTime: Int64 = 0
    private var rate = 0.0

    mutating func draw(_ progress: CopyProgress, name: String) {
        let width = TerminalColumns.of(STDERR_FILENO) ?? 80
        Terminal.note(line.drawn(text(progress, name: name, width: width - 1), hasSequences: Terminal.hasSequences))
        isDrawn = true
    }

    mutating func clear() {
        if isDrawn { Terminal.note(line.cleared(hasSequences: Terminal.hasSequences)) }
        isDrawn = false
    }

    mutating func text(_ progress: CopyProgress, name: String, width: Int) -> String {
        measure(progress)
        var parts = [progress.phase.rawValue, ByteSize.text(progress.bytes)]
        if let total = progress.total, total > 0 {
            parts[1] += " of \(ByteSize.text(total)), \(Int(Double(progress.bytes) / Double(total) * 100)) %"
        }
        if rate > 0 {
            parts.append(ByteSize.text(rate: rate))
            if let total = progress.total, total > progress.bytes {
                parts.append(Self.duration(Double(total - progress.bytes) / rate) + " left")
            }
        }
        let text = parts.joined(separator: ", ")
        let room = width - TextWidth.columns(text) - 2
        let label = TextWidth.visible(CopyFailure.quoted(name))
        // Of a long name the end says more than the beginning.
        if room >= TextWidth.columns(label) { return label + ": " + text }
        if room > 8 { return "…" + TextWidth.suffix(label, room - 1) + ": " + text }
        return TextWidth.prefix(text, width)
    }

    /// The rate of the last seconds: new measurements count a fifth.
    private mutating func measure(_ progress: CopyProgress) {
        let now = Deadline.now.nanoseconds
        if progress.bytes < lastBytes || lastTime == 0 {
            rate = 0
        } else if now > lastTime {
            let current = Double(progress.bytes - lastBytes) / (Double(now - lastTime) / 1e9)
            rate = rate == 0 ? current : rate * 0.8 + current * 0.2
        }
        lastBytes = progress.bytes
        lastTime = now
    }

    static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds < 3_600_000 else { return "a long time" }
        let whole = Int(seconds.rounded(.up))
        func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
        if whole < 60 { return "\(whole) s" }
        if whole < 3600 { return "\(whole / 60):\(two(whole % 60)) min" }
        return "\(whole / 3600):\(two(whole / 60 % 60)) h"
    }
}
