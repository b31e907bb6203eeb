// SPDX-License-Identifier: Apache-2.0

public import DMACore
internal import DMAEngineKit
internal import Synchronization

/// Every engine that this process can use, and who has which of their channels: the kernel's list of `struct dma_device`, and
/// `dma_request_chan`.
///
/// Any thread may ask. A channel that was granted belongs to one client until it ends (rule 1).
public final class DMASystem: Sendable {
    private struct State {
        var providers: [any EngineProvider]
        /// Channels in use, by name.
        var taken: Set<String> = []
        /// Devices that are or were open, by the engine's name.
        var devices: [String: OpenDevice] = [:]
    }

    private let state: Locked<State>
    /// Which devices may be opened.
    package let policy: DevicePolicy

    /// The engines of this package: the CPU's, and io_uring.
    public convenience init() { self.init(providers: [CPUProvider(), IOUringProvider()]) }

    /// The engines of these providers alone.
    ///
    /// - Parameters:
    ///   - providers: in the order of preference.
    ///   - policy: which of their devices may be opened; without one, those that an IOMMU holds back.
    public init(providers: [any EngineProvider], policy: DevicePolicy = DevicePolicy()) {
        state = Locked(State(providers: providers))
        self.policy = policy
    }

    /// Adds engines from outside this package; behind the others in every list.
    public func register(_ provider: any EngineProvider) { state.withLock { $0.providers.append(provider) } }

    /// What there is, and what is missing and why. Looks anew at each call; what the policy refuses is missing.
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
    /// A device is opened with its first channel and closed with its last. Memory that was mapped for it is mapped for the address space of that
    /// time; whether a device that is opened later has the same one is for its provider to say.
    ///
    /// - Parameters:
    ///   - request: what it must be able to do.
    ///   - cargo: what its transactions own.
    /// - Throws: `noSuchChannel` where none fits, `channelBusy` where one fits and is taken, `deviceBusy` where another process has it,
    ///   `deviceGone` where it disappeared meanwhile, `deviceNotTrusted` and `deviceNotIsolated` where the policy refuses it; what the engine
    ///   says if it does not start. Of several devices, the first that can be had is taken.
    public func requestChannel<C: Cargo & ~Copyable>(
        _ request: ChannelRequest = ChannelRequest(), of cargo: C.Type = C.self
    ) throws(DMAError) -> GrantedChannel<C> {
        let granted = try grantEngine(request)
        let domain = granted.domain
        let info = granted.info
        return GrantedChannel(
            channel: try Channel(granted.takeEngine(), domain: domain, of: C.self), domain: domain, info: info)
    }

    /// The first free channel that fits, as one that tasks share, for calls such as `copy(_:to:by:)`.
    ///
    /// - Parameters:
    ///   - request: what it must be able to do.
    ///   - domain: for which its cargo is mapped: that of another channel, to use the same buffers on both; nil for the engine's own. Both
    ///     engines work on this process's addresses then.
    /// - Throws: as ``requestChannel(_:of:)``; `foreignEngine` where the engine's addresses are not those of `domain`.
    public func share(_ request: ChannelRequest, in domain: Domain? = nil) throws(DMAError) -> SharedChannel<Loan> {
        let granted = try grantEngine(request)
        let domain = domain ?? granted.domain
        return SharedChannel(try Channel(granted.takeEngine(), domain: domain, of: Loan.self))
    }

    /// The engine of the first free channel that fits, for who builds the channel.
    package func grantEngine(_ request: ChannelRequest) throws(DMAError) -> GrantedEngine {
        var isBusy = false
        // What was said of the first device that fits and cannot be had.
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
                // From here on the lease gives the name back, however this ends.
                let lease = ChannelLease { [weak self] in self?.release(name) }
                do throws(DMAError) {
                    let device = try use(listing)
                    let opened = ChannelInfo(
                        name: name, engine: offer.name, capabilities: device.capabilities, peripherals: device.peripherals)
                    // It may be less than was offered.
                    guard number < device.channels, request.accepts(opened) else { break }
                    // Both end after the engine: the device's use, and then that of the name.
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

    /// Whether another device may still do: what the listing says of this one at the next look as well.
    private static func leadsOn(_ error: DMAError) -> Bool {
        switch error.code {
        case .deviceGone, .deviceBusy, .deviceNotTrusted, .deviceNotIsolated: true
        default: false
        }
    }

    /// Opens the device of a listing, or uses it with those who have it open.
    ///
    /// - Throws: `deviceGone` where the listing says that it is absent, the policy's refusal, and what the provider says.
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

/// A channel, and what it takes to map memory for it.
public struct GrantedChannel<C: Cargo & ~Copyable>: ~Copyable {
    /// Exclusive until this value, or whoever it is moved to, ends.
    public var channel: SystemChannel<C>
    /// Map cargo for this.
    public let domain: Domain
    /// What was granted, as it is listed.
    public let info: ChannelInfo

    /// The channel alone.
    public consuming func takeChannel() -> SystemChannel<C> { channel }
}

/// An engine that holds its channel's name, before there is a channel over it.
package struct GrantedEngine: ~Copyable {
    private var engine: AnyEngine
    /// Map cargo for this.
    package let domain: Domain
    /// What was granted, as it is listed.
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

/// What a client asks of a channel.
public struct ChannelRequest: Sendable {
    /// All of these.
    public var operations: OperationSet
    /// All of these; a fence and an interrupt every channel takes.
    public var flags: DescriptorFlags
    /// Whether it must raise interrupts, so that a waiter sleeps.
    public var needsInterrupts: Bool
    /// Whether it must pause and resume.
    public var needsPause: Bool
    /// Whether it must complete in the order of submission.
    public var needsOrder: Bool
    /// The channel's name, or its engine's; nil for any.
    public var name: String?
    /// The client's own question: `dma_filter_fn`.
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
    /// What the channel can do; of one that was granted, what its open device says.
    public let capabilities: Capabilities
    /// What is known of its device's peripherals; of a channel that was granted, what its open device says.
    public let peripherals: [PeripheralFacts]

    init(name: String, engine: String, capabilities: Capabilities, peripherals: [PeripheralFacts] = []) {
        self.name = name
        self.engine = engine
        self.capabilities = capabilities
        self.peripherals = peripherals
    }
}
