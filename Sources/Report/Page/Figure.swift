// SPDX-License-Identifier: Apache-2.0

/// A chart with its legend, and the table behind it.
struct Figure {
    let heading: String
    let note: String
    let svg: String
    let legend: [(label: String, style: Int)]
    let table: DataTable

    var html: String {
        var text = "<figure class=\"card\"><div class=\"keep\"><figcaption><h3>\(Markup.escape(heading))</h3>"
        if !note.isEmpty { text += "<p>\(Markup.escape(note))</p>" }
        text += "</figcaption>"
        if !legend.isEmpty {
            text += "<ul class=\"legend\">"
            for entry in legend { text += "<li>\(Series.swatch(entry.style))\(Markup.escape(entry.label))</li>" }
            text += "</ul>"
        }
        return text + "<div class=\"plot\">\(svg)</div></div><details><summary>Data</summary>\(table.html)</details></figure>"
    }
}

/// Rows of a table: the first `leading` columns are words, the others numbers.
struct DataTable {
    let header: [String]
    var leading = 1
    /// Columns of words behind the leading ones, by their heads.
    var words: Set<String> = []
    var rows: [[String]] = []

    /// The table without the columns in which all rows say the same, and what those say: "threads 1". The named ones stay.
    func withoutConstants(but kept: Set<String>) -> (table: DataTable, common: [String]) {
        guard rows.count > 1, let first = rows.first else { return (self, []) }
        let gone = header.indices.filter { column in
            column > 0 && !kept.contains(header[column]) && rows.allSatisfy { $0[column] == first[column] }
        }
        func left<Element>(_ all: [Element]) -> [Element] { all.indices.filter { !gone.contains($0) }.map { all[$0] } }
        let table = DataTable(
            header: left(header), leading: leading - gone.count { $0 < leading }, words: words, rows: rows.map(left))
        return (table, gone.filter { !first[$0].isEmpty }.map { "\(header[$0]) \(first[$0])" })
    }

    var html: String {
        var text = "<div class=\"scroll\" tabindex=\"0\"><table><thead><tr>"
        func kind(_ column: Int) -> String { column < leading || words.contains(header[column]) ? "" : " class=\"n\"" }
        for (column, name) in header.enumerated() {
            text += "<th scope=\"col\"\(kind(column))>\(Markup.escape(name))</th>"
        }
        text += "</tr></thead><tbody>"
        for row in rows {
            text += "<tr>"
            for (column, cell) in row.enumerated() {
                text +=
                    column == 0
                    ? "<th scope=\"row\">\(Markup.escape(cell))</th>"
                    : "<td\(kind(column))>\(Markup.escape(cell))</td>"
            }
            text += "</tr>"
        }
        return text + "</tbody></table></div>"
    }
}
