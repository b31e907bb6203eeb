// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What dmactl prints as tables, read as people read them: by the rule below the heads.
enum Tables {
    /// The rows of each table, each cell by its column's head.
    static func read(_ text: String) -> [[[String: String]]] {
        let lines = text.components(separatedBy: "\n").map(Array.init)
        return lines.indices.dropFirst().compactMap { number -> [[String: String]]? in
            let rule = lines[number]
            guard rule.contains("-"), rule.allSatisfy({ $0 == "-" || $0 == " " }) else { return nil }
            let begins = rule.indices.filter { rule[$0] == "-" && ($0 == 0 || rule[$0 - 1] == " ") }
            let spans = begins.map { $0..<(rule[$0...].firstIndex(of: " ") ?? rule.endIndex) }
            func cells(_ line: [Character]) -> [String] {
                spans.map { span in
                    let whole = span.clamped(to: 0..<max(line.count, span.lowerBound + 1))
                    return line.count <= whole.lowerBound
                        ? "" : String(line[whole].filter { _ in true }).trimmingCharacters(in: .whitespaces)
                }
            }
            let heads = cells(lines[number - 1])
            return lines[(number + 1)...].prefix { !$0.isEmpty }.map {
                Dictionary(zip(heads, cells($0)), uniquingKeysWith: { first, _ in first })
            }
        }
    }

    /// The rows of the table that has such a column.
    static func with(_ column: String, _ text: String) -> [[String: String]] {
        read(text).first { $0.first?[column] != nil } ?? []
    }
}
