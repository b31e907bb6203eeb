// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMAEngineKit

/// An engine that takes turns: any engine, with a ``TransferMode`` that may change at run time.
///
/// In ``TransferMode/burst`` everything goes straight through. In the other modes one transaction at a time is cut into quanta, and
/// each is started when the mode allows: that is where other users of the bus, and of the CPU, get their turn. A cyclic transaction
/// cannot be cut; its peripheral paces it.
///
/// Pausing works on every engine below, between quanta. Thread rules: as for every engine.
@safe
public struct PacedEngine<Base: Engine & ~Copyable>: ~Copyable, Engine {
    private var base: Base
    private var mode: TransferMode
    private let quantum: UInt64
    private let alignment: UInt64
    private let worksInPoll: Bool
    /// Transactions in the order of submission: those handed through are not here.
    private var waiting: [PacedTransaction] = []
    private var scratch: UnsafeMutablePointer<Segment>
    private let scratchCount: Int
    /// The size of the quantum of `waiting[0]` that is with the engine below, or nil where none is; and since when.
    private var quantumCount: UInt64?
    /// From where on time at work is not yet charged, by `workClock`.
    private var mark: Int64 = 0
    /// A rest was slept to its end: the next quantum starts, although waking up has cost something of its own. Without that, a small
    /// share would be used up by going to sleep and waking.
    private var isRested = false
    /// What the last rest cost, and how much of the turn it brought is left, by `workClock`.
    private var restCost: Int64 = 0
    private var turn: Int64 = 0
    private var issued = 0
    private var isPaused = false
    private var wasTerminated = false
    private var through = 0
    private var duty = DutyClock()
    private var pastBusy: Int64 = 0
    private var pastElapsed: Int64 = 0

    /// - Parameters:
    ///   - base: the engine that does the work.
    ///   - mode: how it takes its turns.
    ///   - quantum: bytes moved in one turn, 8 or more; rounded down to a multiple of 64 where it can be, and up to the engine's
    ///     alignment.
    /// - Throws: `badShare` for a share that is not above 0 and at most 1.
    public init(_ base: consuming Base, mode: TransferMode = .burst, quantum: UInt64 = 65_536) throws(DMAError) {
        try mode.check()
        let capabilities = base.capabilities
        self.base = base
        self.mode = mode
        alignment = max(capabilities.alignment, 1)
        worksInPoll = capabilities.worksInPoll
        let grain = max(alignment, 64)
        self.quantum = max(quantum / grain, 1) * grain
        scratchCount = min(max(capabilities.maximumSegments, min(capabilities.maximumSources, 1024) + 2, 2), 4096)
        unsafe scratch = .allocate(capacity: scratchCount)
    }

    deinit { unsafe scratch.deallocate() }

    /// What the engine below can do, and pausing.
    public var capabilities: Capabilities {
        var capabilities = base.capabilities
        capabilities.canPause = true
        capabilities.quantum = quantum
        if capabilities.residueGranularity == .descriptor { capabilities.residueGranularity = .segment }
        if case .burst = mode {} else { capabilities.hasInterrupts = false }
        return capabilities
    }
    /// The line of the engine below, in burst mode. In the others the next quantum starts when somebody polls, and no interrupt comes in the
    /// rest between two: whoever awaits has to look.
    public var interruptLine: InterruptLine? {
        if case .burst = mode { base.interruptLine } else { nil }
    }
    public var figures: [EngineFigure] { base.figures }

    /// Changes the mode; the next quantum follows it.
    ///
    /// - Throws: `badShare`.
    public mutating func setMode(_ mode: TransferMode) throws(DMAError) {
        try mode.check()
        self.mode = mode
        (turn, restCost, isRested) = (0, 0, false)
        duty = DutyClock()
        pastBusy = 0
        pastElapsed = 0
    }

    /// How long the engine was at work since the mode was last set, and of how long: time with nothing to do, or in which nobody looked,
    /// does not count. Nanoseconds.
    public var totalDuty: (busy: Int64, elapsed: Int64) {
        guard case .cycleStealing(let share) = mode, duty.isStale(share) else {
            return (pastBusy + duty.busy, pastElapsed + duty.elapsed)
        }
        return (pastBusy + duty.busy, pastElapsed + duty.charged(share))
    }

    public var addressing: EngineAddressing { base.addressing }
    public var isGone: Bool { base.isGone }
    @unsafe
    public mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        if wasTerminated {
            waiting.removeAll(keepingCapacity: true)
            wasTerminated = false
        }
        if waiting.isEmpty, !isPaused, mode.isBurst || !descriptor.kind.canBeCut {
            let result = unsafe base.enqueue(descriptor, tag: tag)
            if case .accepted = result { through += 1 }
            return result
        }
        guard waiting.count + through < base.capabilities.depth else { return .full }
        waiting.append(PacedTransaction(descriptor, tag: tag))
        return .accepted
    }

    public mutating func issuePending() {
        issued = waiting.count
        base.issuePending()
        startQuantum()
    }

    /// A turn that is long overdue begins a run: time in which there was nothing to do, or nobody looked, earns no credit. Turns that follow
    /// each other closely are one run, so that what the last one owes, or overslept, is settled.
    private mutating func beginRun() {
        guard case .cycleStealing(let share) = mode, duty.isStale(share) else { return }
        pastBusy += duty.busy
        // What went by after the last turn's rest was over belongs to no run.
        pastElapsed += duty.charged(share)
        duty = DutyClock()
        turn = 0
    }

    public mutating func next() -> Completion? {
        let charges = worksInPoll && !mode.isBurst && issued > 0
        if charges {
            // A look in a rest is the client's own affair: charged to the transfer, looks alone would use a small share up.
            guard isDue || quantumCount != nil || through > 0 else { return nil }
            mark = workClock
        }
        // Bounded: each round but the last finishes a quantum, and a turn of the caller's is a few quanta long at most.
        defer { if charges { charge() } }
        for _ in 0..<8 {
            startQuantum()
            guard let completion = base.next() else { return nil }
            guard quantumCount != nil, completion.tag == waiting[0].tag, !completion.isPeriod else {
                if !completion.isPeriod, through > 0 { through -= 1 }
                return completion
            }
            if let whole = finishQuantum(completion) { return whole }
        }
        return nil
    }

    /// Starts a quantum of the oldest issued transaction, where none is under way and the mode allows one now.
    private mutating func startQuantum() {
        guard quantumCount == nil, issued > 0, !isPaused, !wasTerminated, through == 0 else { return }
        // A transaction that cannot be cut goes as a whole, whatever the mode.
        var allowed = waiting[0].descriptor.kind.canBeCut ? quantum : .max
        switch mode {
        case .burst:
            allowed = .max
        case .cycleStealing:
            guard isDue else { return }
            if turn <= 0 {
                beginRun()
                isRested = false
                turn = min(turnsPerRest * restCost, longestTurn)
            }
        case .demand(let line):
            guard waiting[0].descriptor.kind.canBeCut else { break }
            let grain = waiting[0].grain(alignment)
            allowed = line.take(grain, atMost: max(quantum, grain))
            guard allowed > 0 else { return }
        }
        let (descriptor, count) = unsafe waiting[0].cut(allowed, scratch, scratchCount)
        if case .demand(let line) = mode, count < allowed { line.giveBack(allowed - count) }
        guard case .accepted = unsafe base.enqueue(descriptor, tag: waiting[0].tag) else {
            if case .demand(let line) = mode { line.giveBack(count) }
            return
        }
        quantumCount = count
        if !worksInPoll { mark = workClock }
        base.issuePending()
    }

    /// Whether the mode lets a quantum start now, as far as the clock decides that.
    private var isDue: Bool {
        guard case .cycleStealing(let share) = mode else { return true }
        return turn > 0 || isRested || duty.isDue(share)
    }

    /// A turn is so many times as long as the rest before it cost: going to sleep and waking then use a fifth of the share, and not most
    /// of a small one. It has an end, because whoever the turns are taken from waits for it: nanoseconds.
    private var turnsPerRest: Int64 { 4 }
    private var longestTurn: Int64 { 500_000 }

    /// Where the poll does the work, all that the thread does in here is the transfer's cost: polling, and going to sleep and waking
    /// too. Elsewhere it is the time from a quantum's start to its end.
    private mutating func charge() {
        let now = workClock
        duty.add(now - mark)
        turn -= now - mark
        mark = now
    }

    /// What time at work is measured by.
    private var workClock: Int64 { worksInPoll ? cdma_thread_nanoseconds() : cdma_monotonic_nanoseconds() }

    private mutating func finishQuantum(_ completion: Completion) -> Completion? {
        let count = quantumCount ?? 0
        quantumCount = nil
        charge()
        let short = min(completion.residue, count)
        waiting[0].advance(by: count - short, value: completion.value)
        let transaction = waiting[0]
        guard completion.status != TransactionStatus.complete.rawValue || short > 0 || transaction.isWhole else { return nil }
        waiting.removeFirst()
        issued -= 1
        var whole = completion
        whole.residue = transaction.descriptor.count - transaction.moved
        whole.value = transaction.value
        return whole
    }

    public mutating func checkCommand(_ descriptor: Descriptor) throws(DMAError) { try base.checkCommand(descriptor) }
    public mutating func attach(_ file: PeripheralFile) throws(DMAError) -> UInt32 { try base.attach(file) }
    public mutating func detach(_ number: UInt32) throws(DMAError) { try base.detach(number) }

    public mutating func terminate() {
        base.terminate()
        wasTerminated = true
        issued = 0
    }

    public mutating func quiesce(by deadline: Deadline) -> Bool {
        guard base.quiesce(by: deadline) else { return false }
        quantumCount = nil
        through = 0
        isPaused = false
        return true
    }

    public mutating func pause() -> Bool {
        // What went straight through can be held only by the engine itself.
        if through > 0, !base.pause() { return false }
        isPaused = true
        return true
    }

    public mutating func resume() -> Bool {
        if through > 0, !base.resume() { return false }
        isPaused = false
        startQuantum()
        return true
    }

    public mutating func residue(of tag: UInt32) -> UInt64? {
        guard let index = waiting.firstIndex(where: { $0.tag == tag }) else { return base.residue(of: tag) }
        return waiting[index].descriptor.count - waiting[index].moved
    }

    public mutating func configure(_ configuration: EngineConfiguration) throws(DMAError) { try base.configure(configuration) }

    public mutating func wait(until deadline: Deadline) -> Bool {
        if quantumCount != nil || through > 0 || issued == 0 { return base.wait(until: deadline) }
        switch mode {
        case .burst:
            return true
        case .cycleStealing(let share):
            guard turn <= 0 else { return true }
            let due = duty.due(share)
            guard due <= deadline.nanoseconds else {
                cdma_sleep_until(deadline.nanoseconds)
                return false
            }
            if worksInPoll { mark = workClock }
            let asleep = mark
            cdma_sleep_until(due)
            if worksInPoll {
                charge()
                restCost = mark - asleep
            }
            isRested = true
            return true
        case .demand(let line):
            return line.wait(until: deadline)
        }
    }
}

extension TransferMode {
    var isBurst: Bool {
        if case .burst = self { return true }
        return false
    }

    func check() throws(DMAError) {
        guard case .cycleStealing(let share) = self else { return }
        guard share > 0, share <= 1 else {
            throw DMAError(.badShare, asked: share > 0 && share < 1e6 ? UInt64(share * 1000) : 0, limit: 1000)
        }
    }
}

/// When the next turn is due, so that the time at work is the asked share of the time that passes.
struct DutyClock {
    private let began = cdma_monotonic_nanoseconds()
    /// Nanoseconds at work.
    private(set) var busy: Int64 = 0

    var elapsed: Int64 { cdma_monotonic_nanoseconds() - began }

    mutating func add(_ nanoseconds: Int64) { busy += max(nanoseconds, 0) }

    /// The moment at which `busy` is no more than `share` of what has passed.
    func due(_ share: Double) -> Int64 { began + Int64(Double(busy) / share) }

    /// From the beginning to the moment at which the next turn was due.
    func charged(_ share: Double) -> Int64 { due(share) - began }

    /// Whether a turn has been due for so long that the time since is no part of the same run: longer than a scheduler keeps a thread that
    /// shares its processor waiting, so that what such a wait cost is made up for.
    func isStale(_ share: Double) -> Bool { cdma_monotonic_nanoseconds() - due(share) > 20_000_000 }

    func isDue(_ share: Double) -> Bool { cdma_monotonic_nanoseconds() >= due(share) }
}
