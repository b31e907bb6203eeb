// SPDX-License-Identifier: Apache-2.0

/// How much a public face of the package shows: what a program can name that imports it.
///
/// A declaration counts once, where a source file makes it: types, members, initializers, operators, witnesses of requirements. What the
/// compiler derives (`init(rawValue:)` of an enumeration, `init(from:)`) has no place in a file and is nobody's to learn. The cases of
/// enumerations are counted apart: each is a value of a declaration that is counted.
public enum Faces {
    /// What one module shows.
    public struct Count: Equatable, Sendable {
        public let module: String
        public let declarations: Int
        public let cases: Int
    }

    public static func count(_ graph: SymbolGraph, of module: String) -> Count {
        let cases = graph.symbols.count { $0.kind == "swift.enum.case" }
        let declarations = graph.symbols.count { $0.kind != "swift.enum.case" && $0.line > 0 }
        return Count(module: module, declarations: declarations, cases: cases)
    }

    /// - Parameters:
    ///   - face: the name of the module that is imported.
    ///   - limit: the most declarations that it and what it re-exports may have together.
    /// - Returns: one row for each module and one for the sum, and what is wrong.
    public static func check(_ face: String, limit: Int, _ counts: [Count]) -> (table: String, findings: [Finding]) {
        let declarations = counts.reduce(0) { $0 + $1.declarations }
        let cases = counts.reduce(0) { $0 + $1.cases }
        var table = ""
        for count in counts { table += "  \(count.module): \(count.declarations) declarations, \(count.cases) cases\n" }
        table += "  import \(face): \(declarations) declarations of at most \(limit), \(cases) cases\n"
        guard declarations > 0 else {
            return (table, [Finding(face, 0, "shows no declaration at all", cure: "name the modules that it re-exports")])
        }
        guard declarations > limit else { return (table, []) }
        return (
            table,
            [
                Finding(
                    face, 0, "shows \(declarations) public declarations, \(limit) at most",
                    cure: "make package what clients do not need, or move what engine authors need to DMADriverKit")
            ]
        )
    }
}
