// SPDX-License-Identifier: Apache-2.0

import DMAConformance
import DMACore
import DMAEngineKit
import ScriptedEngines
import Testing

extension OneAtATime {
    /// A test of the suite: an engine with one flaw must fail in the checks about it, and every check finds some flaw.
    @Suite("Findings of the suite", .serialized)
    struct MutationTests {
        enum Base: String, Sendable {
            case queuePair, chain, cyclic
        }

        struct Mutation: Sendable, CustomTestStringConvertible {
            let flaw: Flaw
            let base: Base
            /// Each of these has to fail.
            let checks: Set<ConformanceCheck>
            var testDescription: String { "\(flaw) of a \(base)" }

            init(_ flaw: Flaw, _ base: Base, _ checks: Set<ConformanceCheck>) {
                self.flaw = flaw
                self.base = base
                self.checks = checks
            }
        }

        static let all: [Mutation] = [
            Mutation(.lastByteLost, .queuePair, [.copy, .fill, .crc32c, .copyCRC32C, .xor, .pq, .interleaved, .scatterGather]),
            Mutation(
                .byteChanged, .queuePair,
                [
                    .copy, .fill, .copyCRC32C, .scatterGather, .interleaved, .batches, .deadlines, .cargoes, .erased, .rule03,
                    .rule06,
                    .rule07, .rule08, .rule10, .rule12, .rule20, .rule23, .rule29, .rule30, .rule31, .rule32, .rule33, .rule34,
                    .rule35, .rule36, .rule37, .rule38, .rule39,
                ]),
            Mutation(.oneTooMany, .queuePair, [.copy, .fill]),
            Mutation(.sourceChanged, .queuePair, [.copy, .copyCRC32C, .interleaved]),
            Mutation(.shifted, .queuePair, [.copy, .rule33]),
            Mutation(.patternTurned, .queuePair, [.fill]),
            Mutation(.wrongValue, .queuePair, [.crc32c, .copyCRC32C]),
            Mutation(.validatesAll, .queuePair, [.xorValidate, .pqValidate, .rule27]),
            Mutation(.confusesPAndQ, .queuePair, [.pqValidate]),
            Mutation(.ignoresContinue, .queuePair, [.xor, .pq, .rule27]),
            Mutation(.ignoresGaps, .queuePair, [.interleaved, .rule23]),
            Mutation(.lastSegmentLost, .queuePair, [.scatterGather, .cargoes]),
            Mutation(.residueOffByOne, .queuePair, [.rule20, .rule21]),
            Mutation(.residueZero, .queuePair, [.rule20, .rule21]),
            Mutation(.completeWithResidue, .queuePair, [.copy, .rule13, .rule08]),
            Mutation(.hidesFailure, .queuePair, [.rule13]),
            Mutation(.claimsOrder, .queuePair, [.rule09]),
            Mutation(.losesCompletion, .queuePair, [.batches, .null, .rule08, .rule11, .rule12, .rule15]),
            Mutation(.completesTwice, .queuePair, [.rule04, .rule08, .batches]),
            Mutation(.completesTerminated, .queuePair, [.rule05, .rule16]),
            Mutation(.startsAtSubmit, .queuePair, [.rule05, .rule07]),
            Mutation(.noInterrupt, .queuePair, [.rule14, .awaiting]),
            Mutation(.interruptsAlways, .queuePair, [.rule14]),
            Mutation(.ignoresFence, .queuePair, [.rule26]),
            Mutation(.writesAfterStop, .queuePair, [.rule18]),
            Mutation(.runsTwice, .chain, [.rule24]),
            Mutation(.neverQuiesces, .queuePair, [.rule01, .rule16, .rule17, .rule18, .cancellation]),
            Mutation(.ignoresMetadata, .queuePair, [.rule28]),
            Mutation(.shallow, .queuePair, [.rule25, .batches]),
            Mutation(.losesCompletion, .chain, [.rule24, .peripheral, .command]),
            Mutation(.pauseRunsOn, .chain, [.rule19]),
            Mutation(.pauseLoses, .chain, [.rule19]),
            Mutation(.configuresEarlier, .chain, [.rule02]),
            Mutation(.earlyPeriods, .cyclic, [.rule22, .cyclic]),
            Mutation(.pauseRunsOn, .cyclic, [.rule22]),
        ]

        @Test("an engine with a flaw fails", arguments: all)
        func fails(mutation: Mutation) async throws {
            // Each check alone: with wrong copies, none of the others would be run.
            for check in mutation.checks {
                let report = await run(mutation, check)
                guard case .failed = report.row(check)?.outcome else {
                    Issue.record("\(check) does not find \(mutation.flaw): \(report.table)")
                    continue
                }
                #expect(!report.passed)
                #expect(!report.failures.isEmpty)
                #expect(report.failures.allSatisfy { $0.seed == 0xbad })
            }
        }

        private func run(_ mutation: Mutation, _ check: ConformanceCheck) async -> ConformanceReport {
            let domain = Domain(name: "\(mutation.flaw)")
            // SAFETY: these engines have stopped, even where they report that they have not.
            defer { _ = try? unsafe Quarantine.unsafeReleaseAll(of: domain.id) }
            let suite = ConformanceSuite(
                seed: 0xbad, iterations: 10, maximumBytes: 16_384, domain: domain, isScripted: true, patience: 60_000_000,
                only: [check])
            let flaw = mutation.flaw
            switch mutation.base {
            case .queuePair:
                return await suite.run(
                    "flawed", makeEngine: { () throws(DMAError) in FlawedEngine(QueuePairEngine(entries: 16, seed: 3), flaw) },
                    provisions: Provisions.queuePair { engine, body in body(&engine.base) })
            case .chain:
                return await suite.run(
                    "flawed",
                    makeEngine: { () throws(DMAError) in
                        FlawedEngine(try ChainEngine(entries: 8, seed: 3, domain: domain), flaw)
                    },
                    provisions: Provisions.chain { engine, body in body(&engine.base) })
            case .cyclic:
                return await suite.run(
                    "flawed", makeEngine: { () throws(DMAError) in FlawedEngine(CyclicEngine(), flaw) },
                    provisions: Provisions.cyclic { engine, body in body(&engine.base) })
            }
        }

        @Test("every check finds some flaw")
        func coverage() {
            let found = MutationTests.all.reduce(into: Set<ConformanceCheck>()) { $0.formUnion($1.checks) }
            let blind = ConformanceCheck.allCases.filter { !found.contains($0) }
            #expect(blind.isEmpty, "nothing shows that these can fail: \(blind)")
            #expect(Set(MutationTests.all.map(\.flaw)) == Set(Flaw.allCases), "a flaw that no test uses")
        }

        @Test("a failure is repeated by its seed and its check alone")
        func repeats() async throws {
            let domain = Domain(name: "repeats")
            var reports: [ConformanceReport] = []
            for only in [nil, [.copy]] as [Set<ConformanceCheck>?] {
                let suite = ConformanceSuite(
                    seed: 77, iterations: 5, maximumBytes: 2048, domain: domain, isScripted: true, patience: 60_000_000,
                    only: only ?? [.fill, .copy, .interleaved])
                reports.append(
                    await suite.run(
                        "flawed", makeEngine: { () throws(DMAError) in FlawedEngine(QueuePairEngine(), .shifted) },
                        provisions: Provisions.queuePair { engine, body in body(&engine.base) }))
            }
            let first = reports[0].failures.filter { $0.check == .copy }
            #expect(!first.isEmpty)
            #expect(first == reports[1].failures)
            #expect(reports[0].row(.copy)?.questions == reports[1].row(.copy)?.questions)
        }
    }
}
