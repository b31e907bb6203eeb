// SPDX-License-Identifier: Apache-2.0

import Foundation
import HouseChecks
import Testing

/// A symbol graph of a module M: a protocol P, a struct S that conforms to it, an enumeration E.
private func graph(_ symbols: [(id: String, kind: String, path: [String], text: String)], _ relations: [[String]]) -> Data {
    let symbols = symbols.map { symbol in
        [
            "kind": ["identifier": symbol.kind], "identifier": ["precise": symbol.id], "pathComponents": symbol.path,
            "declarationFragments": [["spelling": symbol.text]],
        ] as [String: Any]
    }
    let relations = relations.map { ["kind": $0[0], "source": $0[1], "target": $0[2], "targetFallback": $0[2]] }
    return try! JSONSerialization.data(withJSONObject: ["symbols": symbols, "relationships": relations])
}

private let base: [(id: String, kind: String, path: [String], text: String)] = [
    ("p", "swift.protocol", ["P"], "protocol P"), ("pm", "swift.method", ["P", "m()"], "func m()"),
    ("s", "swift.struct", ["S"], "struct S"), ("sm", "swift.method", ["S", "m()"], "func m()"),
    ("e", "swift.enum", ["E"], "enum E"), ("ea", "swift.enum.case", ["E", "a"], "case a"),
]
private let relations = [
    ["requirementOf", "pm", "p"], ["memberOf", "sm", "s"], ["memberOf", "ea", "e"], ["conformsTo", "s", "p"],
]

private func interface(
    _ symbols: [(id: String, kind: String, path: [String], text: String)] = base, _ relations: [[String]] = relations
) throws -> Interface { try Interface([("M", graph(symbols, relations), "M.symbols.json")]) }

private func problems(_ now: Interface, allowed: [String]? = nil) throws -> [String] {
    now.broken(since: ("old", try interface().text), allowed: allowed.map { ("allowed", $0) }).map(\.problem)
}

@Test func interfaceThatHolds() throws {
    #expect(try interface().lines.contains("conformance M.S: M.P"))
    #expect(try problems(interface()) == [])
    let more = base + [("f", "swift.func", ["f()"], "func f()"), ("sn", "swift.method", ["S", "n()"], "func n()")]
    #expect(try problems(interface(more, relations + [["memberOf", "sn", "s"]])) == [])
    // A requirement with a default, and a protocol that is new with all of its requirements.
    let defaulted =
        base + [
            ("pn", "swift.method", ["P", "n()"], "func n()"), ("pd", "swift.method", ["P", "n()"], "func n() {}"),
            ("q", "swift.protocol", ["Q"], "protocol Q"), ("qm", "swift.method", ["Q", "m()"], "func m()"),
        ]
    let more2 =
        relations + [["requirementOf", "pn", "p"], ["defaultImplementationOf", "pd", "pn"], ["requirementOf", "qm", "q"]]
    #expect(try problems(interface(defaulted, more2)) == [])
}

@Test func interfaceThatIsBroken() throws {
    let gone = base.filter { $0.id != "sm" }
    #expect(try problems(interface(gone)) == ["gone: swift.method M.S.m() = func m()"])
    var changed = base
    changed[3].text = "func m() throws"
    let said = "changed: swift.method M.S.m() = func m() -> func m() throws"
    #expect(try problems(interface(changed)) == [said])
    #expect(try problems(interface(base, relations.filter { $0[0] != "conformsTo" })) == ["gone: conformance M.S: M.P"])
    let required = base + [("pn", "swift.method", ["P", "n()"], "func n()")]
    let asks = try interface(required, relations + [["requirementOf", "pn", "p"]])
    #expect(try problems(asks) == ["new: swift.method M.P.n() = func n()"])
    let cases = base + [("eb", "swift.enum.case", ["E", "b"], "case b")]
    let grown = try interface(cases, relations + [["memberOf", "eb", "e"]])
    #expect(try problems(grown) == ["new: swift.enum.case M.E.b = case b"])
    // Intended breakages are allowed, and no others.
    #expect(try problems(interface(changed), allowed: ["# meant", "", said]) == [])
    #expect(try problems(interface(), allowed: [said]) == ["allows a line that is not broken: \(said)"])
    #expect(throws: CannotCheck.self) { try Interface(folder: "/nonexistent", modules: ["M"]) }
    #expect(throws: CannotCheck.self) { try Interface([("M", Data("{".utf8), "M.symbols.json")]) }
}

@Test func pictureOfTargets() throws {
    let manifest = """
        {"products": [{"targets": ["A"], "type": {"library": ["automatic"]}}, {"targets": ["t"], "type": {"executable": null}}],
         "targets": [
           {"name": "A", "path": "Sources/A", "dependencies": [
             {"byName": ["B", null]}, {"target": ["C", {"platformNames": []}]}, {"product": ["X", "x-package", null, null]}]},
           {"name": "B", "path": "Sources/B", "dependencies": [{"byName": ["C", null]}]},
           {"name": "C", "path": "Sources/C", "dependencies": []},
           {"name": "ATests", "path": "Tests/A", "dependencies": [{"byName": ["A", null]}]}]}
        """
    let picture = try Targets.picture("p", manifest, below: "Sources")
    #expect(picture.contains("A --> B") && picture.contains("B --> C") && picture.contains("A -.-> x_package"))
    // Reached through B already.
    #expect(!picture.contains("A --> C") && !picture.contains("ATests"))
    #expect(picture.contains("A([") && picture.contains("B["))
    let document = "text\n```mermaid\n\(picture)```\n"
    #expect(Targets.check(("d", document), picture).isEmpty)
    #expect(Targets.check(("d", document.replacingOccurrences(of: "B --> C", with: "B --> A")), picture).first?.line == 2)
    #expect(Targets.check(("d", "text"), picture).count == 1)
    #expect(throws: CannotCheck.self) { try Targets.picture("p", manifest, below: "Other") }
    #expect(throws: CannotCheck.self) { try Targets.picture("p", "[]", below: "Sources") }
}
