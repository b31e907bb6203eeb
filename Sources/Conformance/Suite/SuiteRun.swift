// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAEngineKit

/// The cargo of most checks: any number of buffers, each mapped in its own direction.
typealias Freight = CargoList<MappedBuffer>

/// What one run of the suite works with: the engine's maker, the generator of the present check, and the record of what was
/// found.
///
/// Used by one task at a time.
final class SuiteRun<E: Engine & ~Copyable & SendableMetatype> {
    let suite: ConformanceSuite
    let provisions: ConformanceProvisions<E>
    let make: @Sendable () throws(DMAError) -> E
    let end: Int64
    /// What the engine says of itself, from the survey.
    private(set) var capabilities = Capabilities(name: "", operations: [])

    var random: SeededRandom
    /// From where on the storage is free for the next plan.
    var storageCursor = 0
    private var check = ConformanceCheck.rule01
    private var iteration = 0
    /// Of the transaction under test; shown with failures.
    var parameters = ""
    private var questions = 0
    private var bytes: UInt64 = 0
    private(set) var wrong = 0
    private var skipReason: String?
    /// What the suite itself could not have: memory for the check. Says nothing of the engine.
    private var lack: String?
    /// What the check is about, in the order in which it was named, and whether it was met.
    private var cases: [(name: String, isMet: Bool)] = []
    private(set) var gaveUp = false
    /// Whether the check was ended before its last iteration, by a request.
    private var wasStopped = false
    private var surveyError: DMAError?
    /// Why no later check can say anything: the plainest transfer is wrong. Nil while it is right.
    private var spoiled: String?
    /// Whether a waiter was not woken. Later checks that wait for interrupts would cost their patience each, and say the same.
    private var losesWakeUps = false
    /// The memory for work under way, of which the last is the largest. All are kept: an engine may still write where it should not.
    private var arenas: [Arena] = []
    /// Measured once, for the first check that wants work under way.
    var measuredWork: MeasuredWork?
    /// How often the present check asked for more of it, for the sake of each case.
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

    /// Makes an engine once, to hear what it can do. Returns the name of the implementation.
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
            // What was compared is not what was put there: no finding about the engine.
            lack = failure
            wrong = 0
            failures.removeAll { $0.check == check }
        }
        if wrong > 0, check == foundation { spoiled = "\(check == .copy ? "copies" : "\(check.rawValue) transfers") are wrong" }
        return row(outcome, since: began)
    }

    /// What the present check has come to.
    private var outcome: ConformanceOutcome {
        if wrong > 0 { return .failed(wrong) }
        if wasStopped { return .notRun("stopped in iteration \(iteration)") }
        if let lack { return .notRun("could not be tried: \(lack)") }
        // Whatever was asked on the way, such as whether the channel was left empty, is not what the check is about.
        if let skipReason { return .notApplicable(skipReason) }
        let unmet = cases.filter { !$0.isMet }.map(\.name)
        if unmet.isEmpty, questions > 0 { return .passed }
        // Cut short, it could not meet everything.
        if Deadline.now.nanoseconds >= end { return .notRun("the run's duration was over in iteration \(iteration)") }
        return .notProved(unmet.isEmpty ? "nothing was asked" : "never met: " + unmet.joined(separator: ", "))
    }

    /// The plainest transfer that the engine has. Where it is wrong, that is the cause of whatever else is.
    var foundation: ConformanceCheck? {
        let kinds: [OperationKind] = [.copy, .fill, .copyCRC32C, .scatterGather, .interleaved, .xor, .pq, .peripheral]
        return kinds.first(where: plannable.contains).flatMap { ConformanceCheck(rawValue: "\($0)") }
    }

    private func row(_ outcome: ConformanceOutcome, since began: Int64) -> ConformanceReport.Row {
        ConformanceReport.Row(
            check: check, outcome: outcome, questions: questions, bytesVerified: bytes,
            nanoseconds: Deadline.now.nanoseconds - began)
    }

    // MARK: What a check says

    /// Most failures that are kept of a run, and of one check.
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

    /// A question: counted, and a failure where the answer is no.
    func expect(_ condition: Bool, _ message: @autoclosure () -> String) {
        questions += 1
        if !condition { fail(message()) }
    }

    /// `body` must refuse with one of `codes`.
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

    /// What the check is about is not there.
    ///
    /// - Parameter reason: names what is absent: a capability, or a part of the provisions.
    func skip(_ reason: String) { if skipReason == nil { skipReason = reason } }

    /// Names a case that the check is about. A check that never meets it has not passed.
    func seek(_ name: String) { if !isSeeking(name) { cases.append((name, false)) } }
    /// Takes a case back, which turned out to be impossible.
    func drop(_ name: String) { cases.removeAll { $0.name == name } }
    /// A case was met; nothing where nobody sought it.
    func meet(_ name: String) {
        if let place = cases.firstIndex(where: { $0.name == name }) { cases[place].isMet = true }
    }
    /// Whether a case was named.
    func isSeeking(_ name: String) -> Bool { cases.contains { $0.name == name } }
    /// Whether a case was met, so that a check can try again where it was not.
    func hasMet(_ name: String) -> Bool { cases.contains { $0.name == name && $0.isMet } }

    /// A waiter was not woken: the check ends, and no later one waits for an interrupt.
    func loseWakeUp(_ message: String) -> DMAError {
        losesWakeUps = true
        return giveUp(message)
    }

    /// Ends the check with a failure that is already said.
    func giveUp(_ message: String) -> DMAError {
        gaveUp = true
        fail(message)
        return DMAError(.deadlinePassed)
    }

    /// `body` once for each iteration, until there is no more time or enough is wrong.
    ///
    /// - Throws: what `body` throws; `cancelled` between two iterations where the run is stopped, so that nothing is asked about the whole.
    func repeatedly(_ times: Int? = nil, _ body: (Int) throws(DMAError) -> Void) throws(DMAError) {
        for number in 0..<(times ?? suite.iterations) {
            iteration = number
            try goOn()
            try body(number)
            if wrong >= keptFailuresOfCheck || Deadline.now.nanoseconds >= end { return }
        }
    }

    /// - Throws: `cancelled` where the run is stopped: the check ends here, and is not run.
    func goOn() throws(DMAError) {
        guard suite.stop.isStopped else { return }
        wasStopped = true
        throw DMAError(.cancelled)
    }

    /// Memory of at least `count` bytes. What was under way there is over.
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

    /// Ends a channel whose engine was honest: no fault was counted, nothing is left in it.
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

    /// The next finished transaction; gives up where none comes in time.
    func nextFinished<C: Cargo & ~Copyable>(
        _ channel: inout Channel<E, C>, _ what: @autoclosure () -> String = "completion"
    ) throws(DMAError) -> Finished<C> {
        let limit = Deadline.after(nanoseconds: suite.patience)
        var looks = 0
        while true {
            if let finished = channel.next() { return finished }
            looks += 1
            // An engine with threads of its own gets the processor from time to time; a scripted one moves with the polls.
            if looks % 256 == 0 {
                if Deadline.now >= limit { throw giveUp("no \(what()) within \(suite.patience / 1_000_000) ms") }
                if !capabilities.hasInterrupts { _ = try channel.wait(until: .after(nanoseconds: 100_000)) }
            }
        }
    }

    /// Polls `channel` for a while, in which nothing is to happen: a number of times for engines that move with the polls, and so long
    /// for those that move by themselves.
    func linger<C: Cargo & ~Copyable>(_ channel: inout Channel<E, C>, _ polls: Int = 200, for nanoseconds: Int64 = 0) {
        for _ in 0..<polls { channel.poll() }
        let limit = Deadline.after(nanoseconds: nanoseconds)
        while nanoseconds > 0, Deadline.now < limit { channel.poll() }
    }

    /// Polls until `condition` holds; false where it does not in time.
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
