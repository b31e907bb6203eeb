// SPDX-License-Identifier: Apache-2.0

/// Which devices may be opened: those of a list, behind an IOMMU, except for individually exempted slots.
///
/// A device that no IOMMU isolates can reach all of the machine's memory, whatever was mapped for it: it is refused, unless a
/// waiver names its slot. The waiver is shown wherever the device appears: in listings, plans and reports. Engines without a
/// device of their own (the CPU, the kernel's interfaces) are not checked.
public struct DevicePolicy: Equatable, Sendable {
    /// Selects devices by ID, by slot, or by both. At least one of them is set.
    public struct Match: Hashable, Sendable {
        /// Vendor and device ID; nil for any.
        public let id: ID?
        /// The slot; nil for any.
        public let slot: DeviceSlot?

        /// Devices with this ID in this slot.
        public init(_ id: ID, in slot: DeviceSlot? = nil) {
            self.id = id
            self.slot = slot
        }

        /// Any device in this slot.
        public init(_ slot: DeviceSlot) { (id, self.slot) = (nil, slot) }

        func matches(_ device: DeviceIdentity) -> Bool {
            (id == nil || id == ID(vendor: device.vendor, device: device.device)) && (slot == nil || slot == device.slot)
        }
    }

    /// A device's IDs.
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

    /// Exempts one slot from the rule that a device must be behind an IOMMU.
    public struct Waiver: Hashable, Sendable {
        /// The slot, which identifies the exempted device.
        public var slot: DeviceSlot
        /// The reason, given by the person responsible; shown with the device.
        public var reason: String

        /// Exempts the device in `slot`.
        public init(_ slot: DeviceSlot, reason: String) {
            self.slot = slot
            self.reason = reason
        }

        /// The reason on one line, without characters that change how the surrounding text is displayed; a program may have set
        /// any text.
        var shownReason: String {
            let line = String(String.UnicodeScalarView(reason.unicodeScalars.map { DevicePolicy.isHidden($0) ? " " : $0 }))
            return line.allSatisfy { $0 == " " } ? "no reason given" : String(line.prefix(DevicePolicy.mostInLine))
        }
    }

    /// Devices that may be opened; nil for any, and an empty list for none.
    public var trusted: [Match]?
    /// Slots whose device may be opened without an IOMMU.
    public var waivers: [Waiver]

    /// A policy that permits any device behind an IOMMU, and no other.
    public init(trusted: [Match]? = nil, waivers: [Waiver] = []) {
        self.trusted = trusted
        self.waivers = waivers
    }

    /// The verdict on a device.
    package enum Verdict: Equatable, Sendable {
        case allowed
        /// Permitted without an IOMMU; the sentence is shown wherever the device appears.
        case waived(String)
        case refused(DMAError, EngineAbsence)
    }

    /// Checks a device; an engine without one is permitted.
    package func judge(_ device: DeviceIdentity?) -> Verdict {
        guard let device else { return .allowed }
        if let trusted, !trusted.contains(where: { $0.matches(device) }) {
            return .refused(
                DMAError(.deviceNotTrusted, asked: device.number),
                EngineAbsence(
                    reason: "device \(device.id) in slot \(device.slot) is not a trusted device of the policy",
                    cure: "add \"trust \(device.id) \(device.slot)\" to the policy, if it is to be trusted"))
        }
        guard device.isolation != .iommu else { return .allowed }
        let lack =
            device.isolation == .none
            ? "no IOMMU isolates device \(device.id) in slot \(device.slot)"
            : "it is not known whether an IOMMU isolates device \(device.id) in slot \(device.slot)"
        if let waiver = waivers.first(where: { $0.slot == device.slot }) {
            return .waived("\(lack); waived by the policy: \(waiver.shownReason)")
        }
        return .refused(
            DMAError(.deviceNotIsolated, asked: device.number),
            EngineAbsence(
                reason: "\(lack): it can access all memory",
                cure: "enable the IOMMU (firmware; intel_iommu=on), or add \"waive \(device.slot) REASON\" to the policy"))
    }
}
