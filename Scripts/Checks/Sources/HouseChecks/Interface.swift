// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The public interface as text, one declaration per line, and whether it still contains that of a release.
///
/// It detects changes that stop a client from compiling: a declaration that is missing or has changed, a missing conformance, a
/// new requirement without a default, a new case of an enumeration that a client may switch over. A symbol graph does not
/// contain the values of default arguments: the clients of Tests/Clients use them.
public struct Interface {
    /// "DMA swift.method DMASystem.register(_:) = func register(_ provider: any EngineProvider)", sorted.
    public let lines: [String]
    /// New lines that break clients if the earlier interface contains their protocol or enumeration: by line, the owner's name.
    private let demands: [String: String]

    /// - Throws: `CannotCheck` where a module has no graph.
    public init(folder: String, modules: [String]) throws(CannotCheck) {
        var texts: [(module: String, data: Data, path: String)] = []
        for module in modules {
            let paths = files(below: folder, endingIn: [".symbols.json"]).filter { path in
                let name = path.split(separator: "/").last ?? ""
                return name == "\(module).symbols.json" || name.hasPrefix("\(module)@")
            }
            guard !paths.isEmpty else { throw CannotCheck("\(folder): no symbol graph of \(module)") }
            for path in paths {
                guard let data = FileManager.default.contents(atPath: path) else {
                    throw CannotCheck("\(path): cannot be read")
                }
                texts.append((module, data, path))
            }
        }
        try self.init(texts)
    }

    public init(_ texts: [(module: String, data: Data, path: String)]) throws(CannotCheck) {
        var lines: Set<String> = []
        var demands: [String: String] = [:]
        for (module, data, path) in texts {
            let graph: Graph
            do { graph = try JSONDecoder().decode(Graph.self, from: data) } catch {
                throw CannotCheck("\(path): is no symbol graph: \(error)")
            }
            var names: [String: String] = [:]
            for symbol in graph.symbols { names[symbol.identifier.precise] = symbol.name(module) }
            let defaulted = Set(graph.relationships.filter { $0.kind == "defaultImplementationOf" }.map(\.target))
            let requirements = Dictionary(
                graph.relationships.filter { $0.kind == "requirementOf" }.map { ($0.source, $0.target) },
                uniquingKeysWith: { first, _ in first })
            let owners = Dictionary(
                graph.relationships.filter { $0.kind == "memberOf" }.map { ($0.source, $0.target) },
                uniquingKeysWith: { first, _ in first })
            for symbol in graph.symbols {
                let id = symbol.identifier.precise
                let line = "\(symbol.kind.identifier) \(symbol.name(module)) = \(symbol.declaration)"
                lines.insert(line)
                if let owner = requirements[id].flatMap({ names[$0] }), !defaulted.contains(id) { demands[line] = owner }
                if symbol.kind.identifier == "swift.enum.case", let owner = owners[id].flatMap({ names[$0] }) {
                    demands[line] = owner
                }
            }
            for one in graph.relationships where one.kind == "conformsTo" {
                guard let type = names[one.source] else { continue }
                lines.insert("conformance \(type): \(names[one.target] ?? one.targetFallback ?? one.target)")
            }
        }
        self.lines = lines.sorted()
        self.demands = demands
    }

    /// The text that a release stores.
    public var text: String {
        "# SPDX-License-Identifier: Apache-2.0\n# Written by Scripts/api --write; what a later interface must still have.\n"
            + lines.map { $0 + "\n" }.joined()
    }

    /// The parts of an earlier interface that are broken.
    ///
    /// - Parameters:
    ///   - earlier: its path and its text.
    ///   - allowed: the path and the lines of what is meant: each the line of a finding as it is printed.
    public func broken(since earlier: (path: String, text: String), allowed: (path: String, lines: [String])?) -> [Finding] {
        let now = Set(lines)
        let old = HouseChecks.lines(of: earlier.text).map(String.init)
        let known = Set(old)
        let owners = Set(old.compactMap { Self.name($0) })
        var byName: [String: [String]] = [:]
        for line in lines { if let name = Self.name(line) { byName[name, default: []].append(line) } }
        var problems: [(line: Int, text: String)] = []
        for (index, line) in old.enumerated() where !line.isEmpty && !line.hasPrefix("#") && !now.contains(line) {
            // A declaration whose name is new and used by another line is this one, changed.
            let others = Self.name(line).flatMap { byName[$0] }?.filter { !known.contains($0) } ?? []
            let after = others.first.flatMap { Self.declaration($0) }
            problems.append((index + 1, (after == nil ? "gone: " : "changed: ") + line + (after.map { " -> \($0)" } ?? "")))
        }
        for (line, owner) in demands.sorted(by: { $0.key < $1.key }) where !known.contains(line) && owners.contains(owner) {
            // A changed one is reported as such.
            guard let name = Self.name(line), !owners.contains(name) else { continue }
            problems.append((0, "new: \(line)"))
        }
        let meant = Set(allowed?.lines ?? [])
        var findings = problems.filter { !meant.contains($0.text) }.map {
            Finding(earlier.path, $0.line, $0.text, cure: "keep it, or write this line to .api-breakage-allowed")
        }
        let texts = Set(problems.map(\.text))
        if let allowed {
            for (index, line) in allowed.lines.enumerated() where !line.isEmpty && !line.hasPrefix("#") && !texts.contains(line)
            {
                findings.append(
                    Finding(allowed.path, index + 1, "allows a line that is not broken: \(line)", cure: "remove the line"))
            }
        }
        return findings
    }

    /// The part before the declaration in a line; nil for a conformance.
    private static func declaration(_ line: String) -> String? {
        line.range(of: " = ").map { range in String(line[range.upperBound...]) }
    }

    /// The declared name in a line; nil for a conformance.
    private static func name(_ line: String) -> String? {
        guard let end = line.range(of: " = ") else { return nil }
        return line[..<end.lowerBound].split(separator: " ", maxSplits: 1).last.map(String.init)
    }

    private struct Graph: Decodable {
        let symbols: [Symbol]
        let relationships: [Relationship]
    }
    private struct Symbol: Decodable {
        let kind: Kind
        let identifier: Identifier
        let pathComponents: [String]
        let declarationFragments: [Fragment]?

        func name(_ module: String) -> String { ([module] + pathComponents).joined(separator: ".") }
        var declaration: String {
            (declarationFragments ?? []).map(\.spelling).joined().split(whereSeparator: \.isWhitespace).joined(separator: " ")
        }
    }
    private struct Kind: Decodable { let identifier: String }
    private struct Identifier: Decodable { let precise: String }
    private struct Fragment: Decodable { let spelling: String }
    private struct Relationship: Decodable {
        let kind: String
        let source: String
        let target: String
        let targetFallback: String?
    }
}
