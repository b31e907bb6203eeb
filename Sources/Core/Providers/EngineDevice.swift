// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

/// A device that a provider has opened: its address space, its actual capabilities, and its channels.
///
/// The offer was a claim; the values here were read from the open device. The device stays open as long as a copy of this value
/// lives: a resource that must be closed belongs to an object captured by `openChannel`, and is closed when the last reference
/// to that object is released.
///
/// Thread rules: used from any thread, also concurrently.
public struct EngineDevice: Sendable {
    /// The address space of all its channels. Devices of one group may share one.
    public let domain: Domain
    /// The capabilities of each of its channels.
    public let capabilities: Capabilities
    /// The number of channels that can be open at the same time.
    public let channels: Int
    /// The device that was opened, which may differ from the one in the offer: the slot may hold another card by now.
    public let identity: DeviceIdentity?
    /// Its peripherals, read from the open device.
    public let peripherals: [PeripheralFacts]
    private let openChannel: @Sendable (Int) throws(DMAError) -> AnyEngine

    /// A device with the properties of its offer, except for the arguments below.
    ///
    /// - Parameters:
    ///   - offer: the argument of the provider's `open`.
    ///   - domain: its address space; nil for this process's own addresses.
    ///   - capabilities: its actual capabilities; nil for those of the offer.
    ///   - channels: its actual number of channels; nil for that of the offer.
    ///   - identity: of the device that was opened; nil for that of the offer.
    ///   - peripherals: those read from the device; nil for those of the offer.
    ///   - openChannel: makes the engine of a channel, counted from 0 and below `channels`. No two engines of one channel are open at
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

    /// The same for a type-erased engine.
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

    /// More channels are neither listed nor opened.
    package static let mostChannels = 65_536

    /// Opens the engine of a channel.
    ///
    /// - Throws: `noSuchChannel` where the device has no such channel; errors of the engine's start.
    package func open(channel: Int) throws(DMAError) -> AnyEngine {
        guard channel >= 0, channel < channels else { throw DMAError(.noSuchChannel) }
        return try openChannel(channel)
    }
}

/// Facts about a peripheral that a device has of its own: a namespace of a disk, a port of a card.
///
/// ``EngineOffer/peripherals`` has them before opening, where the system knows them without the device, and
/// ``EngineDevice/peripherals`` afterwards.
public struct PeripheralFacts: Hashable, Sendable {
    /// The engine's own number, as in `PeripheralPlace.number`.
    public var number: UInt32
    /// The unit of positions and lengths. Bytes, at least 1.
    public var blockSize: UInt64
    /// Bytes from its first position to its end; nil for a stream, or where it is unknown.
    public var capacity: UInt64?
    /// The maximum length of a transfer, in bytes; `UInt64.max` for no limit.
    public var maximumTransfer: UInt64

    /// The facts about peripheral `number`. A block size of 0 becomes 1.
    public init(number: UInt32, blockSize: UInt64 = 1, capacity: UInt64? = nil, maximumTransfer: UInt64 = .max) {
        self.number = number
        self.blockSize = max(blockSize, 1)
        self.capacity = capacity
        self.maximumTransfer = maximumTransfer
    }
}
