// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DMA
import DMACore
import DMAEngineKit
import Foundation
import Testing

@testable import DMAConformance
@testable import DMASelfTest
@testable import DMATool

/// What `dmactl test` says of a report: in each column, in each line, in each test point.
@Suite("Reports of a test")
struct TestReportTests {
    private func speed(_ engine: String, _ faults: [String] = []) -> Survey.Row {
        Survey.Row(
            engine: engine, operation: "copy", bytesEach: 65_536, depth: 32, transactions: 9, bytesVerified: 3 << 20,
            faults: faults,
            bytesPerSecond: 2.5e9, operationsPerSecond: 38_147, latencyP50: 1500, latencyP99: 250_000, cpuSecondsPerGB: 0.125)
    }

    private func contract(_ engine: String, _ outcomes: [ConformanceOutcome]) -> ConformanceReport {
        let rows = zip(ConformanceCheck.allCases, outcomes).map {
            ConformanceReport.Row(check: $0, outcome: $1, questions: 10, bytesVerified: 1024, nanoseconds: 1)
        }
        let failures = rows.filter { if case .failed = $0.outcome { true } else { false } }.map {
            ConformanceFailure(check: $0.check, seed: 1, iteration: 4, parameters: "8 bytes", message: "it's # \(engine)")
        }
        return ConformanceReport(
            engine: engine, implementation: "", isScripted: false, seed: 1, iterations: 1, maximumBytes: 64, rows: rows,
            failures: failures, furtherFailures: 0)
    }

    /// Two of everything, and of the second something is wrong.
    private var report: SelfTest.Report {
        var report = SelfTest.Report(seed: 42)
        report.speeds = [speed("good"), speed("bad", ["a wrong byte"])]
        report.modes = [UInt64(0), 7].map {
            ModeRow(
                engine: $0 == 0 ? "good" : "bad", mode: "cycle-stealing", askedShare: 0.5, measuredShare: 0.491,
                bytesPerSecond: 1e9,
                bytesVerified: 2 << 30, bytesWrong: $0)
        }
        report.streams = [UInt64(0), 3].map {
            StreamRow(
                engine: $0 == 0 ? "good" : "bad", direction: "capture", periods: 64, periodBytes: 1024, bytesVerified: 65_536,
                bytesWrong: 0, lost: $0)
        }
        report.contracts = [
            contract("good", [.passed, .passed, .notApplicable("none # here"), .notRun("late")]),
            contract("bad", [.passed, .failed(1), .notProved("never met: it")]),
        ]
        report.stops = [.init(engine: "gone", reason: "no file")]
        return report
    }

    @Test("each column of each table holds what its head says")
    func columns() {
        let text = TestTables.text(report, verbose: false)
        let contract = Tables.with("contract", text)
        #expect(
            contract.first == [
                "contract": "good", "rules held": "2 of 3", "other checks": "0 of 0", "failed": "0", "not proved": "0",
                "not run": "1", "not applicable": "1", "verified": "4 KiB",
            ])
        #expect(contract.last?["failed"] == "1" && contract.last?["rules held"] == "1 of 3")
        #expect(contract.last?["not proved"] == "1")
        let modes = Tables.with("asked", text)
        #expect(
            modes.first == [
                "engine": "good", "mode": "cycle-stealing", "asked": "50 %", "measured": "49.1 %", "GB/s": "1.00",
                "verified": "2 GiB", "": "ok",
            ])
        let rings = Tables.with("ring", text)
        #expect(
            rings.first == [
                "engine": "good", "ring": "capture", "periods": "64", "each": "1 KiB", "lost": "0", "verified": "64 KiB",
                "": "ok",
            ])
        #expect(rings.last?["lost"] == "3")
        let speeds = Tables.with("operation", text)
        #expect(
            speeds.first == [
                "engine": "good", "operation": "copy", "each": "64 KiB", "verified": "3 MiB", "GB/s": "2.50", "op/s": "38.1 k",
                "p50 us": "1.5", "p99 us": "250", "CPU s/GB": "0.125", "": "ok",
            ])
        for rows in [modes, rings, speeds] {
            #expect(rows.map { $0["engine"] }.prefix(2) == ["good", "bad"] && rows[1][""] == "WRONG")
        }
    }

    @Test("what is wrong is said in a line each, and the sum in the last")
    func lines() {
        let lines = TestTables.text(report, verbose: false).components(separatedBy: "\n")
        let rule = ConformanceCheck.allCases[1].rawValue
        let unproved = ConformanceCheck.allCases[2].rawValue
        for line in [
            "bad \(unproved): not proved: never met: it",
            "gone: not tested to the end: no file", "bad copy: a wrong byte", "bad cycle-stealing: 7 bytes wrong",
            "bad capture: 0 bytes wrong, 3 periods lost", "bad \(rule) #4: it's # bad {8 bytes}",
        ] { #expect(lines.contains(line), "\(line)") }
        #expect(!lines.contains { $0.hasPrefix("good ") && ($0.contains("wrong") || $0.contains("#")) })
        #expect(lines.last == "4.0 GiB verified, 3 of 6 rules that apply held, FAILED; seed 42")
        var good = SelfTest.Report(seed: 7)
        good.speeds = [speed("good")]
        #expect(TestTables.text(good, verbose: false).hasSuffix("\n3 MiB verified, every byte right; seed 7"))
    }

    @Test("TAP has a test point for everything, and not ok where something is wrong, with what repeats it")
    func tap() {
        let text = TAP.text(report, again: "dmactl test --seed '42'")
        let checks = ConformanceCheck.allCases.map { "\($0.rawValue): \($0.title)" }
        let expected = """
            TAP version 13
            1..14
            # seed 42
            ok 1 - good \(checks[0])
            ok 2 - good \(checks[1])
            ok 3 - good \(checks[2]) # SKIP none \\# here
            ok 4 - good \(checks[3]) # SKIP late
            ok 5 - bad \(checks[0])
            not ok 6 - bad \(checks[1])
              ---
              message: 'it''s # bad'
              repeat: 'dmactl test --seed ''42'''
              ...
            not ok 7 - bad \(checks[2])
              ---
              message: 'not proved: never met: it'
              repeat: 'dmactl test --seed ''42'''
              ...
            not ok 8 - gone can be tested
              ---
              message: 'not tested to the end: no file'
              repeat: 'dmactl test --seed ''42'''
              ...
            ok 9 - good mode: cycle-stealing 50 %
            not ok 10 - bad mode: cycle-stealing 50 %
              ---
              message: '7 bytes wrong'
              repeat: 'dmactl test --seed ''42'''
              ...
            ok 11 - good ring: capture
            not ok 12 - bad ring: capture
              ---
              message: '0 bytes wrong, 3 periods lost'
              repeat: 'dmactl test --seed ''42'''
              ...
            ok 13 - good speed: copy, 2.50 GB/s
            not ok 14 - bad speed: copy, 2.50 GB/s
              ---
              message: 'a wrong byte'
              repeat: 'dmactl test --seed ''42'''
              ...

            """
        #expect(text == expected)
    }

    @Test("a fault that was not survived is WRONG, not ok and a line, and its memory is counted")
    func faults() async throws {
        var test = SelfTest(seed: 5)
        (test.iterations, test.bytes, test.duration, test.operations, test.injectsFaults) = (1, 256, 0, [.copy], true)
        test.patience = 20_000_000
        var found = try await test.run(on: DMASystem(providers: [NumbedProvider()]))
        (found.contracts, found.speeds, found.stops) = ([], [], [])
        let wrong = found.faults.filter { !$0.passed }
        try #require(!wrong.isEmpty)
        let text = TestTables.text(found, verbose: false)
        let rows = Tables.with("injected", text)
        for (row, fault) in zip(rows, found.faults) {
            #expect(row["injected"] == fault.fault.title && row["times"] == "\(fault.injected)")
            #expect(
                row["memory back"] == "\(fault.cargoBack)/\(fault.transactions)" && row[""] == (fault.passed ? "ok" : "WRONG"))
            #expect(row["noticed"] == fault.noticed.map(String.init) ?? "-")
        }
        for fault in wrong {
            for finding in fault.findings { #expect(text.contains("\n\(fault.engine) \(fault.fault.title): \(finding)")) }
        }
        let points = TAP.text(found, again: "again").components(separatedBy: "\n").filter { $0.contains("ok ") }
        #expect(points.map { $0.hasPrefix("ok") } == found.faults.map(\.passed))
    }

    // MARK: What is repeated, and what was asked

    @Test("the command that repeats a test has every option that was given, and asks for the same again")
    func arguments() throws {
        let words = [
            "--engine", "cpu", "--engine", "io_uring", "--channel", "cpu/1", "--operation", "copy", "--operation", "xor",
            "--test-buf-size", "4096", "--transfer-size", "512", "--alignment", "3", "--xor-sources", "5", "--pq-sources", "7",
            "--iterations", "3", "--max-channels", "2", "--threads-per-chan", "9", "--timeout", "-1", "--duration", "1.5",
            "--norandom", "--noverify", "--polled", "--faults",
        ]
        let again = try TestCommand.parse(["--seed", "11"] + words).arguments(seed: 11)
        #expect(again == ["test", "--seed", "11"] + words)
        #expect(try TestCommand.parse(Array(again.dropFirst())).arguments(seed: 11) == again)
        #expect(try TestCommand.parse([]).arguments(seed: 4) == ["test", "--seed", "4"])
    }
}

/// Takes everything, and reports nothing.
private struct NumbedEngine: ~Copyable, Engine {
    var addressing: EngineAddressing { .cpu }
    static var capabilities: Capabilities {
        Capabilities(name: "numbed", implementation: "none", operations: [.copy], depth: 16)
    }
    var capabilities: Capabilities { Self.capabilities }
    @unsafe mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult { .accepted }
    mutating func issuePending() {}
    mutating func next() -> Completion? { nil }
    mutating func terminate() {}
    mutating func quiesce(by deadline: Deadline) -> Bool { true }
}

private struct NumbedProvider: EngineProvider {
    func probe() -> [EngineOffer] { [EngineOffer(name: "numbed", channels: 2, capabilities: NumbedEngine.capabilities)] }
    func open(_ offer: EngineOffer) throws(DMAError) -> EngineDevice {
        EngineDevice(offer) { _ throws(DMAError) in AnyEngine(NumbedEngine()) }
    }
}
