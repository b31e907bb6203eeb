// SPDX-License-Identifier: Apache-2.0

import DMAConformance
import DMACore
import DMAEngineKit
import DMAThreads
import ScriptedEngines
import Testing

extension OneAtATime {
    /// What a suite reports first, what it skips because of a cause that it has found, and what it does not count as passed.
    @Suite("Causes of failures", .serialized)
    struct CauseTests {
        private func suite(patience: Int64 = 100_000_000, only: Set<ConformanceCheck>? = nil) -> ConformanceSuite {
            ConformanceSuite(
                seed: 5, iterations: 3, maximumBytes: 8192, domain: Domain(name: "causes"), isScripted: true,
                duration: 600_000_000_000, patience: patience, only: only)
        }

        @Test("a wrong plain copy is reported first, and nothing else is run")
        func copies() async {
            let report = await suite().run(
                "flawed", makeEngine: { () throws(DMAError) in FlawedEngine(QueuePairEngine(), .byteChanged) })
            #expect(report.rows.first?.check == .copy && report.counts.failed == 1)
            for row in report.rows.dropFirst() { #expect(row.outcome == .notRun("copies are wrong"), "\(row.check)") }
            #expect(report.failures.allSatisfy { $0.check == .copy })
            #expect(report.rules == (held: 0, applying: 39))
        }

        @Test("an engine that completes nothing costs the patience of one check")
        func dead() async {
            let began = Deadline.now.nanoseconds
            let report = await suite(patience: 300_000_000).run(
                "dead", makeEngine: { () throws(DMAError) in HostileEngine(.neverCompletes) })
            // Half of the time with a patience for each check: the machine may be busy.
            #expect(Deadline.now.nanoseconds - began < 150_000_000 * Int64(ConformanceCheck.allCases.count))
            #expect(report.rows.count { $0.nanoseconds >= 300_000_000 } == 1, "\(report.table)")
            #expect(report.counts.failed == 1 && report.counts.notRun == ConformanceCheck.allCases.count - 1)
        }

        @Test("a lost wake-up costs one check its patience; the others with interrupts are not run")
        func wakeUps() async {
            let began = Deadline.now.nanoseconds
            let report = await suite(patience: 1_000_000_000).run(
                "silent",
                makeEngine: { () throws(DMAError) in FlawedEngine(QueuePairEngine(entries: 16, seed: 3), .noInterrupt) },
                provisions: Provisions.queuePair { engine, body in body(&engine.base) })
            #expect(report.row(.rule14)?.outcome == .failed(1), "\(report.table)")
            for check in [ConformanceCheck.awaiting, .cancellation] {
                #expect(report.row(check)?.outcome == .notRun("wake-ups are lost"))
            }
            #expect(report.counts.failed == 1)
            // One second for the check; the rest is the time of an engine whose wake-ups arrive, on a busy machine.
            let spent = report.row(.rule14)?.nanoseconds ?? 0
            #expect(spent > 1_000_000_000 && spent < 3_000_000_000 && Deadline.now.nanoseconds - began < 60_000_000_000)
        }

        @Test("a check whose case was not reached has not passed, and neither has the suite")
        func notProved() async {
            let report = await suite(only: [.copy, .rule01, .rule18]).run(
                "quick", makeEngine: { () throws(DMAError) in HiddenEngine() })
            #expect(report.row(.copy)?.outcome == .passed, "\(report.table)")
            for check in [ConformanceCheck.rule01, .rule18] {
                guard case .notProved(let reason) = report.row(check)?.outcome else {
                    Issue.record("\(check): \(report.table)")
                    continue
                }
                #expect(reason.contains("under way"))
            }
            #expect(!report.passed && report.counts.failed == 0 && report.counts.notProved == 2)
            #expect(report.rules == (held: 0, applying: 2))
            #expect(report.table.contains("0 of 2 rules that apply held"))
        }

        @Test("a missing feature makes a check not applicable, with the feature's name")
        func absent() async {
            let report = await suite().run("line", makeEngine: { () throws(DMAError) in HiddenEngine() })
            for (check, word) in [
                (ConformanceCheck.rule14, "hasInterrupts"), (.rule19, "canPause"), (.rule24, "extendsWhileRunning"),
                (.rule28, "metadataCount"), (.cyclic, "operations lacks .cyclic"), (.pq, "operations lacks .pq"),
                (.rule13, "failNext"),
            ] {
                guard case .notApplicable(let reason) = report.row(check)?.outcome else {
                    Issue.record("\(check): \(report.table)")
                    continue
                }
                #expect(reason.contains(word), "\(check): \(reason)")
            }
        }
    }
}

/// Copies on another thread, and waits for it in the call that starts the work: whenever the suite polls, everything has ended,
/// and the polling thread has not used its time for it.
private struct HiddenEngine: ~Copyable, Engine {
    private var queued: [(Descriptor, UInt32)] = []
    private var ready: [Completion] = []

    var addressing: EngineAddressing { .cpu }
    var capabilities: Capabilities {
        var capabilities = Capabilities(name: "hidden", implementation: "scripted", operations: .copy, depth: 8)
        // Any amount of work ends in microseconds.
        capabilities.maximumCount = 65_536
        return capabilities
    }

    @unsafe mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        guard queued.count + ready.count < 8 else { return .full }
        queued.append((descriptor, tag))
        return .accepted
    }

    mutating func issuePending() {
        guard !queued.isEmpty else { return }
        let work = queued
        queued = []
        let thread = try? NativeThread {
            for (descriptor, _) in work {
                guard let to = unsafe UnsafeMutableRawPointer(bitPattern: UInt(descriptor.destination)),
                    let from = unsafe UnsafeRawPointer(bitPattern: UInt(descriptor.source))
                else { continue }
                // SAFETY: the channel has checked both ranges, and owns their memory until the completion is reported.
                unsafe to.copyMemory(from: from, byteCount: Int(descriptor.count))
            }
        }
        thread?.join()
        ready += work.map { Completion(tag: $0.1) }
    }

    mutating func next() -> Completion? { ready.isEmpty ? nil : ready.removeFirst() }
    mutating func terminate() { queued = [] }
    mutating func quiesce(by deadline: Deadline) -> Bool { true }
}
