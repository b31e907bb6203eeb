// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAPCISpecification
internal import DMARegisters
internal import DMATypes

/// A device between opening and closing: what its two states share.
///
/// One of ``QuietDevice`` and ``RunningDevice`` has it at a time; which of them, says `state`.
final class OpenDevice: Sendable {
    enum State { case quiet, running, closed }

    let transport: any DeviceTransport
    let configuration: DeviceConfiguration
    let domain: Domain
    let header: FunctionHeader
    let reset: ResetMethod
    let regions: [DeviceRegion]
    private let state = Locked(State.quiet)
    private let generation = cdma_fork_generation()

    /// Bus master off, reset, ready.
    init(
        _ transport: any DeviceTransport, _ constraints: DeviceConstraints, resetLimit: Deadline
    ) throws(AccessError) {
        self.transport = transport
        configuration = DeviceConfiguration(transport)
        try transport.claim()
        do throws(AccessError) {
            // A former owner may have left it running: it must reach no memory from here on, whatever becomes of the rest.
            let header: FunctionHeader
            do throws(ConfigurationError) { header = try FunctionHeader(configuration) } catch {
                throw AccessError(error, device: transport.name)
            }
            guard header.kind == .device else {
                throw AccessError(ConfigurationError.headerType(header.kind.rawValue), device: transport.name)
            }
            try Self.setBusMaster(false, configuration, transport)
            reset = try transport.reset(by: resetLimit)
            try Self.awaitReady(header, configuration, transport, until: resetLimit)
            // A reset clears the bit; what does not reset leaves it as it was written above. Both are looked at.
            try Self.setBusMaster(false, configuration, transport)
            self.header = header
            regions = try transport.regions()
            do throws(DMAError) {
                try transport.space.attach {}
            } catch { throw AccessError(error, device: transport.name, "attaching to the address space") }
        } catch {
            transport.release()
            throw error
        }
        domain = Domain(name: transport.name, constraints: constraints, space: transport.space)
    }

    // MARK: Bus master

    /// Writes the bit and reads it back.
    ///
    /// - Throws: `gone`; `badConfiguration` where it does not stay.
    static func setBusMaster(
        _ isOn: Bool, _ configuration: DeviceConfiguration, _ transport: any DeviceTransport
    ) throws(AccessError) {
        configuration.modify(DeviceConfiguration.command) { command in
            command[.isBusMaster] = isOn
            if isOn { command[.decodesMemory] = true }
        }
        let command = configuration.read(DeviceConfiguration.command)
        guard !command.isAllOnes else {
            throw AccessError(
                .gone, device: transport.name, transport.goneReason ?? "its configuration space answers all ones",
                cure: "see why it was removed; open it again when it is back")
        }
        guard command[.isBusMaster] == isOn else {
            throw AccessError(
                .badConfiguration, device: transport.name,
                "bus mastering cannot be switched \(isOn ? "on" : "off"): the command register reads 0x"
                    + String(command.word, radix: 16),
                cure: "reset the device, or leave it alone")
        }
    }

    /// After a reset, all ones and the vendor ID 0x0001 mean "wait" until the limit, and "gone" after it.
    ///
    /// Source: PCI Express Base Specification 5.0, 2.3.2 and 6.6.1.
    private static func awaitReady(
        _ header: FunctionHeader, _ configuration: DeviceConfiguration, _ transport: any DeviceTransport,
        until limit: Deadline
    ) throws(AccessError) {
        while true {
            let first: UInt32 = configuration.load(0)
            if first == UInt32(header.vendor) | UInt32(header.device) << 16 { return }
            if let reason = transport.goneReason {
                throw AccessError(.gone, device: transport.name, reason, cure: "open it again when it is back")
            }
            let vendor = UInt16(truncatingIfNeeded: first)
            guard vendor == .max || vendor == 1 else {
                throw AccessError(
                    .badConfiguration, device: transport.name,
                    "another device answers after the reset: 0x\(String(first, radix: 16))", cure: "look at the slot again")
            }
            guard Deadline.now < limit else {
                throw AccessError(
                    .notReady, device: transport.name, "it does not answer after its reset within the limit",
                    cure: "give it more time, or power it off and on")
            }
            transport.pause(until: min(limit, .after(milliseconds: 1)))
        }
    }

    // MARK: States

    func start() throws(AccessError) {
        try Self.setBusMaster(true, configuration, transport)
        state.withLock { $0 = .running }
    }

    /// After the driver has proved that the device has stopped.
    func stop() throws(AccessError) {
        if !transport.isDead, transport.goneReason == nil {
            try Self.setBusMaster(false, configuration, transport)
        }
        state.withLock { $0 = .quiet }
    }

    /// Off, reset, and on again.
    func restart(by deadline: Deadline, _ isStopped: () -> Bool) throws(AccessError) {
        try Self.setBusMaster(false, configuration, transport)
        _ = try transport.reset(by: deadline)
        try Self.awaitReady(header, configuration, transport, until: deadline)
        try Self.setBusMaster(false, configuration, transport)
        while !isStopped() {
            guard Deadline.now < deadline else { throw notStopped }
            transport.pause(until: min(deadline, .after(milliseconds: 1)))
        }
        try transport.rearmInterrupts()
        try Self.setBusMaster(true, configuration, transport)
    }

    var notStopped: AccessError {
        AccessError(
            .notStopped, device: transport.name, "it was told to stop, and still runs at the deadline",
            cure: "give it more time, or reset it; what is mapped for it stays so until then")
    }

    func enableInterrupts(
        _ kinds: [InterruptKind], _ count: Int, _ handler: @escaping InterruptHandler
    ) throws(AccessError) -> InterruptKind {
        for kind in kinds where count > 0 && transport.interruptCount(kind) >= count {
            try transport.enableInterrupts(kind, count: count, handler)
            return kind
        }
        throw AccessError(
            .noInterrupts, device: transport.name, "\(count) interrupt vectors of \(kinds); there are not so many",
            cure: "ask for fewer, or poll")
    }

    /// The end of a value that had the device in state `expected`; nothing where it was handed on.
    func ended(_ expected: State) {
        let isMine = state.withLock { state in
            guard state == expected else { return false }
            state = .closed
            return true
        }
        // In a child of fork(2) the device is the parent's.
        guard isMine, cdma_fork_generation() == generation else { return }
        // No caller is left to receive an error. The channel quarantines memory that is still mapped for a device that did not stop.
        try? Self.setBusMaster(false, configuration, transport)
        try? transport.disableInterrupts()
        if expected == .running { _ = try? transport.reset(by: .after(milliseconds: 1000)) }
        // Inside of `detach`, so that a mapping counts as ended only when the transport has ended it.
        var isReleased = false
        try? transport.space.detach {
            transport.release()
            isReleased = true
        }
        if !isReleased { transport.release() }
    }

    // MARK: Parts

    func window(_ index: Int, atLeast count: Int) throws(AccessError) -> RegisterWindow {
        guard let region = regions.first(where: { $0.index == index }) else {
            throw AccessError(
                .noWindow, device: transport.name, "it has no registers behind base address register \(index)",
                cure: "use the driver with the device that it is for")
        }
        guard region.count >= UInt64(max(count, 0)), let bytes = Int(exactly: region.count) else {
            throw AccessError(
                .noWindow, device: transport.name,
                "\(count) bytes of registers behind base address register \(index); there are \(region.count)",
                cure: "use the driver with the device that it is for")
        }
        return RegisterWindow(region.path, count: bytes, splitsWide: region.splitsWide)
    }
}
