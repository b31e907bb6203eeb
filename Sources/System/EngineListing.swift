// SPDX-License-Identifier: Apache-2.0

public import DMACore

/// An engine in the system's list.
public struct EngineListing: Sendable {
    /// What its provider says of it; absent also where the policy refuses its device.
    public let offer: EngineOffer
    /// Who found it.
    package let provider: any EngineProvider
    /// How many of its channels clients have now.
    public let channelsInUse: Int
    /// The names that its channels are requested by; none for an absent engine.
    public let channelNames: [String]
    /// Why its device may be used without an IOMMU; nil where it needs no waiver.
    public let waiver: String?
    /// What a request for it gets where the policy refuses its device.
    let refusal: DMAError?

    /// - Parameters:
    ///   - isFirst: whether no engine before it in the list has its name.
    ///   - taken: names of channels that clients have.
    init(_ offered: EngineOffer, of provider: any EngineProvider, _ policy: DevicePolicy, isFirst: Bool, taken: Set<String>) {
        var offer = offered
        var refusal: DMAError?
        var waiver: String?
        offer.channels = min(max(offer.channels, 0), EngineDevice.mostChannels)
        if !Self.isName(offer.name) {
            offer.absence = EngineAbsence(
                reason: "its provider gave it a name that is none",
                cure: "let the provider use 1 to 64 letters, digits and marks of ASCII but the slash")
            offer.name = Self.shown(offer.name)
        } else if !isFirst {
            offer.absence = EngineAbsence(
                reason: "another engine has this name",
                cure: "register one of their providers alone, or let it use another name")
        } else if offer.absence == nil {
            switch policy.judge(offer.device) {
            case .allowed: break
            case .waived(let sentence): waiver = sentence
            case .refused(let error, let absence): (refusal, offer.absence) = (error, absence)
            }
        }
        let name = offer.name
        let names = offer.absence == nil ? (0..<offer.channels).map { "\(name)/\($0)" } : []
        self.offer = offer
        self.provider = provider
        (self.refusal, self.waiver) = (refusal, waiver)
        channelNames = names
        channelsInUse = names.count(where: taken.contains)
    }

    /// Whether a channel can be requested by it, and a line of a terminal show it.
    private static func isName(_ name: String) -> Bool {
        (1...64).contains(name.utf8.count) && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "/") }
    }

    private static func shown(_ name: String) -> String {
        let marks = name.utf8.prefix(64).map { $0 > 0x20 && $0 < 0x7f ? $0 : UInt8(ascii: "?") }
        return marks.isEmpty ? "?" : String(decoding: marks, as: UTF8.self)
    }
}

/// Gives a channel's name back when the last reference goes: the engine that owns it has ended.
package final class ChannelLease: Sendable {
    private let release: @Sendable () -> Void
    package init(_ release: @escaping @Sendable () -> Void) { self.release = release }
    deinit { release() }
}
