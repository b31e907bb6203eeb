// SPDX-License-Identifier: Apache-2.0

/// The chapter on errors has one row for each code, and the row says what the code itself says when it is asked.
///
/// The table is printed by an example from the codes' own texts, so that there is one place where they are written.
public enum ErrorTable {
    /// - Parameters:
    ///   - chapter: the path of the chapter and its text.
    ///   - printed: what the example printed: one row of the table for each code, in the codes' order.
    public static func check(chapter: (path: String, text: String), printed: String) -> [Finding] {
        let wanted = lines(of: printed).filter { $0.hasPrefix("| `") }
        if wanted.isEmpty {
            return [
                Finding(
                    chapter.path, 0, "the example printed no row",
                    cure: "let `swift run example-errors --table` print the codes")
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
                    chapter.path, 0, "the row of \(code(row)) is missing or says something else", cure: "the row is: \(row)"))
        }
        for row in present where !wanted.contains(row.text) && !wanted.contains(where: { code($0) == code(row.text) }) {
            findings.append(Finding(chapter.path, row.line, "\(code(row.text)) is no code", cure: "remove the row"))
        }
        return findings
    }

    static func code(_ row: Substring) -> Substring { row.split(separator: "`").dropFirst().first ?? "" }
}
