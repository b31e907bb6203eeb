// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import DMAConformance
import DMACore
import Testing

extension OneAtATime {
    /// The suite on the engine that every machine has: the first that is no script.
    @Suite("Conformance of the CPU engine", .serialized)
    struct CPUEngineConformanceTests {
        @Test(
            "the CPU engine, in the poll and with workers",
            arguments: [(0, 1), (0, Seeds.changing), (2, Seeds.changing)] as [(Int, UInt64)])
        func cpu(workers: Int, seed: UInt64) async throws {
            let domain = Domain(name: "cpu")
            let suite = ConformanceSuite(seed: seed, iterations: 6, maximumBytes: 65_536, domain: domain)
            var configuration = CPUConfiguration()
            configuration.workers = workers
            let chosen = configuration
            let report = await suite.run(
                "cpu, \(workers) workers", makeEngine: { () throws(DMAError) in try CPUEngine(chosen) },
                provisions: ConformanceProvisions<CPUEngine>())
            print(report.table)
            #expect(report.passed, "seed \(seed)")
            #expect(report.counts.notRun == 0)
            #expect(report.counts.passed >= 40)
            try domain.close()
        }
    }
}
