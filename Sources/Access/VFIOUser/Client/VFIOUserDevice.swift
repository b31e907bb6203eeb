// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMAAccess
public import DMACore
internal import DMADriverKit
internal import DMAPCISpecification
internal import DMARegisters
public import DMATypes
internal import DMAVFIOUserProtocol

/// A device that another process serves on a UNIX socket, by the vfio-user protocol: SPDK's and libvfio-user's, QEMU's remote devices, and those of this
/// package.
///
/// ```swift
/// let device = try VFIOUserDevice(path: "/run/edu.sock")
/// let engine = try EDUEngine(opening: device)
/// ```
///
/// **The end of the server** ends every wait at once: registers read as all ones, and the device is gone. Whether its process has ended as well, so that
/// it reaches no memory any more, is known by a pidfd (`isDead`); see ``VFIOUserConfiguration/Memory`` for what it reaches until then.
///
/// Thread rules: everything may be called from any thread.
///
/// Source: QEMU, docs/interop/vfio-user.rst.
public final class VFIOUserDevice: DeviceTransport {
    public let name: String
    public let space: AddressSpace
    private let peer: VFIOUserPeer
    private let info: DeviceInfoMessage
    private let interrupts: [InterruptInfoMessage]
    private let paths: [(info: RegionInfoMessage, path: VFIOUserPath)]
    public let configurationCount: Int

    private struct State {
        var isClaimed = false
        var armed: (kind: InterruptKind, thread: InterruptThread)?
    }
    private let state = Locked(State())

    /// The region of the configuration space: linux/vfio.h, VFIO_PCI_CONFIG_REGION_INDEX.
    private static let configuration: UInt32 = 7

    /// Connects to a server, and asks it what it has.
    ///
    /// - Throws: `absent` where no server listens; `busy` where it has another client; `notReady` where it does not answer; `badConfiguration` where its
    ///   answers are not the protocol's, or it has no PCI device; `refused`, `gone`.
    public init(path: String, _ configuration: VFIOUserConfiguration = VFIOUserConfiguration()) throws(AccessError) {
        let name = "vfio-user \(path)"
        let peer = try VFIOUserPeer(path, configuration, name: name)
        let info = try Self.deviceInfo(peer)
        var paths: [(info: RegionInfoMessage, path: VFIOUserPath)] = []
        var space = 0
        // Six base address registers, ROM, configuration space: linux/vfio.h. Regions beyond are the server's own.
        for index in 0..<min(info.regions, 8) {
            guard let (region, file) = try Self.regionInfo(peer, index), region.count > 0 else { continue }
            if index == Self.configuration {
                space = region.count >= 4096 ? 4096 : region.count >= 256 ? 256 : 0
            } else if index < 6 {
                paths.append((region, VFIOUserPath(peer, region, file: file)))
            }
        }
        guard space > 0 else {
            throw AccessError(
                .badConfiguration, device: name, "it has no configuration space", cure: "use a server of a PCI device")
        }
        configurationCount = space
        interrupts = try (0..<min(info.interrupts, 3)).map { index throws(AccessError) in
            try Self.interruptInfo(peer, index)
        }
        let pages = peer.capabilities.pageSizes
        let sizes = (12..<63).map { UInt64(1) << UInt64($0) }.filter { pages & $0 != 0 }
        do throws(DMAError) {
            self.space = try AddressSpace(
                name: name,
                translation: .translated(
                    VFIOUserBackend(peer), apertures: [0x1_0000...0xffff_ffff_ffff], pageSizes: sizes.isEmpty ? [4096] : sizes))
        } catch { throw AccessError(error, device: name, "making an address space") }
        self.name = name
        self.peer = peer
        self.info = info
        self.paths = paths
    }

    deinit {
        state.withLock { state in
            defer { state.armed = nil }
            return state.armed?.thread
        }?.stop()
    }

    public var goneReason: String? { peer.goneReason }
    public var isDead: Bool { peer.isDead }

    /// Whether any part of a region's registers is mapped, and not reached by messages.
    public func isMapped(_ region: Int) -> Bool {
        paths.first { $0.info.index == UInt32(clamping: region) }?.path.isMapped ?? false
    }

    // MARK: What the server has

    private static func deviceInfo(_ peer: VFIOUserPeer) throws(AccessError) -> DeviceInfoMessage {
        let doing = "asking what the device has"
        do throws(PeerError) {
            let reply = try peer.ask(.deviceInfo(QueryMessage(replySize: 16)))
            do throws(WireError) {
                let info = try DeviceInfoMessage(reply: reply.payload)
                guard info.isPCI, info.regions > configuration else { throw WireError.invalid }
                return info
            } catch { throw PeerError(.badAnswer, "it is no PCI device, or the answer is none of the protocol's") }
        } catch { throw peer.error(error, doing) }
    }

    /// A region, asked twice where its capabilities need more room; nil where the server has no information about it, which is no error.
    private static func regionInfo(
        _ peer: VFIOUserPeer, _ index: UInt32
    ) throws(AccessError) -> (RegionInfoMessage, OwnedDescriptor?)? {
        let doing = "asking for region \(index)"
        var room = UInt32(RegionInfoMessage.fixed)
        for _ in 0..<2 {
            let reply: Connection.Message
            do throws(PeerError) {
                reply = try peer.ask(.regionInfo(QueryMessage(index: index, replySize: room)))
            } catch {
                if error.code == .refused { return nil }
                throw peer.error(error, doing)
            }
            do throws(WireError) {
                let info = try RegionInfoMessage(reply: reply.payload, index: index)
                // Most of what a server may ask for: a message of 64 KiB.
                guard info.needed > room else { return (info, reply.descriptors.first) }
                guard info.needed <= 1 << 16 else { throw .tooLarge }
                room = info.needed
            } catch { throw peer.error(error, doing) }
        }
        throw peer.error(WireError.invalid, doing)
    }

    private static func interruptInfo(_ peer: VFIOUserPeer, _ index: UInt32) throws(AccessError) -> InterruptInfoMessage {
        let doing = "asking for interrupts of kind \(index)"
        let reply: Connection.Message
        do throws(PeerError) { reply = try peer.ask(.interruptInfo(QueryMessage(index: index, replySize: 16))) } catch {
            // A kind that the server does not know is one that it does not have.
            if error.code == .refused { return InterruptInfoMessage(index: index, count: 0) }
            throw peer.error(error, doing)
        }
        do throws(WireError) { return try InterruptInfoMessage(reply: reply.payload, index: index) } catch {
            throw peer.error(error, doing)
        }
    }

    // MARK: Opening

    public func claim() throws(AccessError) {
        if let reason = goneReason {
            throw AccessError(.gone, device: name, reason, cure: "connect to the server again")
        }
        let isMine = state.withLock { state in
            defer { state.isClaimed = true }
            return !state.isClaimed
        }
        guard isMine else {
            throw AccessError(.busy, device: name, "it is open", cure: "close it where it is open, or use another device")
        }
    }

    public func release() {
        // Where the server refuses, they are off as far as the driver is concerned.
        try? disableInterrupts()
        state.withLock { $0.isClaimed = false }
    }

    public func reset(by deadline: Deadline) throws(AccessError) -> ResetMethod {
        guard info.canReset else { return .none }
        peer.flush()
        do throws(PeerError) { _ = try peer.ask(.reset) } catch { throw peer.error(error, "resetting the device") }
        // What firmware and the kernel do behind a reset: registers are decoded again.
        DeviceConfiguration(self).modify(DeviceConfiguration.command) { $0[.decodesMemory] = true }
        return .transport
    }

    // MARK: Configuration space and registers

    public func readConfiguration(_ offset: Int, _ width: AccessWidth) -> UInt32 {
        let request = RegionAccessMessage(
            region: Self.configuration, offset: UInt64(max(offset, 0)), count: width.rawValue)
        return UInt32(truncatingIfNeeded: peer.read(request) ?? width.allOnes)
    }

    public func writeConfiguration(_ value: UInt32, _ offset: Int, _ width: AccessWidth) {
        peer.post(
            .regionWrite(
                RegionAccessMessage(
                    region: Self.configuration, offset: UInt64(max(offset, 0)), UInt64(value), count: width.rawValue)))
        peer.flush()
    }

    public func regions() throws(AccessError) -> [DeviceRegion] {
        paths.map { DeviceRegion(index: Int($0.info.index), count: $0.info.count, path: $0.path) }
    }

    // MARK: Interrupts

    private static func index(_ kind: InterruptKind) -> UInt32 {
        switch kind {
        case .intx: InterruptInfoMessage.intx
        case .msi: InterruptInfoMessage.msi
        case .msix: InterruptInfoMessage.msix
        }
    }

    private func interruptInfo(_ kind: InterruptKind) -> InterruptInfoMessage? {
        interrupts.first { $0.index == Self.index(kind) && $0.signalsEvents }
    }

    public func interruptCount(_ kind: InterruptKind) -> Int { interruptInfo(kind).map { Int($0.count) } ?? 0 }

    public func enableInterrupts(
        _ kind: InterruptKind, count: Int, _ handler: @escaping InterruptHandler
    ) throws(AccessError) {
        guard count > 0, count <= interruptCount(kind) else {
            throw AccessError(
                .noInterrupts, device: name, "\(count) vectors of \(kind); there are \(interruptCount(kind))",
                cure: "ask for fewer, or poll")
        }
        try disableInterrupts()
        let masksItself = interruptInfo(kind)?.masksItself ?? false
        let thread: InterruptThread
        do throws(DMAError) {
            thread = try InterruptThread(count, handler) { [weak peer] vector in
                // A level that is still asserted comes again.
                guard masksItself, let peer else { return }
                peer.post(
                    .setInterrupts(
                        SetInterruptsMessage(.unmask, .all, index: Self.index(kind), start: UInt32(vector), count: 1)))
            }
        } catch { throw AccessError(error, device: name, "starting a thread for interrupts") }
        state.withLock { $0.armed = (kind, thread) }
        do throws(AccessError) { try rearmInterrupts() } catch {
            state.withLock { $0.armed = nil }
            thread.stop()
            throw error
        }
    }

    public func rearmInterrupts() throws(AccessError) {
        guard let armed = state.withLock({ $0.armed }) else { return }
        let index = Self.index(armed.kind)
        let events = armed.thread.events
        // As many as the server takes in one message.
        let most = min(max(peer.capabilities.descriptors, 1), 64)
        var start = 0
        while start < events.count {
            let part = events[start..<min(start + most, events.count)]
            let message = SetInterruptsMessage(
                .trigger, .events, index: index, start: UInt32(start), count: UInt32(part.count))
            do throws(PeerError) {
                _ = try peer.ask(.setInterrupts(message), descriptors: part.map(\.descriptor))
            } catch { throw peer.error(error, "passing events for interrupts") }
            start += part.count
        }
        if interruptInfo(armed.kind)?.masksItself ?? false {
            peer.post(
                .setInterrupts(SetInterruptsMessage(.unmask, .all, index: index, start: 0, count: UInt32(events.count))))
        }
        do throws(ConfigurationError) { try tellDevice(armed.kind, events.count) } catch {
            throw AccessError(error, device: name)
        }
    }

    /// Switches the kind on in the configuration space. The message address and data are not used: the server signals an eventfd for each vector instead.
    private func tellDevice(_ kind: InterruptKind, _ count: Int) throws(ConfigurationError) {
        let configuration = DeviceConfiguration(self)
        let capabilities = try PCICapability.list(configuration)
        switch kind {
        case .intx: configuration.modify(DeviceConfiguration.command) { $0[.disablesINTx] = false }
        case .msi:
            guard let place = capabilities.first(PCICapability.msi) else { return }
            let msi = try MSI(configuration, place)
            configuration.modify(Register<MSIControl, ReadWrite>(msi.control)) { control in
                control[.given] = UInt8(truncatingIfNeeded: (0...5).first { 1 << $0 >= count } ?? 5)
                control[.isEnabled] = true
            }
        case .msix:
            guard let place = capabilities.first(PCICapability.msix) else { return }
            let msix = try MSIX(configuration, place)
            configuration.modify(Register<MSIXControl, ReadWrite>(msix.control)) { control in
                control[.isEnabled] = true
                control[.isMasked] = false
            }
        }
    }

    public func disableInterrupts() throws(AccessError) {
        let armed = state.withLock { state in
            defer { state.armed = nil }
            return state.armed
        }
        guard let armed else { return }
        armed.thread.stop()
        guard goneReason == nil else { return }
        let message = SetInterruptsMessage(.trigger, .all, index: Self.index(armed.kind), start: 0, count: 0)
        do throws(PeerError) { _ = try peer.ask(.setInterrupts(message)) } catch {
            throw peer.error(error, "taking events for interrupts back")
        }
    }

    public var deliversInterrupts: Bool { true }
    public func look() {}
    public func pause(until deadline: Deadline) {
        cdma_sleep_until(min(deadline, Deadline.after(nanoseconds: 200_000)).nanoseconds)
    }
}
