// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// An engine that takes turns: any engine, with a ``TransferMode`` that may change at run time.
///
/// In ``TransferMode/burst`` everything goes straight through. In the other modes one transaction at a time is cut into quanta, and
/// each is started when the mode allows: that is where other users of the bus, and of the CPU, get their turn. A cyclic transaction
/// cannot be cut; its peripheral paces it.
///
/// The engine below is believed no more than a channel believes its own: what it says of a quantum is checked before the next one starts,
/// and what cannot be is dropped and counted in ``faults``.
///
/// Pausing works on every engine below, between quanta. Thread rules: as for every engine.
@safe
public struct PacedEngine<Base: Engine & ~Copyable>: ~Copyable, Engine {
    /// Where the engine stands between one termination and the first work after it.
    private enum State {
        case running
        /// Terminated, and not quiesced: nothing is taken.
        case terminating
        /// Quiesced: what is left is kept for ``residue(of:)`` until something new comes.
        case quiesced
    }

    private var base: Base
    private var scheduler: TurnScheduler
    private var inFlight: InFlightTable
    private let list: PieceList
    private let worksInPoll: Bool
    /// Transactions in the order of submission: those that went straight through are not here.
    private var waiting: [PacedTransaction] = []
    /// How many of them were issued, and whether a piece of the first is with the engine below.
    private var issued = 0
    private var hasPiece = false
    private var state = State.running
    private var isPaused = false
    private var baseIsPaused = false
    /// Whether the engine below was asked to stop and did not.
    private var isStuck = false

    /// - Parameters:
    ///   - base: the engine that does the work.
    ///   - mode: how it takes its turns.
    ///   - quantum: bytes moved in one turn, 8 or more; rounded down to a multiple of 64 where it can be, and up to the engine's
    ///     alignment.
    /// - Throws: `badShare` for a share that is not above 0 and at most 1; `badConfiguration` where the engine's capabilities contradict
    ///   themselves, as a channel does.
    public init(_ base: consuming Base, mode: TransferMode = .burst, quantum: UInt64 = 65_536) throws(DMAError) {
        let capabilities = base.capabilities
        let inFlight = try InFlightTable(capabilities)
        let scheduler = try TurnScheduler(
            mode, quantum: quantum, alignment: capabilities.alignment, now: cdma_monotonic_nanoseconds())
        self.inFlight = inFlight
        self.scheduler = scheduler
        list = PieceList(capabilities)
        worksInPoll = capabilities.worksInPoll
        self.base = base
    }

    deinit {
        var base = consume base
        var isStopped = inFlight.count == 0
        if !isStopped {
            base.terminate()
            // The channel above has waited already, where there is one.
            isStopped = base.quiesce(by: isStuck ? .now : .after(milliseconds: 1000))
        }
        if isStopped { list.deallocate() } else { list.park() }
    }

    /// What the engine below can do, and pausing.
    public var capabilities: Capabilities {
        var capabilities = base.capabilities
        capabilities.canPause = true
        capabilities.quantum = scheduler.quantum
        if capabilities.residueGranularity == .descriptor { capabilities.residueGranularity = .segment }
        if !scheduler.mode.isBurst { capabilities.hasInterrupts = false }
        return capabilities
    }
    /// The line of the engine below, in burst mode. In the others the next quantum starts when somebody polls, and no interrupt comes in the
    /// rest between two: whoever awaits has to look.
    public var interruptLine: InterruptLine? { scheduler.mode.isBurst ? base.interruptLine : nil }
    public var figures: [EngineFigure] { base.figures }

    /// What the engine below did that no honest one does. What is counted here never reaches the channel above.
    public var faults: EngineFaults { inFlight.faults }

    /// Changes the mode; the next quantum follows it.
    ///
    /// - Throws: `badShare`.
    public mutating func setMode(_ mode: TransferMode) throws(DMAError) {
        try scheduler.setMode(mode, now: cdma_monotonic_nanoseconds())
    }

    /// How long the engine was at work since the mode was last set, and of how long: time with nothing to do, or in which nobody looked,
    /// does not count. Nanoseconds.
    public var totalDuty: (busy: Int64, elapsed: Int64) { scheduler.total(now: cdma_monotonic_nanoseconds()) }

    // MARK: Work

    public mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> Bool {
        guard state != .terminating, list.holds(descriptor) else { return false }
        if state == .quiesced { forget() }
        if waiting.isEmpty, !isPaused, scheduler.mode.isBurst || !descriptor.kind.canBeCut {
            let entry = InFlightTable.Entry(
                tag: tag, count: descriptor.count, isCyclic: descriptor.kind == .cyclic, isPiece: false)
            return start(descriptor, entry)
        }
        guard !inFlight.isFull(with: waiting.count) else { return false }
        waiting.append(PacedTransaction(descriptor, tag: tag))
        return true
    }

    /// Gives the engine below one descriptor; false where it has no room.
    private mutating func start(_ descriptor: Descriptor, _ entry: InFlightTable.Entry) -> Bool {
        guard let tag = inFlight.nextTag() else { return false }
        guard base.enqueue(descriptor, tag: tag) else {
            inFlight.refusedEnqueue()
            return false
        }
        inFlight.enter(entry)
        return true
    }

    /// What was left when the engine quiesced is over.
    private mutating func forget() {
        waiting.removeAll(keepingCapacity: true)
        inFlight.clear()
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
            // A look in a rest is the client's own affair: charged to the transfer, looks alone would use a small share up.
            guard hasPiece || inFlight.wholes > 0 || scheduler.isDue(now: cdma_monotonic_nanoseconds()) else { return nil }
            scheduler.begin(work: workClock)
        }
        defer { if charges { scheduler.charge(work: workClock) } }
        // Bounded, both: a turn of the caller's is a few quanta long at most, and an engine that reports for ever keeps no caller.
        var pieces = 8
        var refusals = inFlight.mostReports
        while pieces > 0, refusals > 0 {
            startPiece()
            guard let completion = base.next() else { return nil }
            switch inFlight.settle(completion) {
            case .refused:
                refusals -= 1
            case .period(let entry):
                return Completion(tag: entry.tag, isPeriod: true, residue: completion.residue, value: completion.value)
            case .over(let entry, let status, let residue):
                var checked = Completion(tag: entry.tag, status: status, residue: residue, value: completion.value)
                guard entry.isPiece else { return checked }
                pieces -= 1
                if finishPiece(&checked, entry) { return checked }
            }
        }
        return nil
    }

    /// Starts a piece of the oldest issued transaction, where none is under way and the mode allows one now.
    private mutating func startPiece() {
        guard !hasPiece, issued > 0, !isPaused, state == .running, inFlight.wholes == 0 else { return }
        let grain = waiting[0].descriptor.kind.canBeCut ? waiting[0].grain(scheduler.alignment) : nil
        guard let allowed = scheduler.grant(grain: grain, now: cdma_monotonic_nanoseconds()) else { return }
        // SAFETY: no piece is in flight, so that no engine reads the list while it is written.
        let (descriptor, count) = unsafe waiting[0].cut(allowed, list.segments, list.capacity)
        let entry = InFlightTable.Entry(
            tag: waiting[0].tag, count: count, isCyclic: descriptor.kind == .cyclic, isPiece: true)
        let isStarted = start(descriptor, entry)
        // What cannot be cut was not granted by the byte.
        if grain != nil { scheduler.giveBack(isStarted ? allowed - min(count, allowed) : allowed) }
        guard isStarted else { return }
        hasPiece = true
        if !worksInPoll { scheduler.begin(work: workClock) }
        inFlight.issue()
        base.issuePending()
    }

    /// What time at work is measured by. Where the poll does the work, all that the thread does in here is the transfer's cost: polling, and
    /// going to sleep and waking too. Elsewhere it is the time from a piece's start to its end.
    private var workClock: Int64 { worksInPoll ? cdma_thread_nanoseconds() : cdma_monotonic_nanoseconds() }

    /// The piece of the first transaction is over. True where the transaction is too: then `completion` says how.
    private mutating func finishPiece(_ completion: inout Completion, _ entry: InFlightTable.Entry) -> Bool {
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

    public mutating func terminate() {
        base.terminate()
        state = .terminating
        issued = 0
    }

    /// What the engine below finished before it stopped, and has not reported yet, still counts: it comes out of ``next()``.
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

    public mutating func pause() -> Bool {
        // What went straight through can be held only by the engine itself.
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
