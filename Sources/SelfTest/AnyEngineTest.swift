// SPDX-License-Identifier: Apache-2.0

internal import DMA
internal import DMAConformance
internal import DMACore
internal import DMAEngineKit
internal import Synchronization

// The part of the test that applies to every engine, whatever its provider.

extension SelfTest {
    /// The suite with this test's settings; with operations, only those.
    func suite(_ domain: Domain) -> ConformanceSuite {
        var only: Set<ConformanceCheck>?
        if let operations {
            only = Set(ConformanceCheck.allCases.filter { $0.operation.map(operations.contains) ?? false })
        }
        var suite = ConformanceSuite(
            seed: seed, iterations: iterations, maximumBytes: bytes, domain: domain, duration: contractDuration,
            patience: patience, only: only)
        suite.choice = choice
        suite.stop = stop
        return suite
    }

    func survey(_ domain: Domain) -> Survey {
        var survey = Survey(seed: seed, bytes: bytes, depth: depth, duration: duration, domain: domain)
        let chosen = (xor: choice.xorSources ?? Survey.sources, pq: choice.pqSources ?? Survey.sources)
        survey.choice = choice
        (survey.choice.xorSources, survey.choice.pqSources) = (chosen.xor, chosen.pq)
        survey.channels = channel == nil ? channels : 1
        survey.patience = patience
        survey.stop = stop
        return survey
    }

    /// The contract and the measurements of an engine about which only its offer is known.
    ///
    /// - Throws: errors of opening its device.
    func run(
        _ listing: EngineListing, _ system: DMASystem, _ report: inout Report, _ progress: ((Step) -> Void)?
    ) async throws(DMAError) {
        let offer = listing.offer
        let device = try system.use(listing)
        let domain = device.domain
        let channels = ChannelsInTurn(channel.map { $0..<$0 + 1 } ?? 0..<max(device.channels, 1))
        let make: @Sendable () throws(DMAError) -> AnyEngine = { () throws(DMAError) in
            let (number, lease) = try channels.next()
            return try device.open(channel: number).owned(by: lease)
        }
        if choice.verifies {
            var provisions = ConformanceProvisions<AnyEngine>()
            provisions.ringsRunFreely = false
            report.contracts.append(
                await suite(domain).run(
                    offer.name, makeEngine: make, provisions: provisions,
                    announce: { progress?(.starting(engine: offer.name, $0)) },
                    progress: { progress?(.contract(engine: offer.name, $0)) }))
        }
        var survey = survey(domain)
        survey.channels = min(survey.channels, max(device.channels, 1))
        report.speeds += await survey.run(offer.name, kinds: operations, makeEngine: make) { progress?(.speed($0)) }
    }

    /// Each kind of fault, on copies through this engine; nothing where it has none.
    func injectFaults(
        _ listing: EngineListing, _ system: DMASystem, _ report: inout Report, _ progress: ((Step) -> Void)?
    ) throws(DMAError) {
        let offer = listing.offer
        guard offer.capabilities.operations.contains(.copy), operations?.contains(.copy) ?? true else { return }
        for fault in InjectedFault.allCases where !stop.isStopped {
            let device = try system.use(listing)
            let row = try FaultRow.run(offer.name, fault, seed: seed, patience: patience, device.domain) {
                () throws(DMAError) in
                try device.open(channel: channel ?? 0)
            }
            report.faults.append(row)
            progress?(.fault(row))
        }
    }
}

/// Opens an engine's channels one after the other, each for one user at a time. On any thread.
private final class ChannelsInTurn: Sendable {
    private let numbers: Range<Int>
    private let state: Locked<(next: Int, taken: Set<Int>)>

    /// - Parameter numbers: of the channels; at least one.
    init(_ numbers: Range<Int>) {
        self.numbers = numbers
        state = Locked((numbers.lowerBound, []))
    }

    /// The next free channel, and the function that returns it.
    ///
    /// - Throws: `channelBusy`.
    func next() throws(DMAError) -> (number: Int, lease: ChannelLease) {
        let free = state.withLock { state -> Int? in
            for _ in numbers {
                let number = state.next
                state.next = number + 1 < numbers.upperBound ? number + 1 : numbers.lowerBound
                if state.taken.insert(number).inserted { return number }
            }
            return nil
        }
        guard let free else { throw DMAError(.channelBusy) }
        return (free, ChannelLease { [self] in state.withLock { _ = $0.taken.remove(free) } })
    }
}
