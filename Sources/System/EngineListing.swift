// SPDX-License-Identifier: Apache-2.0

public import DMACore

/// An engine in the system's list.
public struct EngineListing: Sendable {
    /// What its provider says of it.
    public let offer: EngineOffer
    /// Who found it.
    package let provider: any EngineProvider
    /// How many of its channels clients have now.
    public let channelsInUse: Int
    /// The names that its channels are requested by; none for an absent engine.
    public let channelNames: [String]
}

/// Gives a channel's name back when the last reference goes: the engine that owns it has ended.
package final class ChannelLease: Sendable {
    private let release: @Sendable () -> Void
    package init(_ release: @escaping @Sendable () -> Void) { self.release = release }
    deinit { release() }
}
