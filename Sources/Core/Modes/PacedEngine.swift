// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMAEngineKit

/// Wraps any engine and paces it with a ``TransferMode`` that may change at run time.
///
/// In ``TransferMode/burst`` everything is passed through. In the other modes one transaction at a time is split into quanta,
/// and each is started when the mode allows it: between quanta other users of the bus and the CPU can run. A cyclic transaction
/// cannot be split; its peripheral paces it.
///
/// The engine below is not trusted, as a channel does not trust its engine: its report on a quantum is checked before the next
/// one starts; invalid reports are dropped and counted in ``faults``.
///
/// Pausing works on every engine below, between quanta. Thread rules: as for every engine.
@safe
public struct PacedEngine<Base: Engine & ~Copyable>: ~Copyable, Engine {
    public typealias Settings = Base.Settings
    public static var order: CompletionOrder { Base.order }

    /// The phase between a termination and the first work after it.
    private enum State {
        case running
        /// Terminated, and not quiesced: nothing is accepted.
        case terminating
        /// Quiesced: the remaining transactions are kept for ``residue(of:)`` until new work arrives.
        case quiesced
    }

    private var base: Base
    private var scheduler: TurnScheduler
    private var inFlight: InFlightTable
    private let list: PieceList
    private let worksInPoll: Bool
    /// Transactions in the order of submission, except those that were passed through.
    private var waiting: [PacedTransaction] = []
    /// How many of them were issued, and whether the engine below holds a piece of the first.
    private var issued = 0
    private var hasPiece = false
    private var state = State.running
    private var isPaused = false
    private var baseIsPaused = false
    /// Whether the engine below was told to stop and did not; and whether it is quarantined for that, and ends only when it is
    /// known to have stopped.
    private var isStuck = false
    private var isParked = false
    /// The end of a transaction whose piece the engine below refused, to be reported next.
    private var refused: Completion?

    /// - Parameters:
    ///   - base: the engine that does the work.
    ///   - mode: the pacing.
    ///   - quantum: bytes moved in one turn, 8 or more; rounded down to a multiple of 64 if possible, and up to the engine's
    ///     alignment.
    /// - Throws: `badShare` for a share that is not above 0 and at most 1; `badConfiguration` where the engine's capabilities
    ///   are inconsistent, as in a channel.
    public init(_ base: consuming Base, mode: TransferMode = .burst, quantum: UInt64 = 65_536) throws(DMAError) {
        let capabilities = base.capabilities
        let inFlight = try InFlightTable(capabilities)
        let scheduler = try TurnScheduler(
            mode, quantum: quantum, alignment: capabilities.unit, now: cdma_monotonic_nanoseconds())
        self.inFlight = inFlight
        self.scheduler = scheduler
        list = PieceList(capabilities)
        worksInPoll = capabilities.worksInPoll
        self.base = base
    }

    deinit {
        let list = list
        var isStopped = inFlight.count == 0 || isParked
        // A channel above has waited already.
        let limit: Deadline = isStuck ? .now : .after(milliseconds: 1000)
        var base = consume base
        if !isStopped {
            base.terminate()
            isStopped = base.quiesce(by: limit)
        }
        if isStopped { list.deallocate() } else { list.park() }
    }

    /// The capabilities of the engine below, with pausing.
    public var capabilities: Capabilities {
        var capabilities = base.capabilities
        capabilities.canPause = true
        capabilities.quantum = scheduler.quantum
        if capabilities.residueGranularity == .descriptor { capabilities.residueGranularity = .segment }
        if !scheduler.mode.isBurst { capabilities.hasInterrupts = false }
        return capabilities
    }
    /// The line of the engine below, in burst mode. In the other modes a poll starts the next quantum, and no interrupt occurs
    /// in the pauses between quanta: awaiting tasks must poll.
    public var interruptLine: InterruptLine? { scheduler.mode.isBurst ? base.interruptLine : nil }
    public var figures: [EngineFigure] { base.figures }
    public var addressing: EngineAddressing { base.addressing }
    public var isGone: Bool { base.isGone }

    /// Protocol violations of the engine below. What is counted here never reaches the channel above.
    public var faults: EngineFaults { inFlight.faults }

    /// Changes the mode, from the next quantum on.
    ///
    /// - Throws: `badShare`.
    public mutating func setMode(_ mode: TransferMode) throws(DMAError) {
        try scheduler.setMode(mode, now: cdma_monotonic_nanoseconds())
    }

    /// Time at work since the mode was last set, and the elapsed time; time without work or without polls is not counted.
    /// Nanoseconds.
    public var totalDuty: (busy: Int64, elapsed: Int64) { scheduler.total(now: cdma_monotonic_nanoseconds()) }

    // MARK: Work

    @unsafe
    public mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        guard state != .terminating else { return .refused(DMAError(.terminating)) }
        guard list.holds(descriptor) else {
            let count = UInt64(descriptor.sourceCount) + UInt64(descriptor.destinationCount)
            return .refused(DMAError(.tooManySegments, asked: count, limit: UInt64(list.capacity)))
        }
        if state == .quiesced { forget() }
        if waiting.isEmpty, !isPaused, scheduler.mode.isBurst || !descriptor.kind.canBeCut {
            let entry = InFlightTable.Item(
                tag: tag, count: descriptor.count, isCyclic: descriptor.kind == .cyclic, isPiece: false)
            // SAFETY: the caller vouches for the descriptor, which is passed on unchanged.
            return unsafe start(descriptor, entry)
        }
        guard !inFlight.isFull(with: waiting.count) else { return .full }
        waiting.append(PacedTransaction(descriptor, tag: tag))
        return .accepted
    }

    /// Passes one descriptor to the engine below. Unsafe: as ``enqueue(_:tag:)``.
    @unsafe
    private mutating func start(_ descriptor: Descriptor, _ entry: InFlightTable.Item) -> EnqueueResult {
        guard let tag = inFlight.nextTag() else { return .full }
        // SAFETY: the caller vouches for the descriptor's addresses, until the entry has ended or the engine has quiesced.
        let result = unsafe base.enqueue(descriptor, tag: tag)
        switch result {
        case .accepted: inFlight.enter(entry)
        case .full: inFlight.refusedEnqueue()
        case .refused, .deviceGone: break
        }
        return result
    }

    /// Drops the transactions that were kept after the engine quiesced.
    private mutating func forget() {
        waiting.removeAll(keepingCapacity: true)
        inFlight.clear()
        refused = nil
        hasPiece = false
        state = .running
    }

    public mutating func issuePending() {
        guard state == .running else { return }
        issued = waiting.count
        inFlight.issue()
        base.issuePending()
        startPiece()
    }

    public mutating func next() -> Completion? {
        let charges = worksInPoll && !scheduler.mode.isBurst && issued > 0
        if charges {
            // Polls during a pause are not charged to the transfer: polls alone would use a small share up.
            guard hasPiece || inFlight.wholes > 0 || scheduler.isDue(now: cdma_monotonic_nanoseconds()) else { return nil }
            scheduler.begin(work: workClock)
        }
        defer { if charges { scheduler.charge(work: workClock) } }
        // Both loops are bounded: one turn has a few quanta at most, and an engine that reports without end does not hold the
        // caller.
        var pieces = 8
        var refusals = inFlight.mostReports
        while pieces > 0, refusals > 0 {
            startPiece()
            if let refused = refused.take() { return refused }
            guard let completion = base.next() else { return nil }
            switch inFlight.settle(completion) {
            case .refused:
                refusals -= 1
            case .period(let entry):
                return Completion(
                    tag: entry.tag, deviceStatus: completion.deviceStatus, isPeriod: true, residue: completion.residue,
                    value: completion.value)
            case .over(let entry, let status, let residue):
                var checked = Completion(
                    tag: entry.tag, status: status, deviceStatus: completion.deviceStatus, residue: residue,
                    value: completion.value)
                guard entry.isPiece else { return checked }
                pieces -= 1
                if finishPiece(&checked, entry) { return checked }
            }
        }
        return nil
    }

    /// Starts a piece of the oldest issued transaction, where none is in flight and the mode allows one now.
    private mutating func startPiece() {
        guard !hasPiece, refused == nil, issued > 0, !isPaused, state == .running, inFlight.wholes == 0 else { return }
        let grain = waiting[0].descriptor.kind.canBeCut ? waiting[0].grain(scheduler.alignment) : nil
        guard let allowed = scheduler.grant(grain: grain, now: cdma_monotonic_nanoseconds()) else { return }
        // SAFETY: no piece is in flight, so that no engine reads the list while it is written.
        let (descriptor, count) = unsafe waiting[0].cut(allowed, list.segments, list.capacity)
        let entry = InFlightTable.Item(
            tag: waiting[0].tag, count: count, isCyclic: descriptor.kind == .cyclic, isPiece: true)
        // SAFETY: a piece's addresses are its transaction's, for which the caller of `enqueue` vouched; the list is this
        // engine's own.
        let result = unsafe start(descriptor, entry)
        let isStarted = result == .accepted
        // A transaction that cannot be split was granted as a whole, not by bytes.
        if grain != nil { scheduler.giveBack(isStarted ? allowed - min(count, allowed) : allowed) }
        if case .refused = result {
            // Refused now or for good: the transaction ends with what it has moved.
            let transaction = waiting.removeFirst()
            issued -= 1
            refused = Completion(
                tag: transaction.tag, status: .failed, residue: transaction.rest, value: transaction.value)
        }
        guard isStarted else { return }
        hasPiece = true
        if !worksInPoll { scheduler.begin(work: workClock) }
        inFlight.issue()
        base.issuePending()
    }

    /// The clock for time at work. Where the poll does the work, everything that the thread does in here is charged to the
    /// transfer: polling, and going to sleep and waking too. Otherwise it is the time from a piece's start to its end.
    private var workClock: Int64 { worksInPoll ? cdma_thread_nanoseconds() : cdma_monotonic_nanoseconds() }

    /// Handles the end of a piece of the first transaction. True where the transaction has ended too: `completion` then says
    /// how.
    private mutating func finishPiece(_ completion: inout Completion, _ entry: InFlightTable.Item) -> Bool {
        hasPiece = false
        scheduler.charge(work: workClock)
        waiting[0].advance(by: entry.count - completion.residue, value: completion.value)
        let transaction = waiting[0]
        let isOver =
            completion.status != TransactionStatus.complete.rawValue || completion.residue > 0 || transaction.isWhole
        guard isOver else { return false }
        waiting.removeFirst()
        if issued > 0 { issued -= 1 }
        completion.residue = transaction.rest
        completion.value = transaction.value
        return true
    }

    // MARK: Control

    public mutating func checkCommand(_ descriptor: Descriptor) throws(DMAError) { try base.checkCommand(descriptor) }
    public mutating func attach(_ file: PeripheralFile) throws(DMAError) -> UInt32 { try base.attach(file) }
    public mutating func detach(_ number: UInt32) throws(DMAError) { try base.detach(number) }
    public mutating func configure(_ configuration: EngineConfiguration) throws(DMAError) { try base.configure(configuration) }
    public mutating func apply(_ settings: Base.Settings) throws(DMAError) { try base.apply(settings) }

    public mutating func terminate() {
        base.terminate()
        state = .terminating
        issued = 0
    }

    /// Completions of the engine below that were not reported before it stopped are still valid: ``next()`` returns them.
    public mutating func quiesce(by deadline: Deadline) -> Bool {
        guard base.quiesce(by: deadline) else {
            isStuck = true
            inFlight.didNotQuiesce()
            return false
        }
        (isStuck, isPaused, baseIsPaused) = (false, false, false)
        if state == .terminating { state = .quiesced }
        return true
    }

    public mutating func willBeParked() {
        isParked = true
        base.willBeParked()
    }

    public mutating func pause() -> Bool {
        // Only the engine itself can pause transactions that were passed through.
        if inFlight.wholes > 0, !baseIsPaused {
            guard base.pause() else { return false }
            baseIsPaused = true
        }
        isPaused = true
        return true
    }

    public mutating func resume() -> Bool {
        if baseIsPaused {
            guard base.resume() else { return false }
            baseIsPaused = false
        }
        isPaused = false
        startPiece()
        return true
    }

    public mutating func residue(of tag: UInt32) -> UInt64? {
        if let index = waiting.firstIndex(where: { $0.tag == tag }) { return waiting[index].rest }
        guard let whole = inFlight.whole(tag), let said = base.residue(of: whole.tag) else { return nil }
        if said > whole.entry.count { inFlight.badResidue() }
        return min(said, whole.entry.count)
    }

    public mutating func wait(until deadline: Deadline) -> Bool {
        if refused != nil { return true }
        if hasPiece || inFlight.wholes > 0 || issued == 0 { return base.wait(until: deadline) }
        if case .demand(let line) = scheduler.mode { return line.wait(until: deadline) }
        guard let due = scheduler.restEnd else { return true }
        guard due <= deadline.nanoseconds else {
            cdma_sleep_until(deadline.nanoseconds)
            return false
        }
        if worksInPoll { scheduler.begin(work: workClock) }
        let asleep = workClock
        cdma_sleep_until(due)
        if worksInPoll {
            let awake = workClock
            scheduler.charge(work: awake)
            scheduler.rested(cost: awake - asleep)
        } else {
            scheduler.rested(cost: 0)
        }
        return true
    }
}
