// SPDX-License-Identifier: Apache-2.0

/// How much a public face of the package shows: what a program can name that imports one module of it.
///
/// That is what the module declares, and what it re-exports: of a module that is re-exported whole, everything and its re-exports; of a
/// declaration that is re-exported alone, itself and its members. The compiler shows members that a module adds to a type wherever it shows
/// the type and anything of that module; so these count too, also where the type is Swift's own.
///
/// A declaration counts once, where a source file makes it: types, members, initializers, operators, witnesses of requirements. What the
/// compiler derives (`init(rawValue:)` of an enumeration, `init(from:)`) has no place in a file and is nobody's to learn. The cases of
/// enumerations are counted apart: each is a value of a declaration that is counted.
public struct Faces {
    /// What one module contributes.
    public struct Count: Equatable, Sendable {
        public let module: String
        public let declarations: Int
        public let cases: Int

        public init(module: String, declarations: Int, cases: Int) {
            self.module = module
            self.declarations = declarations
            self.cases = cases
        }
    }

    /// The modules that are shown whole, the imported one first.
    private var whole: [String] = []
    /// Of the other modules, the declarations that are shown.
    private var listed: [String: [Reexport]] = [:]
    /// What is wrong with the re-exports themselves.
    private var findings: [Finding] = []

    /// Follows the re-exports of a module.
    ///
    /// - Parameters:
    ///   - face: the name of the module that is imported.
    ///   - reexports: those of a module, and what is wrong with them.
    /// - Throws: what `reexports` throws.
    public init(
        _ face: String, _ reexports: (String) throws(CannotCheck) -> (reexports: [Reexport], findings: [Finding])
    ) throws(CannotCheck) {
        var waiting = [face]
        while let module = waiting.popLast() {
            guard !whole.contains(module) else { continue }
            whole.append(module)
            let (found, wrong) = try reexports(module)
            findings += wrong
            for reexport in found {
                if reexport.name == nil {
                    waiting.append(reexport.module)
                } else {
                    listed[reexport.module, default: []].append(reexport)
                }
            }
        }
    }

    /// The modules of which anything is shown, the imported one first.
    public var modules: [String] { whole + listed.keys.filter { !whole.contains($0) }.sorted() }

    /// - Parameters:
    ///   - limit: the most declarations that a program may see.
    ///   - graph: the declarations of a module.
    ///   - isOurs: whether a module is one of the package. Any program can name the declarations of the others.
    /// - Returns: one row for each module and one for the sum, and what is wrong.
    /// - Throws: what `graph` throws.
    public func check(
        limit: Int, _ graph: (String) throws(CannotCheck) -> SymbolGraph, isOurs: (String) -> Bool
    ) throws(CannotCheck) -> (table: String, findings: [Finding]) {
        var counts: [Count] = []
        var findings = findings
        for module in modules {
            let symbols = try graph(module).symbols
            let names = Set(symbols.filter { $0.extended == nil }.compactMap(\.path.first))
            for reexport in listed[module] ?? [] where !names.contains(reexport.name ?? "") {
                findings.append(
                    Finding(
                        reexport.file, reexport.line, "\(module) declares no public \(reexport.name ?? "")",
                        cure: "name a declaration, and the module that declares it"))
            }
            let shown = symbols.filter { symbol in
                if let extended = symbol.extended, !isOurs(extended) { return true }
                return shows(symbol.path.first ?? "", of: symbol.extended ?? module)
            }
            counts.append(Self.count(shown, of: module))
        }
        let (table, excess) = Self.check(whole[0], limit: limit, counts)
        return (table, findings + excess)
    }

    private func shows(_ name: String, of module: String) -> Bool {
        whole.contains(module) || listed[module]?.contains { $0.name == name } ?? false
    }

    private static func count(_ symbols: [SymbolGraph.Symbol], of module: String) -> Count {
        let cases = symbols.count { $0.kind == "swift.enum.case" }
        let declarations = symbols.count { $0.kind != "swift.enum.case" && $0.line > 0 }
        return Count(module: module, declarations: declarations, cases: cases)
    }

    private static func check(_ face: String, limit: Int, _ counts: [Count]) -> (table: String, findings: [Finding]) {
        let declarations = counts.reduce(0) { $0 + $1.declarations }
        let cases = counts.reduce(0) { $0 + $1.cases }
        var table = ""
        for count in counts { table += "  \(count.module): \(count.declarations) declarations, \(count.cases) cases\n" }
        table += "  import \(face): \(declarations) declarations of at most \(limit), \(cases) cases\n"
        guard declarations > 0 else {
            return (table, [Finding(face, 0, "shows no declaration at all", cure: "make public what a program is to use")])
        }
        guard declarations > limit else { return (table, []) }
        return (
            table,
            [
                Finding(
                    face, 0, "shows \(declarations) public declarations, \(limit) at most",
                    cure:
                        "make package what programs do not need, or re-export less: what is left out is there for `import DMACore`"
                )
            ]
        )
    }
}
