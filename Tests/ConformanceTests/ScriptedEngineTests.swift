// SPDX-License-Identifier: Apache-2.0

import DMAConformance
import DMACore
import ScriptedEngines
import Testing

extension OneAtATime {
    /// The suite on each correct scripted engine: everything that applies passes, including the features that the engine was
    /// written for.
    @Suite("Conformance of the scripted engines", .serialized)
    struct ScriptedEngineTests {
        private func expectPassed(
            _ report: ConformanceReport, passes: Int, mustPass: [ConformanceCheck], mustNotApply: [ConformanceCheck]
        ) {
            print(report.table)
            #expect(report.passed, "seed \(report.seed)")
            #expect(report.counts.passed >= passes)
            #expect(report.counts.notRun == 0)
            for check in mustPass { #expect(report.row(check)?.outcome == .passed, "\(check)") }
            for check in mustNotApply {
                guard case .notApplicable = report.row(check)?.outcome else {
                    Issue.record("\(check) passed on an engine that does not have it")
                    continue
                }
            }
        }

        @Test("a queue pair with completions in any order", arguments: Seeds.all)
        func queuePair(seed: UInt64) async throws {
            let domain = Domain(name: "queue pair")
            let suite = ConformanceSuite(
                seed: seed, iterations: 8, maximumBytes: 16_384, domain: domain, isScripted: true,
                // Other tests run in parallel and may keep every thread of the pool for a while.
                duration: 600_000_000_000, patience: 60_000_000_000)
            let report = await suite.run(
                "queue-pair", makeEngine: { () throws(DMAError) in QueuePairEngine(entries: 16, seed: seed) },
                provisions: Provisions.queuePair { engine, body in body(&engine) })
            expectPassed(
                report, passes: 45,
                mustPass: [.rule14, .rule26, .rule27, .rule28, .pqValidate, .interleaved, .awaiting, .cancellation],
                mustNotApply: [.rule19, .rule22, .rule24, .cyclic, .peripheral])
            try domain.close()
        }

        @Test("a chain that is extended while it runs", arguments: Seeds.all)
        func chain(seed: UInt64) async throws {
            let domain = Domain(name: "chain")
            let suite = ConformanceSuite(
                seed: seed, iterations: 8, maximumBytes: 16_384, domain: domain, isScripted: true,
                // Other tests run in parallel and may keep every thread of the pool for a while.
                duration: 600_000_000_000, patience: 60_000_000_000)
            let report = await suite.run(
                "chain", makeEngine: { () throws(DMAError) in try ChainEngine(entries: 8, seed: seed, domain: domain) },
                provisions: Provisions.chain { engine, body in body(&engine) })
            expectPassed(
                report, passes: 43, mustPass: [.rule02, .rule19, .rule24, .peripheral, .scatterGather],
                mustNotApply: [.rule14, .rule22, .rule23, .rule28, .pq, .interleaved, .cyclic])
            try domain.close()
        }

        @Test("a ring of periods", arguments: Seeds.all)
        func cyclic(seed: UInt64) async throws {
            let domain = Domain(name: "cyclic")
            let suite = ConformanceSuite(
                seed: seed, iterations: 8, maximumBytes: 16_384, domain: domain, isScripted: true,
                // Other tests run in parallel and may keep every thread of the pool for a while.
                duration: 600_000_000_000, patience: 60_000_000_000)
            let report = await suite.run(
                "cyclic", makeEngine: { () throws(DMAError) in CyclicEngine() },
                provisions: Provisions.cyclic { engine, body in body(&engine) })
            expectPassed(
                report, passes: 3, mustPass: [.rule03, .rule22, .cyclic], mustNotApply: [.copy, .rule05, .rule16, .batches])
            try domain.close()
        }
    }
}
