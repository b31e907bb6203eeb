// SPDX-License-Identifier: Apache-2.0

internal import DMACore
internal import DMAEngineKit

/// A device of the system, open while it is in use.
///
/// The lock is held while the provider opens the device and while the last reference is released, so that a device is opened
/// once for concurrent requests, and is not opened again before it was closed. A provider must not call the system meanwhile.
final class OpenDevice: Sendable {
    private struct State {
        var device: EngineDevice?
        var users = 0
    }

    private let state = Locked(State())

    /// The facts about an open device, without keeping it open.
    struct Facts {
        let domain: Domain
        let capabilities: Capabilities
        let channels: Int
        let identity: DeviceIdentity?
        let peripherals: [PeripheralFacts]
    }

    /// Opens the device if it is not open; it stays open until as many `release` were called.
    func use(_ open: () throws(DMAError) -> EngineDevice) throws(DMAError) -> Facts {
        try state.withLock { (state) throws(DMAError) in
            let device: EngineDevice
            if let open = state.device { device = open } else { device = try open() }
            state.device = device
            state.users += 1
            return Facts(
                domain: device.domain, capabilities: device.capabilities, channels: device.channels,
                identity: device.identity, peripherals: device.peripherals)
        }
    }

    /// The engine of a channel; only between `use` and `release`.
    func open(channel: Int) throws(DMAError) -> AnyEngine {
        guard let device = state.withLock({ $0.device }) else { throw DMAError(.deviceGone) }
        return try device.open(channel: channel)
    }

    func release() {
        state.withLock { state in
            state.users -= 1
            if state.users == 0 { state.device = nil }
        }
    }
}

/// One use of an open device: it stays open as long as this, and as long as every engine opened through this.
package final class DeviceUse: Sendable {
    /// The address space of its channels.
    package let domain: Domain
    /// The capabilities of each of its channels, as the open device reports them.
    package let capabilities: Capabilities
    /// The number of its channels.
    package let channels: Int
    /// The facts about its peripherals.
    package let peripherals: [PeripheralFacts]
    /// Why it may be used without an IOMMU; nil where it needs no waiver.
    package let waiver: String?
    private let opened: OpenDevice

    /// - Throws: the provider's errors; `deviceNotTrusted` or `deviceNotIsolated` where the opened device differs from the
    ///   offered one, and the policy refuses it.
    init(_ opened: OpenDevice, _ policy: DevicePolicy, _ open: () throws(DMAError) -> EngineDevice) throws(DMAError) {
        let facts = try opened.use(open)
        switch policy.judge(facts.identity) {
        case .allowed: waiver = nil
        case .waived(let sentence): waiver = sentence
        case .refused(let error, _):
            opened.release()
            throw error
        }
        (domain, capabilities, channels, peripherals) = (facts.domain, facts.capabilities, facts.channels, facts.peripherals)
        self.opened = opened
    }

    /// The engine of a channel. The caller makes sure that no channel is opened twice.
    package func open(channel: Int) throws(DMAError) -> AnyEngine { try opened.open(channel: channel).owned(by: self) }

    deinit { opened.release() }
}
