// SPDX-License-Identifier: Apache-2.0

import DMA
import DMACPUEngine
import DMACore
import DMAEngineKit
import Testing

@testable import DMAConformance
@testable import DMASelfTest

@Suite("Conclusions of a self-test", .serialized)
struct ReportTests {
    private typealias Change = (inout SelfTest.Report) -> Void

    private static func speed(_ faults: [String]) -> Survey.Row {
        Survey.Row(
            engine: "a", operation: "copy", bytesEach: 1, depth: 1, transactions: 1, bytesVerified: 1, faults: faults,
            bytesPerSecond: 1, operationsPerSecond: 1, latencyP50: 1, latencyP99: 1, cpuSecondsPerGB: 1)
    }

    private static func mode(wrong: UInt64) -> ModeRow {
        ModeRow(
            engine: "a", mode: "burst", askedShare: 1, measuredShare: 1, bytesPerSecond: 1, bytesVerified: 10, bytesWrong: wrong
        )
    }

    private static func stream(lost: UInt64) -> StreamRow {
        StreamRow(engine: "a", direction: "capture", periods: 1, periodBytes: 1, bytesVerified: 100, bytesWrong: 0, lost: lost)
    }

    private static func contract(_ outcomes: ConformanceOutcome...) -> ConformanceReport {
        ConformanceReport(
            engine: "a", implementation: "", isScripted: false, seed: 1, iterations: 1, maximumBytes: 64,
            rows: zip(ConformanceCheck.allCases, outcomes).map {
                ConformanceReport.Row(check: $0, outcome: $1, questions: 1, bytesVerified: 1000, nanoseconds: 1)
            }, failures: [], furtherFailures: 0)
    }

    private static func report(_ change: Change) -> SelfTest.Report {
        var report = SelfTest.Report(seed: 1)
        change(&report)
        return report
    }

    @Test("a test has failed if any of its parts has, and is empty if no engine has a requested operation")
    func passed() {
        let good: [Change] = [
            { $0.speeds = [Self.speed([])] }, { $0.modes = [Self.mode(wrong: 0)] }, { $0.streams = [Self.stream(lost: 0)] },
            { $0.contracts = [Self.contract(.passed, .notApplicable("no"), .notRun("late"))] },
        ]
        for change in good { #expect(Self.report(change).passed && !Self.report(change).isEmpty) }
        let bad: [Change] = [
            { $0.speeds = [Self.speed([]), Self.speed(["wrong"])] }, { $0.modes = [Self.mode(wrong: 0), Self.mode(wrong: 1)] },
            { $0.streams = [Self.stream(lost: 0), Self.stream(lost: 1)] },
            { $0.contracts = [Self.contract(.passed), Self.contract(.passed, .failed(1))] },
            { $0.stops = [.init(engine: "a", reason: "none")] },
        ]
        for change in bad {
            #expect(!Self.report(change).passed && !Self.report(change).isEmpty)
            // Success elsewhere does not compensate it.
            #expect(!Self.report { for change in good + [change] { change(&$0) } }.passed)
        }
        #expect(Self.report { _ in }.isEmpty && Self.report { $0.contracts = [Self.contract(.notApplicable("no"))] }.isEmpty)
    }

    @Test("the verified bytes are the sum of all parts")
    func verified() {
        let report = Self.report {
            $0.speeds = [Self.speed([]), Self.speed([])]
            $0.modes = [Self.mode(wrong: 0), Self.mode(wrong: 1)]
            $0.streams = [Self.stream(lost: 0), Self.stream(lost: 1)]
            $0.contracts = [Self.contract(.passed, .failed(1)), Self.contract(.passed)]
        }
        #expect(report.bytesVerified == 3222)
    }

    @Test("faults that an engine does not survive are a failure, and the bytes compared meanwhile count")
    func faults() async throws {
        var test = SelfTest(seed: 5)
        (test.iterations, test.bytes, test.duration, test.operations) = (1, 256, 0, [.copy])
        test.injectsFaults = true
        for isMute in [false, true] {
            test.patience = isMute ? 20_000_000 : 60_000_000_000
            var report = try await test.run(on: DMASystem(providers: [MuteProvider(isMute: isMute)]))
            #expect(!report.faults.isEmpty || isMute && !report.stops.isEmpty)
            // The faults alone: a mute engine fails everything else as well.
            (report.speeds, report.contracts) = ([], [])
            #expect(report.passed == !isMute)
            #expect(isMute || report.bytesVerified > 0)
        }
    }

    @Test("sources of XOR and of PQ are set independently, and a selected operation leaves the other rules out")
    func choices() {
        var test = SelfTest(seed: 5)
        test.choice.xorSources = 7
        (test.patience, test.channels, test.depth, test.duration) = (1234, 3, 9, 77)
        let domain = Domain(name: "choices")
        let survey = test.survey(domain)
        #expect(survey.choice.xorSources == 7 && survey.choice.pqSources == Survey.sources)
        #expect(survey.patience == 1234 && survey.channels == 3 && survey.depth == 9 && survey.duration == 77)
        #expect(test.suite(domain).only == nil)
        test.choice.pqSources = 5
        test.channel = 1
        #expect(test.survey(domain).choice.pqSources == 5 && test.survey(domain).channels == 1)
        test.operations = [.copy]
        let only = test.suite(domain).only ?? []
        #expect(!only.isEmpty && only.allSatisfy { $0.operation == .copy })
    }
}

/// Copies as the CPU does, or never completes.
private struct MuteProvider: EngineProvider {
    let isMute: Bool
    func probe() -> [EngineOffer] {
        guard let engine = try? CPUEngine(CPUConfiguration(depth: 8)) else { return [] }
        return [EngineOffer(name: "mute", channels: 1, capabilities: engine.capabilities)]
    }
    func open(_ offer: EngineOffer) throws(DMAError) -> EngineDevice {
        EngineDevice(offer) { _ throws(DMAError) in
            let engine = try CPUEngine(CPUConfiguration(depth: 8))
            return isMute ? AnyEngine(MuteEngine(engine)) : AnyEngine(engine)
        }
    }
}

private struct MuteEngine: ~Copyable, Engine {
    var addressing: EngineAddressing { .cpu }
    private var base: CPUEngine
    init(_ base: consuming CPUEngine) { self.base = base }
    var capabilities: Capabilities { base.capabilities }
    @unsafe mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult { .accepted }
    mutating func issuePending() {}
    mutating func next() -> Completion? { nil }
    mutating func terminate() {}
    mutating func quiesce(by deadline: Deadline) -> Bool { true }
}
