// SPDX-License-Identifier: Apache-2.0

/// Which devices may be opened: those of a list, behind an IOMMU, unless one is exempted by name.
///
/// A device that an IOMMU does not hold back reaches all of the machine's memory, whatever was mapped for it: it is refused, unless a waiver
/// names its slot. A waiver is said wherever the device shows: in the listing, in plans and in reports. Engines without a device of their own
/// (the CPU, the kernel's interfaces) are not judged.
public struct DevicePolicy: Equatable, Sendable {
    /// Devices that are meant: those of an ID, of a slot, or of both. At least one of them is there.
    public struct Match: Hashable, Sendable {
        /// Vendor and device ID; nil for any.
        public let id: ID?
        /// The slot; nil for any.
        public let slot: DeviceSlot?

        /// The devices with this ID in this slot.
        public init(_ id: ID, in slot: DeviceSlot? = nil) {
            self.id = id
            self.slot = slot
        }

        /// Whatever is in this slot.
        public init(_ slot: DeviceSlot) { (id, self.slot) = (nil, slot) }

        func matches(_ device: DeviceIdentity) -> Bool {
            (id == nil || id == ID(vendor: device.vendor, device: device.device)) && (slot == nil || slot == device.slot)
        }
    }

    /// What a device calls itself.
    public struct ID: Hashable, Sendable {
        /// PCI's vendor ID.
        public var vendor: UInt16
        /// PCI's device ID.
        public var device: UInt16

        /// A vendor's device.
        public init(vendor: UInt16, device: UInt16) {
            self.vendor = vendor
            self.device = device
        }
    }

    /// The exemption of one slot from the rule that a device is behind an IOMMU.
    public struct Waiver: Hashable, Sendable {
        /// The slot, which is the name of the exempted device.
        public var slot: DeviceSlot
        /// Why, in the words of who takes the responsibility; shown with the device.
        public var reason: String

        /// Exempts what is in `slot`.
        public init(_ slot: DeviceSlot, reason: String) {
            self.slot = slot
            self.reason = reason
        }

        /// One line without what changes how the text around it is shown; a program may have given any text.
        var shownReason: String {
            let line = String(String.UnicodeScalarView(reason.unicodeScalars.map { DevicePolicy.isHidden($0) ? " " : $0 }))
            return line.allSatisfy { $0 == " " } ? "no reason given" : String(line.prefix(DevicePolicy.mostInLine))
        }
    }

    /// Devices that may be opened; nil for any, and an empty list for none.
    public var trusted: [Match]?
    /// Slots whose device may be opened without an IOMMU.
    public var waivers: [Waiver]

    /// Any device behind an IOMMU, and no other.
    public init(trusted: [Match]? = nil, waivers: [Waiver] = []) {
        self.trusted = trusted
        self.waivers = waivers
    }

    /// What comes of a device.
    package enum Verdict: Equatable, Sendable {
        case allowed
        /// Allowed without an IOMMU; the sentence that is shown wherever the device is.
        case waived(String)
        case refused(DMAError, EngineAbsence)
    }

    /// Judges a device; an engine without one is allowed.
    package func judge(_ device: DeviceIdentity?) -> Verdict {
        guard let device else { return .allowed }
        if let trusted, !trusted.contains(where: { $0.matches(device) }) {
            return .refused(
                DMAError(.deviceNotTrusted, asked: device.number),
                EngineAbsence(
                    reason: "device \(device.id) in slot \(device.slot) is not on the policy's list of trusted devices",
                    cure: "add \"trust \(device.id) \(device.slot)\" to the policy, if it is to be trusted"))
        }
        guard device.isolation != .iommu else { return .allowed }
        let lack =
            device.isolation == .none
            ? "no IOMMU holds device \(device.id) in slot \(device.slot) back"
            : "it is not known whether an IOMMU holds device \(device.id) in slot \(device.slot) back"
        if let waiver = waivers.first(where: { $0.slot == device.slot }) {
            return .waived("\(lack); waived by name: \(waiver.shownReason)")
        }
        return .refused(
            DMAError(.deviceNotIsolated, asked: device.number),
            EngineAbsence(
                reason: "\(lack): it could reach all memory",
                cure: "switch the IOMMU on (firmware; intel_iommu=on), or add \"waive \(device.slot) REASON\" to the policy"))
    }
}
