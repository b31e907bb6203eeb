// SPDX-License-Identifier: Apache-2.0

/// The table of kernel names and their equivalents is correct: each name in its second column is a public declaration.
public enum KernelNames {
    /// - Parameters:
    ///   - path: of the document.
    ///   - text: of the document; its table begins with the row "| Linux kernel | swift-dma |".
    public static func check(_ path: String, _ text: String, _ graph: SymbolGraph) -> [Finding] {
        var known: Set<String> = []
        for symbol in graph.symbols {
            // `Channel.submit`, whatever its arguments, and `Channel.submit(_:_:deadline:)`.
            known.insert(symbol.path.joined(separator: "."))
            let bare = symbol.path.dropLast() + [String(symbol.path.last?.prefix { $0 != "(" } ?? "")]
            known.insert(bare.joined(separator: "."))
        }
        var findings: [Finding] = []
        var rows = 0
        var isInTable = false
        for (index, line) in lines(of: text).enumerated() {
            if line.hasPrefix("| Linux kernel |") { isInTable = true }
            if !line.hasPrefix("|") { isInTable = false }
            guard isInTable, !line.hasPrefix("| Linux kernel"), !line.hasPrefix("|-"), !line.hasPrefix("| -") else { continue }
            rows += 1
            let cells = line.split(separator: "|", omittingEmptySubsequences: false)
            guard cells.count >= 4 else {
                findings.append(Finding(path, index + 1, "a row without a second column", cure: "write the equivalent there"))
                continue
            }
            let names = cells[2].split(separator: "`", omittingEmptySubsequences: false).enumerated().filter {
                $0.offset % 2 == 1
            }
            if names.isEmpty {
                findings.append(Finding(path, index + 1, "a row without an equivalent", cure: "write it in backticks"))
            }
            for (_, name) in names where !known.contains(String(name)) {
                findings.append(
                    Finding(
                        path, index + 1, "`\(name)` is no public declaration", cure: "write its full name, as `Channel.submit`")
                )
            }
        }
        if rows == 0 {
            findings.append(
                Finding(path, 0, "no table of the kernel's names", cure: "begin it with | Linux kernel | swift-dma |"))
        }
        return findings
    }
}
