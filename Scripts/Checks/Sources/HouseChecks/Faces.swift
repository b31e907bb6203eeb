// SPDX-License-Identifier: Apache-2.0

/// The size of a public interface of the package: the declarations that a program can name after importing one module.
///
/// These are the module's own declarations, and its re-exports: for a module re-exported as a whole, everything and its
/// re-exports; for a single re-exported declaration, itself and its members. The compiler shows members that a module adds to a
/// type wherever it shows the type and anything of that module; so these count too, even for Swift's own types.
///
/// A declaration counts once, where a source file contains it: types, members, initializers, operators, witnesses of
/// requirements. Derived declarations (`init(rawValue:)` of an enumeration, `init(from:)`) have no source location and are not
/// counted. The cases of enumerations are counted separately: each is a value of a counted declaration.
public struct Faces {
    /// The contribution of one module.
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

    /// The modules that are shown as a whole, the imported one first.
    private var whole: [String] = []
    /// The declarations that are shown of the other modules.
    private var listed: [String: [Reexport]] = [:]
    /// Errors in the re-exports themselves.
    private var findings: [Finding] = []

    /// Follows the re-exports of a module.
    ///
    /// - Parameters:
    ///   - face: the name of the module that is imported.
    ///   - reexports: those of a module, and their errors.
    /// - Throws: errors of `reexports`.
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
    ///   - limit: the maximum number of visible declarations.
    ///   - graph: the declarations of a module.
    ///   - isOurs: whether a module belongs to the package. Any program can name the declarations of the others.
    /// - Returns: one row for each module and one for the sum, and the findings.
    /// - Throws: errors of `graph`.
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
            return (
                table, [Finding(face, 0, "shows no declaration at all", cure: "make the declarations public that programs use")]
            )
        }
        guard declarations > limit else { return (table, []) }
        return (
            table,
            [
                Finding(
                    face, 0, "shows \(declarations) public declarations, \(limit) at most",
                    cure:
                        "make declarations package that programs do not need, or re-export less: `import DMACore` still has them"
                )
            ]
        )
    }
}
