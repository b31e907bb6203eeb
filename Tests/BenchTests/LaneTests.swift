// SPDX-License-Identifier: Apache-2.0

import DMA
import DMACore
import DMAEngineKit
import Glibc
import Testing

@testable import DMABench

@Suite("Lanes", .serialized)
struct LaneTests {
    private static func processorTime() -> Int64 {
        var time = timespec()
        _ = unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    private static func compute(_ nanoseconds: Int64) {
        let end = processorTime() + nanoseconds
        while processorTime() < end {}
    }

    @Test("a lane's processor time is its thread's in the measured part alone, and what it waited is no part of that")
    func measured() throws {
        // What the thread did before is not the measurement's.
        Self.compute(60_000_000)
        var tally = LaneTally()
        let (began, worked) = (Deadline.now.nanoseconds, Self.processorTime())
        try tally.measure { () throws(DMAError) in Self.compute(50_000_000) }
        let (elapsed, most) = (tally.end - began, Self.processorTime() - worked)
        #expect(elapsed >= 50_000_000)
        #expect(tally.processorNanoseconds >= 50_000_000 && tally.processorNanoseconds <= most)
        // Where the kernel counts it: a thread that computes does not wait meanwhile.
        if let waited = tally.runQueueWait { #expect(waited >= 0 && waited < elapsed - 50_000_000 + 20_000_000) }
    }

    @Test("lanes together: bytes of all until the last is over, the least in flight, the mean cost, each note once")
    func together() {
        var (one, other) = (LaneTally(), LaneTally())
        (one.operations, one.end, one.inFlight, one.notes) = (10, 2_000_000_000, 4, ["a", "b"])
        (other.operations, other.end, other.inFlight, other.notes) = (30, 3_000_000_000, 2, ["b"])
        (one.submitNanoseconds, one.submits, other.submitNanoseconds, other.submits) = (100, 10, 700, 30)
        (one.issueNanoseconds, one.issues) = (60, 3)
        (one.bytesVerified, one.bytesWrong, other.bytesVerified, other.bytesWrong) = (5, 1, 6, 2)
        (one.processorNanoseconds, other.processorNanoseconds) = (1_000_000_000, 2_000_000_000)
        (one.runQueueWait, other.runQueueWait) = (7, 8)
        one.latencies.record(5)
        other.latencies.record(6)
        func turn(paced: Bool) -> Turn {
            var settings = BenchSettings()
            settings.foreground = false
            return Turn(
                point: BenchPoint(engine: "a", bytes: 1000, threads: 2, mode: paced ? .cycleStealing(0.5) : .burst),
                settings: settings, system: DMASystem(), listing: nil, lastLevelCache: 1, file: nil, salt: 0,
                needsForeground: false)
        }
        // Two seconds, from 1 s on; 4 s of processor time for 40,000 bytes.
        let outcome = turn(paced: false).outcome([one, other], nil, began: 1_000_000_000, processorTime: 4_000_000_000)
        #expect(outcome.bytesPerSecond == 20_000 && outcome.cpuSecondsPerGB == 100_000)
        #expect(outcome.submitNanoseconds == 20 && outcome.issueNanoseconds == 20 && outcome.inFlight == 2)
        #expect(outcome.bytesVerified == 11 && outcome.bytesWrong == 3 && outcome.notes == ["a", "b"])
        #expect(outcome.latencies.count == 2 && outcome.share == nil && outcome.failure == nil)
        #expect(outcome.runQueueWait?.waited == 15 && outcome.runQueueWait?.measured == 4_000_000_000)
        // Of two threads' time in two seconds; an engine that counts for itself is believed.
        func share() -> Double? {
            turn(paced: true).outcome([one, other], nil, began: 1_000_000_000, processorTime: 1).share
        }
        #expect(share() == 0.75)
        (one.duty, other.duty) = ((busy: 1, elapsed: 4), (busy: 2, elapsed: 4))
        #expect(share() == 0.375)
        other.failure = DMAError(.engineFailed)
        #expect(turn(paced: false).outcome([one, other], nil, began: 0, processorTime: 0).failure?.code == .engineFailed)
    }

    @Test(
        "one byte of each copy and fill that is not right is found, wherever it is",
        arguments: [BenchOperation.copy, .fill], [0, 500, 1000])
    func oneByte(_ operation: BenchOperation, _ place: Int) async throws {
        var sweep = BenchCase()
        sweep.operations = [operation]
        (sweep.sizes, sweep.depths, sweep.memcpy) = ([1001], [4], false)
        (sweep.settings.repeats, sweep.settings.seconds, sweep.settings.warmup) = (2, 0.002, 0)
        for wait in CompletionWait.allCases {
            sweep.waits = [wait]
            let system = DMASystem(providers: [CarelessProvider(place: place)])
            let result = try await BenchRunner(BenchPlan(cases: [sweep]), on: system).run()
            let row = try #require(result.rows.first)
            #expect(row.failure == nil && row.hasFailed && row.bytesVerified >= 2 * 1001, "\(row.failure ?? "")")
            // One of each transaction that was looked at, and no more.
            #expect(row.bytesVerified == row.bytesWrong * 1001)
        }
    }
}

/// Copies and fills at once, and changes one byte of each.
private struct CarelessEngine: ~Copyable, Engine {
    var addressing: EngineAddressing { .cpu }
    let place: Int
    private var done: [UInt32] = []

    init(place: Int) { self.place = place }

    static var capabilities: Capabilities {
        Capabilities(name: "careless", implementation: "loops", operations: [.copy, .fill], depth: 64)
    }
    var capabilities: Capabilities { Self.capabilities }

    @unsafe mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        let count = Int(descriptor.count)
        // The channel keeps both blocks until this completion is taken, and both are as long as the transfer.
        guard let target = unsafe UnsafeMutablePointer<UInt8>(bitPattern: UInt(descriptor.destination)) else { return .full }
        let source = unsafe UnsafePointer<UInt8>(bitPattern: UInt(descriptor.source))
        for offset in 0..<count {
            let filled = UInt8(truncatingIfNeeded: LaneShape.pattern >> UInt64(offset % 8 * 8))
            unsafe target[offset] = descriptor.kind == .fill ? filled : source?[offset] ?? 0
        }
        unsafe target[place] ^= 1
        done.append(tag)
        return .accepted
    }
    mutating func issuePending() {}
    mutating func next() -> Completion? {
        done.isEmpty ? nil : Completion(tag: done.removeFirst(), status: .complete)
    }
    mutating func terminate() { done.removeAll() }
    mutating func quiesce(by deadline: Deadline) -> Bool { true }
}

private struct CarelessProvider: EngineProvider {
    let place: Int
    func probe() -> [EngineOffer] {
        [EngineOffer(name: "careless", channels: 2, capabilities: CarelessEngine.capabilities)]
    }
    func open(_ offer: EngineOffer) throws(DMAError) -> EngineDevice {
        EngineDevice(offer) { _ throws(DMAError) in AnyEngine(CarelessEngine(place: place)) }
    }
}
