// SPDX-License-Identifier: Apache-2.0

package import DMACPUEngine
public import DMACore
internal import DMAEngineKit
internal import Glibc

/// The CPU engine, which every machine has: `cpu` works inside the caller's polls, `cpu-threads` on its own threads.
public struct CPUProvider: EngineProvider {
    /// Channels of each of the two.
    package static let channels = 64

    /// The address spaces of the two, which are the same for every request: there is no device to close.
    private let domains = [inline, threads].reduce(into: [:]) { $0[$1] = Domain(name: $1) }

    /// Offers the CPU's two engines.
    public init() {}

    public func probe() -> [EngineOffer] {
        [Self.inline, Self.threads].map { name in
            // Capabilities are derived from the configuration; no engine is started for them.
            EngineOffer(name: name, channels: Self.channels, capabilities: configuration(name).offeredCapabilities(name))
        }
    }

    public func open(_ offer: EngineOffer) throws(DMAError) -> EngineDevice {
        guard let domain = domains[offer.name] else { throw DMAError(.deviceGone) }
        let configuration = configuration(offer.name)
        return EngineDevice(offer, domain: domain) { _ throws(DMAError) in AnyEngine(try CPUEngine(configuration)) }
    }

    /// The configuration of an engine by name: with threads, one for each processor this process may use, at most eight.
    package func configuration(_ name: String) -> CPUConfiguration {
        guard name == Self.threads else { return CPUConfiguration(depth: 64) }
        let processors = sysconf(Int32(_SC_NPROCESSORS_ONLN))
        return CPUConfiguration(depth: 64, workers: min(max(processors, 1), 8))
    }

    static let inline = "cpu"
    static let threads = "cpu-threads"
}

extension CPUConfiguration {
    func offeredCapabilities(_ name: String) -> Capabilities {
        var capabilities = capabilities
        capabilities.name = name
        return capabilities
    }
}
