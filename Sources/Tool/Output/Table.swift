// SPDX-License-Identifier: Apache-2.0

import DMACopy
import DMAUnits

/// Rows of text in columns: the first `leading` to the left, the others to the right, as numbers are read.
///
/// On a terminal that is too narrow, columns are set closer, then optional ones are left out, which a line below says; then the
/// leading ones are cut, the widest first, down to four characters.
struct Table {
    /// A text, and its colour where there is colour.
    struct Cell {
        let text: String
        let style: Terminal.Style?

        init(_ text: String, _ style: Terminal.Style? = nil) {
            self.text = text
            self.style = style
        }
    }

    let header: [String]
    let leading: Int
    /// Columns that may be left out, the first one first.
    let optional: [String]
    private(set) var rows: [[Cell]] = []

    init(_ header: [String], leading: Int, optional: [String] = []) {
        self.header = header
        self.leading = leading
        self.optional = optional
    }

    mutating func add(_ row: [String]) { rows.append(row.map { Cell($0) }) }
    mutating func add(_ row: [Cell]) { rows.append(row) }

    /// For the terminal at hand; as wide as it needs, where the output is a file.
    var text: String { text(width: Terminal.width) }

    func text(width: Int?) -> String {
        var columns = Array(header.indices)
        var left: [String] = []
        var gap = 2
        if let width {
            if needs(columns, gap) > width { gap = 1 }
            for name in optional where needs(columns, gap) > width {
                guard let place = columns.firstIndex(where: { header[$0] == name }) else { continue }
                columns.remove(at: place)
                left.append(name)
            }
        }
        var widths = columns.map(self.width(of:))
        for _ in 0..<(width.map { max(needs(columns, gap) - $0, 0) } ?? 0) {
            let leading = columns.indices.filter { columns[$0] < self.leading && widths[$0] > 4 }
            guard let widest = leading.max(by: { widths[$0] < widths[$1] }) else { break }
            widths[widest] -= 1
        }
        var text = lines(columns, gap, widths)
        if !left.isEmpty {
            text += "\n" + Terminal.wrapped("left out for want of room: " + left.joined(separator: ", "), width: width)
        }
        return text
    }

    /// In GitHub's Markdown, with every column: <https://github.github.com/gfm/#tables-extension->.
    var markdown: String {
        func line(_ cells: [String]) -> String { "| " + cells.joined(separator: " | ") + " |" }
        let rule = header.indices.map { $0 < leading ? "---" : "---:" }
        let body = rows.map { row in
            header.indices.map { $0 < row.count ? Table.escaped(row[$0].text) : "" }
        }
        return ([header.map(Table.escaped), rule] + body).map(line).joined(separator: "\n")
    }

    /// A text of which nothing means anything in Markdown.
    static func escaped(_ text: String) -> String {
        text.reduce(into: "") { result, character in
            if "\\|*_`<>[]#~".contains(character) { result.append("\\") }
            result.append(character)
        }
    }

    private func width(of column: Int) -> Int {
        rows.reduce(TextWidth.columns(header[column])) { max($0, $1.count > column ? TextWidth.columns($1[column].text) : 0) }
    }

    private func needs(_ columns: [Int], _ gap: Int) -> Int {
        columns.reduce(0) { $0 + width(of: $1) } + gap * max(columns.count - 1, 0)
    }

    private func lines(_ columns: [Int], _ gap: Int, _ widths: [Int]) -> String {
        let space = String(repeating: " ", count: gap)
        func line(_ row: [Cell]) -> String {
            var cells: [String] = []
            for (place, column) in columns.enumerated() {
                let cell = column < row.count ? row[column] : Cell("")
                let text =
                    TextWidth.columns(cell.text) > widths[place]
                    ? TextWidth.prefix(cell.text, max(widths[place] - 1, 0)) + "…" : cell.text
                let fill = String(repeating: " ", count: max(widths[place] - TextWidth.columns(text), 0))
                let shown = cell.style.map { Terminal.styled(text, $0) } ?? text
                // Nothing behind the last word.
                let isLast = place == columns.count - 1
                cells.append(column < leading ? (isLast ? shown : shown + fill) : fill + shown)
            }
            return trimmed(cells.joined(separator: space))
        }
        func trimmed(_ text: String) -> String {
            String(text[..<(text.lastIndex { $0 != " " }.map(text.index(after:)) ?? text.startIndex)])
        }
        let rule = trimmed(widths.map { String(repeating: "-", count: $0) }.joined(separator: space))
        return ([line(header.map { Cell($0) }), rule] + rows.map(line)).joined(separator: "\n")
    }
}

/// Numbers as people read them.
enum Figures {
    /// Bytes per second in GB/s: 10⁹.
    static func rate(_ bytesPerSecond: Double) -> String { decimal(bytesPerSecond / 1e9, 2) }

    /// A number of bytes in the binary unit that leaves it at least 1.
    static func bytes(_ count: UInt64) -> String { ByteSize.text(count) }

    static func microseconds(_ nanoseconds: Int64) -> String {
        decimal(Double(nanoseconds) / 1000, nanoseconds < 100_000 ? 1 : 0)
    }

    /// Nanoseconds with three digits: "850", "12.3k" would not do for a time, so "12.3 us", "1.20 ms".
    static func nanoseconds(_ value: Int) -> String {
        if value < 1000 { return "\(value)" }
        // What would be rounded to 1000 is 1.0 of the next unit.
        if value < 999_500 { return decimal(Double(value) / 1e3, value < 100_000 ? 1 : 0) + " us" }
        return decimal(Double(value) / 1e6, value < 100_000_000 ? 1 : 0) + " ms"
    }

    static func count(_ value: Double) -> String {
        if value >= 999_950 { return decimal(value / 1e6, 2) + " M" }
        if value >= 1e4 { return decimal(value / 1e3, 1) + " k" }
        return decimal(value, 0)
    }

    /// A share in hundredths; a dash for none.
    static func percent(_ share: Double, _ places: Int = 1) -> String {
        share.isFinite ? decimal(share * 100, places) + " %" : "-"
    }

    static func decimal(_ value: Double, _ places: Int) -> String {
        guard value.isFinite else { return "-" }
        var scale = 1.0
        for _ in 0..<places { scale *= 10 }
        // Beyond, a double has no such places.
        guard abs(value) * scale < 1e18 else { return "\(value)" }
        var digits = String(Int64((abs(value) * scale).rounded()))
        while digits.count <= places { digits = "0" + digits }
        if places > 0 { digits.insert(".", at: digits.index(digits.endIndex, offsetBy: -places)) }
        return (value < 0 ? "-" : "") + digits
    }
}
