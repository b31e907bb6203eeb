// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import DMAConformance
import DMACore
import Testing

@testable import DMASelfTest

/// What the rows of `dmactl test` find, on engines that do wrong only now and then.
@Suite("Rows of the self-test", .serialized)
struct ModeRowTests {
    private func measure(share: Double, lost: Int?, verifies: Bool = true) throws -> ModeRow {
        var test = SelfTest(seed: 9)
        test.duration = 0
        test.choice.verifies = verifies
        return try ModeRow.measure("engine", share: share, test, Domain(name: "rows")) { () throws(DMAError) in
            ForgetfulEngine(try CPUEngine(CPUConfiguration(depth: 8)), lost: lost)
        }
    }

    @Test("one copy that was not made is found, whichever it is", arguments: [1.0, 0.5], [0, 1, 3])
    func lost(_ share: Double, _ copy: Int) throws {
        let row = try measure(share: share, lost: copy)
        #expect(!row.passed)
        // In burst mode all of it is lost; otherwise a quantum.
        #expect(row.bytesWrong == (share == 1 ? 1 << 20 : 65_536))
        #expect(row.bytesVerified >= 4 << 20 && row.bytesVerified.isMultiple(of: 4 << 20))
    }

    @Test("a row that is stopped ends after a round, of which every copy was compared")
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

    @Test("where all are made, nothing is wrong, and every copy was compared", arguments: [1.0, 0.5])
    func whole(_ share: Double) throws {
        let row = try measure(share: share, lost: nil)
        #expect(row.passed && row.bytesVerified >= 4 << 20)
        #expect(row.measuredShare > 0 && row.measuredShare <= 1)
        let unseen = try measure(share: share, lost: 0, verifies: false)
        #expect(unseen.passed && unseen.bytesVerified == 0 && unseen.bytesPerSecond > 0)
    }
}

/// Reports one copy complete that it has not made.
private struct ForgetfulEngine: ~Copyable, Engine {
    private var base: CPUEngine
    private let lost: Int?
    private var count = 0

    init(_ base: consuming CPUEngine, lost: Int?) {
        self.base = base
        self.lost = lost
    }

    var capabilities: Capabilities { base.capabilities }
    mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> Bool {
        defer { count += 1 }
        var descriptor = descriptor
        // The target is as it was wiped.
        if count == lost { descriptor = Descriptor(kind: .fill, destination: descriptor.destination, count: descriptor.count) }
        return base.enqueue(descriptor, tag: tag)
    }
    mutating func issuePending() { base.issuePending() }
    mutating func next() -> Completion? { base.next() }
    mutating func terminate() { base.terminate() }
    mutating func quiesce(by deadline: Deadline) -> Bool { base.quiesce(by: deadline) }
}
