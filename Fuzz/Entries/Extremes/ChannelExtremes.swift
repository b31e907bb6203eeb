// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import DMACore
import DMAEngineKit
import ScriptedEngines

/// An engine with arbitrary capabilities that does nothing.
private struct BoastingEngine: ~Copyable, Engine {
    let capabilities: Capabilities
    init(_ change: (inout Capabilities) -> Void) {
        var capabilities = Capabilities(name: "boasting", operations: OperationSet(rawValue: .max), depth: 4)
        change(&capabilities)
        self.capabilities = capabilities
    }
    var addressing: EngineAddressing { .cpu }
    @unsafe mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult { .accepted }
    mutating func issuePending() {}
    mutating func next() -> Completion? { nil }
    mutating func terminate() {}
    mutating func quiesce(by deadline: Deadline) -> Bool { true }
    mutating func residue(of tag: UInt32) -> UInt64? { .max }
}

extension Probe {
    private typealias Two = Pair<MappedBuffer, MappedBuffer>

    private static func two(_ domain: Domain) throws(DMAError) -> Two {
        Two(
            try Buffer(count: 4096).mapped(for: domain, direction: .bidirectional),
            try Buffer(count: 4096).mapped(for: domain, direction: .bidirectional))
    }

    private static let changes: [(String, @Sendable (inout Capabilities, Int) -> Void)] = [
        ("depth", { $0.depth = $1 }), ("maximumSources", { $0.maximumSources = $1 }),
        ("maximumSegments", { $0.maximumSegments = $1 }), ("tagBits", { $0.tagBits = $1 }),
        ("priorities", { $0.priorities = $1 }), ("metadataCount", { $0.metadataCount = $1 }),
        ("maximumCount", { $0.maximumCount = UInt64(truncatingIfNeeded: $1) }),
        ("alignment", { $0.alignment = UInt64(truncatingIfNeeded: $1) }),
        ("quantum", { $0.quantum = UInt64(truncatingIfNeeded: $1) }),
    ]

    mutating func channels() {
        for (name, change) in Self.changes {
            for value in Self.integers {
                self("Channel over \(name) \(value)") {
                    let domain = Domain(name: "extremes")
                    var channel = try Channel(BoastingEngine { change(&$0, value) }, domain: domain, of: Two.self)
                    for operation in Self.operations(1, 1) { _ = channel.submit(operation, try Self.two(domain)) }
                    try channel.configure(EngineConfiguration(peripheral: .max, width: .max, burst: .max, priority: .max))
                }
                self("PacedEngine over \(name) \(value)") {
                    let paced = try PacedEngine(
                        BoastingEngine { change(&$0, value) }, mode: .cycleStealing(share: .leastNonzeroMagnitude),
                        quantum: UInt64(truncatingIfNeeded: value))
                    let domain = Domain(name: "extremes")
                    var channel = try Channel(paced, domain: domain, of: Two.self)
                    for operation in Self.operations(0, .max) { _ = channel.submit(operation, try Self.two(domain)) }
                    channel.issuePending()
                    _ = try channel.wait(until: .now)
                    try channel.terminateSync()
                }
            }
        }
        for share in Self.reals {
            self("TransferMode.cycleStealing(share: \(share))") {
                var channel = try Channel(
                    try PacedEngine(CPUEngine(), mode: .burst), domain: Domain(name: "extremes"), of: NoCargo.self)
                try channel.setMode(.cycleStealing(share: share))
                _ = channel.submit(.null(), NoCargo())
                channel.issuePending()
                _ = channel.next()
            }
        }
        for offset in Self.words {
            for count in Self.words {
                self("operations at \(offset) of \(count)") {
                    let domain = Domain(name: "extremes")
                    for operation in Self.operations(offset, count) {
                        var channel = try Channel(CPUEngine(CPUConfiguration(depth: 4)), domain: domain, of: Two.self)
                        _ = channel.submit(operation, try Self.two(domain))
                        channel.issuePending()
                        for _ in 0..<4 { channel.poll() }
                        try channel.terminateSync()
                    }
                }
            }
        }
    }

    private static func operations(_ first: UInt64, _ second: UInt64) -> [Operation] {
        let (offset, count) = (Int(truncatingIfNeeded: first), Int(truncatingIfNeeded: second))
        let place = PeripheralPlace(number: .max, position: first)
        let narrow = UInt32(truncatingIfNeeded: count)
        return [
            .copy(from: .max, to: .max, sourceOffset: offset, destinationOffset: offset, count: count),
            .copy(sourceOffset: offset, destinationOffset: 0, count: count),
            .copy(sourceOffset: 0, destinationOffset: offset, count: count),
            .fill(1, offset: offset, count: count, pattern: .max), .crc32c(offset: offset, count: count, seed: .max),
            .copyCRC32C(sourceOffset: offset, destinationOffset: offset, count: count),
            .xor(sources: 0..<1, to: 1, sourceOffset: offset, destinationOffset: offset, count: count),
            .xor(sources: 0..<(.max), to: .max, count: count), .xor(sources: 1..<1, to: 1, count: count),
            .xorValidate(sources: 0..<2, offset: offset, count: count),
            .pq(sources: 0..<1, p: .max, sourceOffset: offset, count: count), .pq(sources: 0..<(.max), p: 1, count: count),
            .pqValidate(sources: 0..<1, p: 0, sourceOffset: offset, destinationOffset: offset, count: count),
            .scatterGather(from: 0..<(.max), to: 0..<(.max)), .scatterGather(from: 0..<1, to: 1..<2),
            .scatterGather(from: .max..<(.max), to: .max..<(.max)),
            .toPeripheral(0..<2, offset: offset, count: count, at: place),
            .fromPeripheral(0..<(.max), offset: offset, count: count, at: place),
            .interleaved(
                sourceOffset: offset, destinationOffset: offset,
                template: InterleavedTemplate(frames: narrow, chunk: narrow, sourceGap: narrow, destinationGap: narrow)),
            .interleaved(template: InterleavedTemplate(frames: 1, chunk: narrow, sourceGap: .max)),
            .cyclic(0, period: count, direction: .fromDevice), .cyclic(.max, period: offset, direction: .toDevice), .null(),
        ]
    }

    mutating func waits() {
        for time in Self.times {
            let deadline = Deadline(nanoseconds: time)
            let isLong = time > Deadline.now.nanoseconds
            self("a transaction with deadline \(time) (r7)") {
                let domain = Domain(name: "extremes")
                var channel = try Channel(BoastingEngine { _ in }, domain: domain, of: Two.self)
                _ = channel.submit(Transaction(.copy(), try Self.two(domain), deadline: deadline))
                channel.issuePending()
                _ = channel.nextLate()
                try channel.terminateSync()
                _ = channel.next()
            }
            self("synchronize by \(time)") {
                let domain = Domain(name: "extremes")
                var channel = try Channel(HostileEngine(.refusesToQuiesce), domain: domain, of: Two.self)
                _ = channel.submit(.copy(), try Self.two(domain))
                channel.issuePending()
                try? channel.terminateSync(by: deadline)
                // SAFETY: this engine moves nothing.
                _ = consume channel
                _ = try unsafe Quarantine.unsafeReleaseAll(of: domain.id)
            }
            // A value that would sleep for ever is not tried.
            if isLong { continue }
            self("waits until \(time)") {
                _ = InterruptLine().wait(after: .max, until: deadline)
                for mode in [TransferMode.burst, .cycleStealing(share: 1e-300), .demand(DemandLine())] {
                    let domain = Domain(name: "extremes")
                    var channel = try Channel(
                        try PacedEngine(CPUEngine(CPUConfiguration(depth: 4)), mode: mode), domain: domain, of: Two.self)
                    _ = channel.submit(.copy(flags: .fence), try Self.two(domain))
                    _ = channel.submit(.copy(), try Self.two(domain))
                    channel.issuePending()
                    for _ in 0..<3 {
                        channel.poll()
                        _ = try? channel.wait(until: deadline)
                    }
                }
            }
        }
        for period in Self.integers {
            self("CyclicRing(period: \(period))") {
                let domain = Domain(name: "extremes")
                let ring = try Buffer(count: 4096).mapped(for: domain, direction: .fromDevice)
                let channel = try Channel(CPUEngine(CPUConfiguration(depth: 4)), domain: domain, of: MappedBuffer.self)
                _ = try CyclicRing(channel, ring: ring, period: period)
            }
        }
    }

    mutating func engines() {
        for value in Self.integers {
            self("CPUConfiguration(\(value))") {
                var configuration = CPUConfiguration(depth: 4)
                configuration.depth = value
                _ = try? CPUEngine(configuration).capabilities
                configuration.depth = 4
                for (inline, quantum, node) in [(value, 4096, 0), (4096, value, 0), (4096, 4096, value)] {
                    (configuration.inlineLimit, configuration.quantum, configuration.node) = (inline, quantum, node)
                    configuration.cpus = [value]
                    configuration.spin = Int64(truncatingIfNeeded: min(value, 1000))
                    configuration.workers = value > 1 ? 1 : value
                    _ = try? CPUEngine(configuration).capabilities
                }
            }
            self("FIFOPeripheral(depth: \(min(value, 1 << 20)), width: \(value))") {
                _ = try? FIFOPeripheral(depth: min(value, 1 << 20), width: 4).depth
                _ = try FIFOPeripheral(depth: 64, width: value).depth
            }
        }
    }
}
