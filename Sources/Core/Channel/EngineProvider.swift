// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

/// Finds the engines of one kind, and opens them. A new kind of engine is listed and requested by having one of these.
///
/// Thread rules: called from any thread, also at the same time. A system opens one offer by one thread at a time, and not again before what
/// was opened has been closed.
public protocol EngineProvider: Sendable {
    /// What there is now, present or absent, in the order of preference: an offer for each device. Cheap: it is asked for each listing and
    /// request, and opens nothing.
    func probe() -> [EngineOffer]

    /// Opens the device of an offer, which is closed when the last reference to what its ``EngineDevice`` holds is gone.
    ///
    /// - Throws: `deviceGone` where it has disappeared since the offer was made, `deviceBusy` where another process has it; a request then
    ///   goes on to the next device. Any other error ends the request.
    func open(_ offer: EngineOffer) throws(DMAError) -> EngineDevice
}

/// An engine as its provider describes it before it is opened.
public struct EngineOffer: Equatable, Sendable {
    /// Unique in the system, and the same at each probe. 1 to 64 letters, digits and marks but the slash; each device of a kind has its own.
    public var name: String
    /// Channels that can be open at the same time: 0 to 65,536.
    public var channels: Int
    /// What each of its channels can do.
    public var capabilities: Capabilities
    /// What its device asks of memory that is mapped for it.
    public var constraints: DeviceConstraints
    /// Why it cannot be used; nil where it can.
    public var absence: EngineAbsence?
    /// The device behind it, which a ``DevicePolicy`` judges; nil for code on the CPU and for the kernel's own interfaces.
    public var device: DeviceIdentity?
    /// What is known of its peripherals before it is opened.
    public var peripherals: [PeripheralFacts] = []
    /// Why it runs on less than it could, and what to change; nil where it does not. What it runs on says its implementation's name.
    package var fallback: EngineAbsence?
    /// What of the machine it could use, and whether that is there: what lies behind its implementation's name.
    package var features: [EngineFeature] = []

    /// An engine that can be used, unless `absence` says why not.
    public init(
        name: String, channels: Int, capabilities: Capabilities, constraints: DeviceConstraints = DeviceConstraints(),
        absence: EngineAbsence? = nil, device: DeviceIdentity? = nil
    ) {
        self.name = name
        self.channels = channels
        self.capabilities = capabilities
        self.constraints = constraints
        self.absence = absence
        self.device = device
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
public struct EngineAbsence: Hashable, Sendable, Codable {
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
