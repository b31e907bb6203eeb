// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import DMAConformance
import DMACore
import DMAEngineKit
import Testing

@testable import DMASelfTest

/// The findings of the rows of `dmactl test`, on engines that fail only now and then.
@Suite("Rows of the self-test", .serialized)
struct ModeRowTests {
    private func measure(
        share: Double, lost: Int?, mixed: Int? = nil, verifies: Bool = true, duration: Int64 = 0
    ) throws -> ModeRow {
        var test = SelfTest(seed: 9)
        test.duration = duration
        test.choice.verifies = verifies
        return try ModeRow.measure("engine", share: share, test, Domain(name: "rows")) { () throws(DMAError) in
            ForgetfulEngine(try CPUEngine(CPUConfiguration(depth: 8)), lost: lost, mixed: mixed)
        }
    }

    @Test("one copy that was not made is found, whichever it is", arguments: [1.0, 0.5], [0, 1, 3])
    func lost(_ share: Double, _ copy: Int) throws {
        let row = try measure(share: share, lost: copy)
        #expect(!row.passed)
        // In burst mode all of it is missing; otherwise a quantum.
        #expect(row.bytesWrong == (share == 1 ? 1 << 20 : 65_536))
        #expect(row.bytesVerified >= 4 << 20 && row.bytesVerified.isMultiple(of: 4 << 20))
    }

    @Test("a missing copy in a later round is found too: the earlier round's data is wiped")
    func lostLater() throws {
        // As long as it takes to reach the second round.
        for duration: Int64 in [100_000_000, 1_000_000_000, 10_000_000_000, 100_000_000_000] {
            let row = try measure(share: 1, lost: 20, duration: duration)
            guard row.bytesVerified > 16 << 20 else { continue }
            #expect(!row.passed && row.bytesWrong == 1 << 20)
            return
        }
        Issue.record("no second round")
    }

    @Test("a copy of another source than its own is found")
    func mixed() throws {
        let row = try measure(share: 1, lost: nil, mixed: 5)
        #expect(!row.passed && row.bytesWrong > 1 << 19 && row.bytesWrong <= 1 << 20)
    }

    @Test("the speed is that of the transfers, and the share that of the engine")
    func figures() throws {
        for share in [1.0, 0.5] {
            let began = Deadline.now.nanoseconds
            let row = try measure(share: share, lost: nil)
            let seconds = Double(Deadline.now.nanoseconds - began) / 1e9
            // Preparing and comparing took time too.
            #expect(row.bytesPerSecond >= Double(row.bytesVerified) / seconds && row.bytesPerSecond < 1e12)
            #expect(row.askedShare == share && row.mode == (share == 1 ? "burst" : "cycle-stealing"))
            // The pause after each turn is as long as the turn.
            if share == 0.5 { #expect(row.measuredShare < 0.8) } else { #expect(row.measuredShare > 0.5) }
        }
    }

    @Test("a row that is stopped ends after a round, with every copy compared")
    func stopped() throws {
        var test = SelfTest(seed: 9)
        let stop = StopRequest()
        (test.duration, test.stop) = (20_000_000_000, stop)
        stop.stop()
        let row = try ModeRow.measure("engine", share: 1, test, Domain(name: "rows")) { () throws(DMAError) in
            try CPUEngine(CPUConfiguration(depth: 8))
        }
        #expect(row.passed && row.bytesVerified == 16 << 20 && row.bytesPerSecond > 0)
    }

    @Test("if all copies are made, nothing is wrong, and every copy was compared", arguments: [1.0, 0.5])
    func whole(_ share: Double) throws {
        let row = try measure(share: share, lost: nil)
        #expect(row.passed && row.bytesVerified >= 4 << 20)
        #expect(row.measuredShare > 0 && row.measuredShare <= 1)
        let unseen = try measure(share: share, lost: 0, verifies: false)
        #expect(unseen.passed && unseen.bytesVerified == 0 && unseen.bytesPerSecond > 0)
    }
}

/// Reports one copy complete that it has not made, or that it made of the previous source.
private struct ForgetfulEngine: ~Copyable, Engine {
    var addressing: EngineAddressing { base.addressing }
    var isGone: Bool { base.isGone }
    mutating func willBeParked() { base.willBeParked() }
    private var base: CPUEngine
    private let lost: Int?
    private let mixed: Int?
    private var count = 0
    private var before: UInt64 = 0

    init(_ base: consuming CPUEngine, lost: Int?, mixed: Int?) {
        self.base = base
        self.lost = lost
        self.mixed = mixed
    }

    var capabilities: Capabilities { base.capabilities }
    @unsafe mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        defer { (count, before) = (count + 1, descriptor.source) }
        var descriptor = descriptor
        // The memory of the previous copy is kept to the end of the round.
        if count == mixed { descriptor.source = before }
        // The source onto itself: the target stays unchanged.
        if count == lost { descriptor.destination = descriptor.source }
        return unsafe base.enqueue(descriptor, tag: tag)
    }
    mutating func issuePending() { base.issuePending() }
    mutating func next() -> Completion? { base.next() }
    mutating func terminate() { base.terminate() }
    mutating func quiesce(by deadline: Deadline) -> Bool { base.quiesce(by: deadline) }
}
