// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

/// Finds and opens the engines of one kind. Adding a provider to a system is what makes a new kind of engine available to
/// listings and requests.
///
/// Thread rules: functions are called from any thread, also concurrently. A system opens an offer on one thread at a time, and
/// does not open it again before it was closed.
public protocol EngineProvider: Sendable {
    /// The engines found at this moment, present or absent, in the order of preference: one offer per device. Must be cheap: it
    /// is called for each listing and request, and opens nothing.
    func probe() -> [EngineOffer]

    /// Opens the device of an offer. The device is closed when the last reference to its ``EngineDevice``'s contents is
    /// released.
    ///
    /// - Throws: `deviceGone` where it has disappeared since the offer was made, `deviceBusy` where another process has it; a
    ///   request then tries the next device. Any other error ends the request.
    func open(_ offer: EngineOffer) throws(DMAError) -> EngineDevice
}

/// An engine as its provider describes it before it is opened.
public struct EngineOffer: Equatable, Sendable {
    /// Unique in the system, and the same in each probe. 1 to 64 letters, digits and punctuation without slashes; each device
    /// of a kind has its own.
    public var name: String
    /// The number of channels that can be open at the same time: 0 to 65,536.
    public var channels: Int
    /// The capabilities of each of its channels.
    public var capabilities: Capabilities
    /// The device's constraints on memory mapped for it.
    public var constraints: DeviceConstraints
    /// Why it cannot be used; nil where it can.
    public var absence: EngineAbsence?
    /// The device, which a ``DevicePolicy`` checks; nil for code on the CPU and for the kernel's own interfaces.
    public var device: DeviceIdentity?
    /// Its peripherals, as far as they are known before it is opened.
    public var peripherals: [PeripheralFacts] = []
    /// Why it runs on a slower implementation than it could, and the cure; nil where it does not. Its implementation's name
    /// says which one.
    package var fallback: EngineAbsence?
    /// Features of the machine that it can use, and whether they are available: the details of its implementation's name.
    package var features: [EngineFeature] = []

    /// An engine that can be used, unless `absence` is set.
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

/// A feature that an engine uses where the machine has it.
package struct EngineFeature: Equatable, Sendable, Codable {
    /// The feature's name in its own documentation.
    package let name: String
    /// Whether it is available.
    package let isAvailable: Bool
    /// Why it is unavailable, or its purpose.
    package let note: String
    /// A feature and its state.
    package init(name: String, isAvailable: Bool, note: String) {
        self.name = name
        self.isAvailable = isAvailable
        self.note = note
    }
}

/// Why an engine is absent, and the cure: one line each.
public struct EngineAbsence: Hashable, Sendable, Codable {
    /// Why the engine cannot be used.
    public let reason: String
    /// What to change.
    public let cure: String
    /// A reason and its cure, one line each.
    public init(reason: String, cure: String) {
        self.reason = reason
        self.cure = cure
    }
}
