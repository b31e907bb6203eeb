// SPDX-License-Identifier: Apache-2.0

import DMA
import DMACPUEngine
import DMACore
import DMAEngineKit

/// A provider whose offers and openings the test configures. The devices copy with the CPU engine.
final class ScriptedProvider: EngineProvider {
    /// The result of opening a device.
    enum Opening: Sendable {
        case works
        case fails(DMAError)
        /// With another number of channels, other operations, or another card in the slot than offered.
        case differs(channels: Int? = nil, operations: OperationSet? = nil, identity: DeviceIdentity? = nil)
    }

    struct Script: Sendable {
        var offers: [EngineOffer] = []
        /// By the offer's name; others work.
        var openings: [String: Opening] = [:]
        /// Devices that are open now, and how often each was opened.
        var isOpen: Set<String> = []
        var opened: [String: Int] = [:]
        /// Violations: a device opened twice, a channel open twice.
        var faults: [String] = []
        var channels: Set<String> = []
        /// Runs before a device is opened.
        var beforeOpening: (@Sendable () -> Void)?
    }

    let script = Locked(Script())

    init(_ offers: [EngineOffer]) { script.withLock { $0.offers = offers } }

    static func offer(
        _ name: String, channels: Int = 2, operations: OperationSet = [.copy], device: DeviceIdentity? = nil,
        peripherals: [PeripheralFacts] = []
    ) -> EngineOffer {
        var offer = EngineOffer(
            name: name, channels: channels, capabilities: CPUConfiguration(depth: 8).capabilities, device: device)
        offer.capabilities.operations = operations
        offer.peripherals = peripherals
        return offer
    }

    func set(_ name: String, _ opening: Opening) { script.withLock { $0.openings[name] = opening } }

    func probe() -> [EngineOffer] { script.withLock { $0.offers } }

    func open(_ offer: EngineOffer) throws(DMAError) -> EngineDevice {
        let (opening, before) = script.withLock { ($0.openings[offer.name] ?? .works, $0.beforeOpening) }
        before?()
        var capabilities: Capabilities?
        var channels: Int?
        var identity: DeviceIdentity?
        switch opening {
        case .works: break
        case .fails(let error): throw error
        case .differs(let number, let operations, let other):
            (channels, identity) = (number, other)
            if let operations {
                capabilities = offer.capabilities
                capabilities?.operations = operations
            }
        }
        let handle = Handle(offer.name, self)
        return EngineDevice(offer, capabilities: capabilities, channels: channels, identity: identity) {
            channel throws(DMAError) in
            AnyEngine(try CPUEngine(CPUConfiguration(depth: 8))).owned(by: handle.channel(channel))
        }
    }

    /// An open device: closed at its end.
    private final class Handle: Sendable {
        let name: String
        let provider: ScriptedProvider

        init(_ name: String, _ provider: ScriptedProvider) {
            (self.name, self.provider) = (name, provider)
            provider.script.withLock { script in
                if !script.isOpen.insert(name).inserted { script.faults.append("\(name) opened while it was open") }
                script.opened[name, default: 0] += 1
            }
        }

        func channel(_ number: Int) -> ChannelLease {
            let (name, provider) = ("\(name)/\(number)", provider)
            provider.script.withLock {
                if !$0.channels.insert(name).inserted { $0.faults.append("\(name) opened while it was open") }
            }
            return ChannelLease { provider.script.withLock { _ = $0.channels.remove(name) } }
        }

        deinit {
            let name = name
            provider.script.withLock { script in
                script.isOpen.remove(name)
                if script.channels.contains(where: { $0.hasPrefix(name + "/") }) {
                    script.faults.append("\(name) closed before its channels")
                }
            }
        }
    }
}

/// The refusal of a request, or nil.
func refusal(_ system: DMASystem, _ request: ChannelRequest) -> DMAError? {
    do throws(DMAError) {
        _ = try system.requestChannel(request, of: MappedBuffer.self)
        return nil
    } catch { return error }
}
