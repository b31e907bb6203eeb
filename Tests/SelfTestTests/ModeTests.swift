// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import DMACore
import DMAEngineKit
import DMASelfTest
import Glibc
import Testing

@Suite("Transfer modes", .serialized)
struct ModeTests {
    typealias Copies = Channel<PacedEngine<CPUEngine>, Pair<MappedBuffer, MappedBuffer>>
    let domain = Domain(name: "modes")

    func channel(_ mode: TransferMode, quantum: UInt64 = 4096) throws -> Copies {
        try Channel(
            PacedEngine(CPUEngine(CPUConfiguration(depth: 8)), mode: mode, quantum: quantum), domain: domain)
    }

    func cargo(_ count: Int) throws -> Pair<MappedBuffer, MappedBuffer> {
        Pair(
            try Buffer(count: count).mapped(for: domain, direction: .toDevice),
            try Buffer(count: count).mapped(for: domain, direction: .fromDevice))
    }

    /// Polls for at most half a minute. True where a transaction finished.
    func finishes(_ channel: inout Copies) -> Bool {
        let limit = Deadline.after(milliseconds: 30_000)
        while Deadline.now < limit {
            if let finished = channel.next() { return finished.status == .complete && finished.residue == 0 }
        }
        return false
    }

    @Test("demand moves the requested bytes, and no byte more")
    func demandCounts() throws {
        let line = DemandLine()
        var channel = try channel(.demand(line))
        let cookie = try channel.submit(.copy(), try cargo(10_000)).get()
        channel.issuePending()
        for _ in 0..<100 { channel.poll() }
        let answer1 = try channel.residue(of: cookie)
        #expect(answer1 == 10_000)
        line.request(1000)
        for _ in 0..<100 { channel.poll() }
        let answer2 = try channel.residue(of: cookie)
        #expect(answer2 == 9000)
        #expect(line.requested == 0)
        line.request(8999)
        for _ in 0..<100 { channel.poll() }
        let answer3 = try channel.residue(of: cookie)
        #expect(answer3 == 1)
        let answer4 = try channel.status(of: cookie)
        #expect(answer4 == .inProgress)
        line.request(5000)
        let finished1 = finishes(&channel)
        #expect(finished1)
        // The request beyond the transfer is still pending.
        #expect(line.requested == 4999)
        line.withdraw()
        #expect(line.requested == 0)
    }

    @Test("cycle stealing keeps its share")
    func share() throws {
        // The clock is the machine's, which others use too: wide bounds here; Benchmarks has the figures.
        for share in [0.5, 0.2] {
            var channel = try channel(.cycleStealing(share: share), quantum: 65_536)
            _ = try channel.submit(.copy(flags: .interrupt), try cargo(64 << 20)).get()
            channel.issuePending()
            var isFinished = false
            let limit = Deadline.after(milliseconds: 60_000)
            while !isFinished, Deadline.now < limit {
                if channel.next() != nil { isFinished = true } else { _ = try channel.wait(until: limit) }
            }
            #expect(isFinished)
            let duty = channel.withEngine { $0.totalDuty }
            let measured = Double(duty.busy) / Double(duty.elapsed)
            #expect(measured < share + 0.1)
            #expect(measured > share * 0.3)
        }
    }

    @Test("a poll during a pause costs the transfer nothing")
    func looksAreFree() throws {
        // A thread that is preempted until the pause ends has polled nothing during it.
        for _ in 0..<5 {
            let (looks, charged) = try looksInRest()
            #expect(charged == 0, "of \(looks) looks")
            if looks > 0 { return }
        }
        Issue.record("no poll fell into a pause")
    }

    /// Polls during a pause, and how many of them were charged to the transfer.
    private func looksInRest() throws -> (looks: Int, charged: Int) {
        var channel = try channel(.cycleStealing(share: 0.01), quantum: 8 << 20)
        let cookie = try channel.submit(.copy(), try cargo(16 << 20)).get()
        channel.issuePending()
        // The first quantum, after which the pause is 99 times as long.
        let end = Deadline.after(milliseconds: 60_000)
        while try channel.residue(of: cookie) > 8 << 20, Deadline.now < end { channel.poll() }
        // Read before the duty: after a preemption between the two the test expects the pause to end too early, not too late.
        let now = Deadline.now.nanoseconds
        let duty = channel.withEngine { $0.totalDuty }
        #expect(duty.busy > 0)
        let restEnds = now + 99 * duty.busy - duty.elapsed
        var (looks, charged) = (0, 0)
        while looks < 10_000 {
            channel.poll()
            guard Deadline.now.nanoseconds < restEnds else { break }
            looks += 1
            if channel.withEngine({ $0.totalDuty.busy }) != duty.busy { charged += 1 }
        }
        return (looks, charged)
    }

    @Test("time without polls is not saved up")
    func noCredit() throws {
        var channel = try channel(.cycleStealing(share: 0.1), quantum: 65_536)
        _ = try channel.submit(.copy(), try cargo(256 << 20)).get()
        channel.issuePending()
        channel.poll()
        usleep(200_000)
        let before = channel.withEngine { $0.totalDuty }
        let began = Deadline.now.nanoseconds
        let end = Deadline.after(milliseconds: 50)
        while Deadline.now < end {
            _ = try channel.wait(until: end)
            channel.poll()
        }
        let elapsed = Double(Deadline.now.nanoseconds - began)
        let busy = Double(channel.withEngine { $0.totalDuty.busy } - before.busy)
        #expect(busy > 0)
        // A tenth of the polled time, and what a late poll may compensate; all of it saved up would be 20 ms more.
        #expect(busy < 0.1 * elapsed + 5e6)
    }

    @Test("the mode changes in the middle of a transfer")
    func change() throws {
        let line = DemandLine()
        var channel = try channel(.demand(line))
        let cookie = try channel.submit(.copy(), try cargo(100_000)).get()
        channel.issuePending()
        line.request(50_000)
        for _ in 0..<200 { channel.poll() }
        let answer5 = try channel.residue(of: cookie)
        #expect(answer5 == 50_000)
        try channel.setMode(.burst)
        let finished2 = finishes(&channel)
        #expect(finished2)
    }

    @Test("a transfer that waits for demand is late, terminated, and returned")
    func lateAndTerminated() throws {
        let line = DemandLine()
        var channel = try channel(.demand(line))
        let transaction = Transaction(.copy(), try cargo(8192), deadline: .after(milliseconds: 1))
        let cookie = try channel.submit(transaction).get()
        channel.issuePending()
        line.request(4096)
        let limit = Deadline.after(milliseconds: 30_000)
        var late: LateTransaction?
        while late == nil, Deadline.now < limit { late = channel.nextLate() }
        #expect(late?.cookie == cookie)
        #expect(late?.residue == 4096)
        #expect((late?.lateness ?? 0) > 0)
        let again = channel.nextLate()
        #expect(again == nil)
        try channel.terminateSync()
        guard let finished = channel.next() else {
            Issue.record("nothing was returned")
            return
        }
        let (status, residue) = (finished.status, finished.residue)
        #expect(status == .aborted)
        #expect(residue == 4096)
    }

    @Test("invalid shares are refused", arguments: [0, -1, 1.5, .nan, .infinity])
    func badShares(_ share: Double) {
        #expect {
            _ = try channel(.cycleStealing(share: share))
        } throws: { error in
            (error as? DMAError)?.code == .badShare
        }
    }
}
