// SPDX-License-Identifier: Apache-2.0

/// A chart with its legend, and the table behind it.
struct Figure {
    let heading: String
    let note: String
    let svg: String
    let legend: [(label: String, style: Int)]
    let table: DataTable

    var html: String {
        var text = "<figure class=\"card\"><figcaption><h3>\(Markup.escape(heading))</h3>"
        if !note.isEmpty { text += "<p>\(Markup.escape(note))</p>" }
        text += "</figcaption>"
        if !legend.isEmpty {
            text += "<ul class=\"legend\">"
            for entry in legend { text += "<li>\(Series.swatch(entry.style))\(Markup.escape(entry.label))</li>" }
            text += "</ul>"
        }
        return text + svg + "<details><summary>Data</summary>\(table.html)</details></figure>"
    }
}

/// Rows of a table: the first `leading` columns are words, the others numbers.
struct DataTable {
    let header: [String]
    var leading = 1
    var rows: [[String]] = []

    var html: String {
        var text = "<div class=\"scroll\" tabindex=\"0\"><table><thead><tr>"
        for (column, name) in header.enumerated() {
            text += "<th scope=\"col\"\(column < leading ? "" : " class=\"n\"")>\(Markup.escape(name))</th>"
        }
        text += "</tr></thead><tbody>"
        for row in rows {
            text += "<tr>"
            for (column, cell) in row.enumerated() {
                text +=
                    column == 0
                    ? "<th scope=\"row\">\(Markup.escape(cell))</th>"
                    : "<td\(column < leading ? "" : " class=\"n\"")>\(Markup.escape(cell))</td>"
            }
            text += "</tr>"
        }
        return text + "</tbody></table></div>"
    }
}
