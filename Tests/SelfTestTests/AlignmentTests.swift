// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import DMAConformance
import DMACore
import DMASelfTest
import Testing

/// Lengths and offsets that an option may ask for are ones that every check can do with.
@Suite("The contract at each alignment", .serialized)
struct AlignmentTests {
    /// Those that choose lengths and offsets, and none that measures its work first.
    private static let checks = Set(
        ConformanceCheck.allCases.filter { $0.operation != nil && $0 != .cyclic } + [
            .rule01, .rule02, .rule03, .rule04, .rule08, .rule13, .rule25, .rule27, .rule29, .rule30, .rule31, .rule32, .rule33,
            .rule34,
            .rule35, .rule36, .rule37, .rule38, .rule39, .cargoes, .erased,
        ])

    /// The contract on the CPU's engine, which is sound.
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

    @Test("from 2^0 to 2^12, the ends of the range, nothing is found on a sound engine", arguments: [0, 8, 9, 10, 12])
    func range(_ power: Int) async throws {
        for seed in [1, 2] as [UInt64] {
            let report = try await run(power, seed: seed, bytes: 65_536)
            let passed = report.passed
            #expect(passed, "2^\(power), seed \(seed): \(report.table)")
            #expect(report.counts.passed > 25)
        }
    }

    @Test("where the largest transfer is no longer than the alignment, too")
    func narrow() async throws {
        let report = try await run(12, seed: 4, bytes: 4096)
        let passed = report.passed
        #expect(passed, "\(report.table)")
    }
}
