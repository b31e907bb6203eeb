// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DMA
import DMACore
import DMAEngineKit
import DMASelfTest
import Foundation
import ScriptedEngines
import Testing

@testable import DMATool

/// The CPU's engines, and one that writes a wrong byte now and then.
struct FlawedProvider: EngineProvider {
    func probe() -> [EngineOffer] {
        guard let engine = try? FlawedProvider.make() else { return [] }
        return [
            EngineOffer(name: "flawed", channels: 2, capabilities: engine.capabilities),
            EngineOffer(
                name: "missing", channels: 1, capabilities: engine.capabilities,
                absence: EngineAbsence(reason: "there is no such device", cure: "plug one in")),
        ]
    }

    func open(_ offer: EngineOffer) throws(DMAError) -> EngineDevice {

        EngineDevice(offer) { _ throws(DMAError) in try FlawedProvider.make() }

    }

    private static func make() throws(DMAError) -> AnyEngine {
        AnyEngine(FlawedEngine(QueuePairEngine(entries: 16, seed: 3), .byteChanged))
    }
}

@Suite("A test that fails", .serialized)
struct FlawedTests {
    let system = DMASystem(providers: [FlawedProvider()])

    func outcome(_ arguments: [String]) async throws -> (passed: Bool, text: String) {
        let command = try TestCommand.parse(arguments)
        return try command.outcome(try await command.test(on: system).run(on: system))
    }

    /// The lines that say what was wrong.
    func failures(_ text: String) -> [String] {
        text.components(separatedBy: "\n").filter { $0.hasPrefix("flawed ") && $0.contains("#") }
    }

    @Test("says so, and prints the command that repeats it: that command finds the same")
    func repeats() async throws {
        let first = try await outcome([
            "--operation", "copy", "--iterations", "5", "--duration", "0.1", "--transfer-size", "512", "--xor-sources", "3",
        ])
        #expect(!first.passed)
        #expect(first.text.contains("FAILED"))
        let found = failures(first.text)
        #expect(!found.isEmpty, "\(first.text)")
        let line = try #require(first.text.components(separatedBy: "\n").last { $0.hasPrefix("to repeat: ") })
        let words = line.dropFirst("to repeat: ".count).split(separator: " ").map(String.init)
        #expect(words.prefix(3) == ["dmactl", "test", "--seed"])
        for option in ["--operation", "copy", "--iterations", "5", "--transfer-size", "512", "--xor-sources", "3"] {
            #expect(words.contains(option))
        }
        let second = try await outcome(Array(words.dropFirst(2)))
        #expect(!second.passed)
        // Every failure of the contract's checks, with the same iteration, sizes and offsets. Addresses are another run's.
        #expect(failures(second.text) == found)
    }

    @Test("in TAP and in JSON too")
    func formats() async throws {
        let tap = try await outcome(["--operation", "copy", "--iterations", "3", "--duration", "0.1", "--tap", "--seed", "5"])
        #expect(!tap.passed)
        #expect(tap.text.hasPrefix("TAP version 13\n1.."))
        #expect(tap.text.contains("\nnot ok "))
        #expect(tap.text.contains("\n  ---\n  message: '"))
        #expect(tap.text.contains("repeat: 'dmactl test --seed 5 --operation copy"))
        let json = try await outcome(["--operation", "copy", "--iterations", "3", "--duration", "0.1", "--json"])
        #expect(json.text.contains("\"passed\" : false"))
    }

    @Test("without verification nothing is found, and nothing is called verified")
    func noverify() async throws {
        let outcome = try await outcome(["--operation", "copy", "--duration", "0.1", "--noverify"])
        #expect(outcome.passed)
        #expect(!outcome.text.contains("every byte right"))
        #expect(!outcome.text.contains("contract"))
    }

    @Test("injected faults are noticed on an engine from another package")
    func faults() async throws {
        let outcome = try await outcome(["--operation", "copy", "--iterations", "1", "--duration", "0.1", "--faults"])
        for word in ["completion lost", "completion repeated", "queue refuses", "96/96"] {
            #expect(outcome.text.contains(word))
        }
    }

    @Test("an absent engine is listed with its reason and its cure, in one line")
    func absent() throws {
        let text = try ListCommand.parse([]).text(system.engines)
        #expect(text.components(separatedBy: "\n").contains("missing: absent: there is no such device. Cure: plug one in"))
        let verbose = try ListCommand.parse(["--verbose"]).text(system.engines)
        #expect(verbose.contains("memory alignment"))
        let json = try ListCommand.parse(["--json"]).text(system.engines)
        #expect(json.contains("\"reason\" : \"there is no such device\""))
    }

    @Test("names that are not there are refused, with those that are")
    func names() async throws {
        await #expect(throws: ValidationError.self) { try await outcome(["--engine", "nobody"]) }
        await #expect(throws: ValidationError.self) { try await outcome(["--channel", "flawed/7"]) }
        #expect(throws: (any Error).self) { try TestCommand.parse(["--operation", "move"]) }
        for wrong in [
            ["--test-buf-size", "1"], ["--xor-sources", "0"], ["--pq-sources", "33"], ["--alignment", "13"],
            ["--timeout", "0"], ["--duration", "-1"], ["--json", "--tap"], ["--transfer-size", "70000"],
            ["--max-channels", "0"],
        ] {
            #expect(throws: (any Error).self, "\(wrong)") { try TestCommand.parse(wrong) }
        }
    }
}
