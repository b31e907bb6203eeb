// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DMA
import DMACPUEngine
import DMACore
import DMAEngineKit
import DMASelfTest
import Foundation
import Testing

@testable import DMATool

@Suite("What a list says, and a test asks for", .serialized)
struct ListDocumentTests {
    /// Two engines that differ in whatever they can.
    private var listings: [EngineListing] {
        var one = Capabilities(name: "one", implementation: "words", operations: [.copy, .xor], depth: 7)
        (one.maximumSources, one.maximumSegments, one.maximumCount) = (3, 5, 4096)
        (one.alignment, one.quantum, one.metadataCount, one.priorities) = (8, 16, 32, 2)
        (one.completesInOrder, one.canPause, one.hasInterrupts) = (false, true, false)
        (one.extendsWhileRunning, one.worksInPoll, one.residueGranularity) = (true, false, .segment)
        var asks = DeviceConstraints()
        (asks.streamingMask, asks.coherentMask) = (DMAMask(bits: 32), DMAMask(bits: 40))
        (asks.alignment, asks.cacheLineSize, asks.segmentBoundary) = (64, 128, 8192)
        (asks.maximumSegmentSize, asks.maximumMappingSize, asks.isCoherent, asks.allowsBounce) = (65_536, 1 << 30, false, true)
        var two = Capabilities(name: "two", operations: [.fill], depth: 1)
        (two.maximumSources, two.maximumSegments) = (.max, .max)
        (two.completesInOrder, two.canPause, two.hasInterrupts) = (true, false, true)
        (two.extendsWhileRunning, two.worksInPoll) = (false, true)
        let offers = [
            EngineOffer(name: "one", channels: 4, capabilities: one, constraints: asks),
            EngineOffer(name: "two", channels: 1, capabilities: two),
        ]
        return DMASystem(providers: [OfferProvider(offers: offers)]).engines
    }

    @Test("each field of the document is what the engine says; a limit that is none is absent")
    func fields() throws {
        let text = try ListCommand.parse(["--json"]).text(listings)
        let document = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        let engines = try #require(document["engines"] as? [[String: Any]])
        try #require(engines.count == 2)
        func values(_ fields: [String: Any]) -> [String: String] { fields.mapValues { "\($0)" } }
        let one = values(engines[0])
        let numbers = [
            "channels": 4, "channelsInUse": 0, "depth": 7, "maximumSources": 3, "maximumSegments": 5, "maximumBytes": 4096,
            "alignmentBytes": 8, "quantumBytes": 16, "metadataBytes": 32, "priorities": 2,
        ]
        for (name, value) in numbers { #expect(one[name] == "\(value)", "\(name)") }
        #expect(one["name"] == "one" && one["implementation"] == "words" && one["residueGranularity"] == "segment")
        let constraints = values(try #require(engines[0]["constraints"] as? [String: Any]))
        let asked = [
            "streamingMask": "0xffffffff", "coherentMask": "0xffffffffff", "alignmentBytes": "64", "cacheLineBytes": "128",
            "maximumSegmentBytes": "65536", "segmentBoundaryBytes": "8192", "maximumMappingBytes": "1073741824",
        ]
        for (name, value) in asked { #expect(constraints[name] == value, "\(name)") }
        for name in ["maximumSources", "maximumSegments", "maximumBytes"] { #expect(engines[1][name] == nil, "\(name)") }
        let unlimited = try #require(engines[1]["constraints"] as? [String: Any])
        #expect(unlimited["maximumSegmentBytes"] == nil && unlimited["maximumMappingBytes"] == nil)
        let flags: [(String, Bool)] = [
            ("completesInOrder", false), ("canPause", true), ("hasInterrupts", false), ("extendsWhileRunning", true),
            ("worksInPoll", false),
        ]
        for (name, value) in flags {
            #expect(engines[0][name] as? Bool == value && engines[1][name] as? Bool == !value, "\(name)")
        }
        #expect(
            (engines[0]["constraints"] as? [String: Any])?["isCoherent"] as? Bool == false
                && unlimited["isCoherent"] as? Bool == true)
    }

    @Test("each column of the table holds what its head says")
    func columns() throws {
        let rows = Tables.with("channels", try ListCommand.parse([]).text(listings))
        #expect(
            rows.first == [
                "engine": "one", "channels": "4", "in use": "0", "depth": "7", "order": "free", "interrupts": "polled",
                "pause": "yes", "residue": "segment", "sources": "3", "segments": "5", "largest": "4 KiB",
            ])
        #expect(
            rows.last == [
                "engine": "two", "channels": "1", "in use": "0", "depth": "1", "order": "kept", "interrupts": "yes",
                "pause": "no",
                "residue": "descriptor", "sources": "any", "segments": "any", "largest": "any",
            ])
    }

    @Test("a granted channel is counted as in use until it is released")
    func inUse() throws {
        let system = DMASystem()
        func used() throws -> Int {
            let document = try JSONSerialization.jsonObject(with: Data(try JSON.text(ListDocument(system.engines)).utf8))
            let engines = try #require((document as? [String: Any])?["engines"] as? [[String: Any]])
            return engines.reduce(0) { $0 + ($1["channelsInUse"] as? Int ?? 0) }
        }
        do {
            let granted = try system.requestChannel(ChannelRequest(.copy), of: Pair<MappedBuffer, MappedBuffer>.self)
            #expect(try used() == 1)
            _ = granted.info.name
        }
        #expect(try used() == 0)
    }

    // MARK: What a test does with its options

    private func seen(
        _ arguments: String..., log: RecordingEngine.Log = RecordingEngine.Log()
    ) async throws -> [RecordingEngine.Entry] {
        let common = ["--noverify", "--duration", "0.1", "--test-buf-size", "4096", "--seed", "3", "--timeout", "60000"]
        let command = try TestCommand.parse(common + arguments)
        let system = DMASystem(providers: [RecordingProvider(log: log)])
        let outcome = try command.outcome(try await command.test(on: system).run(on: system))
        #expect(outcome.passed, "\(outcome.text)")
        return log.entries.withLock { $0 }
    }

    @Test("sources, sizes, alignment and channels are those that were asked for, by an engine that is slow to answer")
    func asked() async throws {
        let sources = try await seen("--operation", "xor", "--operation", "pq", "--xor-sources", "5", "--pq-sources", "3")
        #expect(Set(sources.map(\.kind)) == [.xor, .pq])
        for entry in sources { #expect(entry.sources == (entry.kind == .xor ? 5 : 3)) }
        let aligned = try await seen("--operation", "copy", "--alignment", "4")
        #expect(!aligned.isEmpty && aligned.allSatisfy { ($0.count | $0.source | $0.destination) % 16 == 0 })
        #expect(Set(aligned.map(\.source)).count > 1)
        let random = try await seen("--operation", "copy")
        #expect(random.contains { ($0.source | $0.destination) % 16 != 0 })
        let fixed = try await seen("--operation", "copy", "--norandom")
        #expect(!fixed.isEmpty && fixed.allSatisfy { $0.count == 4096 && ($0.source | $0.destination) % 16 == 0 })
        #expect(try await seen("--operation", "copy", "--transfer-size", "48").allSatisfy { $0.count == 48 })
        // Each channel at work has an engine of its own.
        let (one, three) = (RecordingEngine.Log(), RecordingEngine.Log())
        _ = try await seen("--operation", "copy", log: one)
        _ = try await seen("--operation", "copy", "--max-channels", "3", log: three)
        #expect(one.atOnce == 1 && three.atOnce == 3)
    }
}

private struct OfferProvider: EngineProvider {
    let offers: [EngineOffer]
    func probe() -> [EngineOffer] { offers }
    func open(_ offer: EngineOffer) throws(DMAError) -> EngineDevice {
        EngineDevice(offer) { _ throws(DMAError) in throw DMAError(.noSuchChannel) }
    }
}

/// The CPU's engine, which notes what it is told, and is silent for a while after the first of it.
private struct RecordingEngine: ~Copyable, Engine {
    var addressing: EngineAddressing { base.addressing }
    var isGone: Bool { base.isGone }
    mutating func willBeParked() { base.willBeParked() }
    struct Entry {
        let kind: OperationKind
        let (source, destination, count): (UInt64, UInt64, UInt64)
        let sources: Int
    }
    final class Log: Sendable {
        let entries = Locked<[Entry]>([])
        /// Engines at work, and most of them at once.
        let working = Locked<(now: Int, most: Int)>((0, 0))
        var atOnce: Int { working.withLock(\.most) }
    }

    private var base: CPUEngine
    private let log: Log
    private var silentUntil: Int64 = 0

    init(_ base: consuming CPUEngine, _ log: Log) {
        self.base = base
        self.log = log
    }

    deinit {
        if silentUntil > 0 { log.working.withLock { $0.now -= 1 } }
    }

    var capabilities: Capabilities { base.capabilities }
    @unsafe mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        if silentUntil == 0 {
            silentUntil = Deadline.now.nanoseconds + 200_000_000
            log.working.withLock { $0 = ($0.now + 1, max($0.most, $0.now + 1)) }
        }
        let entry = Entry(
            kind: descriptor.kind, source: descriptor.source, destination: descriptor.destination, count: descriptor.count,
            sources: Int(descriptor.sourceCount))
        log.entries.withLock { $0.append(entry) }
        return unsafe base.enqueue(descriptor, tag: tag)
    }
    mutating func issuePending() { base.issuePending() }
    mutating func next() -> Completion? { Deadline.now.nanoseconds < silentUntil ? nil : base.next() }
    mutating func terminate() { base.terminate() }
    mutating func quiesce(by deadline: Deadline) -> Bool { base.quiesce(by: deadline) }
}

private struct RecordingProvider: EngineProvider {
    let log: RecordingEngine.Log
    func probe() -> [EngineOffer] {
        guard let engine = try? CPUEngine(CPUConfiguration(depth: 8)) else { return [] }
        return [EngineOffer(name: "recording", channels: 4, capabilities: engine.capabilities)]
    }
    func open(_ offer: EngineOffer) throws(DMAError) -> EngineDevice {
        EngineDevice(offer) { _ throws(DMAError) in
            AnyEngine(RecordingEngine(try CPUEngine(CPUConfiguration(depth: 8)), log))
        }
    }
}
