// SPDX-License-Identifier: Apache-2.0

import DMA
import DMAConformance
import DMACore
import DMASelfTest
import DMATestSupport
import Foundation
import Testing

/// A stopped self-test has the results so far, has not passed, and no part has failed because of the stop.
@Suite("Self-tests that are stopped", .serialized)
struct StopTests {
    private func test(_ stop: StopRequest, engines: Set<String>) -> SelfTest {
        var test = SelfTest(seed: Seeded.seed)
        test.iterations = 1
        test.bytes = 4096
        test.engines = engines
        test.injectsFaults = true
        test.patience = 60_000_000_000
        test.contractDuration = 600_000_000_000
        test.stop = stop
        return test
    }

    @Test("between steps, and in a row", arguments: ["cpu", "cpu-threads", "io_uring"])
    func steps(_ engine: String) async throws {
        // The contract has 59 checks. Behind it, long rows; then short ones, so that rings, modes and faults are reached.
        for (number, duration) in [(0, 30), (30, 30), (59, 30), (72, 0)] {
            let stop = StopRequest()
            if number == 0 { stop.stop() }
            var done = 0
            var test = test(stop, engines: [engine, "cpu-threads"])
            test.duration = Int64(duration) * 1_000_000_000
            let report = try await test.run(on: DMASystem()) { step in
                done += 1
                guard done >= number else { return }
                Task.detached {
                    try? await Task.sleep(nanoseconds: 20_000_000)
                    stop.stop()
                }
            }
            let stopped = try #require(report.stopped)
            #expect(stopped.engines.last == (engine == "io_uring" ? "io_uring" : "cpu-threads"))
            #expect(!report.passed && !report.hasFailed && !report.isEmpty, "step \(number)")
            for contract in report.contracts { #expect(contract.failures.isEmpty, "\(contract.table)") }
            #expect(report.speeds.allSatisfy { $0.bytesPerSecond > 0 })
        }
    }

    @Test("a report without stops can be read; a stopped one survives JSON unchanged")
    func documents() async throws {
        let stop = StopRequest()
        stop.stop()
        let stopped = try await test(stop, engines: ["cpu"]).run(on: DMASystem())
        let data = try JSONEncoder().encode(stopped)
        #expect(try JSONDecoder().decode(SelfTest.Report.self, from: data).stopped == stopped.stopped)
        var fields = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        #expect(fields.removeValue(forKey: "stopped") != nil)
        let old = try JSONDecoder().decode(SelfTest.Report.self, from: JSONSerialization.data(withJSONObject: fields))
        #expect(old.stopped == nil && old.passed)
    }
}
