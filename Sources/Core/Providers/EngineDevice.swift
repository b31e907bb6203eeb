// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

/// A device that a provider has opened: its address space, what it can really do, and its channels.
///
/// What an offer said before is a claim; what stands here was read from the open device. The device stays open as long as a copy of this value
/// lives: what has to be closed belongs to a class that `openChannel` holds, and is closed by the end of the last reference to it.
///
/// Thread rules: used from any thread, also at the same time.
public struct EngineDevice: Sendable {
    /// The address space of all its channels. Devices of one group may give the same.
    public let domain: Domain
    /// What each of its channels can do.
    public let capabilities: Capabilities
    /// Channels that can be open at the same time.
    public let channels: Int
    /// The device that was opened, which need not be the one that was offered: a slot may have another card by now.
    public let identity: DeviceIdentity?
    /// What is known of its peripherals now that it is open.
    public let peripherals: [PeripheralFacts]
    private let openChannel: @Sendable (Int) throws(DMAError) -> AnyEngine

    /// A device that is as it was offered, but for what is named here.
    ///
    /// - Parameters:
    ///   - offer: as the provider's `open` got it.
    ///   - domain: its address space; nil for this process's own addresses.
    ///   - capabilities: what it can really do; nil for what was offered.
    ///   - channels: how many it really has; nil for as many as were offered.
    ///   - identity: of the device that was opened; nil for that of the offer.
    ///   - peripherals: what is known now; nil for what the offer knew.
    ///   - openChannel: makes the engine of a channel, which is counted from 0 and below `channels`. No two engines of one channel are open at
    ///     the same time.
    public init<E: Engine & SendableMetatype & ~Copyable>(
        _ offer: EngineOffer, domain: Domain? = nil, capabilities: Capabilities? = nil, channels: Int? = nil,
        identity: DeviceIdentity? = nil, peripherals: [PeripheralFacts]? = nil,
        openChannel: @escaping @Sendable (Int) throws(DMAError) -> E
    ) {
        self.init(
            offer, domain: domain, capabilities: capabilities, channels: channels, identity: identity, peripherals: peripherals
        ) { number throws(DMAError) -> AnyEngine in AnyEngine(try openChannel(number)) }
    }

    /// The same for an engine whose type is erased already.
    package init(
        _ offer: EngineOffer, domain: Domain? = nil, capabilities: Capabilities? = nil, channels: Int? = nil,
        identity: DeviceIdentity? = nil, peripherals: [PeripheralFacts]? = nil,
        openChannel: @escaping @Sendable (Int) throws(DMAError) -> AnyEngine
    ) {
        self.domain = domain ?? Domain(name: offer.name, constraints: offer.constraints)
        self.capabilities = capabilities ?? offer.capabilities
        self.channels = min(max(channels ?? offer.channels, 0), Self.mostChannels)
        self.identity = identity ?? offer.device
        self.peripherals = peripherals ?? offer.peripherals
        self.openChannel = openChannel
    }

    /// More are neither listed nor given out.
    package static let mostChannels = 65_536

    /// The engine of a channel.
    ///
    /// - Throws: `noSuchChannel` where the device has no such number; what the engine says if it does not start.
    package func open(channel: Int) throws(DMAError) -> AnyEngine {
        guard channel >= 0, channel < channels else { throw DMAError(.noSuchChannel) }
        return try openChannel(channel)
    }
}

/// What is known of a peripheral that a device has of its own: a namespace of a disk, a port of a card.
///
/// Asked before opening in ``EngineOffer/peripherals``, where the system knows it without the device, and after it in
/// ``EngineDevice/peripherals``.
public struct PeripheralFacts: Hashable, Sendable {
    /// The engine's own number of it, as in `PeripheralPlace.number`.
    public var number: UInt32
    /// Positions and lengths are multiples of this. Bytes, at least 1.
    public var blockSize: UInt64
    /// Bytes from its first position to its end; nil for a stream, and where it is not known.
    public var capacity: UInt64?
    /// Bytes of the longest transfer; `UInt64.max` for any.
    public var maximumTransfer: UInt64

    /// What is known of peripheral `number`. A block size of 0 is taken for 1.
    public init(number: UInt32, blockSize: UInt64 = 1, capacity: UInt64? = nil, maximumTransfer: UInt64 = .max) {
        self.number = number
        self.blockSize = max(blockSize, 1)
        self.capacity = capacity
        self.maximumTransfer = maximumTransfer
    }
}
