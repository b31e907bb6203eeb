// SPDX-License-Identifier: Apache-2.0

/// Names of vendors, devices and classes, from the list of the PCI ID Project, which Debian has as the package pci.ids.
///
/// Source: the head of pci.ids, and pci.ids(5): a line of a vendor has four digits, one of a device stands below it behind a tab; classes begin with "C".
public struct PCINames: Sendable {
    /// Where distributions put the list: Debian and Ubuntu, Fedora.
    public static let paths = ["/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids"]
    /// The most bytes of a list that are read; today's has 1.5 MB.
    static let largest = 16 << 20
    /// The longest name that is kept, in bytes.
    static let longest = 160

    private var vendors: [UInt16: String] = [:]
    private var devices: [UInt32: String] = [:]
    private var classes: [UInt16: String] = [:]

    /// The names of these functions, from the first of the paths where there is a list; nil where there is none.
    public init?(for wanted: [PCIIdentity], paths: [String] = Self.paths) {
        for path in paths {
            guard let bytes = SystemTree().bytes(path, atMost: Self.largest).value, !bytes.isEmpty else { continue }
            self.init(parsing: bytes, for: wanted)
            return
        }
        return nil
    }

    /// The names of these functions, from the bytes of a list. A line that is not as it should be is passed over.
    public init(parsing bytes: [UInt8], for wanted: [PCIIdentity]) {
        let wantedVendors = Set(wanted.map(\.vendor))
        let wantedDevices = Set(wanted.map { Self.key($0.vendor, $0.device) })
        let wantedClasses = Set(wanted.map { UInt16(truncatingIfNeeded: $0.classCode >> 8) })
        enum Section {
            case vendor(UInt16)
            case group(UInt8)
            case other
        }
        var section = Section.other
        for line in bytes.split(whereSeparator: { $0 == UInt8(ascii: "\n") }) {
            guard let first = line.first, first != UInt8(ascii: "#") else { continue }
            let tab = UInt8(ascii: "\t")
            if first != tab {
                if first == UInt8(ascii: "C"), line.dropFirst().first == UInt8(ascii: " ") {
                    guard let (code, name) = Self.entry(line.dropFirst(2), digits: 2) else {
                        section = .other
                        continue
                    }
                    let base = UInt8(truncatingIfNeeded: code)
                    section = .group(base)
                    // What has no subclass of its own gets the name of the class.
                    for wanted in wantedClasses where wanted >> 8 == code && classes[wanted] == nil { classes[wanted] = name }
                } else if let (vendor, name) = Self.entry(line, digits: 4) {
                    section = .vendor(vendor)
                    if wantedVendors.contains(vendor) { vendors[vendor] = name }
                } else {
                    section = .other
                }
                continue
            }
            // Two tabs: a card or a programming interface.
            let rest = line.dropFirst()
            guard rest.first != tab else { continue }
            switch section {
            case .vendor(let vendor):
                guard let (device, name) = Self.entry(rest, digits: 4) else { continue }
                let key = Self.key(vendor, device)
                if wantedDevices.contains(key) { devices[key] = name }
            case .group(let base):
                guard let (code, name) = Self.entry(rest, digits: 2) else { continue }
                let key = UInt16(base) << 8 | code
                if wantedClasses.contains(key) { classes[key] = name }
            case .other: continue
            }
        }
    }

    /// The name of the vendor.
    public func vendor(of identity: PCIIdentity) -> String? { vendors[identity.vendor] }
    /// The name of the device.
    public func device(of identity: PCIIdentity) -> String? { devices[Self.key(identity.vendor, identity.device)] }
    /// The name of the class: "Ethernet controller".
    public func className(of identity: PCIIdentity) -> String? { classes[UInt16(truncatingIfNeeded: identity.classCode >> 8)] }

    private static func key(_ vendor: UInt16, _ device: UInt16) -> UInt32 { UInt32(vendor) << 16 | UInt32(device) }

    /// "1af4  Red Hat, Inc.": that many digits, two blanks, a name.
    private static func entry(_ line: ArraySlice<UInt8>, digits: Int) -> (UInt16, String)? {
        let blank = UInt8(ascii: " ")
        guard line.count > digits + 2, line.dropFirst(digits).prefix(2).elementsEqual([blank, blank]) else { return nil }
        var code: UInt16 = 0
        for byte in line.prefix(digits) {
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
            default: return nil
            }
            code = code << 4 | UInt16(digit)
        }
        let name = SystemTree.printable(line.dropFirst(digits + 2).prefix(longest))
        return name.isEmpty ? nil : (code, name)
    }
}
