// SPDX-License-Identifier: Apache-2.0

import DMAConformance
import DMACore
import ScriptedEngines
import Testing

/// Devices whose words change at any time, also between two accesses of a driver; and drivers that read them without
/// synchronization.
@Suite("Races of rings", .serialized)
struct RingRaceTests {
    private func run(_ reading: CyclicEngine.Reading, _ seed: UInt64) async -> ConformanceReport {
        let suite = ConformanceSuite(
            seed: seed, iterations: 6, domain: Domain(name: "races"), isScripted: true, duration: 600_000_000_000,
            patience: 60_000_000_000, only: [.cyclic, .rule22])
        return await suite.run(
            "cyclic", makeEngine: { () throws(DMAError) in CyclicEngine(reading: reading) },
            provisions: Provisions.cyclic { engine, body in body(&engine) })
    }

    @Test("a driver that checks its reads passes", arguments: Seeds.all)
    func guarded(_ seed: UInt64) async {
        let report = await run(.guarded, seed)
        #expect(report.passed && report.counts.passed == 2, "\(report.table)")
    }

    @Test(
        "a driver that reads lap and position without checks is detected",
        arguments: [CyclicEngine.Reading.lapFirst, .positionFirst])
    func careless(_ reading: CyclicEngine.Reading) async {
        for seed in Seeds.all {
            let report = await run(reading, seed)
            guard case .failed = report.row(.cyclic)?.outcome else {
                Issue.record("\(reading), seed \(seed): \(report.table)")
                continue
            }
        }
    }

    @Test("a queue whose entries are written word by word, more than three times round", arguments: Seeds.all)
    func entries(_ seed: UInt64) async {
        for (reading, isRight) in [(QueuePairEngine.Reading.phaseFirst, true), (.fieldsFirst, false)] {
            let suite = ConformanceSuite(
                // The careless driver finds a half-written entry by chance: it runs until that happens, and stops at the first.
                seed: seed, iterations: isRight ? 20 : 2000, maximumBytes: 2048, domain: Domain(name: "entries"),
                isScripted: true,
                duration: 600_000_000_000, patience: isRight ? 60_000_000_000 : 100_000_000, only: [.batches])
            let report = await suite.run(
                "queue pair",
                makeEngine: { () throws(DMAError) in QueuePairEngine(entries: 16, seed: seed, reading: reading) },
                provisions: Provisions.queuePair { engine, body in body(&engine) })
            #expect(report.passed == isRight, "\(reading): \(report.table)")
        }
    }
}
