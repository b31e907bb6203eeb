// SPDX-License-Identifier: Apache-2.0
// Each check accepts correct input and detects faults: a check that cannot fail proves nothing.

import Foundation
import HouseChecks
import Testing

@Test(arguments: [
    ("a.swift", "// SPDX-License-Identifier: Apache-2.0\n\nimport X\n", 0),
    ("run", "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n", 0),
    ("Package.swift", "// swift-tools-version: 6.2\n// SPDX-License-Identifier: Apache-2.0\n", 0),
    ("a.json", "{}", 0),
    ("X.docc/a.md", "# Title\n\n@Comment { SPDX-License-Identifier: Apache-2.0 }\n", 0),
    ("X.docc/a.md", "# Title\n\nText\n", 1),
    ("a.swift", "import X\n// SPDX-License-Identifier: Apache-2.0\n", 1),
    ("a.md", "# Title\n", 1),
    ("run", "#!/bin/sh\necho\n", 1),
])
func licence(_ path: String, _ text: String, _ faults: Int) {
    #expect(Licence.check(path, text).count == faults)
}

@Test func snippetsThatDiffer() {
    let example = "let a = 1\n    // snippet: one\n    let b = 2\n    // end\n"
    let read = Snippets.regions(of: "e.swift", example)
    #expect(read.findings.isEmpty)
    var used: Set<String> = []
    let good = "text\n<!-- snippet: one -->\n```swift\nlet b = 2\n```\n"
    #expect(Snippets.check(chapter: "c.md", good, read.regions, used: &used).isEmpty)
    #expect(used == ["one"])
    let bad = good.replacingOccurrences(of: "2", with: "3")
    let finding = Snippets.check(chapter: "c.md", bad, read.regions, used: &used).first
    #expect(finding?.line == 4)
    #expect(Snippets.check(chapter: "c.md", "```swift\nx\n```\n", read.regions, used: &used).count == 1)
    #expect(Snippets.regions(of: "e.swift", "// snippet: open\n").findings.count == 1)
}

@Test func errorRows() {
    let printed = "| `a` | 1 |\n| `b` | 2 |\n"
    #expect(ErrorTable.check(chapter: ("c.md", "# E\n" + printed), printed: printed).isEmpty)
    #expect(ErrorTable.check(chapter: ("c.md", "| `a` | 1 |\n"), printed: printed).count == 1)
    #expect(ErrorTable.check(chapter: ("c.md", printed + "| `z` | 1 |\n"), printed: printed).first?.line == 3)
    #expect(!ErrorTable.check(chapter: ("c.md", ""), printed: "").isEmpty)
}

@Test func countsAndLimits() throws {
    let limits = try Counts.limits("l", "c\nswift <= 1.0 * c # why\nany <= 1.7 * swift\nawait < swift + 200\nbare <= 10\n")
    let counts = ["c": 41.04, "swift": 41.1, "any": 69, "await": 240.9, "bare": 10.4]
    #expect(Counts.check("l", limits, counts).findings.isEmpty == false)
    #expect(Counts.check("l", limits, counts).findings.map(\.line) == [4])
    #expect(Counts.check("l", limits, ["c": 41]).findings.count == 4)
    #expect(throws: CannotCheck.self) { try Counts.limits("l", "swift = 3\n") }
}

let listing = """
    0000000000001000 <hot(_:)>:
        1000:\tpush   %rbp
        1001:\tjne    1010 <hot(_:)+0x10>
        1004:\tcall   2000 <helper()>
        1010:\tret

    0000000000001100 <worse(_:)>:
        1100:\tcall   3000 <swift_retain@plt>
        1104:\tlock cmpxchg %rax,(%rdi)
        1108:\txchg   %eax,(%rdi)
        110c:\tret
    """

@Test func hotPathByListing() throws {
    let code = try Disassembly(listing, path: "x.s")
    #expect(HotPath.listing(["hot(_:)"], cold: ["helper()"], code, declaredIn: "d").isEmpty)
    #expect(HotPath.listing(["hot(_:)"], cold: [], code, declaredIn: "d").map(\.line) == [4])
    #expect(HotPath.listing(["worse(_:)"], cold: ["swift_retain@plt"], code, declaredIn: "d").map(\.line) == [8, 9, 10])
    #expect(HotPath.listing(["gone()"], cold: [], code, declaredIn: "d").count == 1)
}

@Test func hotPathByRun() throws {
    func run(_ count: Int) throws -> Callgrind {
        try Callgrind(
            "ob=/p\nfn=hot(_:)\n0x1000 1\n0x1001 \(count)\n0x1004 2\ncfn=helper()\ncalls=2 0x2000\n0x1004 90000\nob=/lib\nfn=malloc\n0x10 \(count)\n"
                + "summary: \(count * 2 + 3)\n", path: "run")
    }
    let steady = Callgrind.steady(try run(100), try run(300), operations: 200)
    #expect(Set(steady.map(\.address)) == [0x1001, 0x10])
    let code = try Disassembly(listing, path: "x.s")
    let findings = HotPath.run("v", ["hot(_:)"], steady, program: "/p", code, declaredIn: "d")
    #expect(findings.count == 1)
    #expect(findings.first?.problem.contains("malloc of /lib") == true)
    #expect(HotPath.run("v", ["hot(_:)", "mal*"], steady, program: "/p", code, declaredIn: "d").isEmpty)
    #expect(throws: CannotCheck.self) { try Callgrind("fn=x\n", path: "cut") }
}

@Test func atomicsByRun() throws {
    let code = try Disassembly(listing, path: "x.s")
    let declared = try HotPath.declaration("d", "atomics v = 2\n")
    #expect(declared.atomics == ["v": 2])
    #expect(throws: CannotCheck.self) { try HotPath.declaration("d", "atomics v = many\n") }
    func places(_ addresses: [UInt64]) -> Set<Callgrind.Place> {
        Set(addresses.map { Callgrind.Place(object: "/p", function: "worse(_:)", address: $0) })
    }
    func problems(_ most: Int, _ steady: Set<Callgrind.Place>) -> [String] {
        HotPath.atomics("v", most, steady, program: "/p", code, declaredIn: "d").map(\.problem)
    }
    #expect(problems(2, places([0x1104, 0x1108, 0x110c])) == [])
    #expect(problems(1, places([0x1104, 0x1108])).first?.contains("2 atomic read-modify-writes") == true)
    let allocating = places([0x110c]).union([Callgrind.Place(object: "/lib", function: "malloc", address: 1)])
    #expect(problems(2, allocating) == ["v runs malloc for each operation"])
    // An empty run proves nothing.
    #expect(problems(2, []).count == 1)
}

@Test func undocumentedAndUnknownNames() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("house-checks-\(getpid())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let graph = """
        {"symbols": [
          {"kind": {"identifier": "swift.method"}, "identifier": {"precise": "s:a"}, "pathComponents": ["Channel", "submit(_:)"],
           "docComment": {"lines": [{"text": "Queues."}]}},
          {"kind": {"identifier": "swift.method"}, "identifier": {"precise": "s:b"}, "pathComponents": ["Channel", "next()"],
           "location": {"uri": "file:///x/C.swift", "position": {"line": 6, "character": 0}}},
          {"kind": {"identifier": "swift.method"}, "identifier": {"precise": "s:c"}, "pathComponents": ["Channel", "hash()"]}],
         "relationships": [{"source": "s:c", "sourceOrigin": {"identifier": "s:z"}}, {"source": "s:b"}]}
        """
    try Data(graph.utf8).write(to: folder.appendingPathComponent("M.symbols.json"))
    let read = try SymbolGraph(folder: folder.path, modules: ["M"])
    #expect(Documented.check(read).map(\.line) == [7])
    let table = "| Linux kernel | swift-dma |\n|---|---|\n| `submit` | `Channel.submit`, `Channel.submit(_:)` |\n"
    #expect(KernelNames.check("R.md", table, read).isEmpty)
    #expect(KernelNames.check("R.md", table + "| `x` | `Channel.nothing` |\n| `y` | later |\n", read).map(\.line) == [4, 5])
    #expect(!KernelNames.check("R.md", "none", read).isEmpty)
    #expect(throws: CannotCheck.self) { try SymbolGraph(folder: folder.path, modules: ["Other"]) }
}

@Test func filesOfHiddenFoldersAreLeftOut() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "house-checks-\(UInt64.random(in: 0 ... .max))")
    defer { try? FileManager.default.removeItem(at: folder) }
    for name in [".build/checkouts", "Sources/.hidden", "Sources/Deep"] {
        try FileManager.default.createDirectory(at: folder.appending(path: name), withIntermediateDirectories: true)
        try Data().write(to: folder.appending(path: name + "/a.swift"))
    }
    #expect(files(below: folder.path, endingIn: [".swift"]) == [folder.path + "/Sources/Deep/a.swift"])
}
