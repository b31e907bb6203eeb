// SPDX-License-Identifier: Apache-2.0

public import DMACore
public import DMAPCISpecification

/// The IDs and the class that a function reports of itself.
public struct PCIIdentity: Hashable, Sendable {
    /// The vendor's ID.
    public var vendor: UInt16
    /// The device's ID.
    public var device: UInt16
    /// The ID of the vendor of the card or board; 0 for none.
    public var subsystemVendor: UInt16
    /// The ID of the card or board; 0 for none.
    public var subsystem: UInt16
    /// Class, subclass and programming interface, one byte each, the class above.
    public var classCode: UInt32
    /// The revision.
    public var revision: UInt8

    /// What a function reports.
    public init(vendor: UInt16, device: UInt16, subsystemVendor: UInt16, subsystem: UInt16, classCode: UInt32, revision: UInt8)
    {
        self.vendor = vendor
        self.device = device
        self.subsystemVendor = subsystemVendor
        self.subsystem = subsystem
        self.classCode = classCode
        self.revision = revision
    }

    /// "8086:1521", as lspci(8) writes it.
    public var id: String { Self.hexadecimal(vendor, 4) + ":" + Self.hexadecimal(device, 4) }
    /// The IDs of the card or board in the same form; nil where there are none.
    public var subsystemID: String? {
        subsystemVendor == 0 && subsystem == 0
            ? nil : Self.hexadecimal(subsystemVendor, 4) + ":" + Self.hexadecimal(subsystem, 4)
    }
    /// ``classCode`` in six hexadecimal digits.
    public var classDigits: String { Self.hexadecimal(classCode, 6) }

    private static func hexadecimal(_ number: some BinaryInteger, _ digits: Int) -> String {
        let text = String(number, radix: 16)
        return String(repeating: "0", count: max(digits - text.count, 0)) + text
    }
}

/// A PCI Express link: what it runs at, and what both ends allow.
public struct PCILink: Hashable, Sendable {
    /// Gigatransfers per second and lane: 2.5, 5, 8, 16, 32, 64. Nil where it is not known, as while the device is powered off.
    public var speed: Double?
    /// Lanes: 1 to 32. Nil where it is not known.
    public var width: Int?
    /// The most of the device's.
    public var maximumSpeed: Double?
    /// The most of the device's.
    public var maximumWidth: Int?

    /// Whether it is known to run below what the device can.
    public var isReduced: Bool {
        let isSlow = if let speed, let maximumSpeed { speed < maximumSpeed } else { false }
        let isNarrow = if let width, let maximumWidth { width < maximumWidth } else { false }
        return isSlow || isNarrow
    }
}

/// What the kernel says about one PCI function.
///
/// Source: the kernel's Documentation/ABI/testing/sysfs-bus-pci and sysfs-kernel-iommu_groups.
public struct PCIFunctionFacts: Sendable {
    /// Its address.
    public let slot: DeviceSlot
    /// Its IDs.
    public let identity: Fact<PCIIdentity>
    /// Whether it is a device or a bridge.
    public let kind: Fact<FunctionHeader.Kind>
    /// The driver that it is bound to.
    public let driver: Fact<String>
    /// The one driver that it may be bound to.
    public let driverOverride: Fact<String>
    /// Its IOMMU group.
    public let group: Fact<Int>
    /// The memory node that it is near.
    public let node: Fact<Int>
    /// Its link; none for a function that is not on PCI Express.
    public let link: Fact<PCILink>
    /// Bits of the addresses that its driver has said it can use for buffers. 32 until a driver has set it.
    public let streamingMaskBits: Fact<Int>
    /// Likewise for memory that stays mapped.
    public let coherentMaskBits: Fact<Int>
    /// "D0", "D3hot".
    public let powerState: Fact<String>
    /// How the kernel can reset it: "flr", "pm", "bus". None where it cannot.
    public let resetMethods: Fact<[String]>
    /// How many virtual functions it can have; none where it has not the capability.
    public let virtualFunctions: Fact<Int>
    /// How many of them there are.
    public let enabledVirtualFunctions: Fact<Int>
    /// Of a virtual function: the function that it belongs to.
    public let physicalFunction: Fact<DeviceSlot>
}

extension PCIFunctionFacts {
    /// Reads the attributes of one function. Nothing that is missing or cannot be read is a failure: each fact says what it is.
    init(_ slot: DeviceSlot, _ name: String, _ tree: SystemTree) {
        let folder = "\(tree.sys)/bus/pci/devices/\(name)"
        func number(_ name: String, _ radix: Int = 10) -> Fact<Int> {
            tree.line("\(folder)/\(name)").parsed("\(folder)/\(name)") { Self.number($0, radix) }
        }
        self.slot = slot
        identity = Self.identity { number($0, 16) }
        kind = tree.bytes("\(folder)/config", atMost: 64).parsed("\(folder)/config") { bytes in
            bytes.count >= 15 && bytes[0...1] != [0xff, 0xff] ? FunctionHeader.Kind(rawValue: bytes[14] & 0x7f) : nil
        }
        driver = tree.link("\(folder)/driver")
        let wish = tree.line("\(folder)/driver_override")
        driverOverride = if wish.value == "(null)" { .none } else { wish }
        group = tree.link("\(folder)/iommu_group").parsed("\(folder)/iommu_group") { Self.number($0, 10) }
        let near = number("numa_node")
        // -1: no node is nearer than another.
        node = if let node = near.value, node < 0 { .none } else { near }
        link = Self.link(folder, tree)
        streamingMaskBits = number("dma_mask_bits")
        coherentMaskBits = number("consistent_dma_mask_bits")
        powerState = tree.line("\(folder)/power_state")
        resetMethods = tree.line("\(folder)/reset_method").parsed("\(folder)/reset_method") {
            $0.split(separator: " ").map(String.init)
        }
        virtualFunctions = number("sriov_totalvfs")
        enabledVirtualFunctions = number("sriov_numvfs")
        physicalFunction = tree.link("\(folder)/physfn").parsed("\(folder)/physfn") { DeviceSlot($0) }
    }

    private static func identity(_ number: (String) -> Fact<Int>) -> Fact<PCIIdentity> {
        func half(_ name: String) -> Fact<UInt16> { number(name).parsed(name) { UInt16(exactly: $0) } }
        let (vendor, device, code) = (half("vendor"), half("device"), number("class"))
        guard let vendorID = vendor.value, let deviceID = device.value, let codeValue = code.value,
            let classCode = UInt32(exactly: codeValue), classCode < 1 << 24
        else {
            return .unknown(vendor.reason ?? device.reason ?? code.reason ?? "its IDs are missing")
        }
        return .known(
            PCIIdentity(
                vendor: vendorID, device: deviceID, subsystemVendor: half("subsystem_vendor").value ?? 0,
                subsystem: half("subsystem_device").value ?? 0, classCode: classCode,
                revision: number("revision").value.flatMap { UInt8(exactly: $0) } ?? 0))
    }

    /// "8.0 GT/s PCIe"; "Unknown", and a width of 0 or 255, where the link is down.
    private static func link(_ folder: String, _ tree: SystemTree) -> Fact<PCILink> {
        let current = tree.line("\(folder)/current_link_speed")
        let most = tree.line("\(folder)/max_link_speed")
        if current == .none, most == .none { return .none }
        if let reason = current.reason ?? most.reason { return .unknown(reason) }
        func speed(_ fact: Fact<String>) -> Double? {
            fact.value.flatMap { $0.split(separator: " ").first }.flatMap { Double($0) }.flatMap {
                (0.1...1024).contains($0) ? $0 : nil
            }
        }
        func width(_ name: String) -> Int? {
            tree.line("\(folder)/\(name)").value.flatMap { number($0, 10) }.flatMap { (1...32).contains($0) ? $0 : nil }
        }
        return .known(
            PCILink(
                speed: speed(current), width: width("current_link_width"), maximumSpeed: speed(most),
                maximumWidth: width("max_link_width")))
    }

    /// A number as sysfs writes it, with "0x" or without.
    private static func number(_ text: String, _ radix: Int) -> Int? {
        if radix == 16, text.hasPrefix("0x") { return Int(text.dropFirst(2), radix: 16) }
        return Int(text, radix: radix)
    }
}
