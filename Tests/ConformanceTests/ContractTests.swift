// SPDX-License-Identifier: Apache-2.0

import DMACore
import Foundation
import Testing

@testable import DMAConformance

/// The explanations: of all names that a program prints, from one source.
@Suite("Explanations of the contract")
struct ContractTests {
    let glossary = Glossary()

    @Test("the 39 rules, each with meaning, example and cure")
    func rules() {
        #expect(Explanation.rules.flatMap(\.rules) == Array(1...39))
        for check in ConformanceCheck.allCases where check.rule != nil {
            #expect(glossary.find(check.rawValue).map(\.kind) == [.rule], "\(check)")
        }
        for spelling in ["rule7", "rule07", "7", "07", "RULE07"] {
            #expect(glossary.find(spelling).map(\.name) == ["rule07"], "\(spelling)")
        }
        for entry in glossary.all {
            for text in [entry.name, entry.title, entry.meaning, entry.example, entry.cure] {
                #expect(!text.isEmpty && !text.contains("  ") && !text.contains("\n"), "\(entry.name): \(text)")
            }
            #expect(entry.rules.allSatisfy { (1...39).contains($0) })
        }
    }

    @Test("every code that this module or the core prints is found, by every spelling")
    func codes() {
        for code in DMAError.Code.allCases {
            let entry = glossary.find("\(code)").first { $0.kind == .error }
            #expect(entry?.rules == DMAError(code).rule.map { [$0] } ?? [], "\(code)")
        }
        for identifier in SanitizerReport.Identifier.allCases {
            #expect(glossary.find(identifier.rawValue).map(\.kind) == [.sanitizer])
            #expect(glossary.find("\(identifier)").contains { $0.name == identifier.rawValue })
        }
        // The counters by the names of the value's properties, so that a new one cannot be forgotten.
        for counter in Mirror(reflecting: EngineFaults()).children.compactMap(\.label) {
            #expect(glossary.find(counter).contains { $0.kind == .engineFault }, "\(counter)")
        }
        for status in TransactionStatus.allCases { #expect(glossary.find("\(status)").contains { $0.kind == .status }) }
        for check in ConformanceCheck.allCases { #expect(!glossary.find(check.rawValue).isEmpty) }
        // Within one kind a name belongs to one entry.
        for kind in Explanation.Kind.allCases {
            let names = glossary.all.filter { $0.kind == kind }.flatMap { [$0.name] + $0.aliases }.map { $0.lowercased() }
            #expect(names.count == Set(names).count, "\(kind)")
        }
    }

    @Test("the explanation of an error has letters in place of numbers")
    func numbers() throws {
        let entry = try #require(glossary.find("sharedCacheLine").first)
        #expect(entry.meaning.hasPrefix("Cannot map memory at N: the range shares a cache line of M bytes"))
        for entry in Explanation.errors {
            #expect(
                !entry.meaning.contains("1357") && !entry.meaning.contains("2468") && !entry.cure.contains("1357"), "\(entry)")
        }
    }

    @Test(
        "an unknown name has suggestions",
        arguments: [("misalined", "misaligned"), ("rule40", "rule04"), ("DMA-S2", "DMA-S02"), ("quefull", "queueFull")])
    func nearest(_ typed: String, _ meant: String) {
        #expect(glossary.find(typed).isEmpty)
        #expect(glossary.nearest(typed, 12).contains(meant), "\(glossary.nearest(typed, 12))")
    }

    @Test("the guide's article equals the generated one")
    func article() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let file = root.appending(path: "Sources/Core/Documentation.docc/Contract.md")
        let found = try String(contentsOf: file, encoding: .utf8)
        // To update it: swift run dmactl explain --article > Sources/Core/Documentation.docc/Contract.md
        #expect(found == ContractArticle.text)
        for number in 1...39 { #expect(found.contains("\n### Rule \(number): ")) }
    }
}
