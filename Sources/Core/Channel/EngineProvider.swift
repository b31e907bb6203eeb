// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

/// Finds the engines of one kind, and opens them. A new kind of engine is listed and requested by having one of these.
///
/// Thread rules: called from any thread, also at the same time.
public protocol EngineProvider: Sendable {
    /// What there is now, present or absent, in the order of preference. Cheap: it is asked for each listing and request.
    func probe() -> [EngineOffer]

    /// Opens channel `channel` of an offer, counted from 0.
    func open(_ offer: EngineOffer, channel: Int) throws(DMAError) -> AnyEngine

    /// The address space that all channels of an offer share; asked for once. Where a provider has no opinion, addresses are
    /// the CPU's.
    func domain(for offer: EngineOffer) -> Domain
}

extension EngineProvider {
    /// The CPU's addresses.
    public func domain(for offer: EngineOffer) -> Domain { Domain(name: offer.name, constraints: offer.constraints) }
}

/// An engine as its provider describes it.
public struct EngineOffer: Equatable, Sendable {
    /// Unique in the system.
    public var name: String
    /// Channels that can be open at the same time.
    public var channels: Int
    /// What each of its channels can do.
    public var capabilities: Capabilities
    /// What its device asks of memory that is mapped for it.
    public var constraints: DeviceConstraints
    /// Why it cannot be used; nil where it can.
    public var absence: EngineAbsence?
    /// What of the machine it could use, and whether that is there: what lies behind its implementation's name.
    package var features: [EngineFeature] = []

    /// An engine that can be used, unless `absence` says why not.
    public init(
        name: String, channels: Int, capabilities: Capabilities, constraints: DeviceConstraints = DeviceConstraints(),
        absence: EngineAbsence? = nil
    ) {
        self.name = name
        self.channels = channels
        self.capabilities = capabilities
        self.constraints = constraints
        self.absence = absence
    }
}

/// Something that an engine uses where the machine has it.
package struct EngineFeature: Equatable, Sendable, Codable {
    /// What it is called where it comes from.
    package let name: String
    /// Whether it is there.
    package let isAvailable: Bool
    /// Why it is not, or what it is good for.
    package let note: String
    /// A feature, and what is known of it.
    package init(name: String, isAvailable: Bool, note: String) {
        self.name = name
        self.isAvailable = isAvailable
        self.note = note
    }
}

/// Why an engine is not there, and what to do about it: a line each.
public struct EngineAbsence: Equatable, Sendable, Codable {
    /// Why the engine cannot be used.
    public let reason: String
    /// What to change.
    public let cure: String
    /// A reason and its cure, a line each.
    public init(reason: String, cure: String) {
        self.reason = reason
        self.cure = cure
    }
}
