// SPDX-License-Identifier: Apache-2.0

public import DMACore
internal import DMAEngineKit
public import DMAIOUringEngine

/// The kernel's storage, pipes and sockets as peripherals: `io_uring`, with the ring or, where there is none, with threads.
public struct IOUringProvider: EngineProvider {
    /// Channels of the engine.
    package static let channels = 64
    static let name = "io_uring"

    /// The configuration of each engine.
    package let configuration: IOUringConfiguration
    /// The result of the first ``probe()``, which makes an engine and ends it. Valid for the life of this value and its copies.
    private let answer = FirstAnswer()

    fileprivate struct Answer: Sendable {
        var capabilities: Capabilities
        var absence: EngineAbsence?
        var fallback: EngineAbsence?
        var features: [EngineFeature]
    }

    /// Made when it is asked for: a program that copies a small file pays for no ring, whose thread alone takes milliseconds to end.
    private final class FirstAnswer: Sendable {
        private let answer = Locked<Answer?>(nil)

        func of(_ configuration: IOUringConfiguration) -> Answer {
            answer.withLock { answer in
                if let answer { return answer }
                let made = Answer(probing: configuration)
                answer = made
                return made
            }
        }
    }

    /// The domain of every channel, the same for all requests: there is no device to close.
    private let domain: Result<Domain, DMAError>

    /// Offers the engine. The first ``probe()`` makes one, to see whether it is available.
    public init(_ configuration: IOUringConfiguration = IOUringConfiguration()) {
        let registrar = configuration.registrar ?? IOUringRegistrar()
        var configuration = configuration
        configuration.registrar = registrar
        domain = Result { () throws(DMAError) in try Domain(name: Self.name, translation: .announced(registrar)) }
        self.configuration = configuration
    }

    public func probe() -> [EngineOffer] {
        let answer = answer.of(configuration)
        var offer = EngineOffer(
            name: Self.name, channels: Self.channels, capabilities: answer.capabilities, absence: answer.absence)
        offer.fallback = answer.fallback
        offer.features = answer.features
        return [offer]
    }

    public func open(_ offer: EngineOffer) throws(DMAError) -> EngineDevice {
        guard offer.name == Self.name else { throw DMAError(.deviceGone) }
        let configuration = configuration
        return EngineDevice(offer, domain: try domain.get()) { _ throws(DMAError) in AnyEngine(try IOUringEngine(configuration))
        }
    }
}

extension IOUringProvider.Answer {
    fileprivate init(probing configuration: IOUringConfiguration) {
        features = IOUringFeatures.probe().list.map {
            EngineFeature(name: $0.name, isAvailable: $0.isAvailable, note: $0.note)
        }
        do throws(DMAError) {
            let engine = try IOUringEngine(configuration)
            (capabilities, fallback) = (engine.capabilities, engine.fallback)
        } catch {
            capabilities = configuration.capabilities
            absence = EngineAbsence(
                reason: "neither a ring nor threads: \(error.kernelText ?? error.reason)",
                cure: "write 0 to /proc/sys/kernel/io_uring_disabled, or raise the limits of threads and open files")
        }
    }
}
