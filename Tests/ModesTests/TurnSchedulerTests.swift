// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import DMACore

/// The transfer modes as a policy: without an engine, and with a clock that the test advances.
@Suite("Turns")
struct TurnSchedulerTests {
    private func scheduler(
        _ mode: TransferMode, quantum: UInt64 = 4096, alignment: UInt64 = 1, now: Int64 = 0
    ) throws -> TurnScheduler {
        try TurnScheduler(mode, quantum: quantum, alignment: alignment, now: now)
    }

    @Test("burst lets everything go at once")
    func burst() throws {
        var turns = try scheduler(.burst)
        #expect(turns.grant(grain: 1, now: 0) == .max)
        #expect(turns.grant(grain: nil, now: 0) == .max)
        #expect(turns.restEnd == nil && turns.isDue(now: .min))
    }

    @Test("a quantum is a multiple of 64 and of the alignment, and at least one of them")
    func quantum() throws {
        for (asked, alignment, got) in [
            (0, 1, 64), (63, 1, 64), (64, 1, 64), (200, 1, 192), (4096, 512, 4096), (100, 512, 512), (1000, 512, 512),
            (UInt64.max, 1, UInt64.max - 63), (.max, 1 << 63, 1 << 63), (0, 0, 64), (0, .max, .max),
        ] as [(UInt64, UInt64, UInt64)] {
            #expect(try scheduler(.burst, quantum: asked, alignment: alignment).quantum == got, "\(asked) by \(alignment)")
        }
    }

    @Test("cycle stealing: after a turn, a pause that yields the requested share")
    func rests() throws {
        var turns = try scheduler(.cycleStealing(share: 0.25), now: 1000)
        #expect(turns.grant(grain: 1, now: 1000) == 4096)
        turns.begin(work: 0)
        turns.charge(work: 300)
        #expect(turns.restEnd == 2200)
        #expect(!turns.isDue(now: 2199) && turns.grant(grain: 1, now: 2199) == nil)
        #expect(turns.isDue(now: 2200) && turns.grant(grain: 1, now: 2200) == 4096)
        let total = turns.total(now: 2200)
        #expect(total.busy == 300 && total.elapsed == 1200)
    }

    @Test("a pause slept to its end yields a turn, four times as long as the sleep cost")
    func turns() throws {
        var turns = try scheduler(.cycleStealing(share: 0.5))
        _ = turns.grant(grain: 1, now: 0)
        turns.begin(work: 0)
        turns.charge(work: 1000)
        // Woken, at a cost of 100, before the share has come down again.
        turns.charge(work: 1100)
        turns.rested(cost: 100)
        #expect(turns.grant(grain: 1, now: 2000) == 4096)
        // The turn lasts for 400: no pause is due within it.
        turns.charge(work: 1400)
        #expect(turns.restEnd == nil && turns.grant(grain: 1, now: 2000) == 4096)
        turns.charge(work: 1500)
        #expect(turns.restEnd == 3000 && turns.grant(grain: 1, now: 2999) == nil)
        // However much a sleep cost, a turn is bounded.
        turns.rested(cost: .max)
        #expect(turns.grant(grain: 1, now: 2000) == 4096)
        turns.charge(work: 1500 + TurnScheduler.longestTurn)
        #expect(turns.restEnd != nil)
    }

    @Test("time without work earns no credit")
    func stale() throws {
        var turns = try scheduler(.cycleStealing(share: 0.5))
        _ = turns.grant(grain: 1, now: 0)
        turns.begin(work: 0)
        turns.charge(work: 1000)
        let late: Int64 = 2000 + 20_000_001
        #expect(turns.total(now: late).elapsed == 2000)
        #expect(turns.grant(grain: 1, now: late) == 4096)
        turns.charge(work: 2000)
        // The new run's clock starts with it.
        let end = turns.restEnd
        #expect(end == late + 2000)
        let total = turns.total(now: late + 2000)
        #expect(total.busy == 2000 && total.elapsed == 4000)
    }

    @Test("demand: as much as was requested, in whole grains; bytes that were not moved are returned to the line")
    func demand() throws {
        let line = DemandLine()
        var turns = try scheduler(.demand(line))
        #expect(turns.grant(grain: 1, now: 0) == nil)
        line.request(10_000)
        #expect(turns.grant(grain: 512, now: 0) == 4096)
        turns.giveBack(96)
        #expect(line.requested == 10_000 - 4000)
        #expect(turns.grant(grain: 4096, now: 0) == 4096)
        #expect(turns.grant(grain: 4096, now: 0) == nil)
        #expect(line.requested == 1904)
        // A transaction that cannot be split is not requested by bytes.
        #expect(turns.grant(grain: nil, now: 0) == .max)
        #expect(line.requested == 1904)
        // A grain that is larger than a quantum is one piece.
        line.request(.max)
        #expect(turns.grant(grain: 8192, now: 0) == 8192)
        #expect(turns.grant(grain: 0, now: 0) == 4096)
    }

    @Test("another mode starts with empty counters")
    func change() throws {
        var turns = try scheduler(.cycleStealing(share: 0.01))
        _ = turns.grant(grain: 1, now: 0)
        turns.begin(work: 0)
        turns.charge(work: 1_000_000)
        #expect(turns.grant(grain: 1, now: 2_000_000) == nil)
        try turns.setMode(.cycleStealing(share: 0.5), now: 2_000_000)
        #expect(turns.total(now: 2_000_000) == (0, 0))
        #expect(turns.grant(grain: 1, now: 2_000_000) == 4096)
    }

    @Test(
        "no share, no time and no cost makes it trap",
        arguments: [1e-300, .leastNonzeroMagnitude, .leastNormalMagnitude, 1, 0.999_999], [Int64.min, -1, 0, 1, .max])
    func extremes(_ share: Double, _ time: Int64) throws {
        for other in [Int64.min, -1, 0, 1, .max] {
            var turns = try scheduler(.cycleStealing(share: share), now: time)
            _ = turns.grant(grain: 1, now: other)
            turns.begin(work: time)
            turns.charge(work: other)
            turns.rested(cost: other)
            _ = turns.grant(grain: .max, now: time)
            turns.charge(work: time)
            _ = turns.grant(grain: nil, now: other)
            #expect(turns.total(now: other).busy >= 0)
            if let end = turns.restEnd { #expect(turns.isDue(now: end)) }
        }
    }

    @Test("invalid shares are refused", arguments: [0, -1, 1.5, .nan, .infinity, -.infinity, -0.0, 1.000_000_1])
    func badShares(_ share: Double) throws {
        #expect { try scheduler(.cycleStealing(share: share)) } throws: { ($0 as? DMAError)?.code == .badShare }
        var turns = try scheduler(.burst)
        #expect { try turns.setMode(.cycleStealing(share: share), now: 0) } throws: { ($0 as? DMAError)?.code == .badShare }
    }

    @Test("durations that are not numbers")
    func durations() {
        #expect(DutyClock.nanoseconds(.nan) == .max && DutyClock.nanoseconds(.infinity) == .max)
        #expect(DutyClock.nanoseconds(-.infinity) == 0 && DutyClock.nanoseconds(-1) == 0 && DutyClock.nanoseconds(1.9) == 1)
        #expect(DutyClock.nanoseconds(0x1p63) == .max && DutyClock.nanoseconds(0x1p62) == 1 << 62)
        #expect(DutyClock.sum(.max, 1) == .max && DutyClock.sum(.min, -1) == .min)
        #expect(DutyClock.difference(.min, 1) == .min && DutyClock.difference(.max, -1) == .max)
        #expect(DutyClock.product(.max, 2) == .max && DutyClock.product(.min, 2) == .min && DutyClock.product(.min, -1) == .max)
    }
}
