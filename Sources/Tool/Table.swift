// SPDX-License-Identifier: Apache-2.0

/// Rows of text in columns: the first `leading` to the left, the others to the right, as numbers are read.
struct Table {
    let header: [String]
    let leading: Int
    private(set) var rows: [[String]] = []

    init(_ header: [String], leading: Int) {
        self.header = header
        self.leading = leading
    }

    mutating func add(_ row: [String]) { rows.append(row) }

    var text: String {
        let all = [header] + rows
        let widths = header.indices.map { column in all.map { $0.count > column ? $0[column].count : 0 }.max() ?? 0 }
        func line(_ row: [String]) -> String {
            var cells: [String] = []
            for (column, cell) in row.enumerated() {
                let fill = String(repeating: " ", count: max(widths[column] - cell.count, 0))
                cells.append(column < leading ? cell + fill : fill + cell)
            }
            var text = cells.joined(separator: "  ")
            while text.last == " " { text.removeLast() }
            return text
        }
        let rule = widths.map { String(repeating: "-", count: $0) }.joined(separator: "  ")
        return ([line(header), rule] + rows.map(line)).joined(separator: "\n")
    }
}

/// Numbers as people read them.
enum Figures {
    /// Bytes per second in GB/s: 10⁹.
    static func rate(_ bytesPerSecond: Double) -> String { decimal(bytesPerSecond / 1e9, 2) }

    /// A number of bytes in the binary unit that leaves it at least 1.
    static func bytes(_ count: UInt64) -> String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB"]
        var value = Double(count)
        var unit = 0
        while value >= 1024, unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        return (unit == 0 || value == value.rounded() ? String(Int(value.rounded())) : decimal(value, 1)) + " " + units[unit]
    }

    static func microseconds(_ nanoseconds: Int64) -> String {
        decimal(Double(nanoseconds) / 1000, nanoseconds < 100_000 ? 1 : 0)
    }

    /// Nanoseconds with three digits: "850", "12.3k" would not do for a time, so "12.3 us", "1.20 ms".
    static func nanoseconds(_ value: Int) -> String {
        if value < 1000 { return "\(value)" }
        if value < 1_000_000 { return decimal(Double(value) / 1e3, value < 100_000 ? 1 : 0) + " us" }
        return decimal(Double(value) / 1e6, value < 100_000_000 ? 1 : 0) + " ms"
    }

    static func count(_ value: Double) -> String {
        if value >= 1e6 { return decimal(value / 1e6, 2) + " M" }
        if value >= 1e4 { return decimal(value / 1e3, 1) + " k" }
        return decimal(value, 0)
    }

    static func decimal(_ value: Double, _ places: Int) -> String {
        guard value.isFinite else { return "-" }
        var scale = 1.0
        for _ in 0..<places { scale *= 10 }
        let scaled = Int64((abs(value) * scale).rounded())
        var digits = String(scaled)
        while digits.count <= places { digits = "0" + digits }
        if places > 0 { digits.insert(".", at: digits.index(digits.endIndex, offsetBy: -places)) }
        return (value < 0 ? "-" : "") + digits
    }
}
