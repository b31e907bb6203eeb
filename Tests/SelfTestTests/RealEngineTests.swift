// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import DMAConformance
import DMACore
import DMASelfTest
import Foundation
import Testing

/// The conformance suite on everything real that this machine has: the CPU engine as it is, with threads, and under each mode.
@Suite("The contract on real engines", .serialized)
struct RealEngineTests {
    static let seed: UInt64 = {
        let given = ProcessInfo.processInfo.environment["DMA_SEED"].flatMap { UInt64($0) }
        let seed = given ?? UInt64.random(in: 1...999_999_999)
        print("DMA_SEED=\(seed)")
        return seed
    }()

    /// Patient, because other tests run beside this one and may keep every thread of the pool for a while.
    static func suite(_ iterations: Int, _ maximumBytes: Int, _ name: String) -> ConformanceSuite {
        ConformanceSuite(
            seed: seed, iterations: iterations, maximumBytes: maximumBytes, domain: Domain(name: name),
            duration: 3_600_000_000_000,
            patience: 600_000_000_000)
    }

    func expectConformance(_ report: ConformanceReport) {
        print(report.table)
        let (passed, number) = (report.passed, report.counts.passed)
        #expect(passed, "\(report.engine): see the table above; DMA_SEED=\(report.seed) repeats it")
        // A suite in which nothing applies would pass too.
        #expect(number > 40)
    }

    @Test("the CPU engine, inline and with threads", arguments: [0, 2])
    func cpu(_ workers: Int) async throws {
        let peripherals = try CPUProvisions.peripherals()
        let suite = Self.suite(8, 32_768, "cpu")
        expectConformance(
            await suite.run(
                workers == 0 ? "cpu" : "cpu-threads",
                makeEngine: { () throws(DMAError) in
                    var configuration = CPUConfiguration(depth: 32, workers: workers)
                    configuration.peripherals = peripherals
                    // Small, so that the suite's transfers go to the threads and are cut.
                    configuration.inlineLimit = 1024
                    configuration.quantum = 4096
                    return try CPUEngine(configuration)
                }, provisions: CPUProvisions.provisions(peripherals)))
    }

    @Test("cycle stealing: what is cut into quanta is whole")
    func cycleStealing() async throws {
        let suite = Self.suite(6, 8192, "stealing")
        expectConformance(
            await suite.run(
                "cpu, cycle stealing",
                makeEngine: { () throws(DMAError) in
                    try PacedEngine(try CPUEngine(CPUConfiguration(depth: 16)), mode: .cycleStealing(share: 0.9), quantum: 256)
                }))
    }

    @Test("demand: with the other side always ready, everything runs")
    func demand() async throws {
        let suite = Self.suite(6, 8192, "demand")
        expectConformance(
            await suite.run(
                "cpu, demand",
                makeEngine: { () throws(DMAError) in
                    let line = DemandLine()
                    line.request(.max)
                    return try PacedEngine(try CPUEngine(CPUConfiguration(depth: 16)), mode: .demand(line), quantum: 512)
                }))
    }

    @Test("burst: a mode that changes nothing changes nothing")
    func burst() async throws {
        let suite = Self.suite(6, 8192, "burst")
        expectConformance(
            await suite.run(
                "cpu, burst",
                makeEngine: { () throws(DMAError) in try PacedEngine(try CPUEngine(CPUConfiguration(depth: 16))) }))
    }
}
