// SPDX-License-Identifier: Apache-2.0

public import DMACore

/// Where a device is, in the form that command lines and configuration files have.
///
/// | form | device |
/// |---|---|
/// | `model:edu` | a model in this process |
/// | `qtest:q35,edu` | a device of a QEMU machine that is started for it; the text behind the comma is QEMU's `-device` |
/// | `vfio-user:PATH` | a device that another process serves on a UNIX socket |
/// | `0000:01:00.0` | a PCI device of this machine that is bound to vfio-pci |
public enum DeviceAddress: Hashable, Sendable {
    /// A model of this package, by its name.
    case model(String)
    /// A device of a QEMU machine, as QEMU's `-machine` and `-device` name them.
    case qtest(machine: String, device: String)
    /// A device behind a UNIX socket, by the vfio-user protocol.
    case vfioUser(path: String)
    /// A PCI device of this machine, by the kernel's VFIO.
    case pci(DeviceSlot)

    /// Parses an address.
    ///
    /// - Returns: nil for a text without one of the prefixes, which may be the name of an engine.
    /// - Throws: ``DeviceFailure`` for a text with a prefix that is no address.
    public init?(_ text: String) throws(DeviceFailure) {
        if let slot = DeviceSlot(text) {
            self = .pci(slot)
            return
        }
        guard let colon = text.firstIndex(of: ":") else { return nil }
        let rest = String(text[text.index(after: colon)...])
        switch text[..<colon] {
        case "model":
            guard Self.isWord(rest) else {
                throw DeviceFailure(text, "\"\(rest)\" is no name of a model", cure: "Name one: \(DeviceModels.list).")
            }
            self = .model(rest)
        case "qtest":
            let parts = rest.split(separator: ",", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2, Self.isWord(parts[0]), Self.isOption(parts[1]) else {
                throw DeviceFailure(
                    text, "it must name a board and a device", cure: "Write qtest:MACHINE,DEVICE, as in qtest:q35,edu.")
            }
            self = .qtest(machine: parts[0], device: parts[1])
        case "vfio-user":
            // sun_path: 107 bytes and a zero.
            guard (1...107).contains(rest.utf8.count), !rest.utf8.contains(0) else {
                throw DeviceFailure(
                    text, "\(rest.utf8.count) bytes are no path of a socket", cure: "Name a path of 1 to 107 bytes.")
            }
            self = .vfioUser(path: rest)
        default: return nil
        }
    }

    /// Letters, digits, and the punctuation of names of boards and models.
    private static func isWord(_ text: String) -> Bool {
        (1...32).contains(text.utf8.count) && text.utf8.allSatisfy { isAlphanumeric($0) || "-_.".utf8.contains($0) }
    }

    /// Likewise with QEMU's separators of options.
    private static func isOption(_ text: String) -> Bool {
        (1...128).contains(text.utf8.count) && text.utf8.allSatisfy { isAlphanumeric($0) || "-_.,=:".utf8.contains($0) }
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "A")...UInt8(ascii: "Z"):
            true
        default: false
        }
    }
}

extension DeviceAddress: CustomStringConvertible {
    /// The form that ``init(_:)`` parses.
    public var description: String {
        switch self {
        case .model(let name): "model:\(name)"
        case .qtest(let machine, let device): "qtest:\(machine),\(device)"
        case .vfioUser(let path): "vfio-user:\(path)"
        case .pci(let slot): "\(slot)"
        }
    }
}

/// Why the device of an address cannot be used.
public struct DeviceFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// The address.
    public let address: String
    /// What is wrong.
    public let detail: String
    /// What to do, as a sentence.
    public let cure: String

    init(_ address: String, _ detail: String, cure: String) {
        self.address = address
        self.detail = detail
        self.cure = cure
    }

    /// What is wrong, and the cure.
    public var description: String { "\(address): \(detail). \(cure)" }
}
