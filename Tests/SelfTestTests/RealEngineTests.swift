// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import DMAConformance
import DMACore
import DMASelfTest
import Foundation
import Testing

/// The conformance suite on every real engine of this machine: the CPU engine inline, with threads, and in each mode.
@Suite("The contract on real engines", .serialized)
struct RealEngineTests {
    static let seed: UInt64 = {
        let given = ProcessInfo.processInfo.environment["DMA_SEED"].flatMap { UInt64($0) }
        let seed = given ?? UInt64.random(in: 1...999_999_999)
        print("DMA_SEED=\(seed)")
        return seed
    }()

    /// Patient, because other tests run in parallel and may keep every thread of the pool for a while.
    static func suite(
        _ iterations: Int, _ maximumBytes: Int, _ domain: Domain, only checks: Set<ConformanceCheck>?
    ) -> ConformanceSuite {
        ConformanceSuite(
            seed: seed, iterations: iterations, maximumBytes: maximumBytes, domain: domain, duration: 3_600_000_000_000,
            patience: 600_000_000_000, only: checks)
    }

    /// Runs the suite. Checks that did not reach their case, as on a busy machine, are run again, and must reach it in the end.
    ///
    /// - Parameters:
    ///   - least: the number of checks that must pass: a suite in which nothing applies would pass too.
    ///   - run: all checks, or only these.
    static func expectConformance(
        least: Int = 41, _ run: (Set<ConformanceCheck>?) async -> ConformanceReport
    ) async {
        var report = await run(nil)
        print(report.table)
        var number = report.counts.passed
        for _ in 0..<5 where report.counts.notProved > 0 && report.failures.isEmpty {
            report = await run(
                Set(report.rows.filter { if case .notProved = $0.outcome { true } else { false } }.map(\.check)))
            print(report.table)
            number += report.counts.passed
        }
        #expect(report.passed, "\(report.engine): see the tables above; DMA_SEED=\(report.seed) repeats it")
        #expect(number >= least)
    }

    @Test("the CPU engine, inline and with threads", arguments: [0, 2])
    func cpu(_ workers: Int) async throws {
        let peripherals = try CPUProvisions.peripherals()
        let domain = Domain(name: "cpu")
        await Self.expectConformance {
            await Self.suite(8, 32_768, domain, only: $0).run(
                workers == 0 ? "cpu" : "cpu-threads",
                makeEngine: { () throws(DMAError) in
                    var configuration = CPUConfiguration(depth: 32, workers: workers)
                    configuration.peripherals = peripherals
                    // Small, so that the suite's transfers run on the threads and are split.
                    configuration.inlineLimit = 1024
                    configuration.quantum = 4096
                    return try CPUEngine(configuration)
                }, provisions: CPUProvisions.provisions(peripherals))
        }
    }

    @Test("cycle stealing: transfers split into quanta are complete")
    func cycleStealing() async throws {
        let domain = Domain(name: "stealing")
        await Self.expectConformance {
            await Self.suite(6, 8192, domain, only: $0).run(
                "cpu, cycle stealing",
                makeEngine: { () throws(DMAError) in
                    try PacedEngine(try CPUEngine(CPUConfiguration(depth: 16)), mode: .cycleStealing(share: 0.9), quantum: 256)
                })
        }
    }

    @Test("demand: with requests always pending, everything runs")
    func demand() async throws {
        let domain = Domain(name: "demand")
        await Self.expectConformance {
            await Self.suite(6, 8192, domain, only: $0).run(
                "cpu, demand",
                makeEngine: { () throws(DMAError) in
                    let line = DemandLine()
                    line.request(.max)
                    return try PacedEngine(try CPUEngine(CPUConfiguration(depth: 16)), mode: .demand(line), quantum: 512)
                })
        }
    }

    @Test("burst: a mode that changes nothing changes nothing")
    func burst() async throws {
        let domain = Domain(name: "burst")
        await Self.expectConformance {
            await Self.suite(6, 8192, domain, only: $0).run(
                "cpu, burst",
                makeEngine: { () throws(DMAError) in try PacedEngine(try CPUEngine(CPUConfiguration(depth: 16))) })
        }
    }
}
