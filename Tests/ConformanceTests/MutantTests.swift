// SPDX-License-Identifier: Apache-2.0

public import DMAConformance
import DMACore
import DMAEngineKit
import Foundation
public import ScriptedEngines
import Synchronization
import Testing

extension MutantPeripheral: ConformancePeripheral {}

extension OneAtATime {
    /// The table of mutants and checks: for each check an engine with one fault, which the check finds.
    ///
    /// A mutant whose fault is its own has it all the time, and the other checks that find it are printed. Most rules of
    /// mapping and some of submission are enforced by the channel and the domain: no engine can break them. For those the
    /// mutant has its fault only while that check runs, and the test shows that the check examines the engine's results.
    @Suite("Mutants", .serialized)
    struct MutantTests {
        struct Mutant: Sendable, CustomTestStringConvertible {
            let check: ConformanceCheck
            let fault: Fault
            /// Whether it has its fault only during its own check.
            let isScoped: Bool
            var testDescription: String { "\(check): \(fault)" }
        }

        private static func always(_ check: ConformanceCheck, _ fault: Fault) -> Mutant {
            Mutant(check: check, fault: fault, isScoped: false)
        }
        private static func during(_ check: ConformanceCheck, _ fault: Fault) -> Mutant {
            Mutant(check: check, fault: fault, isScoped: true)
        }

        static let table: [Mutant] = [
            always(.rule01, .outlivesChannel), always(.rule02, .configuresEarlier), always(.rule03, .changesCapabilities),
            always(.rule04, .reportsFirstAgain), always(.rule05, .startsAtSubmit),
            // Only the channel owns the cargo; the check examines the returned memory.
            during(.rule06, .wrongByte),
            always(.rule07, .startsWhileBusy), always(.rule08, .forgetsRound), always(.rule09, .swapsCompletions),
            // The channel manages the states; an engine can only end with an undefined one.
            during(.rule10, .badStatus),
            // The layer above calls callbacks, for completions that an engine can repeat or corrupt.
            during(.rule11, .reportsTwice), during(.rule12, .wrongByte),
            always(.rule13, .hidesFailure), always(.rule14, .interruptsAlways),
            // An engine does not see when the client takes a completion; it can fail to report one.
            during(.rule15, .losesCompletion),
            always(.rule16, .completesTerminated), always(.rule17, .terminateWaits), always(.rule18, .quiescesAtOnce),
            always(.rule19, .pauseRunsOn), always(.rule20, .growsResidue), always(.rule21, .confusesResidues),
            always(.rule22, .endsRing), always(.rule23, .ignoresTargetGap), always(.rule24, .losesExtension),
            always(.rule25, .shallow), always(.rule26, .ignoresFence), always(.rule27, .ignoresContinue),
            always(.rule28, .ignoresMetadata),
            // From here to rule 39 the domain and the channel enforce the rule; the engine moves the bytes that show it.
            during(.rule29, .wrongByte), during(.rule30, .wrongByte), during(.rule31, .wrongByte), during(.rule32, .wrongByte),
            during(.rule33, .wrongByte), during(.rule34, .wrongByte), during(.rule35, .wrongByte), during(.rule36, .wrongByte),
            during(.rule37, .wrongByte), during(.rule38, .wrongByte), during(.rule39, .wrongByte),
            always(.copy, .wrongByte), always(.fill, .turnsPattern), always(.crc32c, .ignoresSeed),
            always(.copyCRC32C, .wrongCopyCRC), always(.xor, .wrongXOR), always(.xorValidate, .validatesXOR),
            always(.pq, .wrongParity), always(.pqValidate, .confusesPAndQ), always(.scatterGather, .losesSegment),
            always(.peripheral, .spoilsPeripheral), always(.interleaved, .ignoresSourceGap), always(.cyclic, .wrongCapture),
            always(.null, .losesNull), always(.command, .failsCommands), always(.batches, .losesInCrowds),
            during(.deadlines, .losesCompletion), during(.awaiting, .neverInterrupts),
            during(.cancellation, .completesTerminated), during(.cargoes, .wrongByte), during(.erased, .wrongByte),
        ]

        /// Runs the whole suite on a mutant, or on the correct engine.
        ///
        /// - Parameter patience: nanoseconds after which a completion counts as lost. Each check in which one is waits so long, several times.
        static func run(
            _ mutant: Mutant?, only: Set<ConformanceCheck>? = nil, patience: Int64 = 400_000_000
        ) async -> ConformanceReport {
            let domain = Domain(name: "mutants")
            // SAFETY: a mutant that did not stop in time, on a busy machine, ends its thread before its memory is freed.
            defer { _ = try? unsafe Quarantine.unsafeReleaseAll(of: domain.id) }
            let suite = ConformanceSuite(
                seed: 11, iterations: 4, maximumBytes: 4096, domain: domain, isScripted: true, duration: 600_000_000_000,
                patience: patience, only: only)
            let current = Locked<ConformanceCheck?>(nil)
            let made = Atomic(0)
            let lateWriters = LateWriters()
            let faults: @Sendable (Fault) -> Bool = { fault in
                guard let mutant, mutant.fault == fault else { return false }
                return !mutant.isScoped || current.withLock { $0 } == mutant.check
            }
            var provisions = ConformanceProvisions<MutantEngine>()
            provisions.failNext = { engine, status in engine.failNext(status) }
            provisions.metadata = { $0.map { ~$0 } }
            provisions.peripheral = { $0.peripheral }
            provisions.stream = { CyclicStream($0.stream) }
            return await suite.run(
                "mutant",
                makeEngine: { () throws(DMAError) in
                    MutantEngine(
                        isFirst: made.add(1, ordering: .relaxed).oldValue == 0, lateWriters: lateWriters, faults: faults)
                }, provisions: provisions, announce: { check in current.withLock { $0 = check } },
                // The suite keeps the memory that they write to until its end.
                progress: { _ in lateWriters.stop() })
        }

        @Test("the engine without a fault passes every check")
        func correct() async {
            let report = await Self.run(nil)
            #expect(report.passed && report.counts.passed == ConformanceCheck.allCases.count, "\(report.table)")
        }

        @Test("the check finds its mutant", arguments: table)
        func finds(_ mutant: Mutant) async {
            var report = await Self.run(mutant, only: [mutant.check])
            // On a busy machine a run may not reach the case, and reports that.
            for _ in 0..<4 {
                guard case .notProved = report.row(mutant.check)?.outcome else { break }
                report = await Self.run(mutant, only: [mutant.check])
            }
            guard case .failed = report.row(mutant.check)?.outcome else {
                Issue.record("\(mutant.check) does not find \(mutant.fault): \(report.table)")
                return
            }
            #expect(!report.passed)
        }

        @Test("no thread of a mutant writes to its memory after the run", arguments: [ConformanceCheck.rule01, .rule18])
        func ends(_ check: ConformanceCheck) async throws {
            let mutant = try #require(Self.table.first { $0.check == check })
            _ = await Self.run(mutant, only: [check])
            #expect(LateWriters.running == 0)
        }

        @Test("a ring that ends early fails the check of captures, and the check ends")
        func endedRing() async {
            let report = await Self.run(Self.always(.rule22, .endsRing), only: [.cyclic], patience: 50_000_000)
            guard case .failed = report.row(.cyclic)?.outcome else {
                Issue.record("\(report.table)")
                return
            }
        }

        /// The rules in the guide for engine authors, in its order.
        static let inGuide: [ConformanceCheck] = [.rule05, .rule07, .rule13, .rule16, .rule18, .rule19, .rule20, .rule26]

        @Test("the guide shows the suite's output for engines that break rules", arguments: inGuide)
        func guide(_ check: ConformanceCheck) async throws {
            let mutant = try #require(Self.table.first { $0.check == check })
            let report = await Self.run(mutant, only: [check])
            let file = URL(filePath: #filePath).deletingLastPathComponent()
                .appending(path: "../../Sources/DriverKit/Documentation.docc/WritingAnEngine.md")
            let shown = Self.withoutNumbers(try String(contentsOf: file, encoding: .utf8))
            // Without the wrong bytes. The first finding depends on when the suite polls.
            let lines = report.failures.map { failure in
                let message = failure.message.replacing(/\ \[@.*\]/, with: "")
                return "\(check.rawValue) #\(failure.iteration): \(message) {\(failure.parameters)}"
            }
            let isShown = lines.contains { shown.contains("\n" + Self.withoutNumbers($0) + "\n") }
            #expect(isShown, "none is in the guide: \(lines)")
        }

        /// Sizes, offsets and times differ from run to run.
        private static func withoutNumbers(_ text: String) -> String {
            text.replacing(/[0-9]+/, with: "0")
        }

        /// Minutes: for Scripts/test --long, which sets the variable.
        @Test(
            "which other checks find a mutant",
            .enabled(
                if: ProcessInfo.processInfo.environment["DMA_TEST_LONG"] != nil,
                "takes minutes; set DMA_TEST_LONG=1, or run Scripts/test --long long_conformance"),
            arguments: table)
        func crosses(_ mutant: Mutant) async {
            var (report, noticed) = await Self.noticed(mutant)
            // On a busy machine a copy may be late, and then no other check runs; a time that is too long may pass unnoticed.
            for _ in 0..<3 where mutant.isScoped ? noticed != [mutant.check] : !noticed.contains(mutant.check) {
                (report, noticed) = await Self.noticed(mutant)
            }
            print("mutant \(mutant.fault.rawValue): \(noticed.map(\.rawValue).joined(separator: " "))")
            #expect(noticed.contains(mutant.check), "\(report.table)")
            // With a fault only during its own check, no other check can find it.
            if mutant.isScoped { #expect(noticed == [mutant.check], "\(report.table)") }
        }

        /// The checks of the whole suite that find a mutant.
        private static func noticed(_ mutant: Mutant) async -> (report: ConformanceReport, checks: [ConformanceCheck]) {
            // A scoped fault loses completions in its own check alone. The others lose them in nearly every check, and each waits.
            let report = await run(mutant, patience: mutant.isScoped ? 400_000_000 : 150_000_000)
            let checks = report.rows.filter {
                switch $0.outcome {
                case .failed, .notProved: true
                case .passed, .notApplicable, .notRun: false
                }
            }.map(\.check)
            return (report, checks)
        }

        @Test("there is a mutant for each check, and each fault has a mutant")
        func complete() {
            #expect(
                Self.table.map(\.check).sorted { $0.rawValue < $1.rawValue }
                    == ConformanceCheck.allCases.sorted { $0.rawValue < $1.rawValue })
            #expect(Set(Self.table.map(\.fault)) == Set(Fault.allCases))
        }
    }
}
