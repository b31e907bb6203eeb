// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DMA
import DMAConformance
import DMACopy
import DMACore
import DMASelfTest
import DMATestSupport
import Foundation
import Testing

@testable import DMATool

/// What `dmactl explain` prints, and what it refuses.
@Suite("Explanations")
struct ExplainTests {
    @Test("meaning, example and cure, whatever the case of the letters")
    func page() throws {
        for name in ["rule18", "18", "RULE18"] {
            let ran = try Program.run(["explain", name], environment: ["COLUMNS": "80"])
            #expect(ran.status == 0 && ran.output.hasPrefix("rule18 (rule of the contract): "), "\(ran.errors)")
            for word in ["  Meaning:  ", "  Example:  ", "  Cure:     "] { #expect(ran.output.contains("\n" + word)) }
            #expect(ran.output.split(separator: "\n").allSatisfy { $0.count <= 80 })
        }
        let error = try Program.run(["explain", "misaligned", "DMA-S07"])
        #expect(error.output.contains("it must be a multiple of M bytes") && error.output.contains("dmactl explain rule39"))
        #expect(error.output.contains("\n\nDMA-S07 (finding of the sanitizer): mapStack\n"))
    }

    @Test("a name of two kinds is explained twice")
    func twice() throws {
        let text = try ExplainCommand.parse(["cancelled"]).text()
        #expect(text.contains("cancelled (code of DMAError)") && text.contains("cancelled (code of CopyFailure)"))
    }

    @Test("without a name all names, within the width", arguments: [40, 80])
    func list(_ columns: Int) throws {
        let ran = try Program.run(["explain"], environment: ["COLUMNS": "\(columns)"])
        #expect(ran.status == 0)
        #expect(ran.output.split(separator: "\n").allSatisfy { $0.count <= columns })
        for entry in ExplainCommand.glossary.all { #expect(ran.output.contains("\n  \(entry.name)"), "\(entry.name)") }
    }

    @Test("every code of a copy, and every exit code that the help names")
    func tool() throws {
        let glossary = ExplainCommand.glossary
        for code in CopyFailure.Code.allCases { #expect(glossary.find(code.rawValue).contains { $0.kind == .copyFailure }) }
        let help = try Program.run(["--help"]).output.components(separatedBy: "EXIT CODES\n")[1]
        let codes = help.split(separator: "\n").prefix { $0.hasPrefix("  ") }.compactMap { $0.split(separator: " ").first }
        #expect(codes.count == 6)
        for code in codes + ["129", "143"] { #expect(!glossary.find("exit\(code)").isEmpty, "\(code)") }
    }

    @Test("an unknown name ends with 64 and the nearest that there are")
    func unknown() throws {
        let ran = try Program.run(["explain", "rule18", "misalined"])
        #expect(ran.status == 64 && ran.output.isEmpty)
        #expect(ran.errors.hasPrefix("dmactl: nothing is called \"misalined\"; nearest: misaligned, "), "\(ran.errors)")
        #expect(ran.errors.split(separator: "\n").count == 1)
    }

    @Test("a test that fails says where to read on")
    func hint() async throws {
        let system = DMASystem(providers: [FlawedProvider()])
        let command = try TestCommand.parse(["--operation", "copy", "--iterations", "2", "--duration", "0.1"])
        let outcome = try command.outcome(try await command.test(on: system).run(on: system))
        #expect(outcome.text.contains("\nwhat a check is about: dmactl explain copy\n"), "\(outcome.text)")
    }
}
