// SPDX-License-Identifier: Apache-2.0

/// The chapter on errors has one row for each code, with the texts of the code itself.
///
/// An example prints the table from the codes' own texts, so that these are written in one place.
public enum ErrorTable {
    /// - Parameters:
    ///   - chapter: the path of the chapter and its text.
    ///   - printed: the output of the example: one row of the table for each code, in the codes' order.
    public static func check(chapter: (path: String, text: String), printed: String) -> [Finding] {
        let wanted = lines(of: printed).filter { $0.hasPrefix("| `") }
        if wanted.isEmpty {
            return [
                Finding(
                    chapter.path, 0, "the example printed no row",
                    cure: "make `swift run example-errors --table` print the codes")
            ]
        }
        var present: [(line: Int, text: Substring)] = []
        for (index, line) in lines(of: chapter.text).enumerated() where line.hasPrefix("| `") {
            present.append((index + 1, line))
        }
        var findings: [Finding] = []
        for row in wanted where !present.contains(where: { $0.text == row }) {
            findings.append(
                Finding(
                    chapter.path, 0, "the row of \(code(row)) is missing or differs", cure: "the row is: \(row)"))
        }
        for row in present where !wanted.contains(row.text) && !wanted.contains(where: { code($0) == code(row.text) }) {
            findings.append(Finding(chapter.path, row.line, "\(code(row.text)) is not a code", cure: "remove the row"))
        }
        return findings
    }

    static func code(_ row: Substring) -> Substring { row.split(separator: "`").dropFirst().first ?? "" }
}
