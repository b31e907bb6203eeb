// SPDX-License-Identifier: Apache-2.0

import DMAConformance
import DMACore
import ScriptedEngines
import Synchronization
import Testing

extension OneAtATime {
    /// A suite and a survey that are stopped: unfinished checks are reported as not run, and none fails because of the stop.
    @Suite("Suites that are stopped", .serialized)
    struct StopTests {
        private func suite(_ stop: StopRequest, only: Set<ConformanceCheck>? = nil) -> ConformanceSuite {
            var suite = ConformanceSuite(
                seed: Seeds.changing, iterations: 6, maximumBytes: 8192, domain: Domain(name: "stopped"), isScripted: true,
                // Other tests run in parallel and may keep every thread of the pool for a while.
                duration: 600_000_000_000, patience: 60_000_000_000, only: only)
            suite.stop = stop
            return suite
        }

        private func run(
            _ suite: ConformanceSuite, progress: ((ConformanceReport.Row) -> Void)? = nil,
            made: @escaping @Sendable () -> Void = {}
        ) async -> ConformanceReport {
            await suite.run(
                "queue-pair",
                makeEngine: { () throws(DMAError) in
                    made()
                    return QueuePairEngine(entries: 16, seed: suite.seed)
                }, provisions: Provisions.queuePair { engine, body in body(&engine) }, progress: progress)
        }

        /// Whether a row reports that the stop kept it from starting or finishing.
        private func isStopped(_ row: ConformanceReport.Row) -> Bool {
            if case .notRun(let reason) = row.outcome { reason.contains("stopped") } else { false }
        }

        @Test("between two checks: the earlier ones are unchanged, the later ones are not run", arguments: [0, 1, 20, 58])
        func between(_ number: Int) async {
            let stop = StopRequest()
            if number == 0 { stop.stop() }
            var done = 0
            let report = await run(suite(stop)) { _ in
                done += 1
                if done == number { stop.stop() }
            }
            let all = ConformanceCheck.allCases.count
            #expect(report.rows.count == all && done == all)
            #expect(!report.rows.prefix(number).contains(where: isStopped))
            for row in report.rows.dropFirst(number) { #expect(row.outcome == .notRun("the run was stopped")) }
            #expect(report.failures.isEmpty && report.counts.failed == 0)
        }

        @Test("at any moment: no check fails because of it")
        func anywhere() async {
            print("DMA_SEED=\(Seeds.changing)")
            var random = SplitMix(state: Seeds.changing)
            for _ in 0..<12 {
                let stop = StopRequest()
                // With one engine or another of the run, or some milliseconds later.
                let (number, delay) = (Int.random(in: 1...150, using: &random), UInt64.random(in: 0...20, using: &random))
                let count = Atomic(0)
                let report = await run(
                    suite(stop),
                    made: {
                        guard count.add(1, ordering: .relaxed).newValue == number else { return }
                        Task.detached {
                            try? await Task.sleep(nanoseconds: delay * 1_000_000)
                            stop.stop()
                        }
                    })
                #expect(report.failures.isEmpty, "engine \(number), \(delay) ms: \(report.table)")
                // Nothing later was run.
                let first = report.rows.firstIndex(where: isStopped) ?? report.rows.count
                #expect(report.rows.dropFirst(first).allSatisfy(isStopped))
            }
        }

        @Test("a check with endless iterations is stopped between two, and not taken for passed")
        func inside() async {
            for check in [ConformanceCheck.copy, .rule26, .batches] {
                let stop = StopRequest()
                var long = ConformanceSuite(
                    seed: 1, iterations: .max / 8, maximumBytes: 8192, domain: Domain(name: "long"),
                    duration: 60_000_000_000, patience: 60_000_000_000, only: [check])
                long.stop = stop
                let report = await run(
                    long,
                    made: {
                        Task.detached {
                            try? await Task.sleep(nanoseconds: 50_000_000)
                            stop.stop()
                        }
                    })
                let row = report.row(check)
                #expect(row.map(isStopped) == true && (row?.questions ?? 0) > 0, "\(report.table)")
                #expect(report.failures.isEmpty)
            }
        }

        @Test("a failure before the stop is still a failure")
        func flawed() async {
            let stop = StopRequest()
            let report = await suite(stop, only: [.copy, .fill, .xor]).run(
                "flawed",
                makeEngine: { () throws(DMAError) in FlawedEngine(QueuePairEngine(entries: 16, seed: 3), .byteChanged) },
                progress: { if $0.check == .copy { stop.stop() } })
            #expect(!report.passed && report.counts.failed == 1 && report.counts.notRun == 2, "\(report.table)")
        }

        // MARK: Surveys

        private func survey(_ stop: StopRequest, duration: Int64, channels: Int = 1) -> Survey {
            var survey = Survey(seed: 5, bytes: 4096, depth: 4, duration: duration, domain: Domain(name: "stopped surveys"))
            survey.channels = channels
            survey.patience = 600_000_000_000
            survey.stop = stop
            return survey
        }

        @Test("a survey has the rows that were begun before the stop, each with complete rounds", arguments: [1, 3])
        func rows(_ channels: Int) async {
            let stop = StopRequest()
            let rows = await survey(stop, duration: 0, channels: channels).run(
                "engine", kinds: [.copy, .fill, .crc32c], makeEngine: { () throws(DMAError) in QueuePairEngine(entries: 16) },
                progress: { if $0.operation == "fill" { stop.stop() } })
            #expect(rows.map(\.operation) == ["copy", "fill"])
            #expect(rows.allSatisfy { $0.passed && $0.transactions == channels * 4 + 4 })
        }

        @Test("a row ends after a round of any length; without a complete round there is none", arguments: [1, 3])
        func long(_ channels: Int) async {
            for delay in [0, 1, 30, 300] {
                let stop = StopRequest()
                if delay == 0 { stop.stop() }
                let rows = await survey(stop, duration: 30_000_000_000, channels: channels).run(
                    "engine", kinds: [.copy, .fill],
                    makeEngine: { () throws(DMAError) in
                        Task.detached {
                            try? await Task.sleep(nanoseconds: UInt64(delay) * 1_000_000)
                            stop.stop()
                        }
                        return QueuePairEngine(entries: 16)
                    })
                #expect(rows.count <= (delay == 0 ? 0 : 1))
                #expect(rows.allSatisfy { $0.passed && $0.bytesPerSecond > 0 && $0.operation == "copy" })
            }
        }
    }
}

/// Random numbers that the run's seed reproduces.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
}
