// SPDX-License-Identifier: Apache-2.0

import DMAPCISpecification

extension FuzzEntry {
    /// A configuration space of any bytes, and a function that answers sizing writes as it likes.
    static let pci = FuzzEntry(parser: "pci", length: 4200) { bytes in
        let space = ConfigurationBytes(bytes)
        if let failure = lists(space) ?? structures(space) { return failure }
        return sizes(bytes)
    }

    private static func lists(_ space: ConfigurationBytes) -> String? {
        if let list = try? PCICapability.list(space) {
            guard list.count <= 48, Set(list.map(\.offset)).count == list.count,
                list.allSatisfy({ (0x40..<0x100).contains($0.offset) && $0.offset % 4 == 0 })
            else { return "a list of capabilities with places that there are not: \(list)" }
        }
        if let list = try? PCICapability.extendedList(space) {
            guard Set(list.map(\.offset)).count == list.count,
                list.allSatisfy({ (0x100..<4096).contains($0.offset) && $0.offset % 4 == 0 && $0.id != 0 })
            else { return "a list of extended capabilities with places that there are not: \(list)" }
        }
        return nil
    }

    /// Every structure at every place, also where no list has it.
    private static func structures(_ space: ConfigurationBytes) -> String? {
        if let header = try? FunctionHeader(space), header.vendor == 0xffff || header.vendor == 0 {
            return "a function that is not there has a header"
        }
        _ = try? BaseAddress.assigned(space, count: 6)
        for place in places {
            if let msi = try? MSI(space, place) {
                guard (1...32).contains(msi.vectors), msi.offset + msi.length <= space.count else { return "MSI: \(msi)" }
            }
            if let msix = try? MSIX(space, place) {
                guard (1...2048).contains(msix.vectors), msix.tableBase < 6, msix.pendingBase < 6 else {
                    return "MSI-X: \(msix)"
                }
                _ = try? msix.check((try? BaseAddress.assigned(space, count: 6)) ?? [])
            }
            _ = try? PowerManagement(space, place)
            if let express = try? PCIExpress(space, place) {
                guard (express.link?.lanes ?? 1) <= 32, (express.maximumPayload ?? 128) <= 4096 else {
                    return "PCI Express: \(express)"
                }
                _ = express.link?.speed?.megatransfers
            }
            if let sriov = try? SRIOV(space, place) {
                guard sriov.functions <= sriov.totalFunctions else { return "SR-IOV: \(sriov)" }
                for number in [-1, 0, sriov.totalFunctions - 1, sriov.totalFunctions, .max] {
                    _ = sriov.routingID(of: number, physical: UInt16(truncatingIfNeeded: place.offset))
                }
            }
            if let errors = try? AdvancedErrors(space, place), errors.names.count > errors.uncorrectable.nonzeroBitCount {
                return "more names than errors"
            }
        }
        return nil
    }

    /// A capability at many places: the lists of a space lead to few of them.
    private static let places = stride(from: 0, to: 4096, by: 36).compactMap { capability($0) }

    /// A capability at that place, from a space that has one there.
    private static func capability(_ offset: Int) -> PCICapability? {
        var bytes = [UInt8](repeating: 0, count: 4096)
        if offset >= 0x40, offset < 0x100, offset % 4 == 0 {
            bytes[6] = 0x10
            bytes[0x34] = UInt8(offset)
            return try? PCICapability.list(ConfigurationBytes(bytes)).first
        }
        guard offset > 0x100, offset < 4096, offset % 4 == 0 else { return nil }
        bytes[0x100] = 2
        bytes[0x102] = UInt8(truncatingIfNeeded: offset << 4) & 0xf0 | 1
        bytes[0x103] = UInt8(truncatingIfNeeded: offset >> 4)
        bytes[offset] = 1
        return try? PCICapability.extendedList(ConfigurationBytes(bytes)).last
    }

    /// A function whose registers answer from the input, and writes do not change them.
    private final class Fickle: ConfigurationReader {
        private let bytes: [UInt8]
        private var position = 0
        var writes = 0
        init(_ bytes: [UInt8]) { self.bytes = bytes }
        var count: Int { 256 }
        func word(at offset: Int) -> UInt32 {
            guard !bytes.isEmpty else { return .max }
            return (0..<4).reduce(0) { value, byte in
                position += 1
                return value | UInt32(bytes[position % bytes.count]) << UInt32(8 * byte)
            }
        }
    }

    private static func sizes(_ bytes: [UInt8]) -> String? {
        let fickle = Fickle(bytes)
        let bases = try? BaseAddress.sizes(fickle, count: 6) { _, _ in fickle.writes += 1 }
        guard fickle.writes <= 24 else { return "\(fickle.writes) writes to find six sizes" }
        for base in bases ?? [] where base.count == 0 || base.count & (base.count - 1) != 0 || base.index > 5 {
            return "a size that is none: \(base)"
        }
        return nil
    }
}
