// SPDX-License-Identifier: Apache-2.0

public import DMAAccess
public import DMACore
internal import DMAEngineKit
internal import DMAIOATSpecification
internal import DMARegisters
internal import DMATypes

/// An open I/OAT: what its channels share. Each channel is driven by an ``IOATEngine``, which keeps the device open.
///
/// Thread rules: from any thread.
public final class IOATDevice: Sendable {
    let transport: any DeviceTransport
    let configuration: IOATConfiguration
    let capability: IOATCapability
    let handler: IOATInterruptHandler
    /// Whether interrupts come by themselves.
    let hasInterrupts: Bool
    /// Bytes of the longest transfer of a descriptor, as a power of two.
    let transferBits: Int
    private let running: Locked<RunningDevice?>
    private let shared = Locked(Shared())

    private struct Shared {
        /// A bit for each channel that has an engine.
        var taken: UInt32 = 0
        var delay: UInt16 = 0
    }

    /// The address space that memory is mapped for.
    public let domain: Domain
    /// Channels that the device has.
    public let channelCount: Int
    /// The version of the interface: 0x32, 0x33.
    public let version: UInt8

    /// Opens a device.
    ///
    /// - Throws: every code of `AccessError`; `badConfiguration` also for a depth that is no power of two from 1 to 8,192, for another version, and for
    ///   registers that contradict each other.
    public init(opening transport: any DeviceTransport, _ configuration: IOATConfiguration = IOATConfiguration())
        throws(AccessError)
    {
        let depth = configuration.depth
        guard (1...8192).contains(depth), depth & (depth - 1) == 0 else {
            throw AccessError(
                .badConfiguration, device: transport.name, "a depth of \(depth)", cure: "choose a power of two from 1 to 8,192")
        }
        let quiet = try QuietDevice(opening: transport)
        let window = try quiet.window(IOAT.registers, atLeast: IOAT.channelStride * 2)
        let version = window.read(IOAT.version)
        guard version == IOAT.version32 || version == IOAT.version33 else {
            throw AccessError(
                .badConfiguration, device: quiet.name,
                "its version register reads 0x\(String(version, radix: 16)); 0x32 and 0x33 are known",
                cure: "use this driver with an I/OAT of version 3.2 or 3.3")
        }
        let channels = Int(window.read(IOAT.channelCount) & 0x1f)
        let bits = Int(window.read(IOAT.transferCapacity) & 0x1f)
        guard channels > 0, (channels + 1) * IOAT.channelStride <= window.count else {
            throw AccessError(
                .badConfiguration, device: quiet.name, "\(channels) channels in \(window.count) bytes of registers",
                cure: "reset the device, or use another one")
        }
        guard bits == 0 || bits >= Int(IOAT.leastTransferBits) else {
            throw AccessError(
                .badConfiguration, device: quiet.name, "transfers of 2^\(bits) bytes at most; 2^12 is the least",
                cure: "reset the device, or use another one")
        }
        let capability = window.read(IOAT.capability)
        guard !capability.isAllOnes else {
            throw AccessError(
                .badConfiguration, device: quiet.name, "its capability register reads all ones",
                cure: "reset the device, or use another one")
        }
        let kinds = configuration.interrupts.filter { quiet.interruptCount($0) > 0 }
        let handler = IOATInterruptHandler(try quiet.window(IOAT.registers), channels: channels)
        if !kinds.isEmpty {
            try quiet.enableInterrupts(1, preferring: kinds) { [weak handler] cause in handler?.handle(cause) }
        }
        hasInterrupts = !kinds.isEmpty && quiet.deliversInterrupts
        domain = quiet.domain
        running = Locked(nil)
        self.transport = transport
        self.configuration = configuration
        self.capability = capability
        self.handler = handler
        self.version = version
        channelCount = channels
        // A register of 0 means 4 GiB, and the size field has 32 bits: one less.
        transferBits = bits == 0 ? 31 : min(bits, 31)
        install(try quiet.start())
        handler.isOn = !kinds.isEmpty
        handler.switchOn()
    }

    private func install(_ device: consuming sending RunningDevice) {
        var fresh: RunningDevice? = consume device
        running.withLock { running in swap(&running, &fresh) }
    }

    /// Whether fills are offered.
    public var hasFill: Bool { capability[.fill] }
    /// Whether XOR and PQ are offered.
    public var hasParity: Bool { capability[.xor] && capability[.pq] }

    // MARK: Channels

    /// Takes a channel for an engine.
    func take(_ channel: Int) throws(AccessError) -> RegisterWindow {
        guard (0..<channelCount).contains(channel) else {
            throw AccessError(
                .noWindow, device: transport.name, "channel \(channel); there are \(channelCount)",
                cure: "choose one from 0 to \(channelCount - 1)")
        }
        let bit = UInt32(1) << UInt32(channel)
        let isFree = shared.withLock { shared in
            defer { shared.taken |= bit }
            return shared.taken & bit == 0
        }
        guard isFree else {
            throw AccessError(
                .busy, device: transport.name, "channel \(channel) has an engine", cure: "close that, or use another channel")
        }
        guard let window = handler.channel(channel) else {
            giveBack(channel)
            throw AccessError(
                .noWindow, device: transport.name, "registers of channel \(channel)", cure: "reset the device")
        }
        return window
    }

    func giveBack(_ channel: Int) { shared.withLock { $0.taken &= ~(1 << UInt32(channel)) } }

    // MARK: The whole device

    /// Looks for interrupts, where nothing hands them over.
    func look() { if !transport.deliversInterrupts { transport.look() } }

    private func with<R: Sendable>(_ otherwise: R, _ body: (borrowing RunningDevice) -> R) -> R {
        running.withLock { running in
            guard let own = running.take() else { return otherwise }
            let result = body(own)
            running = consume own
            return result
        }
    }

    /// Whether the device is gone for good.
    var isGone: Bool { transport.goneReason != nil || transport.isDead }

    /// Resets the whole device: bus master off, reset, every channel proved to stand still, bus master on. Whether it works again. Other channels have
    /// lost what they did, which their engines find by themselves.
    func restart(by deadline: Deadline) -> Bool {
        let works = with(false) { device in
            do throws(AccessError) {
                try device.restart(by: deadline) {
                    (0..<channelCount).allSatisfy { index in
                        guard let status = handler.channel(index)?.read(IOATChannel.status), !status.isAllOnes else {
                            return false
                        }
                        return (status[.state] as IOATState?).map { $0 == .halted || $0 == .suspended } ?? false
                    }
                }
                return true
            } catch { return false }
        }
        if works {
            handler.switchOn()
            handler.setDelay(shared.withLock { $0.delay })
        }
        return works
    }

    /// Whether the device is proved to reach no memory: it is told to keep away, and says that it does.
    func switchOff() -> Bool { with(true) { $0.isDead || $0.switchOff() } }

    /// Sets how long interrupts wait.
    func setDelay(_ delay: UInt16) throws(DMAError) {
        guard handler.delaySupported else { throw DMAError(.unsupportedOperation) }
        shared.withLock { $0.delay = delay }
        handler.setDelay(delay)
    }
}
