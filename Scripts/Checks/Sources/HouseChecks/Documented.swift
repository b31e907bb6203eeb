// SPDX-License-Identifier: Apache-2.0

/// Every public declaration has a comment. The error codes have theirs in the chapter on errors, which `ErrorTable` checks.
public enum Documented {
    public static func check(_ graph: SymbolGraph) -> [Finding] {
        graph.symbols.filter { symbol in
            !symbol.isDocumented && !(symbol.kind == "swift.enum.case" && symbol.path.dropLast() == ["DMAError", "Code"])
        }.map { symbol in
            Finding(
                symbol.file, symbol.line, "\(symbol.name) is public and says nothing of itself",
                cure: "write /// above it: what it is, its unit, what it throws")
        }
    }
}
