// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAEngineKit

/// Cargo that waits for its next transaction to be due.
struct IdleCargo<C: ~Copyable>: ~Copyable {
    /// An array holds no noncopyable values.
    private final class Box {
        var cargo: C?
        let place: Int?

        init(_ cargo: consuming C, _ place: Int?) {
            self.cargo = consume cargo
            self.place = place
        }
    }

    private var boxes: [Box] = []

    /// - Parameter place: where its last transaction went in a file, 0 where there is no file; nil where it had no transaction.
    mutating func put(_ cargo: consuming C, at place: Int?) { boxes.append(Box(cargo, place)) }
    mutating func take() -> C? { boxes.popLast()?.cargo.take() }
    var isEmpty: Bool { boxes.isEmpty }

    /// What `check` finds in cargo of which a transaction is finished; nil where there is none.
    func checkOne<R>(_ check: (borrowing C, Int) throws(DMAError) -> R) throws(DMAError) -> R? {
        guard let box = boxes.last(where: { $0.place != nil && $0.cargo != nil }) else { return nil }
        return try box.cargo.checked(box.place ?? 0, check)
    }
}

/// When transactions are due, at a rate: the first at the beginning, each later one a gap after the one before.
struct Schedule {
    let began: Int64
    /// Nanoseconds between two transactions.
    let gap: Double
    private var number = 0

    init(began: Int64, gap: Double) {
        self.began = began
        self.gap = gap
    }

    /// When the next one is due.
    var due: Int64 { began + Int64(Double(number) * gap) }

    /// Goes on to the one after the next.
    mutating func step() { number += 1 }

    /// Nanoseconds before a due time in which the clock is polled: a sleep of the kernel ends late by some 50 us.
    static let slack: Int64 = 100_000

    /// Sleeps until shortly before `time`, and polls the clock from then on.
    static func wait(until time: Int64) {
        let early = time - slack
        if early > cdma_monotonic_nanoseconds() { cdma_sleep_until(early) }
        while cdma_monotonic_nanoseconds() < time {}
    }
}

extension LaneClient {
    /// Runs until ``end`` at a rate: a transaction is due every `gap` nanoseconds, whether or not earlier ones are finished, and its latency
    /// counts from then. An engine that falls behind shows it in the latency. A closed loop would hide that: it submits less while it waits.
    ///
    /// - Parameters:
    ///   - idle: cargo of transactions that are not in flight. It bounds how many are.
    ///   - gap: nanoseconds between two transactions.
    ///   - sleeps: whether to wait for interrupts, and to sleep until the next transaction is due.
    mutating func runLimited<E: Engine & ~Copyable, C: LaneCargo & ~Copyable>(
        _ channel: inout Channel<E, C>, _ idle: inout IdleCargo<C>, gap: Double, sleeps: Bool, stamped: Bool
    ) throws(DMAError) {
        var schedule = Schedule(began: cdma_monotonic_nanoseconds(), gap: gap)
        var progress = schedule.began
        while true {
            var now = cdma_monotonic_nanoseconds()
            while let finished = channel.next() {
                guard finished.status == .complete, walk == nil || finished.residue == 0 else {
                    throw DMAError(.engineFailed, errno: finished.errno)
                }
                now = cdma_monotonic_nanoseconds()
                operations += 1
                let slot = Int(finished.cookie.rawValue & stampMask)
                // What an earlier part submitted has no stamp.
                if stamped, stamps[slot] != 0 { latencies.record(max(now - stamps[slot], 0)) }
                stamps[slot] = 0
                let place = place(of: finished.cookie)
                idle.put(finished.takeCargo(), at: place)
                progress = now
            }
            log?.note(now, operations)
            if isOver(now, stamped) { break }
            try submitDue(&channel, &idle, &schedule, now, stamped)
            if unissued > 0 { issue(&channel) }
            guard channel.inFlight == 0 || now - progress < LaneClient.patience else { throw DMAError(.deadlinePassed) }
            let next = idle.isEmpty ? end : min(schedule.due, end)
            guard sleeps, next - now > Schedule.slack else { continue }
            if channel.inFlight > 0 {
                _ = try channel.wait(until: min(Deadline(nanoseconds: next - Schedule.slack), .after(milliseconds: 100)))
            } else {
                Schedule.wait(until: min(next, now + 100_000_000))
                progress = now
            }
        }
    }

    /// Submits what is due, as far as there is cargo for it.
    private mutating func submitDue<E: Engine & ~Copyable, C: LaneCargo & ~Copyable>(
        _ channel: inout Channel<E, C>, _ idle: inout IdleCargo<C>, _ schedule: inout Schedule, _ now: Int64, _ stamped: Bool
    ) throws(DMAError) {
        while schedule.due <= now {
            guard var cargo = idle.take() else { return }
            let request = nextRequest()
            if marks, let walk { try cargo.mark(walk, place) }
            let began = stamped ? cdma_monotonic_nanoseconds() : 0
            let cookie = try submit(&channel, request, cargo)
            if stamped {
                submitNanoseconds += cdma_monotonic_nanoseconds() - began - clockCost
                submits += 1
            }
            stamps[Int(cookie.rawValue & stampMask)] = stamped ? schedule.due : 0
            unissued += 1
            schedule.step()
        }
    }
}

extension Optional where Wrapped: ~Copyable {
    /// What `check` finds in the value; nil where there is none.
    fileprivate borrowing func checked<R>(_ place: Int, _ check: (borrowing Wrapped, Int) throws(DMAError) -> R)
        throws(DMAError) -> R?
    {
        switch self {
        case .some(let value): try check(value, place)
        case .none: nil
        }
    }
}
