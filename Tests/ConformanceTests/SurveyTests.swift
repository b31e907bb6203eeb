// SPDX-License-Identifier: Apache-2.0

import DMAConformance
import DMACore
import DMAEngineKit
import Foundation
import ScriptedEngines
import Testing

/// The measurements of a survey, on engines with a known speed or order.
@Suite("Surveys", .serialized)
struct SurveyTests {
    private func rows<E: Engine & ~Copyable & SendableMetatype>(
        _ kinds: Set<OperationKind>, depth: Int = 4, channels: Int = 1, _ make: @escaping @Sendable () throws(DMAError) -> E
    ) async -> [Survey.Row] {
        var survey = Survey(seed: 5, bytes: 4096, depth: depth, duration: 0, domain: Domain(name: "surveys"))
        survey.channels = channels
        // Other tests use the same threads.
        survey.patience = 600_000_000_000
        return await survey.run("engine", kinds: kinds, makeEngine: make)
    }

    @Test("more channels than processors are no faster than the processors", arguments: [1, 4])
    func channels(_ perProcessor: Int) async throws {
        let processors = ProcessInfo.processInfo.activeProcessorCount
        let row = try #require(
            await rows([.copy], channels: processors * perProcessor) { () throws(DMAError) in SlowEngine() }.first)
        #expect(row.faults.isEmpty)
        #expect(row.transactions == processors * perProcessor * 4 + 4)
        // Each transaction keeps its processor for two milliseconds. A busy machine only makes it slower.
        #expect(row.operationsPerSecond <= Double(processors) * 500)
    }

    @Test("channels with asynchronous engines are all in flight at once")
    func together() async throws {
        let meeting = Gathering(ProcessInfo.processInfo.activeProcessorCount * 4)
        let row = try #require(
            await rows([.copy], depth: 1, channels: meeting.wanted) { () throws(DMAError) in GatheringEngine(meeting) }.first)
        #expect(row.faults.isEmpty)
        #expect(meeting.most == meeting.wanted)
    }

    @Test("a row has the actual depth and length")
    func figures() async throws {
        let found = await rows([.copy, .interleaved], depth: 4096) { () throws(DMAError) in QueuePairEngine(entries: 16) }
        #expect(found.map(\.operation) == ["copy", "interleaved"])
        for row in found {
            #expect(row.depth == 16)
            #expect(row.passed && row.bytesVerified > 0)
            #expect(abs(row.bytesPerSecond / row.operationsPerSecond - Double(row.bytesEach)) <= 1)
        }
        #expect(found[0].bytesEach == 4096)
    }
}

/// Keeps the processor for two milliseconds whenever a transaction has finished.
private struct SlowEngine: ~Copyable, Engine {
    var addressing: EngineAddressing { base.addressing }
    var isGone: Bool { base.isGone }
    mutating func willBeParked() { base.willBeParked() }
    private var base = QueuePairEngine(entries: 16)
    var capabilities: Capabilities { withoutInterrupts(base.capabilities) }
    @unsafe mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        unsafe base.enqueue(descriptor, tag: tag)
    }
    mutating func issuePending() { base.issuePending() }
    mutating func next() -> Completion? {
        guard let completion = base.next() else { return nil }
        let end = Deadline.after(milliseconds: 2)
        while Deadline.now < end {}
        return completion
    }
    mutating func terminate() { base.terminate() }
    mutating func quiesce(by deadline: Deadline) -> Bool { base.quiesce(by: deadline) }
}

/// The number of channels with transactions in flight at once; when that reaches the wanted number, or after two minutes, they
/// continue.
private final class Gathering: Sendable {
    let wanted: Int
    private let state = Locked((all: 0, now: 0, most: 0))
    private let limit = Deadline.after(milliseconds: 120_000)

    init(_ wanted: Int) { self.wanted = wanted }
    var most: Int { state.withLock { $0.most } }
    /// The first transaction is the one for the latency, alone.
    var isOpen: Bool { state.withLock { $0.all <= 1 || $0.most >= wanted } || Deadline.now >= limit }
    func issued() { state.withLock { $0 = ($0.all + 1, $0.now + 1, max($0.most, $0.now + 1)) } }
    func finished() { state.withLock { $0.now -= 1 } }
}

/// Finishes nothing before all channels have transactions in flight.
private struct GatheringEngine: ~Copyable, Engine {
    var addressing: EngineAddressing { base.addressing }
    var isGone: Bool { base.isGone }
    mutating func willBeParked() { base.willBeParked() }
    private var base = QueuePairEngine(entries: 16)
    private let gathering: Gathering

    init(_ gathering: Gathering) { self.gathering = gathering }
    var capabilities: Capabilities { withoutInterrupts(base.capabilities) }
    @unsafe mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        unsafe base.enqueue(descriptor, tag: tag)
    }
    mutating func issuePending() {
        gathering.issued()
        base.issuePending()
    }
    mutating func next() -> Completion? {
        guard gathering.isOpen, let completion = base.next() else { return nil }
        gathering.finished()
        return completion
    }
    mutating func terminate() { base.terminate() }
    mutating func quiesce(by deadline: Deadline) -> Bool { base.quiesce(by: deadline) }
}

/// Waiting polls: the interrupt lines of the engines below are not passed on.
private func withoutInterrupts(_ capabilities: Capabilities) -> Capabilities {
    var capabilities = capabilities
    capabilities.hasInterrupts = false
    return capabilities
}
