// SPDX-License-Identifier: Apache-2.0

import DMACore
import ScriptedEngines

/// A violation found by a program.
public struct ProgramFailure: Error, Sendable, CustomStringConvertible {
    /// A description.
    public let description: String
    init(_ description: String) { self.description = description }
}

/// One channel of a program, with its model.
struct Client: ~Copyable {
    typealias Two = Pair<MappedBuffer, MappedBuffer>

    var channel: Channel<AnyEngine, Two>
    /// Transactions that the channel has, by cookie.
    var inFlight: [Cookie: TransactionModel] = [:]
    let oracle = MemoryOracle()
    let line = DemandLine()
    let engine: BottomEngine
    let wrapping: Wrapping
    let space: Int
    private var isPaused = false
    private var isTerminating = false
    /// The number of returned transactions.
    private(set) var finished = 0

    init(_ wrapping: Wrapping, _ engine: BottomEngine, _ domain: Domain, space: Int, seed: UInt64) throws(DMAError) {
        self.engine = engine
        self.wrapping = wrapping
        self.space = space
        let wrapped = try wrapping.wrap(engine.engine(oracle, seed: seed), line, seed: seed)
        channel = try Channel(wrapped, domain: domain)
    }

    /// Whether a transaction may be refused although the contract permits it: only a hostile engine does that.
    private var isHonest: Bool { engine == .lying(.none) && [.any, .anyTwice, .leased].contains(wrapping) }

    var name: String { "\(engine.name) in \(wrapping.rawValue)" }

    /// Whether the engine has the operation.
    func takes(_ kind: OperationKind) -> Bool {
        switch engine {
        case .lying: true
        case .hostile: [.copy, .fill, .null].contains(kind)
        }
    }

    // MARK: Submission

    /// Submits a pair to the channel, or returns it.
    mutating func submit(
        _ operation: Operation, _ cargo: consuming Two, _ model: TransactionModel, isLegal: Bool, deadline: Deadline
    ) throws(ProgramFailure) -> Two? {
        let spare = channel.capabilities.depth > inFlight.count
        // Before, because an engine may begin during the submission.
        oracle.open(model.name, read: model.readRange, written: model.writtenRange)
        switch channel.submit(Transaction(operation, cargo, deadline: deadline)) {
        case .queued(let cookie):
            guard isLegal else { throw ProgramFailure("\(operation.kind) was queued that must be refused") }
            guard !isTerminating else { throw ProgramFailure("something was queued on a channel that is terminating") }
            guard inFlight.updateValue(model, forKey: cookie) == nil else {
                throw ProgramFailure("cookie \(cookie.rawValue) was given out twice")
            }
            return nil
        case .refused(let error, let cargo):
            oracle.close(model.name)
            guard !isLegal || !isHonest || isTerminating || !spare else {
                throw ProgramFailure("\(operation.kind) was refused that is right: \(error)")
            }
            guard Self.starts(of: cargo) == (model.source.start, model.target.start) else {
                throw ProgramFailure("a refused submission gave another cargo back")
            }
            return cargo
        }
    }

    private static func starts(of cargo: borrowing Two) -> (UInt64, UInt64) {
        (cargo.first.firstAddress, cargo.second.firstAddress)
    }

    mutating func issue() {
        for cookie in inFlight.keys { inFlight[cookie]?.isIssued = true }
        channel.issuePending()
    }

    // MARK: Completion

    /// Takes up to `times` completions; `body` receives each pair and the expected contents of its buffers.
    mutating func take(
        _ times: Int, _ body: (consuming Two, TransactionModel) throws(ProgramFailure) -> Void
    ) throws(ProgramFailure) {
        for _ in 0..<times {
            // Not the end: an engine does part of its work in each poll.
            guard let finished = channel.next() else { continue }
            try settle(finished, body)
        }
    }

    /// The completion of one transaction, if it has ended.
    mutating func takeOne(
        _ number: Int, _ body: (consuming Two, TransactionModel) throws(ProgramFailure) -> Void
    ) throws(ProgramFailure) {
        guard let cookie = cookie(number) else { return }
        do throws(DMAError) {
            guard let finished = try channel.take(cookie) else { return }
            try ask(finished, body)
        } catch { throw ProgramFailure("take(\(cookie.rawValue)): \(error)") }
    }

    // A failure of the program inside a catch of the channel's errors is rethrown unchanged.
    private mutating func ask(
        _ finished: consuming Finished<Two>, _ body: (consuming Two, TransactionModel) throws(ProgramFailure) -> Void
    ) throws(DMAError) {
        do throws(ProgramFailure) { try settle(finished, body) } catch { failure = error }
    }
    var failure: ProgramFailure?

    private mutating func settle(
        _ finished: consuming Finished<Two>, _ body: (consuming Two, TransactionModel) throws(ProgramFailure) -> Void
    ) throws(ProgramFailure) {
        let (cookie, status, residue) = (finished.cookie, finished.status, finished.residue)
        guard var model = inFlight.removeValue(forKey: cookie) else {
            throw ProgramFailure("cookie \(cookie.rawValue) came out, which is not in flight")
        }
        guard status.isFinal, residue <= model.count else {
            throw ProgramFailure("\(status) with a residue of \(residue) of \(model.count) bytes")
        }
        guard model.isIssued || status == .aborted else { throw ProgramFailure("\(status), and was never issued") }
        let cargo = finished.takeCargo()
        guard Self.starts(of: cargo) == (model.source.start, model.target.start) else {
            throw ProgramFailure("cookie \(cookie.rawValue) came out with another cargo than it went in with")
        }
        let wasSkipped = oracle.close(model.name)
        self.finished += 1
        let isDone = status == .complete && residue == 0 && engine.isTruthfulOfBytes && !wasSkipped
        model.finish(isDone: isDone)
        try body(cargo, model)
    }

    // MARK: Questions and control

    private func cookie(_ number: Int) -> Cookie? {
        let cookies = inFlight.keys.sorted()
        return cookies.isEmpty ? nil : cookies[number % cookies.count]
    }

    mutating func question(_ number: Int) throws(ProgramFailure) {
        _ = channel.nextLate()
        guard let cookie = cookie(number), let model = inFlight[cookie] else { return }
        do throws(DMAError) {
            let status = try channel.status(of: cookie)
            let residue = try channel.residue(of: cookie)
            if residue > model.count { failure = ProgramFailure("a residue of \(residue) of \(model.count) bytes") }
            if !model.isIssued, !isTerminating, status != .queued {
                failure = ProgramFailure("\(status), and was never issued")
            }
        } catch { throw ProgramFailure("status(\(cookie.rawValue)): \(error)") }
    }

    mutating func terminate() {
        channel.terminateAsync()
        isTerminating = true
    }

    /// Terminates the channel. Then everything is returned, once.
    mutating func synchronize(
        _ body: (consuming Two, TransactionModel) throws(ProgramFailure) -> Void
    ) throws(ProgramFailure) {
        do throws(DMAError) { try channel.synchronize(by: .now) } catch {
            guard error.code == .quiesceTimeout else { throw ProgramFailure("synchronize: \(error)") }
            return
        }
        guard isTerminating else { return }
        (isTerminating, isPaused) = (false, false)
        for _ in 0..<1000 where !inFlight.isEmpty {
            guard let finished = channel.next() else { continue }
            try settle(finished, body)
        }
        guard inFlight.isEmpty else { throw ProgramFailure("\(inFlight.count) transactions are lost after a termination") }
    }

    mutating func pause() throws(ProgramFailure) {
        do throws(DMAError) {
            try channel.pause()
            isPaused = true
        } catch {
            guard [.notPausable, .terminating, .engineFailed].contains(error.code) else {
                throw ProgramFailure("pause: \(error)")
            }
        }
    }

    mutating func resume() throws(ProgramFailure) {
        do throws(DMAError) {
            try channel.resume()
            guard isPaused else {
                failure = ProgramFailure("a channel was resumed that was not paused")
                return
            }
            isPaused = false
        } catch {
            guard [.notPausable, .notPaused, .engineFailed].contains(error.code) else {
                throw ProgramFailure("resume: \(error)")
            }
        }
    }
}
