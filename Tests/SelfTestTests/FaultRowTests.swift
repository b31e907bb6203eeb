// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import DMAConformance
import DMACore
import DMAEngineKit
import Testing

@testable import DMASelfTest

/// A machine may stop for any time: no row of faults may take slowness for a fault, or miss one because of it.
@Suite("Injected faults", .serialized)
struct FaultRowTests {
    private func row(
        _ fault: InjectedFault, seed: UInt64 = 9, patience: Int64 = 30_000_000_000, stop: Int64
    ) throws -> FaultRow {
        try FaultRow.run("engine", fault, seed: seed, patience: patience, Domain(name: "faults")) { () throws(DMAError) in
            AnyEngine(SluggishEngine(try CPUEngine(CPUConfiguration(depth: 8)), stop: stop))
        }
    }

    @Test("each fault is detected as often as it was injected in a slow engine", arguments: InjectedFault.allCases)
    func slow(_ fault: InjectedFault) throws {
        let row = try row(fault, stop: 80_000_000)
        #expect(row.passed, "\(row.findings)")
        #expect(row.injected > 8 && row.noticed == row.injected && row.cargoBack == row.transactions)
    }

    /// With so many, each fault affects the first transaction, and the last.
    @Test("wherever it strikes", arguments: InjectedFault.allCases)
    func everywhere(_ fault: InjectedFault) throws {
        for seed in 0..<UInt64(40) {
            let row = try row(fault, seed: seed, stop: 0)
            #expect(row.passed, "seed \(seed): \(row.findings)")
        }
    }

    @Test("an engine that stops for ever is given up after its time limit, and reported")
    func stuck() throws {
        let row = try row(.failure, patience: 100_000_000, stop: .max / 8)
        #expect(!row.passed)
        #expect(row.findings.contains { $0.contains("were still in flight, and nothing came for 100 ms") }, "\(row.findings)")
    }
}

/// Reports one completion at every third poll, and after every sixteenth of them nothing for a while.
private struct SluggishEngine: ~Copyable, Engine {
    var addressing: EngineAddressing { base.addressing }
    var isGone: Bool { base.isGone }
    mutating func willBeParked() { base.willBeParked() }
    private var base: CPUEngine
    private let stop: Int64
    private var looks = 0
    private var reported = 0
    private var silentUntil: Int64 = 0

    init(_ base: consuming CPUEngine, stop: Int64) {
        self.base = base
        self.stop = stop
    }

    var capabilities: Capabilities { base.capabilities }
    @unsafe mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        unsafe base.enqueue(descriptor, tag: tag)
    }
    mutating func issuePending() { base.issuePending() }
    mutating func next() -> Completion? {
        looks += 1
        guard looks % 3 == 0, Deadline.now.nanoseconds >= silentUntil, let completion = base.next() else { return nil }
        reported += 1
        if reported % 16 == 0 { silentUntil = Deadline.now.nanoseconds + stop }
        return completion
    }
    mutating func terminate() { base.terminate() }
    mutating func quiesce(by deadline: Deadline) -> Bool { base.quiesce(by: deadline) }
}
