// SPDX-License-Identifier: Apache-2.0

internal import DMATypes

/// When a paced engine may start its next piece, and how large that is: the transfer mode as a policy, apart from any engine.
///
/// It reads no clock and touches no engine: the moments are passed in. `now` is CLOCK_MONOTONIC; `work` is the clock that time at work
/// is measured by, the thread's processor time where the poll does the work and CLOCK_MONOTONIC elsewhere. Nanoseconds, both.
struct TurnScheduler {
    private(set) var mode: TransferMode
    /// Bytes that one turn's piece has at most, and what they are a multiple of.
    let quantum: UInt64
    let alignment: UInt64

    private var duty: DutyClock
    /// From where on time at work is not yet charged, by the clock of the work.
    private var mark: Int64 = 0
    /// A rest was slept to its end: the next quantum starts, although waking up has cost something of its own. Without that, a small
    /// share would be used up by going to sleep and waking.
    private var isRested = false
    /// What the last rest cost, and how much of the turn it brought is left, by the clock of the work.
    private var restCost: Int64 = 0
    private var turn: Int64 = 0
    private var pastBusy: Int64 = 0
    private var pastElapsed: Int64 = 0

    /// A turn is so many times as long as the rest before it cost: going to sleep and waking then use a fifth of the share, and not most
    /// of a small one. It has an end, because whoever the turns are taken from waits for it: nanoseconds.
    static let turnsPerRest: Int64 = 4
    static let longestTurn: Int64 = 500_000

    /// - Parameters:
    ///   - quantum: bytes of one piece; rounded down to a multiple of 64 where it can be, and up to `alignment`.
    ///   - alignment: what the engine's addresses and lengths are multiples of: a power of two.
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

    /// Another mode from the next piece on; what was counted begins again.
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

    /// How many bytes the next piece may have; nil where none may start now.
    ///
    /// - Parameter grain: what the piece's bytes are a multiple of, 1 or more; nil for a transaction that cannot be cut, which goes as a
    ///   whole, whatever the mode.
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

    /// Of what ``grant(grain:now:)`` allowed, so many bytes were not moved after all.
    mutating func giveBack(_ bytes: UInt64) {
        if case .demand(let line) = mode, bytes > 0 { line.giveBack(bytes) }
    }

    /// A turn that is long overdue begins a run: time in which there was nothing to do, or nobody looked, earns no credit. Turns that follow
    /// each other closely are one run, so that what the last one owes, or overslept, is settled.
    private mutating func beginRun(now: Int64) {
        guard case .cycleStealing(let share) = mode, duty.isStale(share, now: now) else { return }
        pastBusy = DutyClock.sum(pastBusy, duty.busy)
        // What went by after the last turn's rest was over belongs to no run.
        pastElapsed = DutyClock.sum(pastElapsed, duty.charged(share))
        duty = DutyClock(now: now)
        turn = 0
    }

    // MARK: Time at work

    /// Work begins: what went by until now is charged to nobody.
    mutating func begin(work: Int64) { mark = work }

    /// What went by since ``begin(work:)``, or since the last charge, was work.
    mutating func charge(work: Int64) {
        let spent = max(DutyClock.difference(work, mark), 0)
        duty.add(spent)
        turn = DutyClock.difference(turn, spent)
        mark = work
    }

    /// How long the engine was at work since the mode was last set, and of how long.
    func total(now: Int64) -> (busy: Int64, elapsed: Int64) {
        let busy = DutyClock.sum(pastBusy, duty.busy)
        guard case .cycleStealing(let share) = mode, duty.isStale(share, now: now) else {
            return (busy, DutyClock.sum(pastElapsed, duty.elapsed(now: now)))
        }
        return (busy, DutyClock.sum(pastElapsed, duty.charged(share)))
    }

    // MARK: Rests

    /// Until when a waiting thread has to sleep before the next piece; nil where the clock asks for no rest now.
    var restEnd: Int64? {
        guard case .cycleStealing(let share) = mode, turn <= 0 else { return nil }
        return duty.due(share)
    }

    /// A rest was slept to its end, and going to sleep and waking cost so much of the clock of the work.
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
