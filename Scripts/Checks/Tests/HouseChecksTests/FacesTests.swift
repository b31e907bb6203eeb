// SPDX-License-Identifier: Apache-2.0

import Foundation
import HouseChecks
import Testing

/// A package of three modules: Face shows one type of Core, or all of it; Core shows all of Types.
@Suite("Declarations visible through an import")
struct FacesTests {
    /// A symbol graph; each word is a kind and a path, such as "struct:Channel" or "method:Channel.next". Declarations without
    /// a source location end in "!".
    private static func graph(_ words: String) -> String {
        let symbols = words.split(separator: " ").enumerated().map { index, word in
            let parts = word.split(separator: ":")
            let path = parts[1].split(separator: ".").map { "\"\($0.prefix { $0 != "!" })\"" }.joined(separator: ", ")
            let place = #", "location": {"uri": "file:///x/C.swift", "position": {"line": \#(index), "character": 0}}"#
            return #"{"kind": {"identifier": "swift.\#(parts[0])"}, "identifier": {"precise": "s:\#(index)"}, "#
                + #""pathComponents": [\#(path)]\#(word.hasSuffix("!") ? "" : place)}"#
        }
        return #"{"symbols": [\#(symbols.joined(separator: ", "))], "relationships": []}"#
    }

    private static let graphs = [
        "Face": "struct:System init:System.init()",
        "Core":
            "struct:Channel method:Channel.next method:Channel.submit enum:State enum.case:State.on init:State.init(rawValue:)! "
            + "protocol:Engine method:Engine.issue func:halt()",
        "Core@Swift": "type.method:UInt8.load",
        "Core@Types": "property:Limits.isWide property:Hidden.isWide",
        "Types": "struct:Limits property:Limits.count struct:Hidden",
    ]

    /// The counted declarations where Face's source has these lines.
    private func check(_ face: String, limit: Int = 100) throws -> (table: String, findings: [Finding]) {
        let folder = FileManager.default.temporaryDirectory.appending(path: "house-faces-\(UInt64.random(in: 0 ... .max))")
        defer { try? FileManager.default.removeItem(at: folder) }
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        for (name, words) in Self.graphs {
            try Data(Self.graph(words).utf8).write(to: folder.appending(path: name + ".symbols.json"))
        }
        let sources = ["Face": face, "Core": "@_exported public import Types\n", "Types": ""]
        let faces = try Faces("Face") { module throws(CannotCheck) in
            guard let text = sources[module] else { throw CannotCheck(module) }
            return Reexport.read(module + ".swift", text)
        }
        return try faces.check(
            limit: limit, { module throws(CannotCheck) in try SymbolGraph(folder: folder.path, modules: [module]) },
            isOurs: { sources[$0] != nil })
    }

    @Test("a module without re-exports shows its own declarations")
    func alone() throws {
        // An import that is not re-exported shows nothing.
        let (table, findings) = try check("public import Core\n// @_exported public import Core\n")
        #expect(findings.isEmpty)
        #expect(table.contains("import Face: 2 declarations of at most 100, 0 cases"))
    }

    @Test("a listed type counts with its members, and an unlisted one does not")
    func listed() throws {
        let (table, findings) = try check("@_exported public import struct Core.Channel\n")
        #expect(findings.isEmpty)
        // The channel and its two methods, and what Core adds to a type of Swift's.
        #expect(table.contains("Core: 4 declarations, 0 cases"))
        #expect(!table.contains("Types:"))
        #expect(table.contains("import Face: 6 declarations"))
    }

    @Test("cases are counted separately, and derived declarations are not counted")
    func cases() throws {
        let (table, _) = try check("@_exported public import enum Core.State\n")
        #expect(table.contains("Core: 2 declarations, 1 cases"))
    }

    @Test("members that one module adds to a listed type of another count if declarations of both are shown")
    func extended() throws {
        let (types, _) = try check("@_exported public import struct Types.Limits\n")
        #expect(types.contains("Types: 2 declarations") && !types.contains("Core:"))
        let (both, _) = try check(
            "@_exported public import struct Types.Limits\n@_exported public import protocol Core.Engine\n")
        // The protocol and its requirement, the property of the limits but not that of the hidden type, and the method of UInt8.
        #expect(both.contains("Core: 4 declarations"))
    }

    @Test("a module re-exported as a whole shows everything, and its own re-exports")
    func whole() throws {
        let (table, findings) = try check("@_exported public import Core\n@_exported public import struct Core.Channel\n")
        #expect(findings.isEmpty)
        #expect(table.contains("Core: 10 declarations, 1 cases") && table.contains("Types: 3 declarations"))
        #expect(table.contains("import Face: 15 declarations"))
    }

    @Test("a name that the module does not declare is reported")
    func unknown() throws {
        let found = try check("\n@_exported public import struct Core.Limits\n").findings
        #expect(found.map(\.problem) == ["Core declares no public Limits"] && found.map(\.line) == [2])
        #expect(try check("@_exported public import struct Core.next\n").findings.count == 1)
    }

    @Test("a re-export that cannot be parsed is reported")
    func unreadable() throws {
        let found = try check("@_exported\npublic import struct Core.Channel\n").findings
        #expect(found.map(\.problem) == ["a re-export that cannot be read"] && found.map(\.line) == [1])
    }

    @Test("an interface beyond its limit is reported")
    func grown() throws {
        let source = "@_exported public import struct Core.Channel\n"
        #expect(try check(source, limit: 6).findings.isEmpty)
        #expect(try check(source, limit: 5).findings.map(\.problem) == ["shows 6 public declarations, 5 at most"])
    }

    @Test("a module without sources, or without declarations, has not passed")
    func nothing() throws {
        #expect(throws: CannotCheck.self) { try check("@_exported public import Other\n") }
        #expect(throws: CannotCheck.self) { try Reexport.read(below: "/nonexistent") }
        let empty = try Faces("Face") { _ throws(CannotCheck) in ([], []) }
        let folder = FileManager.default.temporaryDirectory.appending(path: "house-faces-\(UInt64.random(in: 0 ... .max))")
        defer { try? FileManager.default.removeItem(at: folder) }
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try Data(Self.graph("init:State.init(rawValue:)!").utf8).write(to: folder.appending(path: "Face.symbols.json"))
        let findings = try empty.check(
            limit: 9, { module throws(CannotCheck) in try SymbolGraph(folder: folder.path, modules: [module]) },
            isOurs: { _ in true }
        ).findings
        #expect(findings.map(\.problem) == ["shows no declaration at all"])
    }
}
