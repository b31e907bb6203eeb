// SPDX-License-Identifier: Apache-2.0

internal import DMACore
internal import DMAEngineKit

/// A device of the system, open while somebody uses it.
///
/// The lock is held while the provider opens and while the last reference is given up, so that a device is opened once for all that ask at the
/// same time, and is not opened again before it has been closed. A provider must not ask the system meanwhile.
final class OpenDevice: Sendable {
    private struct State {
        var device: EngineDevice?
        var users = 0
    }

    private let state = Locked(State())

    /// What an open device says of itself, without holding it open.
    struct Facts {
        let domain: Domain
        let capabilities: Capabilities
        let channels: Int
        let identity: DeviceIdentity?
        let peripherals: [PeripheralFacts]
    }

    /// Opens the device where nobody has it open; it stays open until as many `release` have been called.
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

/// One use of an open device: it stays open as long as this, and as long as every engine that was opened by this.
package final class DeviceUse: Sendable {
    /// The address space of its channels.
    package let domain: Domain
    /// What each of its channels can do, as it says itself.
    package let capabilities: Capabilities
    /// Channels that it has.
    package let channels: Int
    /// What is known of its peripherals.
    package let peripherals: [PeripheralFacts]
    /// Why it may be used without an IOMMU; nil where it needs no waiver.
    package let waiver: String?
    private let opened: OpenDevice

    /// - Throws: what the provider says; `deviceNotTrusted` or `deviceNotIsolated` where what was opened is not what was offered, and the
    ///   policy refuses it.
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

    /// The engine of a channel. Whoever calls sees to it that no channel is open twice.
    package func open(channel: Int) throws(DMAError) -> AnyEngine { try opened.open(channel: channel).owned(by: self) }

    deinit { opened.release() }
}
