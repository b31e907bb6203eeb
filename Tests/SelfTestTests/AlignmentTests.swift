// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import DMAConformance
import DMACore
import DMASelfTest
import Testing

/// Lengths and offsets that an option may request are supported by every check.
@Suite("The contract at each alignment", .serialized)
struct AlignmentTests {
    /// The checks that choose lengths and offsets, and do not measure their work first.
    private static let checks = Set(
        ConformanceCheck.allCases.filter { $0.operation != nil && $0 != .cyclic } + [
            .rule01, .rule02, .rule03, .rule04, .rule08, .rule13, .rule25, .rule27, .rule29, .rule30, .rule31, .rule32, .rule33,
            .rule34,
            .rule35, .rule36, .rule37, .rule38, .rule39, .cargoes, .erased,
        ])

    /// The contract on the CPU engine, which is correct.
    private func run(_ power: Int, seed: UInt64, bytes: Int) async throws -> ConformanceReport {
        let peripherals = try CPUProvisions.peripherals()
        var suite = ConformanceSuite(
            seed: seed, iterations: 2, maximumBytes: bytes, domain: Domain(name: "alignment"), duration: 600_000_000_000,
            patience: 60_000_000_000, only: Self.checks)
        suite.choice.alignment = 1 << power
        return await suite.run(
            "cpu",
            makeEngine: { () throws(DMAError) in
                var configuration = CPUConfiguration(depth: 32)
                configuration.peripherals = peripherals
                return try CPUEngine(configuration)
            }, provisions: CPUProvisions.provisions(peripherals))
    }

    @Test("from 2^0 to 2^12, the ends of the range, nothing is found on a correct engine", arguments: [0, 8, 9, 10, 12])
    func range(_ power: Int) async throws {
        for seed in [1, 2] as [UInt64] {
            let report = try await run(power, seed: seed, bytes: 65_536)
            let passed = report.passed
            #expect(passed, "2^\(power), seed \(seed): \(report.table)")
            #expect(report.counts.passed > 25)
        }
    }

    @Test("with a maximum transfer no longer than the alignment, too")
    func narrow() async throws {
        let report = try await run(12, seed: 4, bytes: 4096)
        let passed = report.passed
        #expect(passed, "\(report.table)")
    }
}
