// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMAConformance
import DMACore
import DMADeviceSide
import DMAEDUEngine
import DMAEDUModel
import DMAInProcessAccess
import DMATestSupport
import Testing

@Suite("EDU: the contract", .serialized)
struct EDUContractTests {
    @Test("every rule that applies, on the model", arguments: [true, false])
    func contract(_ threaded: Bool) async throws {
        let rig = try Rig(pace: threaded ? .threaded : .stepped)
        let domain = Domain(name: "edu", constraints: Rig.configuration.constraints, space: rig.device.space)
        let suite = ConformanceSuite(
            seed: Seeded.seed, iterations: 4, maximumBytes: 12_000, domain: domain, duration: 300_000_000_000,
            patience: 60_000_000_000)
        let report = await suite.run(
            "edu",
            makeEngine: { () throws(DMAError) in
                do throws(AccessError) { return try rig.engine() } catch {
                    throw DMAError(error.code == .busy ? .deviceBusy : .engineFailed)
                }
            })
        #expect(report.passed, "\(report.table)")
        #expect(report.counts.passed >= 25 && report.counts.notRun == 0, "\(report.table)")
        if threaded { #expect(report.row(.rule14)?.outcome == .passed) }
        #expect(rig.device.function.violations == [])
    }
}
