// SPDX-License-Identifier: Apache-2.0
// Checks that the compiler does not make. `Scripts/test` calls them; each prints the findings with file, line and cure, and
// exits with 1.

import Foundation
import HouseChecks

let usage = """
    usage: house-checks licence FILE…
           house-checks documented GRAPHS MODULE…
           house-checks names DOCUMENT GRAPHS MODULE…
           house-checks faces LIMIT FACE GRAPHS PACKAGE
           house-checks errors CHAPTER PRINTED
           house-checks snippets EXAMPLES DOCUMENT…
           house-checks libraries PACKAGE
           house-checks interface GRAPHS MODULE…
           house-checks broken BASELINE ALLOWED GRAPHS MODULE…
           house-checks picture PACKAGE FOLDER
           house-checks pictured DOCUMENT PACKAGE FOLDER
           house-checks unsafe HELD DOCUMENT SOURCES
           house-checks unchecked SOURCES
           house-checks counts LIMITS RUNS OPERATIONS
           house-checks hot-path DECLARATION RUNS OPERATIONS PROGRAM LISTING
           house-checks show VARIANT RUNS OPERATIONS
           house-checks loops DECLARATION LISTING
    """

/// The two runs of a variant, with FEW operations and with twice as many.
func runs(_ variant: String, _ folder: String) throws(CannotCheck) -> (few: Callgrind, many: Callgrind) {
    func one(_ name: String) throws(CannotCheck) -> Callgrind {
        let path = "\(folder)/\(variant).\(name)"
        return try Callgrind(read(path), path: path)
    }
    return (try one("few"), try one("many"))
}

func number(_ text: String) throws(CannotCheck) -> UInt64 {
    guard let number = UInt64(text), number > 0 else { throw CannotCheck("\(text): is no number above 0") }
    return number
}

func counts(_ limitsPath: String, _ folder: String, _ operations: UInt64) throws(CannotCheck) -> [Finding] {
    let limits = try Counts.limits(limitsPath, read(limitsPath))
    var counted: [String: Double] = [:]
    for limit in limits {
        let (few, many) = try runs(limit.variant, folder)
        counted[limit.variant] = (Double(many.total) - Double(few.total)) / Double(operations)
    }
    let (table, findings) = Counts.check(limitsPath, limits, counted)
    print(table, terminator: "")
    return findings
}

func hotPath(
    _ path: String, _ folder: String, _ operations: UInt64, program: String, listing: String
) throws(CannotCheck) -> [Finding] {
    let declaration = try HotPath.declaration(path, read(path))
    let code = try Disassembly(read(listing), path: listing)
    var findings: [Finding] = []
    func look(_ variant: String, _ functions: [String]) throws(CannotCheck) -> (listed: [Finding], ran: [Finding]) {
        let (few, many) = try runs(variant, folder)
        let steady = Callgrind.steady(few, many, operations: operations)
        print(
            "  \(variant): \(steady.count) instructions on the steady path, in \(Set(steady.map(\.function)).count) functions")
        return (
            HotPath.listing(functions, cold: declaration.cold, within: declaration.within, code, declaredIn: path),
            HotPath.run(variant, functions, steady, program: program, code, declaredIn: path)
        )
    }
    for (variant, functions) in declaration.hot.sorted(by: { $0.key < $1.key }) {
        let (listed, ran) = try look(variant, functions)
        findings += listed + ran
    }
    for (variant, most) in declaration.atomics.sorted(by: { $0.key < $1.key }) {
        let (few, many) = try runs(variant, folder)
        let steady = Callgrind.steady(few, many, operations: operations)
        let found = HotPath.atomics(variant, most, steady, program: program, code, declaredIn: path)
        print(
            "  \(variant): \(steady.count) instructions; \(found.isEmpty ? "allocates nothing, at most \(most) atomics" : "see below")"
        )
        findings += found
    }
    for example in declaration.caught {
        let (listed, ran) = try look(example.variant, [example.function])
        for (name, found) in [("listing", listed), ("run", ran)]
        where !found.contains(where: { $0.problem.contains(example.fault) }) {
            findings.append(
                Finding(
                    path, 0, "the \(name) shows no \(example.fault) in \(example.variant)",
                    cure: "the check does not detect it; repair the check")
            )
        }
    }
    return findings
}

/// The declarations visible to a program that imports `face`, from the re-exports in the sources and the symbol graphs in
/// `graphs`.
func faces(_ face: String, limit: Int, _ graphs: String, package: String) throws(CannotCheck) -> [Finding] {
    let folders = try Libraries.folders(package, read(package))
    let faces = try Faces(face) { module throws(CannotCheck) in
        guard let folder = folders[module] else { throw CannotCheck("\(package): there is no target \(module)") }
        return try Reexport.read(below: folder)
    }
    let (table, findings) = try faces.check(
        limit: limit, { module throws(CannotCheck) in try SymbolGraph(folder: graphs, modules: [module]) },
        isOurs: { folders[$0] != nil })
    print(table, terminator: "")
    return findings
}

/// The steady path of a variant by function: shows where a count has grown.
func show(_ variant: String, _ folder: String, _ operations: UInt64) throws(CannotCheck) {
    let (few, many) = try runs(variant, folder)
    var sums: [String: Double] = [:]
    for (place, count) in many.executions {
        let grown = Double(count) - Double(few.executions[place] ?? 0)
        sums[place.function, default: 0] += grown / Double(operations)
    }
    for (function, sum) in sums.sorted(by: { $0.value > $1.value }) where sum >= 0.5 {
        print("  \((sum * 10).rounded() / 10)  \(function)")
    }
}

/// The types below a folder that are `@unchecked Sendable`.
func unchecked(_ folder: String) throws(CannotCheck) -> [UnsafeCode.Unchecked] {
    var found: [UnsafeCode.Unchecked] = []
    for path in files(below: folder, endingIn: [".swift"]) { found += UnsafeCode.unchecked(path, try read(path)) }
    return found
}

/// Unsafe steps of the folders that a list names, and the document of all unchecked types.
func unsafeCode(_ list: String, _ document: String, _ folder: String) throws(CannotCheck) -> [Finding] {
    var findings = UnsafeCode.check(try unchecked(folder), document: (document, try read(document)))
    for held in lines(of: try read(list)) where !held.isEmpty && !held.hasPrefix("#") {
        var steps = 0
        let paths = files(below: String(held), endingIn: [".swift"])
        guard !paths.isEmpty else { throw CannotCheck("\(list): there is no source below \(held)") }
        for path in paths {
            let (found, without) = UnsafeCode.check(path, try read(path))
            steps += found
            findings += without
        }
        print("  \(held): \(steps) unsafe steps")
    }
    return findings
}

func check(_ words: [String]) throws(CannotCheck) -> [Finding]? {
    switch (words.first, words.count) {
    case ("licence", 2...):
        var findings: [Finding] = []
        for path in words.dropFirst() { findings += Licence.check(path, try read(path)) }
        return findings
    case ("documented", 3...):
        return try Documented.check(SymbolGraph(folder: words[1], modules: Array(words[2...])))
    case ("names", 4...):
        return try KernelNames.check(words[1], read(words[1]), SymbolGraph(folder: words[2], modules: Array(words[3...])))
    case ("faces", 5):
        return try faces(words[2], limit: Int(number(words[1])), words[3], package: words[4])
    case ("errors", 3):
        return try ErrorTable.check(chapter: (words[1], read(words[1])), printed: read(words[2]))
    case ("snippets", 3...):
        var findings: [Finding] = []
        var regions: [Snippets.Region] = []
        for path in files(below: words[1], endingIn: [".swift"]) {
            let read = Snippets.regions(of: path, try read(path))
            regions += read.regions
            findings += read.findings
        }
        var used: Set<String> = []
        for path in words[2...] { findings += Snippets.check(chapter: path, try read(path), regions, used: &used) }
        for region in regions where !used.contains(region.name) {
            findings.append(
                Finding(
                    region.file, region.line, "no chapter shows snippet \(region.name)", cure: "show it, or remove the marks"))
        }
        return findings
    case ("unsafe", 4):
        return try unsafeCode(words[1], words[2], words[3])
    case ("unchecked", 2):
        print(UnsafeCode.document(try unchecked(words[1])), terminator: "")
        return []
    case ("libraries", 2):
        print(try Libraries.modules(words[1], read(words[1])).joined(separator: " "))
        return []
    case ("interface", 3...):
        print(try Interface(folder: words[1], modules: Array(words[2...])).text, terminator: "")
        return []
    case ("broken", 5...):
        let interface = try Interface(folder: words[3], modules: Array(words[4...]))
        // A package without intended breakages has no such file.
        let allowed =
            FileManager.default.fileExists(atPath: words[2])
            ? (words[2], lines(of: try read(words[2])).map(String.init)) : nil
        return interface.broken(since: (words[1], try read(words[1])), allowed: allowed)
    case ("picture", 3):
        print(try Targets.picture(words[1], read(words[1]), below: words[2]), terminator: "")
        return []
    case ("pictured", 4):
        return Targets.check((words[1], try read(words[1])), try Targets.picture(words[2], read(words[2]), below: words[3]))
    case ("counts", 4):
        return try counts(words[1], words[2], number(words[3]))
    case ("hot-path", 6):
        return try hotPath(words[1], words[2], number(words[3]), program: words[4], listing: words[5])
    case ("loops", 3):
        let declarations = try MeasuredLoops.declarations(words[1], read(words[1]))
        let findings = MeasuredLoops.check(words[1], declarations, try Disassembly(read(words[2]), path: words[2]))
        print(
            "  \(words[1]): \(declarations.count - findings.count) of \(declarations.count) measured loops contain their work")
        return findings
    case ("show", 4):
        try show(words[1], words[2], number(words[3]))
        return []
    default:
        return nil
    }
}

do {
    guard let findings = try check(Array(CommandLine.arguments.dropFirst())) else {
        print(usage)
        exit(64)
    }
    for finding in findings { print(finding) }
    exit(findings.isEmpty ? 0 : 1)
} catch {
    print(error)
    exit(2)
}
