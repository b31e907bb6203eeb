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
        var domains: [String: Domain] = [:]
    }

    private let state: Locked<State>

    /// The engines of this package: the CPU's, and io_uring.
    public convenience init() { self.init(providers: [CPUProvider(), IOUringProvider()]) }

    /// The engines of these providers alone.
    public init(providers: [any EngineProvider]) {
        state = Locked(State(providers: providers))
    }

    /// Adds engines from outside this package; behind the others in every list.
    public func register(_ provider: any EngineProvider) { state.withLock { $0.providers.append(provider) } }

    /// What there is, and what is missing and why. Looks anew at each call.
    public var engines: [EngineListing] {
        let (providers, taken) = state.withLock { ($0.providers, $0.taken) }
        return providers.flatMap { provider in
            provider.probe().map { offer in
                let names = ChannelInfo.names(offer)
                return EngineListing(
                    offer: offer, provider: provider, channelsInUse: names.count(where: taken.contains), channelNames: names)
            }
        }
    }

    /// The first free channel that fits, in the order of the listing: `dma_request_chan`, `dma_request_channel`.
    ///
    /// - Parameters:
    ///   - request: what it must be able to do.
    ///   - cargo: what its transactions own.
    /// - Throws: `noSuchChannel` where none fits, `channelBusy` where one fits and is taken; what the engine says if it does not start.
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
        let providers = state.withLock { $0.providers }
        var isBusy = false
        for provider in providers {
            for offer in provider.probe() where offer.absence == nil {
                for (number, name) in ChannelInfo.names(offer).enumerated() {
                    let info = ChannelInfo(name: name, engine: offer.name, capabilities: offer.capabilities)
                    guard request.accepts(info) else { continue }
                    guard state.withLock({ $0.taken.insert(name).inserted }) else {
                        isBusy = true
                        continue
                    }
                    // From here on the lease gives the name back, however this ends.
                    let lease = ChannelLease { [weak self] in self?.release(name) }
                    let domain = domain(for: offer, of: provider)
                    let engine = try provider.open(offer, channel: number).owned(by: lease)
                    return GrantedEngine(engine: engine, domain: domain, info: info)
                }
            }
        }
        throw DMAError(isBusy ? .channelBusy : .noSuchChannel)
    }

    private func release(_ name: String) { state.withLock { _ = $0.taken.remove(name) } }

    /// The address space of an engine: one for all its channels.
    private func domain(for offer: EngineOffer, of provider: any EngineProvider) -> Domain {
        state.withLock { state in
            if let domain = state.domains[offer.name] { return domain }
            let domain = provider.domain(for: offer)
            state.domains[offer.name] = domain
            return domain
        }
    }
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

    init(engine: consuming AnyEngine, domain: Domain, info: ChannelInfo) {
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
    /// What the channel can do.
    public let capabilities: Capabilities

    static func names(_ offer: EngineOffer) -> [String] {
        offer.absence == nil ? (0..<offer.channels).map { "\(offer.name)/\($0)" } : []
    }
}
