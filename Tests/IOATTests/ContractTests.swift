// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMAConformance
import DMACore
import DMADeviceSide
import DMAIOATEngine
import DMAIOATModel
import DMAInProcessAccess
import DMATestSupport
import Testing

@Suite("I/OAT: the contract", .serialized)
struct IOATContractTests {
    @Test("every rule that applies, on the model", arguments: [true, false])
    func contract(_ threaded: Bool) async throws {
        let rig = try Rig(IOATModel(transferBits: 12, burst: 1), pace: threaded ? .threaded : .stepped)
        let domain = Domain(name: "ioat", space: rig.device.space)
        let suite = ConformanceSuite(
            seed: Seeded.seed, iterations: 4, maximumBytes: 12_000, domain: domain, duration: 300_000_000_000,
            patience: 60_000_000_000)
        let report = await suite.run(
            "ioat",
            makeEngine: { () throws(DMAError) in
                do throws(AccessError) { return try rig.engine() } catch {
                    throw DMAError(error.code == .busy ? .deviceBusy : .engineFailed)
                }
            })
        #expect(report.passed, "\(report.table)")
        #expect(report.counts.passed >= 30 && report.counts.notRun == 0, "\(report.table)")
        if threaded { #expect(report.row(.rule14)?.outcome == .passed) }
        // By steps, short chains are done when the doorbell has been rung.
        for rule in threaded ? [ConformanceCheck.rule19, .rule24, .rule26, .rule27] : [.rule26, .rule27] {
            #expect(report.row(rule)?.outcome == .passed, "\(rule)")
        }
        #expect(rig.device.function.violations == [])
    }
}
