// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAEngineKit

/// The cargo of most checks: any number of buffers, each mapped in its own direction.
typealias Freight = CargoList<MappedBuffer>

/// The state of one run of the suite: the function that makes engines, the random generator of the present check, and the
/// record of findings.
///
/// Used by one task at a time.
final class SuiteRun<E: Engine & ~Copyable & SendableMetatype> {
    let suite: ConformanceSuite
    let provisions: ConformanceProvisions<E>
    let make: @Sendable () throws(DMAError) -> E
    let end: Int64
    /// The engine's own description, from the survey.
    private(set) var capabilities = Capabilities(name: "", operations: [])

    var random: SeededRandom
    /// The start of the free part of the storage, for the next plan.
    var storageCursor = 0
    private var check = ConformanceCheck.rule01
    private var iteration = 0
    /// The plan of the transaction under test; shown with failures.
    var parameters = ""
    private var questions = 0
    private var bytes: UInt64 = 0
    private(set) var wrong = 0
    private var skipReason: String?
    /// A resource that the suite itself lacked: memory for the check. Unrelated to the engine.
    private var lack: String?
    /// The cases of the check, in the order in which they were named, and whether they were met.
    private var cases: [(name: String, isMet: Bool)] = []
    private(set) var gaveUp = false
    /// Whether a request ended the check before its last iteration.
    private var wasStopped = false
    private var surveyError: DMAError?
    /// Why all later checks are meaningless: the simplest transfer failed. Nil while it has not.
    private var spoiled: String?
    /// Whether a waiter was not woken. Later checks that wait for interrupts would each use up their patience, with the same
    /// result.
    private var losesWakeUps = false
    /// The memory for running work, of which the last is the largest. All are kept: an engine may still write where it should
    /// not.
    private var arenas: [Arena] = []
    /// Measured once, for the first check that needs running work.
    var measuredWork: MeasuredWork?
    /// How often the present check has increased it, for each case.
    var lengthened: [String: Int] = [:]

    private(set) var failures: [ConformanceFailure] = []
    private(set) var furtherFailures = 0

    init(
        _ suite: ConformanceSuite, end: Int64, make: @escaping @Sendable () throws(DMAError) -> E,
        provisions: ConformanceProvisions<E>
    ) {
        self.suite = suite
        self.end = end
        self.make = make
        self.provisions = provisions
        random = SeededRandom(seed: suite.seed)
    }

    /// Makes one engine, to read its capabilities. Returns the name of the implementation.
    func survey() -> String {
        do throws(DMAError) {
            let engine = try make()
            capabilities = engine.capabilities
        } catch { surveyError = error }
        return capabilities.implementation
    }

    // MARK: One check

    /// Runs one check and makes its row.
    func perform(_ check: ConformanceCheck) async -> ConformanceReport.Row {
        self.check = check
        iteration = 0
        parameters = ""
        questions = 0
        bytes = 0
        wrong = 0
        skipReason = nil
        lack = nil
        cases = []
        lengthened = [:]
        gaveUp = false
        wasStopped = false
        random = SeededRandom(seed: suite.seed, part: check.rawValue)
        let began = Deadline.now.nanoseconds
        if began >= end {
            return row(.notRun("the run's duration was over"), since: began)
        }
        if suite.stop.isStopped { return row(.notRun("the run was stopped"), since: began) }
        if let surveyError {
            fail("no engine: \(surveyError)")
            return row(.failed(1), since: began)
        }
        if let spoiled { return row(.notRun(spoiled), since: began) }
        if losesWakeUps, check.needsWakeUps { return row(.notRun("wake-ups are lost"), since: began) }
        if let kind = check.operation, !capabilities.operations.contains(OperationSet(kind)) {
            return row(.notApplicable(lacks(kind)), since: began)
        }
        do throws(DMAError) {
            try await dispatch(check)
        } catch {
            if error.code == .outOfMemory {
                lack = "no memory for the check: \(error)"
            } else if !gaveUp, !wasStopped {
                fail("unexpected: \(error)")
            }
        }
        if let failure = provisions.storage?.failure {
            // The compared data is not what the suite wrote: no finding about the engine.
            lack = failure
            wrong = 0
            failures.removeAll { $0.check == check }
        }
        if wrong > 0, check == foundation { spoiled = "\(check == .copy ? "copies" : "\(check.rawValue) transfers") are wrong" }
        return row(outcome, since: began)
    }

    /// The outcome of the present check.
    private var outcome: ConformanceOutcome {
        if wrong > 0 { return .failed(wrong) }
        if wasStopped { return .notRun("stopped in iteration \(iteration)") }
        if let lack { return .notRun("could not be tried: \(lack)") }
        // Incidental assertions, such as whether the channel was left empty, are not the subject of the check.
        if let skipReason { return .notApplicable(skipReason) }
        let unmet = cases.filter { !$0.isMet }.map(\.name)
        if unmet.isEmpty, questions > 0 { return .passed }
        // A check that was cut short cannot meet every case.
        if Deadline.now.nanoseconds >= end { return .notRun("the run's duration was over in iteration \(iteration)") }
        return .notProved(unmet.isEmpty ? "nothing was asked" : "never met: " + unmet.joined(separator: ", "))
    }

    /// The simplest transfer of the engine. Where it fails, it is the cause of all other failures.
    var foundation: ConformanceCheck? {
        let kinds: [OperationKind] = [.copy, .fill, .copyCRC32C, .scatterGather, .interleaved, .xor, .pq, .peripheral]
        return kinds.first(where: plannable.contains).flatMap { ConformanceCheck(rawValue: "\($0)") }
    }

    private func row(_ outcome: ConformanceOutcome, since began: Int64) -> ConformanceReport.Row {
        ConformanceReport.Row(
            check: check, outcome: outcome, questions: questions, bytesVerified: bytes,
            nanoseconds: Deadline.now.nanoseconds - began)
    }

    // MARK: Assertions of a check

    /// The maximum number of stored failures of a run, and of one check.
    private var keptFailures: Int { 64 }
    private var keptFailuresOfCheck: Int { 6 }

    func fail(_ message: String) {
        wrong += 1
        guard failures.count < keptFailures, wrong <= keptFailuresOfCheck else {
            furtherFailures += 1
            return
        }
        failures.append(
            ConformanceFailure(
                check: check, seed: suite.seed, iteration: iteration, parameters: parameters, message: message))
    }

    /// An assertion: counted, and a failure where it is false.
    func expect(_ condition: Bool, _ message: @autoclosure () -> String) {
        questions += 1
        if !condition { fail(message()) }
    }

    /// Expects `body` to throw one of `codes`.
    func expectRefusal(_ codes: DMAError.Code..., of what: String, _ body: () throws(DMAError) -> Void) {
        questions += 1
        do throws(DMAError) {
            try body()
            fail("\(what): accepted, \(codes.map { "\($0)" }.joined(separator: " or ")) expected")
        } catch {
            if !codes.contains(error.code) {
                fail("\(what): \(error.code), \(codes.map { "\($0)" }.joined(separator: " or ")) expected")
            }
        }
    }

    func countBytes(_ count: Int) { bytes += UInt64(count) }

    /// Marks the check as not applicable.
    ///
    /// - Parameter reason: the missing capability, or part of the provisions.
    func skip(_ reason: String) { if skipReason == nil { skipReason = reason } }

    /// Names a case of the check. A check that never meets it has not passed.
    func seek(_ name: String) { if !isSeeking(name) { cases.append((name, false)) } }
    /// Withdraws a case that turned out to be impossible.
    func drop(_ name: String) { cases.removeAll { $0.name == name } }
    /// Marks a case as met; does nothing where it was not named.
    func meet(_ name: String) {
        if let place = cases.firstIndex(where: { $0.name == name }) { cases[place].isMet = true }
    }
    /// Whether a case was named.
    func isSeeking(_ name: String) -> Bool { cases.contains { $0.name == name } }
    /// Whether a case was met, so that a check can repeat where it was not.
    func hasMet(_ name: String) -> Bool { cases.contains { $0.name == name && $0.isMet } }

    /// A waiter was not woken: ends the check, and no later one waits for an interrupt.
    func loseWakeUp(_ message: String) -> DMAError {
        losesWakeUps = true
        return giveUp(message)
    }

    /// Ends the check, whose failure is recorded already.
    func giveUp(_ message: String) -> DMAError {
        gaveUp = true
        fail(message)
        return DMAError(.deadlinePassed)
    }

    /// Runs `body` once for each iteration, until the time is over or there are enough failures.
    ///
    /// - Throws: errors of `body`; `cancelled` between two iterations where the run is stopped, so that the final assertions
    ///   are skipped.
    func repeatedly(_ times: Int? = nil, _ body: (Int) throws(DMAError) -> Void) throws(DMAError) {
        for number in 0..<(times ?? suite.iterations) {
            iteration = number
            try goOn()
            try body(number)
            if wrong >= keptFailuresOfCheck || Deadline.now.nanoseconds >= end { return }
        }
    }

    /// - Throws: `cancelled` where the run is stopped: the check ends here, and is reported as not run.
    func goOn() throws(DMAError) {
        guard suite.stop.isStopped else { return }
        wasStopped = true
        throw DMAError(.cancelled)
    }

    /// Memory of at least `count` bytes. Earlier work in it has ended.
    func arena(_ count: Int) -> Arena {
        if let last = arenas.last, last.count >= count { return last }
        let arena = Arena(count: count)
        arenas.append(arena)
        return arena
    }

    // MARK: Channels

    /// A new engine on a channel for the suite's domain.
    func open() throws(DMAError) -> Channel<E, Freight> { try open(for: suite.domain) }

    func open(for domain: Domain) throws(DMAError) -> Channel<E, Freight> {
        try Channel(try make(), domain: domain, of: Freight.self)
    }

    /// Ends a channel and checks its engine: no fault was counted, and no transaction is left.
    func close<C: Cargo & ~Copyable>(_ channel: consuming Channel<E, C>) {
        let left = channel.inFlight
        expect(left == 0, "\(left) transactions are left in the channel")
        let faults = channel.faults
        expect(faults.total == 0, "the engine's faults were counted: \(describe(faults))")
    }

    private func describe(_ faults: EngineFaults) -> String {
        let all: [(String, UInt64)] = [
            ("unknown tags", faults.unknownTag), ("not in flight", faults.notInFlight), ("out of order", faults.outOfOrder),
            ("bad residues", faults.badResidue), ("bad statuses", faults.badStatus),
            ("refused to enqueue", faults.refusedEnqueue),
            ("did not quiesce", faults.didNotQuiesce), ("before issue", faults.beforeIssue),
        ]
        return all.filter { $0.1 > 0 }.map { "\($0.0): \($0.1)" }.joined(separator: ", ")
    }

    /// The next finished transaction; gives up where none arrives in time.
    func nextFinished<C: Cargo & ~Copyable>(
        _ channel: inout Channel<E, C>, _ what: @autoclosure () -> String = "completion"
    ) throws(DMAError) -> Finished<C> {
        let limit = Deadline.after(nanoseconds: suite.patience)
        var looks = 0
        while true {
            if let finished = channel.next() { return finished }
            looks += 1
            // An engine with its own threads gets processor time now and then; a scripted one advances with the polls.
            if looks % 256 == 0 {
                if Deadline.now >= limit { throw giveUp("no \(what()) within \(suite.patience / 1_000_000) ms") }
                if !capabilities.hasInterrupts { _ = try channel.wait(until: .after(nanoseconds: 100_000)) }
            }
        }
    }

    /// Polls `channel` for a while in which nothing must happen: a number of times for engines that advance with the polls, and
    /// a duration for those that advance on their own.
    func linger<C: Cargo & ~Copyable>(_ channel: inout Channel<E, C>, _ polls: Int = 200, for nanoseconds: Int64 = 0) {
        for _ in 0..<polls { channel.poll() }
        let limit = Deadline.after(nanoseconds: nanoseconds)
        while nanoseconds > 0, Deadline.now < limit { channel.poll() }
    }

    /// Polls until `condition` is true; false where the time is over.
    func waits<C: Cargo & ~Copyable>(
        _ channel: inout Channel<E, C>, until condition: (inout Channel<E, C>) throws(DMAError) -> Bool
    ) throws(DMAError) -> Bool {
        let limit = Deadline.after(nanoseconds: suite.patience)
        var looks = 0
        while true {
            if try condition(&channel) { return true }
            looks += 1
            if looks % 256 == 0, Deadline.now >= limit { return false }
        }
    }
}
