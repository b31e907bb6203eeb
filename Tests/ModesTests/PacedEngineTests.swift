// SPDX-License-Identifier: Apache-2.0

import DMAEngineKit
import ScriptedEngines
import Testing

@testable import DMACore

/// A paced engine over a hostile one: it accepts nothing impossible, and frees nothing that may still be read.
@Suite("Paced engines", .serialized)
struct PacedEngineTests {
    typealias Two = Pair<MappedBuffer, MappedBuffer>
    private let domain = Domain(name: "paced")

    private func two(_ count: Int) throws -> Two {
        Pair(
            try Buffer(count: count).mapped(for: domain, direction: .toDevice),
            try Buffer(count: count).mapped(for: domain, direction: .fromDevice))
    }

    private func channel(
        _ engine: consuming TellingEngine, _ mode: TransferMode = .cycleStealing(share: 1)
    ) throws -> Channel<PacedEngine<TellingEngine>, Two> {
        try Channel(try PacedEngine(engine, mode: mode, quantum: 4096), domain: domain)
    }

    @Test("a duplicate report counts once: nothing completes before every piece has, and none starts afterwards")
    func twice() throws {
        let log = PieceLog()
        var channel = try channel(TellingEngine(log, reports: 2))
        _ = try channel.submit(.copy(), try two(65_536)).get()
        channel.issuePending()
        var ending: (status: TransactionStatus, residue: UInt64)?
        for _ in 0..<1000 where ending == nil {
            if let finished = channel.next() { ending = (finished.status, finished.residue) }
            _ = try channel.wait(until: .after(nanoseconds: 20_000))
        }
        #expect(ending?.status == .complete && ending?.residue == 0)
        #expect(log.bytes == 65_536 && log.pieces == 16, "complete after \(log.pieces) pieces")
        // The memory is unmapped by now: no piece may start.
        for _ in 0..<100 {
            _ = channel.next()
            _ = try channel.wait(until: .after(nanoseconds: 20_000))
        }
        #expect(log.pieces == 16)
        // The second report of the last piece follows it too.
        #expect(channel.withEngine { $0.faults.notInFlight } == 16)
    }

    @Test("the tags of pieces differ from each other, and from the client's")
    func tags() throws {
        let log = PieceLog()
        var engine = try PacedEngine(TellingEngine(log, reports: 1), mode: .cycleStealing(share: 1), quantum: 64)
        let isTaken = unsafe engine.enqueue(Descriptor(kind: .copy, source: 1, destination: 1, count: 640), tag: 0xffff_ffff)
        #expect(isTaken == .accepted)
        engine.issuePending()
        var last: Completion?
        for _ in 0..<100 where last == nil { last = engine.next() }
        #expect(last == Completion(tag: 0xffff_ffff))
        #expect(log.pieces == 10 && Set(log.tags).count == 10)
    }

    @Test("a piece that ended before the engine stopped is not taken for the whole")
    func afterQuiesce() throws {
        let log = PieceLog()
        var channel = try channel(TellingEngine(log, reports: 1, isLate: true))
        _ = try channel.submit(.copy(), try two(65_536)).get()
        channel.issuePending()
        for _ in 0..<10 { channel.poll() }
        #expect(log.pieces == 1)
        try channel.terminateSync()
        var ending: (status: TransactionStatus, residue: UInt64)?
        for _ in 0..<100 where ending == nil {
            if let finished = channel.next() { ending = (finished.status, finished.residue) }
        }
        #expect(ending?.status == .aborted && ending?.residue == 61_440)
        // Its late report is dropped, although the next transaction has begun.
        _ = try channel.submit(.copy(), try two(65_536)).get()
        channel.issuePending()
        #expect(channel.inFlight == 1)
        try channel.terminateSync()
    }

    @Test("a list that an engine may still read is leaked, and one of a quiesced engine is not")
    func parked() throws {
        let before = PieceList.parkedCount
        for stops in [true, false] {
            let log = PieceLog()
            let telling = TellingEngine(log, reports: 0, stops: stops) { $0.operations = [.copy, .scatterGather] }
            var engine = try PacedEngine(telling, mode: .cycleStealing(share: 1), quantum: 64)
            let isTaken = unsafe engine.enqueue(Descriptor(kind: .copy, source: 1, destination: 1, count: 640), tag: 1)
            #expect(isTaken == .accepted)
            engine.issuePending()
            #expect(log.pieces == 1)
            _ = consume engine
            #expect(log.terminations == 1, "ended with a piece in flight that was not stopped")
            #expect(PieceList.parkedCount - before == (stops ? 0 : 1))
        }
    }

    @Test("an engine that a channel quarantines keeps its list until the device is known to have stopped, and then frees it")
    func parkedWithChannel() throws {
        let before = PieceList.parkedCount
        let log = PieceLog()
        do {
            let telling = TellingEngine(log, reports: 0, stops: false) { $0.operations = [.copy, .scatterGather] }
            var channel = try channel(telling)
            _ = try channel.submit(.copy(), try two(65_536)).get()
            channel.issuePending()
            #expect(throws: DMAError.self) { try channel.terminateSync(by: .now) }
        }
        #expect(log.timesParked == 1)
        // SAFETY: this engine moves nothing.
        let released = try unsafe Quarantine.unsafeReleaseAll(of: domain.id)
        #expect(released > 0 && PieceList.parkedCount == before)
    }

    @Test("a transaction with a refused piece fails, with the rest as its residue; the next one runs")
    func refusedPiece() throws {
        let log = PieceLog()
        var channel = try channel(TellingEngine(log, reports: 1, refusesFrom: 3))
        _ = try channel.submit(.copy(), try two(65_536)).get()
        _ = try channel.submit(.copy(), try two(4096)).get()
        channel.issuePending()
        var endings: [(status: TransactionStatus, residue: UInt64)] = []
        for _ in 0..<1000 where endings.count < 2 {
            if let finished = channel.next() { endings.append((finished.status, finished.residue)) }
            _ = try channel.wait(until: .after(nanoseconds: 20_000))
        }
        #expect(endings.count == 2 && log.pieces == 4)
        #expect(endings.first?.status == .failed && endings.first?.residue == 65_536 - 3 * 4096)
        #expect(endings.last?.status == .complete && endings.last?.residue == 0)
    }

    @Test("demand: a transaction that cannot be split leaves the line unchanged")
    func demandNull() throws {
        let line = DemandLine()
        var engine = try PacedEngine(TellingEngine(PieceLog(), reports: 1), mode: .demand(line), quantum: 64)
        let isTaken = unsafe engine.enqueue(Descriptor(kind: .null), tag: 1)
        #expect(isTaken == .accepted)
        engine.issuePending()
        let completion = engine.next()
        #expect(completion?.tag == 1 && line.requested == 0)
    }

    @Test("capabilities and shares out of range are refused or bounded, and nothing traps")
    func extremes() throws {
        for segments in [Int.min, -1, 0, 1, .max] {
            for sources in [Int.min, -1, 0, .max - 1, .max] {
                let engine = TellingEngine(PieceLog(), reports: 1) {
                    ($0.maximumSegments, $0.maximumSources) = (segments, sources)
                    $0.operations = [.copy, .scatterGather, .xor]
                }
                let paced = try PacedEngine(engine)
                #expect(paced.capabilities.maximumSegments == segments)
            }
        }
        for depth in [Int.min, 0, .max] {
            #expect { _ = try PacedEngine(TellingEngine(PieceLog(), reports: 1) { $0.depth = depth }) } throws: {
                ($0 as? DMAError)?.code == .badConfiguration
            }
        }
        let log = PieceLog()
        var engine = try PacedEngine(TellingEngine(log, reports: 1), mode: .cycleStealing(share: 1e-300), quantum: 64)
        _ = unsafe engine.enqueue(Descriptor(kind: .copy, source: 1, destination: 1, count: 640), tag: 1)
        engine.issuePending()
        for _ in 0..<4 { _ = engine.next() }
        #expect(log.pieces >= 1)
        for time in [Int64.min, -1, 0] {
            let mayTake = engine.wait(until: Deadline(nanoseconds: time))
            #expect(!mayTake)
        }
    }

    @Test("a descriptor with more operands than fit is refused")
    func operands() throws {
        let operations: OperationSet = [.copy, .scatterGather, .xor]
        let engine = TellingEngine(PieceLog(), reports: 1) { $0.operations = operations }
        var paced = try PacedEngine(engine, mode: .cycleStealing(share: 1), quantum: 64)
        let segments = [Segment](repeating: Segment(address: 0, count: 0), count: 8)
        let isTaken = unsafe segments.withUnsafeBufferPointer { list in
            var descriptor = unsafe Descriptor(kind: .scatterGather, count: 64)
            (descriptor.sourceCount, descriptor.destinationCount) = (4, 4)
            unsafe descriptor.operands = list.baseAddress
            return unsafe paced.enqueue(descriptor, tag: 1)
        }
        #expect(isTaken == .refused(DMAError(.tooManySegments, asked: 8, limit: 3)))
    }
}

/// The calls of a ``TellingEngine``.
final class PieceLog: Sendable {
    private struct State {
        var tags: [UInt32] = []
        var bytes: UInt64 = 0
        var terminations = 0
        var timesParked = 0
    }
    private let state = Locked(State())

    var tags: [UInt32] { state.withLock { $0.tags } }
    var pieces: Int { state.withLock { $0.tags.count } }
    var bytes: UInt64 { state.withLock { $0.bytes } }
    var terminations: Int { state.withLock { $0.terminations } }

    func took(_ tag: UInt32, _ bytes: UInt64) {
        state.withLock { state in
            state.tags.append(tag)
            state.bytes += bytes
        }
    }
    var timesParked: Int { state.withLock { $0.timesParked } }
    func wasParked() { state.withLock { $0.timesParked += 1 } }
    func terminated() { state.withLock { $0.terminations += 1 } }
}

/// Moves nothing, and reports each descriptor complete, that many times.
struct TellingEngine: ~Copyable, Engine {
    let capabilities: Capabilities
    private let log: PieceLog
    private let reports: Int
    private let isLate: Bool
    private let stops: Bool
    private let refusesFrom: Int?
    private var ready: [Completion] = []
    private var hasStopped = false
    private var hasRefused = false

    /// - Parameters:
    ///   - isLate: whether the reports come only after the engine was told to stop.
    ///   - refusesFrom: the piece, counted from 0, that is refused, once.
    init(
        _ log: PieceLog, reports: Int, isLate: Bool = false, stops: Bool = true, refusesFrom: Int? = nil,
        _ change: (inout Capabilities) -> Void = { _ in }
    ) {
        self.log = log
        self.reports = reports
        self.isLate = isLate
        self.stops = stops
        self.refusesFrom = refusesFrom
        var capabilities = Capabilities(name: "telling", operations: [.copy, .null], depth: 4)
        capabilities.completesInOrder = false
        change(&capabilities)
        self.capabilities = capabilities
    }

    var addressing: EngineAddressing { .cpu }

    @unsafe
    mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        if log.pieces == refusesFrom, !hasRefused {
            hasRefused = true
            return .refused(DMAError(.engineFailed))
        }
        log.took(tag, descriptor.count)
        ready += [Completion](repeating: Completion(tag: tag), count: reports)
        return .accepted
    }
    mutating func issuePending() {}
    mutating func next() -> Completion? {
        guard !ready.isEmpty, !isLate || hasStopped else { return nil }
        return ready.removeFirst()
    }
    mutating func willBeParked() { log.wasParked() }
    mutating func terminate() { log.terminated() }
    mutating func quiesce(by deadline: Deadline) -> Bool {
        hasStopped = true
        return stops
    }
}
