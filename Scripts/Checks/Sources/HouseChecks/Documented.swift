// SPDX-License-Identifier: Apache-2.0

/// Every public declaration has a comment, except cases of which several share a line: there the enumeration's own comment
/// describes the list. The chapter on errors, which `ErrorTable` checks, explains the error codes.
public enum Documented {
    public static func check(_ graph: SymbolGraph) -> [Finding] {
        let cases = Dictionary(grouping: graph.symbols.filter { $0.kind == "swift.enum.case" }) { "\($0.file):\($0.line)" }
        return graph.symbols.filter { symbol in
            guard !symbol.isDocumented else { return false }
            guard symbol.kind == "swift.enum.case" else { return true }
            return symbol.path.dropLast() != ["DMAError", "Code"] && cases["\(symbol.file):\(symbol.line)"]?.count == 1
        }.map { symbol in
            Finding(
                symbol.file, symbol.line, "\(symbol.name) is public and has no comment",
                cure: "write /// above it: what it is, its unit, what it throws")
        }
    }
}
