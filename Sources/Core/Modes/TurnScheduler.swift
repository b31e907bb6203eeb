// SPDX-License-Identifier: Apache-2.0

internal import DMATypes

/// Decides when a paced engine may start its next piece, and its size: the transfer mode as a policy, independent of any
/// engine.
///
/// It reads no clock and calls no engine: times are passed in. `now` is CLOCK_MONOTONIC; `work` is the clock for time at work:
/// the thread's processor time where the poll does the work, CLOCK_MONOTONIC otherwise. Both in nanoseconds.
struct TurnScheduler {
    private(set) var mode: TransferMode
    /// The maximum number of bytes in one turn's piece, and the unit of its length.
    let quantum: UInt64
    let alignment: UInt64

    private var duty: DutyClock
    /// Start of the time at work that is not yet charged, on the work clock.
    private var mark: Int64 = 0
    /// A pause was slept to its end: the next quantum starts, although waking up has used some of the share. Otherwise a small
    /// share would be used up by going to sleep and waking.
    private var isRested = false
    /// The cost of the last pause, and the rest of the turn that followed it, on the work clock.
    private var restCost: Int64 = 0
    private var turn: Int64 = 0
    private var pastBusy: Int64 = 0
    private var pastElapsed: Int64 = 0

    /// A turn is this many times as long as the preceding pause cost: going to sleep and waking then use a fifth of the share,
    /// and not most of a small one. Its length is bounded, because other users wait for it: nanoseconds.
    static let turnsPerRest: Int64 = 4
    static let longestTurn: Int64 = 500_000

    /// - Parameters:
    ///   - quantum: bytes of one piece; rounded down to a multiple of 64 if possible, and up to `alignment`.
    ///   - alignment: the unit of the engine's addresses and lengths: a power of two.
    /// - Throws: `badShare`.
    init(_ mode: TransferMode, quantum: UInt64, alignment: UInt64, now: Int64) throws(DMAError) {
        try mode.check()
        self.mode = mode
        self.alignment = max(alignment, 1)
        let grain = max(self.alignment, 64)
        // Not above `quantum`, or one grain: neither overflows.
        self.quantum = max(quantum / grain, 1) * grain
        duty = DutyClock(now: now)
    }

    /// Sets another mode from the next piece on; the counters restart.
    mutating func setMode(_ mode: TransferMode, now: Int64) throws(DMAError) {
        try mode.check()
        self.mode = mode
        (turn, restCost, isRested) = (0, 0, false)
        duty = DutyClock(now: now)
        (pastBusy, pastElapsed) = (0, 0)
    }

    // MARK: Pieces

    /// Whether the mode lets a piece start now, as far as the clock decides that.
    func isDue(now: Int64) -> Bool {
        guard case .cycleStealing(let share) = mode else { return true }
        return turn > 0 || isRested || duty.isDue(share, now: now)
    }

    /// The size of the next piece in bytes; nil where none may start now.
    ///
    /// - Parameter grain: the unit of the piece's length, 1 or more; nil for a transaction that cannot be split, which is
    ///   granted as a whole in any mode.
    mutating func grant(grain: UInt64?, now: Int64) -> UInt64? {
        switch mode {
        case .burst:
            return .max
        case .cycleStealing:
            guard isDue(now: now) else { return nil }
            if turn <= 0 {
                beginRun(now: now)
                isRested = false
                turn = min(DutyClock.product(Self.turnsPerRest, restCost), Self.longestTurn)
            }
            return grain == nil ? .max : quantum
        case .demand(let line):
            guard let grain else { return .max }
            let taken = line.take(max(grain, 1), atMost: max(quantum, grain))
            return taken > 0 ? taken : nil
        }
    }

    /// Returns bytes that ``grant(grain:now:)`` allowed and that were not moved after all.
    mutating func giveBack(_ bytes: UInt64) {
        if case .demand(let line) = mode, bytes > 0 { line.giveBack(bytes) }
    }

    /// A turn that is long overdue begins a run: time without work or without polls earns no credit. Turns that follow each
    /// other closely form one run, so that debts and late wake-ups are compensated.
    private mutating func beginRun(now: Int64) {
        guard case .cycleStealing(let share) = mode, duty.isStale(share, now: now) else { return }
        pastBusy = DutyClock.sum(pastBusy, duty.busy)
        // The time after the end of the last pause belongs to no run.
        pastElapsed = DutyClock.sum(pastElapsed, duty.charged(share))
        duty = DutyClock(now: now)
        turn = 0
    }

    // MARK: Time at work

    /// Work begins: the time before it is not charged.
    mutating func begin(work: Int64) { mark = work }

    /// Charges the time since ``begin(work:)``, or since the last charge, as work.
    mutating func charge(work: Int64) {
        let spent = max(DutyClock.difference(work, mark), 0)
        duty.add(spent)
        turn = DutyClock.difference(turn, spent)
        mark = work
    }

    /// Time at work since the mode was last set, and the elapsed time.
    func total(now: Int64) -> (busy: Int64, elapsed: Int64) {
        let busy = DutyClock.sum(pastBusy, duty.busy)
        guard case .cycleStealing(let share) = mode, duty.isStale(share, now: now) else {
            return (busy, DutyClock.sum(pastElapsed, duty.elapsed(now: now)))
        }
        return (busy, DutyClock.sum(pastElapsed, duty.charged(share)))
    }

    // MARK: Rests

    /// The time until which a waiting thread must sleep before the next piece; nil where no pause is due.
    var restEnd: Int64? {
        guard case .cycleStealing(let share) = mode, turn <= 0 else { return nil }
        return duty.due(share)
    }

    /// A pause was slept to its end; going to sleep and waking took that much time on the work clock.
    mutating func rested(cost: Int64) {
        restCost = max(cost, 0)
        isRested = true
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
