// SPDX-License-Identifier: Apache-2.0

public import DMACore
internal import DMAEngineKit
internal import Synchronization

/// All engines that this process can use, and the owners of their channels: the kernel's list of `struct dma_device`, and
/// `dma_request_chan`.
///
/// Any thread may call it. A granted channel belongs to one client until it ends (rule 1).
public final class DMASystem: Sendable {
    private struct State {
        var providers: [any EngineProvider]
        /// Channels in use, by name.
        var taken: Set<String> = []
        /// Devices that are or were open, by the engine's name.
        var devices: [String: OpenDevice] = [:]
    }

    private let state: Locked<State>
    /// The devices that may be opened.
    package let policy: DevicePolicy

    /// The engines of this package: the CPU's, and io_uring.
    public convenience init() { self.init(providers: [CPUProvider(), IOUringProvider()]) }

    /// Only the engines of these providers.
    ///
    /// - Parameters:
    ///   - providers: in the order of preference.
    ///   - policy: which of their devices may be opened; by default, those that an IOMMU isolates.
    public init(providers: [any EngineProvider], policy: DevicePolicy = DevicePolicy()) {
        state = Locked(State(providers: providers))
        self.policy = policy
    }

    /// Adds engines from outside this package, after all others.
    public func register(_ provider: any EngineProvider) { state.withLock { $0.providers.append(provider) } }

    /// The available engines, and the absent ones with the reason. Probed anew at each call; engines that the policy refuses
    /// are absent.
    public var engines: [EngineListing] {
        let (providers, taken) = state.withLock { ($0.providers, $0.taken) }
        var names: Set<String> = []
        return providers.flatMap { provider in
            provider.probe().map { offer in
                EngineListing(offer, of: provider, policy, isFirst: names.insert(offer.name).inserted, taken: taken)
            }
        }
    }

    /// The first free channel that fits, in the order of the listing: `dma_request_chan`, `dma_request_channel`.
    ///
    /// A device is opened with its first channel and closed with its last. Memory mapped for it belongs to that address space;
    /// the provider decides whether a device opened again has the same one.
    ///
    /// - Parameters:
    ///   - request: the required capabilities.
    ///   - cargo: the type that its transactions own.
    /// - Throws: `noSuchChannel` where none fits, `channelBusy` where one fits and is in use, `deviceBusy` where another
    ///   process has it, `deviceGone` where it disappeared meanwhile, `deviceNotTrusted` and `deviceNotIsolated` where the
    ///   policy refuses it; errors of the engine's start. Of several devices, the first one that can be opened is used.
    public func requestChannel<C: Cargo & ~Copyable>(
        _ request: ChannelRequest = ChannelRequest(), of cargo: C.Type = C.self
    ) throws(DMAError) -> GrantedChannel<C> {
        let granted = try grantEngine(request)
        let domain = granted.domain
        let info = granted.info
        return GrantedChannel(
            channel: try Channel(granted.takeEngine(), domain: domain, of: C.self), domain: domain, info: info)
    }

    /// The first free channel that fits, shared between tasks, for calls such as `copy(_:to:by:)`.
    ///
    /// - Parameters:
    ///   - request: the required capabilities.
    ///   - domain: for which its cargo is mapped: that of another channel, to use the same buffers on both; nil for the engine's own. Both
    ///     engines work on this process's addresses then.
    /// - Throws: as ``requestChannel(_:of:)``; `foreignEngine` where the engine's addresses are not those of `domain`.
    public func share(_ request: ChannelRequest, in domain: Domain? = nil) throws(DMAError) -> SharedChannel<Loan> {
        let granted = try grantEngine(request)
        let domain = domain ?? granted.domain
        return SharedChannel(try Channel(granted.takeEngine(), domain: domain, of: Loan.self))
    }

    /// The engine of the first free channel that fits, for code that makes the channel itself.
    package func grantEngine(_ request: ChannelRequest) throws(DMAError) -> GrantedEngine {
        var isBusy = false
        // The refusal of the first device that fits and cannot be opened.
        var refusal: DMAError?
        for listing in engines {
            let offer = listing.offer
            if let refused = listing.refusal {
                let fits = (0..<offer.channels).contains { number in
                    request.accepts(
                        ChannelInfo(
                            name: "\(offer.name)/\(number)", engine: offer.name, capabilities: offer.capabilities,
                            peripherals: offer.peripherals))
                }
                if refusal == nil, fits { refusal = refused }
            }
            for (number, name) in listing.channelNames.enumerated() {
                let info = ChannelInfo(
                    name: name, engine: offer.name, capabilities: offer.capabilities, peripherals: offer.peripherals)
                guard request.accepts(info) else { continue }
                guard state.withLock({ $0.taken.insert(name).inserted }) else {
                    isBusy = true
                    continue
                }
                // From here on the lease releases the name, whatever happens.
                let lease = ChannelLease { [weak self] in self?.release(name) }
                do throws(DMAError) {
                    let device = try use(listing)
                    let opened = ChannelInfo(
                        name: name, engine: offer.name, capabilities: device.capabilities, peripherals: device.peripherals)
                    // It may be less than was offered.
                    guard number < device.channels, request.accepts(opened) else { break }
                    // Both end after the engine: first the device's use, then that of the name.
                    let engine = try device.open(channel: number).owned(by: lease)
                    return GrantedEngine(engine: engine, domain: device.domain, info: opened, waiver: device.waiver)
                } catch {
                    guard Self.leadsOn(error) else { throw error }
                    if refusal == nil { refusal = error }
                    break
                }
            }
        }
        throw refusal ?? DMAError(isBusy ? .channelBusy : .noSuchChannel)
    }

    /// Whether another device may still fit: the errors that the listing would also show for this one.
    private static func leadsOn(_ error: DMAError) -> Bool {
        switch error.code {
        case .deviceGone, .deviceBusy, .deviceNotTrusted, .deviceNotIsolated: true
        default: false
        }
    }

    /// Opens the device of a listing, or shares it with its present users.
    ///
    /// - Throws: `deviceGone` where the listing says that it is absent, the policy's refusal, and the provider's errors.
    package func use(_ listing: EngineListing) throws(DMAError) -> DeviceUse {
        if let refusal = listing.refusal { throw refusal }
        guard listing.offer.absence == nil else { throw DMAError(.deviceGone) }
        let opened = state.withLock { state in
            if let device = state.devices[listing.offer.name] { return device }
            let device = OpenDevice()
            state.devices[listing.offer.name] = device
            return device
        }
        return try DeviceUse(opened, policy) { () throws(DMAError) in try listing.provider.open(listing.offer) }
    }

    private func release(_ name: String) { state.withLock { _ = $0.taken.remove(name) } }
}

/// A channel, with the domain to map its memory for.
public struct GrantedChannel<C: Cargo & ~Copyable>: ~Copyable {
    /// Exclusive until this value, or the variable that it is moved to, ends.
    public var channel: SystemChannel<C>
    /// The domain to map cargo for.
    public let domain: Domain
    /// The granted channel, as listed.
    public let info: ChannelInfo

    /// The channel alone.
    public consuming func takeChannel() -> SystemChannel<C> { channel }
}

/// An engine that reserves its channel's name, before there is a channel over it.
package struct GrantedEngine: ~Copyable {
    private var engine: AnyEngine
    /// The domain to map cargo for.
    package let domain: Domain
    /// The granted channel, as listed.
    package let info: ChannelInfo

    /// Why its device may be used without an IOMMU; nil where it needs no waiver.
    package let waiver: String?

    init(engine: consuming AnyEngine, domain: Domain, info: ChannelInfo, waiver: String?) {
        self.waiver = waiver
        self.engine = engine
        self.domain = domain
        self.info = info
    }

    /// The engine alone.
    package consuming func takeEngine() -> AnyEngine { engine }
}

/// A client's requirements on a channel.
public struct ChannelRequest: Sendable {
    /// All of these operations.
    public var operations: OperationSet
    /// All of these flags; every channel accepts a fence and an interrupt.
    public var flags: DescriptorFlags
    /// Whether it must raise interrupts, so that waiting sleeps.
    public var needsInterrupts: Bool
    /// Whether it must support pause and resume.
    public var needsPause: Bool
    /// Whether it must complete in the order of submission.
    public var needsOrder: Bool
    /// The channel's name, or its engine's; nil for any.
    public var name: String?
    /// The client's own filter: `dma_filter_fn`.
    public var filter: (@Sendable (ChannelInfo) -> Bool)?

    /// Any channel with these operations.
    public init(_ operations: OperationSet = [], name: String? = nil, filter: (@Sendable (ChannelInfo) -> Bool)? = nil) {
        self.operations = operations
        self.name = name
        self.filter = filter
        flags = []
        needsInterrupts = false
        needsPause = false
        needsOrder = false
    }

    func accepts(_ info: ChannelInfo) -> Bool {
        let can = info.capabilities
        if let name, name != info.name, name != info.engine { return false }
        return can.operations.isSuperset(of: operations)
            && can.flags.union([.fence, .interrupt]).isSuperset(of: flags)
            && (!needsInterrupts || can.hasInterrupts) && (!needsPause || can.canPause) && (!needsOrder || can.completesInOrder)
            && (filter?(info) ?? true)
    }
}

/// A channel as it is listed.
public struct ChannelInfo: Equatable, Sendable {
    /// Unique in the system: the engine's name, a slash and a number.
    public let name: String
    /// The engine's name.
    public let engine: String
    /// The channel's capabilities; for a granted one, those of its open device.
    public let capabilities: Capabilities
    /// Its device's peripherals; for a granted channel, those of its open device.
    public let peripherals: [PeripheralFacts]

    init(name: String, engine: String, capabilities: Capabilities, peripherals: [PeripheralFacts] = []) {
        self.name = name
        self.engine = engine
        self.capabilities = capabilities
        self.peripherals = peripherals
    }
}
