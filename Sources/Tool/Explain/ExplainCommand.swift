// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DMAConformance

struct ExplainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Say what a rule, an error code or another name in a message means.",
        discussion: """
            Meaning, example and cure: of the contract's 39 rules, and of every code that \
            an error, the sanitizer, a channel's fault counters or a test prints. Without \
            a name, all names.

            EXAMPLES
              dmactl explain
              dmactl explain rule18
              dmactl explain misaligned DMA-S07
              dmactl explain --json queueFull | jq -r '.entries[0].cure'

            EXIT CODES
              0   explained
              64  the command line is wrong, or a name is not known
              73  standard output cannot be written
            """)

    @Argument(
        help: "rule18, misaligned, DMA-S07, notInFlight, exit64 …; all names where none is given.",
        completion: .custom { _, _, _ in ExplainCommand.glossary.all.map(\.name) })
    var names: [String] = []
    @Flag(help: "Print JSON; its schema is Schemas/explain.schema.json.")
    var json = false
    @Flag(help: ArgumentHelp("Print the guide's article on the contract.", visibility: .hidden))
    var article = false

    static var glossary: Glossary { Glossary(Explanation.copyFailures + Explanation.exitCodes) }

    func run() throws {
        if article { return print(ContractArticle.text, terminator: "") }
        print(try text())
    }

    func text() throws -> String {
        let glossary = Self.glossary
        let found = try names.isEmpty ? glossary.all : names.flatMap { try entries($0, glossary) }
        if json { return try JSON.text(ExplainDocument(found)) }
        return names.isEmpty ? Self.list(glossary) : found.map { Self.page($0) }.joined(separator: "\n\n")
    }

    private func entries(_ name: String, _ glossary: Glossary) throws -> [Explanation] {
        let found = glossary.find(name)
        guard !found.isEmpty else {
            let near = glossary.nearest(name).joined(separator: ", ")
            throw ValidationError("nothing is called \"\(name)\"; nearest: \(near). dmactl explain lists all names")
        }
        return found
    }

    /// One entry.
    private static func page(_ entry: Explanation) -> String {
        let title = entry.meaning.lowercased().hasPrefix(entry.title.lowercased()) ? "" : ": \(entry.title)"
        var lines = [Terminal.wrapped("\(entry.name) (\(entry.kind.title))\(title)", indent: 2)]
        for (word, text) in [("Meaning", entry.meaning), ("Example", entry.example), ("Cure", entry.cure)] {
            lines.append(Terminal.wrapped(text, after: "  \(word): ".padded(to: 12), indent: 12))
        }
        let others = entry.kind == .rule ? [] : entry.rules
        lines += others.map { "  See:      dmactl explain rule\($0 < 10 ? "0" : "")\($0)" }
        return lines.joined(separator: "\n")
    }

    /// All names, by kind.
    private static func list(_ glossary: Glossary) -> String {
        Explanation.Kind.allCases.map { kind in
            let entries = glossary.all.filter { $0.kind == kind }
            let width = min(entries.map(\.name.count).max() ?? 0, 24)
            let lines = entries.map { entry in
                Terminal.wrapped(entry.title, after: "  " + entry.name.padded(to: width + 2), indent: width + 4)
            }
            return Terminal.styled(kind.title, .faint) + "\n" + lines.joined(separator: "\n")
        }.joined(separator: "\n\n")
    }
}

extension String {
    fileprivate func padded(to width: Int) -> String { self + String(repeating: " ", count: max(width - count, 1)) }
}

/// What `dmactl explain --json` prints.
private struct ExplainDocument: Encodable {
    let version = 1
    let entries: [Explanation]

    init(_ entries: [Explanation]) { self.entries = entries }
}
