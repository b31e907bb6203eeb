// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A picture of a package's targets and their imports, from its manifest: Mermaid text.
public enum Targets {
    /// - Parameters:
    ///   - path: for the message.
    ///   - text: the output of `swift package dump-package`.
    ///   - folder: targets with sources below it are shown.
    /// - Throws: `CannotCheck` where it is not a description of a package, or no target is below the folder.
    public static func picture(_ path: String, _ text: String, below folder: String) throws(CannotCheck) -> String {
        let package: Package
        do { package = try JSONDecoder().decode(Package.self, from: Data(text.utf8)) } catch {
            throw CannotCheck("\(path): is no description of a package: \(error)")
        }
        let shown = package.targets.filter { ($0.path ?? "Sources/\($0.name)").hasPrefix(folder + "/") }
        guard !shown.isEmpty else { throw CannotCheck("\(path): no target is below \(folder)") }
        let names = Set(shown.map(\.name))
        var below: [String: Set<String>] = [:]
        for target in shown {
            below[target.name] = Set(target.dependencies.compactMap(\.target)).intersection(names)
        }
        /// All direct and indirect dependencies of a target. The manifest's graph has no cycles, and no more targets than
        /// these.
        func all(under name: String) -> Set<String> {
            var found: Set<String> = []
            var next = below[name] ?? []
            while let one = next.popFirst() {
                if found.insert(one).inserted { next.formUnion(below[one] ?? []) }
            }
            return found
        }
        let products = Set(package.products.filter { $0.type.library != nil }.flatMap(\.targets))
        var lines = ["flowchart TD"]
        for target in shown.sorted(by: { $0.name < $1.name }) {
            // Products have rounded boxes, other targets square ones.
            let label = "\(target.name)<br/><small>\(target.path ?? "Sources/\(target.name)")</small>"
            lines.append("    \(target.name.id)" + (products.contains(target.name) ? "([\"\(label)\"])" : "[\"\(label)\"]"))
        }
        for target in shown.sorted(by: { $0.name < $1.name }) {
            let own = below[target.name] ?? []
            // Edges implied by others are not drawn: 70 lines would be unreadable.
            for one in own.sorted() where !own.contains(where: { $0 != one && all(under: $0).contains(one) }) {
                lines.append("    \(target.name.id) --> \(one.id)")
            }
        }
        var others: [String: [String]] = [:]
        for target in shown {
            for product in target.dependencies.compactMap(\.package) { others[product, default: []].append(target.name) }
        }
        for (package, users) in others.sorted(by: { $0.key < $1.key }) {
            lines.append("    \(package.id){{\"\(package)\"}}")
            for user in users.sorted() { lines.append("    \(user.id) -.-> \(package.id)") }
        }
        return lines.map { $0 + "\n" }.joined()
    }

    /// Whether the picture in a document, between "```mermaid" and "```", equals this one.
    public static func check(_ document: (path: String, text: String), _ picture: String) -> [Finding] {
        let lines = HouseChecks.lines(of: document.text)
        guard let begin = lines.firstIndex(of: "```mermaid"), let end = lines[begin...].firstIndex(of: "```") else {
            return [Finding(document.path, 0, "no picture of the targets", cure: "Scripts/picture")]
        }
        let shown = lines[(begin + 1)..<end].map { $0 + "\n" }.joined()
        guard shown != picture else { return [] }
        return [
            Finding(document.path, begin + 1, "the picture of the targets differs from the manifest", cure: "Scripts/picture")
        ]
    }

    private struct Package: Decodable {
        let products: [Product]
        let targets: [Target]
    }
    private struct Product: Decodable {
        let targets: [String]
        let type: Kind
    }
    private struct Kind: Decodable { let library: [String]? }
    private struct Target: Decodable {
        let name: String
        let path: String?
        let dependencies: [Dependency]
    }
    /// {"byName": ["CDMA", null]}, {"target": ["CISAL", {…}]}, {"product": ["SystemPackage", "swift-system", null, null]}.
    private struct Dependency: Decodable {
        let target: String?
        let package: String?

        enum Key: String, CodingKey { case byName, target, product }

        init(from decoder: any Decoder) throws {
            let fields = try decoder.container(keyedBy: Key.self)
            func words(_ key: Key) throws -> [String?]? {
                guard fields.contains(key) else { return nil }
                var list = try fields.nestedUnkeyedContainer(forKey: key)
                var words: [String?] = []
                while !list.isAtEnd, words.count < 2 {
                    if try list.decodeNil() {
                        words.append(nil)
                    } else if let word = try? list.decode(String.self) {
                        words.append(word)
                    } else {
                        break
                    }
                }
                return words
            }
            target = try (words(.byName) ?? words(.target))?.first ?? nil
            package = try words(.product).flatMap { $0.count > 1 ? $0[1] : nil }
        }
    }
}

extension String {
    /// A name in Mermaid's syntax.
    fileprivate var id: String { String(map { $0.isLetter || $0.isNumber ? $0 : "_" }) }
}
