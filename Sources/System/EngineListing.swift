// SPDX-License-Identifier: Apache-2.0

public import DMACore

/// An engine in the system's list.
public struct EngineListing: Sendable {
    /// The provider's offer; absent also where the policy refuses its device.
    public let offer: EngineOffer
    /// The provider that found it.
    package let provider: any EngineProvider
    /// The number of its channels in use.
    public let channelsInUse: Int
    /// The names for requesting its channels; empty for an absent engine.
    public let channelNames: [String]
    /// Why its device may be used without an IOMMU; nil where it needs no waiver.
    public let waiver: String?
    /// The error of a request for it where the policy refuses its device.
    let refusal: DMAError?

    /// - Parameters:
    ///   - isFirst: whether no earlier engine in the list has its name.
    ///   - taken: names of channels in use.
    init(_ offered: EngineOffer, of provider: any EngineProvider, _ policy: DevicePolicy, isFirst: Bool, taken: Set<String>) {
        var offer = offered
        var refusal: DMAError?
        var waiver: String?
        offer.channels = min(max(offer.channels, 0), EngineDevice.mostChannels)
        if !Self.isName(offer.name) {
            offer.absence = EngineAbsence(
                reason: "its provider gave it an invalid name",
                cure: "let the provider use 1 to 64 ASCII letters, digits and punctuation without slashes")
            offer.name = Self.shown(offer.name)
        } else if !isFirst {
            offer.absence = EngineAbsence(
                reason: "another engine has this name",
                cure: "register only one of their providers, or let it use another name")
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

    /// Whether the name can be requested, and printed on a terminal.
    private static func isName(_ name: String) -> Bool {
        (1...64).contains(name.utf8.count) && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "/") }
    }

    private static func shown(_ name: String) -> String {
        let marks = name.utf8.prefix(64).map { $0 > 0x20 && $0 < 0x7f ? $0 : UInt8(ascii: "?") }
        return marks.isEmpty ? "?" : String(decoding: marks, as: UTF8.self)
    }
}

/// Releases a channel's name with the last reference: the engine that owns it has ended.
package final class ChannelLease: Sendable {
    private let release: @Sendable () -> Void
    package init(_ release: @escaping @Sendable () -> Void) { self.release = release }
    deinit { release() }
}
