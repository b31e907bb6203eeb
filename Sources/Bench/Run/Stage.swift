// SPDX-License-Identifier: Apache-2.0

internal import DMACore
internal import DMAEngineKit
internal import Synchronization

/// Where the threads of one measurement meet: each arrives, all wait, and the conductor lets them go on together.
final class Stage: Sendable {
    /// What a lane is let through for.
    enum Phase: UInt64, CaseIterable {
        /// Latency with one in flight on each channel.
        case alone = 1
        case throughput = 2
        /// Latency with everything in flight.
        case latency = 3
    }

    let lanes: Int
    /// Whether there is a phase ``Phase/alone``.
    let measuresAlone: Bool
    /// Nanoseconds of CLOCK_MONOTONIC at which the present phase ends.
    private let ends = Atomic<Int64>(0)
    private let arrivals = InterruptLine()
    private let go = InterruptLine()
    private let wasCalledOff = Atomic<Bool>(false)

    init(lanes: Int, measuresAlone: Bool = false) {
        self.lanes = lanes
        self.measuresAlone = measuresAlone
    }

    /// The number of a phase among those that there are, from 1.
    private func number(_ phase: Phase) -> UInt64 { measuresAlone ? phase.rawValue : max(phase.rawValue - 1, 1) }

    /// When the present phase ends.
    var end: Int64 { ends.load(ordering: .acquiring) }
    /// A time series of the throughput part, which has just begun; nil where none is kept.
    func log(_ settings: BenchSettings) -> SpeedLog? {
        let nanoseconds = Int64(settings.seconds * 1e9)
        return settings.interval.map { SpeedLog(seconds: $0, began: end - nanoseconds, nanoseconds: nanoseconds) }
    }

    /// Whether a lane failed or a stop was requested: all lanes end, and what was measured does not count.
    var isCalledOff: Bool { wasCalledOff.load(ordering: .acquiring) }

    // MARK: A lane

    /// Says that this lane is ready for `phase` and sleeps until all are.
    func arrive(for phase: Phase) {
        arrivals.raise()
        let number = number(phase)
        while go.count < number, !isCalledOff {
            _ = go.wait(after: number - 1, until: .after(milliseconds: 100))
        }
    }

    /// The same for a lane that is a task.
    func arrive(for phase: Phase) async {
        arrivals.raise()
        let number = number(phase)
        while go.count < number, !isCalledOff { await go.wait(after: number - 1) }
    }

    /// A lane failed, or the measurement is to be stopped: no lane waits for another any more. Any thread may call it, more than once.
    func callOff() {
        wasCalledOff.store(true, ordering: .releasing)
        for _ in Phase.allCases { go.raise() }
        for _ in 0..<(lanes * Phase.allCases.count) { arrivals.raise() }
    }

    // MARK: The conductor

    /// Waits until all lanes are ready for `phase`.
    func gather(for phase: Phase) async {
        let wanted = UInt64(lanes) * number(phase)
        while arrivals.count < wanted { await arrivals.wait(after: wanted - 1) }
    }

    /// Sleeps until so many lanes are ready for the first phase: for one that has something to do before it is ready itself.
    func waitForLanes(_ number: Int) {
        while arrivals.count < UInt64(number), !isCalledOff {
            _ = arrivals.wait(after: UInt64(number) - 1, until: .after(milliseconds: 100))
        }
    }

    /// Lets all lanes into the next phase, which ends at `end`.
    func release(until end: Int64) {
        ends.store(end, ordering: .releasing)
        go.raise()
    }
}
