// SPDX-License-Identifier: Apache-2.0

/// The device behind an engine: its IDs, its slot, and its isolation from memory.
///
/// The two IDs are the device's own claim, and a hostile device can claim anything. The slot and the isolation come from the
/// kernel.
public struct DeviceIdentity: Hashable, Sendable {
    /// The isolation of the device from memory that was not mapped for it.
    public enum Isolation: Hashable, Sendable {
        /// An IOMMU restricts it to its mappings.
        case iommu
        /// None: it can reach all of the machine's memory.
        case none
        /// The system does not tell. Treated as none.
        case unknown
    }

    /// PCI's vendor ID.
    public var vendor: UInt16
    /// PCI's device ID.
    public var device: UInt16
    /// The slot.
    public var slot: DeviceSlot
    /// The isolation.
    public var isolation: Isolation

    /// A device with the IDs `vendor` and `device`, in a slot.
    public init(vendor: UInt16, device: UInt16, slot: DeviceSlot, isolation: Isolation) {
        self.vendor = vendor
        self.device = device
        self.slot = slot
        self.isolation = isolation
    }

    /// "8086:1521", as lspci(8) writes it.
    package var id: String { "\(hexadecimal(vendor, 4)):\(hexadecimal(device, 4))" }
    /// Both IDs as one number, the vendor's in the upper half.
    package var number: UInt64 { UInt64(vendor) << 16 | UInt64(device) }
}

/// An address on the PCI bus: "0000:03:00.0", as the kernel writes it.
///
/// Source: the kernel's Documentation/PCI/sysfs-pci.rst, and `pci_name` in include/linux/pci.h ("%04x:%02x:%02x.%d").
public struct DeviceSlot: Hashable, Sendable, CustomStringConvertible {
    /// The domain: 16 bits on most machines, 32 behind a volume management device.
    public let domain: UInt32
    /// The bus.
    public let bus: UInt8
    /// The device on the bus: 0 to 31.
    public let device: UInt8
    /// The function of the device: 0 to 7.
    public let function: UInt8

    /// Parses an address: "0000:03:00.0", or "03:00.0" in domain 0; hexadecimal digits of either case. Nil for any other text.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2 || parts.count == 3 else { return nil }
        let last = parts[parts.count - 1].split(separator: ".", omittingEmptySubsequences: false)
        guard last.count == 2 else { return nil }
        guard let domain = parts.count == 3 ? Self.number(parts[0], 4...8) : 0,
            let bus = Self.number(parts[parts.count - 2], 2...2),
            let device = Self.number(last[0], 2...2), device < 32, let function = Self.number(last[1], 1...1), function < 8
        else { return nil }
        self.domain = domain
        self.bus = UInt8(truncatingIfNeeded: bus)
        self.device = UInt8(truncatingIfNeeded: device)
        self.function = UInt8(truncatingIfNeeded: function)
    }

    public var description: String {
        "\(hexadecimal(domain, 4)):\(hexadecimal(bus, 2)):\(hexadecimal(device, 2)).\(function)"
    }

    /// A number of exactly that many hexadecimal digits.
    static func number(_ text: some StringProtocol, _ digits: ClosedRange<Int>) -> UInt32? {
        guard digits.contains(text.utf8.count),
            text.utf8.allSatisfy({
                UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0
                    || UInt8(ascii: "a")...UInt8(ascii: "f") ~= $0 || UInt8(ascii: "A")...UInt8(ascii: "F") ~= $0
            })
        else { return nil }
        return UInt32(text, radix: 16)
    }
}

/// A number with at least that many digits.
func hexadecimal(_ number: some BinaryInteger, _ digits: Int) -> String {
    let text = String(number, radix: 16)
    return String(repeating: "0", count: max(digits - text.count, 0)) + text
}
