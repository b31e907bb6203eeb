// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The public declarations of a module, as the compiler lists them.
public struct SymbolGraph {
    public struct Symbol: Equatable {
        /// "DMACore.Channel.submit(_:_:deadline:)".
        public let name: String
        public let kind: String
        /// The module whose declaration is extended by another module; nil for a module's own declarations.
        public let extended: String?
        /// Names from the outermost type inwards, without the module's.
        public let path: [String]
        public let file: String
        /// Counted from 1.
        public let line: Int
        public let isDocumented: Bool
    }

    public let symbols: [Symbol]

    /// Reads every graph in `folder` whose module is one of `modules`, including extensions of other modules' types.
    ///
    /// - Throws: `CannotCheck` where a module has no graph, so that an empty check does not pass.
    public init(folder: String, modules: [String]) throws(CannotCheck) {
        var symbols: [Symbol] = []
        for module in modules {
            let paths = files(below: folder, endingIn: [".symbols.json"]).filter { path in
                let name = path.split(separator: "/").last ?? ""
                return name == "\(module).symbols.json" || name.hasPrefix("\(module)@")
            }
            guard !paths.isEmpty else {
                throw CannotCheck("\(folder): no symbol graph of \(module); make it with `swift package dump-symbol-graph`")
            }
            for path in paths {
                guard let data = FileManager.default.contents(atPath: path) else {
                    throw CannotCheck("\(path): cannot be read")
                }
                // "DMACore@Swift.symbols.json": what DMACore adds to declarations of Swift's module.
                let name = path.split(separator: "/").last?.dropLast(".symbols.json".count) ?? ""
                let extended = name.contains("@") ? name.split(separator: "@").last.map(String.init) : nil
                symbols += try SymbolGraph.parse(data, module: module, extending: extended, path: path)
            }
        }
        self.symbols = symbols
    }

    static func parse(
        _ data: Data, module: String, extending extended: String?, path: String
    ) throws(CannotCheck) -> [Symbol] {
        let graph: Graph
        do {
            graph = try JSONDecoder().decode(Graph.self, from: data)
        } catch {
            throw CannotCheck("\(path): is no symbol graph: \(error)")
        }
        // A member that implements a documented requirement inherits its text; the compiler records the origin.
        let inheriting = Set(graph.relationships.filter { $0.sourceOrigin != nil }.map(\.source))
        return graph.symbols.map { symbol in
            Symbol(
                name: ([module] + symbol.pathComponents).joined(separator: "."), kind: symbol.kind.identifier,
                extended: extended, path: symbol.pathComponents,
                file: symbol.location?.uri.replacingOccurrences(of: "file://", with: "") ?? path,
                line: (symbol.location?.position.line ?? -1) + 1,
                isDocumented: symbol.docComment?.lines.contains { !$0.text.isEmpty } ?? false
                    || inheriting.contains(symbol.identifier.precise))
        }
    }

    private struct Graph: Decodable {
        let symbols: [Entry]
        let relationships: [Relationship]
    }
    private struct Entry: Decodable {
        let kind: Kind
        let identifier: Identifier
        let pathComponents: [String]
        let docComment: Comment?
        let location: Location?
    }
    private struct Kind: Decodable { let identifier: String }
    private struct Identifier: Decodable { let precise: String }
    private struct Comment: Decodable { let lines: [Line] }
    private struct Line: Decodable { let text: String }
    private struct Location: Decodable {
        let uri: String
        let position: Position
    }
    private struct Position: Decodable { let line: Int }
    private struct Relationship: Decodable {
        let source: String
        let sourceOrigin: Origin?
    }
    private struct Origin: Decodable { let identifier: String }
}
