// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Foundation
import Testing

/// Misuse that the types prevent: each file of Tests/CompileFail is one misuse that must not compile, for the reason that it
/// states; next to it is the corrected code, which must. Client code is in Tests/CompileFail/Clients, and must compile too.
///
/// Compiled down to SIL: ownership is checked there, and a type check alone would accept all of them.
@Suite("Misuse that must not compile")
struct CompileFailTests {
    struct Answer {
        let status: Int32
        let errors: [String]
        let warnings: [String]
        let text: String
    }

    static let folder = Program.root.appending(path: "Tests/CompileFail")

    /// The names of the misuses, without endings.
    static let names: [String] = {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return files.filter { $0.hasSuffix(".swift") && !$0.hasSuffix(".mended.swift") }.map { String($0.dropLast(6)) }.sorted()
    }()

    /// Where this build's modules lie: beside the test program.
    static let modules = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: "Modules")

    /// The module maps of the C libraries below `DMA`: the compiler reads them with each module above them.
    static let moduleMaps: [String] = {
        var folder = modules.resolvingSymlinksInPath()
        while folder.path != "/", !FileManager.default.fileExists(atPath: folder.appending(path: "checkouts").path) {
            folder.deleteLastPathComponent()
        }
        return [
            Program.root.appending(path: "Sources/CDMA/include/module.modulemap"),
            Program.root.appending(path: "Sources/CISAL/module.modulemap"),
            folder.appending(path: "checkouts/swift-system/Sources/CSystem/include/module.modulemap"),
        ].flatMap { ["-Xcc", "-fmodule-map-file=" + $0.path] }
    }()

    static func compile(_ file: String) throws -> Answer {
        let ran = try Command.run(
            [
                "swiftc", "-emit-sil", "-o", "/dev/null", "-parse-as-library", "-swift-version", "6", "-strict-memory-safety",
                "-warnings-as-errors", "-enable-upcoming-feature", "ExistentialAny", "-enable-upcoming-feature",
                "InternalImportsByDefault", "-enable-upcoming-feature", "MemberImportVisibility", "-enable-upcoming-feature",
                "NonisolatedNonsendingByDefault", "-enable-experimental-feature", "Lifetimes", "-I", modules.path,
            ] + moduleMaps + [folder.appending(path: file).path], limit: 300)
        // The compiler's own lines begin with the file; annotations beside the code do not.
        let lines = ran.errors.split(separator: "\n").map(String.init).filter { $0.hasPrefix("/") && $0.contains(".swift:") }
        return Answer(
            status: ran.status, errors: lines.filter { $0.contains(": error: ") },
            warnings: lines.filter { $0.contains(": warning: ") }, text: ran.errors)
    }

    /// The second header line of a misuse.
    static func expectation(_ name: String) throws -> String {
        let text = try String(contentsOf: folder.appending(path: name + ".swift"), encoding: .utf8)
        let mark = "// expect: "
        guard let line = text.split(separator: "\n").prefix(4).first(where: { $0.hasPrefix(mark) }) else { return "" }
        return String(line.dropFirst(mark.count))
    }

    @Test("the folder is found, each misuse states its reason and has a corrected form, and the modules exist")
    func complete() throws {
        #expect(CompileFailTests.names.count >= 30)
        for name in CompileFailTests.names {
            #expect(try !CompileFailTests.expectation(name).isEmpty, "\(name) does not say what is expected")
            let mended = CompileFailTests.folder.appending(path: name + ".mended.swift").path
            #expect(FileManager.default.fileExists(atPath: mended), "\(name) has no mended form")
        }
        let module = CompileFailTests.modules.appending(path: "DMACore.swiftmodule").path
        #expect(FileManager.default.fileExists(atPath: module), "no modules in \(module)")
    }

    @Test("the misuse fails for exactly its reason", arguments: names)
    func misuse(name: String) throws {
        let answer = try CompileFailTests.compile(name + ".swift")
        let reason = try CompileFailTests.expectation(name)
        #expect(answer.status != 0, "\(name) compiles")
        #expect(answer.errors.count == 1, "\(name): \(answer.text)")
        #expect(answer.errors.allSatisfy { $0.contains(reason) }, "\(name): \(answer.errors), expected: \(reason)")
        #expect(answer.warnings.isEmpty, "\(name): \(answer.warnings)")
    }

    @Test(
        "`import DMA` is enough for a client; pools and callbacks need the core as well",
        arguments: [("client", ["import DMA"]), ("client-of-core", ["import DMA", "import DMACore"])])
    func client(name: String, imports: [Substring]) throws {
        let text = try String(contentsOf: CompileFailTests.folder.appending(path: "Clients/\(name).swift"), encoding: .utf8)
        #expect(text.split(separator: "\n").filter { $0.contains("import ") && !$0.hasPrefix("//") } == imports)
        let answer = try CompileFailTests.compile("Clients/\(name).swift")
        #expect(answer.status == 0 && answer.errors.isEmpty && answer.warnings.isEmpty, "\(answer.text)")
    }

    /// The build compiles them; this list restricts their imports. An engine that is named in the program comes from its own
    /// module.
    @Test(
        "the example programs import nothing else of the core",
        arguments: ["FirstCopy", "FourChannels", "FileCheck", "Capture", "Parity"])
    func shown(example: String) throws {
        let path = Program.root.appending(path: "Examples/\(example)/main.swift")
        let imports = try String(contentsOf: path, encoding: .utf8).split(separator: "\n").filter { $0.hasPrefix("import ") }
        #expect(imports.contains("import DMA"))
        #expect(
            Set(imports).isSubset(of: ["import DMA", "import DMACopy", "import DMACPUEngine", "import Foundation"]),
            "\(imports)")
    }

    @Test("the corrected form compiles without a warning", arguments: names)
    func mended(name: String) throws {
        let answer = try CompileFailTests.compile(name + ".mended.swift")
        #expect(answer.status == 0 && answer.errors.isEmpty && answer.warnings.isEmpty, "\(name): \(answer.text)")
    }
}
