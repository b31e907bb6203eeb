// SPDX-License-Identifier: Apache-2.0

import DMA
import DMACPUEngine
import DMAConformance
import DMACore
import DMAEngineKit
import DMASelfTest
import Testing

/// The self-test on engines of which only the offer is known.
@Suite("Engines of any provider", .serialized)
struct AnyEngineTests {
    @Test("a channel is open once at a time, and each of them is opened", arguments: [1, 3])
    func exclusive(_ channels: Int) async throws {
        let provider = ExclusiveProvider()
        var test = SelfTest(seed: 5)
        (test.channels, test.iterations, test.duration) = (channels, 1, 50_000_000)
        // Long enough for a busy machine: the test checks which channels are opened.
        (test.patience, test.contractDuration) = (600_000_000_000, 3_600_000_000_000)
        let report = try await test.run(on: DMASystem(providers: [provider]))
        #expect(report.passed, "\(report.contracts.flatMap(\.failures)) \(report.speeds.flatMap(\.faults)) \(report.stops)")
        let (opened, refused, isOpen) = (provider.log.opened, provider.log.refused, provider.log.isOpen)
        #expect(opened == [0, 1, 2] && refused == 0 && isOpen.isEmpty)
    }

    @Test("only a named channel is opened")
    func named() async throws {
        let provider = ExclusiveProvider()
        var test = SelfTest(seed: 5)
        (test.channels, test.channel, test.iterations, test.duration) = (3, 1, 1, 50_000_000)
        (test.patience, test.contractDuration) = (600_000_000_000, 3_600_000_000_000)
        let report = try await test.run(on: DMASystem(providers: [provider]))
        #expect(report.passed)
        #expect(provider.log.opened == [1])
    }
}

/// Copies as the CPU does, on exclusive channels, like those of hardware.
private struct ExclusiveProvider: EngineProvider {
    struct Log {
        var isOpen: Set<Int> = []
        var opened: Set<Int> = []
        var refused = 0
    }

    final class Record: Sendable {
        let log = Locked(Log())
    }

    private let record = Record()
    /// The calls so far.
    var log: Log { record.log.withLock { $0 } }

    func probe() -> [EngineOffer] {
        guard let engine = try? CPUEngine(CPUConfiguration(depth: 8)) else { return [] }
        return [EngineOffer(name: "exclusive", channels: 3, capabilities: engine.capabilities)]
    }

    func open(_ offer: EngineOffer) throws(DMAError) -> EngineDevice {
        EngineDevice(offer) { channel throws(DMAError) in
            let isFree = record.log.withLock { log in
                log.opened.insert(channel)
                if log.isOpen.insert(channel).inserted { return true }
                log.refused += 1
                return false
            }
            guard isFree else { throw DMAError(.channelBusy) }
            let record = record
            let lease = ChannelLease { record.log.withLock { _ = $0.isOpen.remove(channel) } }
            return AnyEngine(try CPUEngine(CPUConfiguration(depth: 8))).owned(by: lease)
        }
    }
}
