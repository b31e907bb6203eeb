// SPDX-License-Identifier: Apache-2.0
internal import DMARegisters

/// An entry of the list of capabilities, or of the extended ones.
public struct PCICapability: Hashable, Sendable {
    /// What it is: one byte, or two for an extended one.
    public let id: UInt16
    /// 1 to 15 for an extended one, else 0.
    public let version: UInt8
    /// Where it begins.
    public let offset: Int

    // PCI Code and ID Assignment Specification 1.11, chapter 2.
    /// Power management.
    public static let powerManagement: UInt16 = 0x01
    /// Message signalled interrupts.
    public static let msi: UInt16 = 0x05
    /// PCI Express.
    public static let pciExpress: UInt16 = 0x10
    /// Message signalled interrupts with a table.
    public static let msix: UInt16 = 0x11
    // Chapter 3: extended capabilities.
    /// Extended: advanced error reporting.
    public static let advancedErrors: UInt16 = 0x0001
    /// Extended: single root I/O virtualisation.
    public static let sriov: UInt16 = 0x0010

    /// The capabilities of a function in the order of their list: at most 48, each at another place.
    ///
    /// Source: PCI Local Bus Specification 3.0, 6.7. All ones where a capability should begin end the list: the device has gone meanwhile, or is in
    /// reset, and what was found until then is answered.
    ///
    /// - Throws: `listLoops`, `listLeaves` for a pointer below 0x40 that is not 0, or beyond the space.
    public static func list(_ reader: some ConfigurationReader) throws(ConfigurationError) -> [PCICapability] {
        guard reader.count >= 256 else { return [] }
        let status = PCIStatus(word: reader.half(at: PCIOffset.status))
        guard !status.isAllOnes, status[.hasCapabilities] else { return [] }
        var found: [PCICapability] = []
        var from = PCIOffset.capabilities
        // The lowest two bits are reserved.
        var next = Int(reader.byte(at: from) & ~3)
        while next != 0 {
            guard next >= PCIOffset.firstCapability else { throw .listLeaves(from: from, to: next) }
            // Ends: 192 bytes have no more than 48 places.
            guard !found.contains(where: { $0.offset == next }) else { throw .listLoops(at: next) }
            let entry = reader.word(at: next)
            guard entry != .max else { break }
            found.append(PCICapability(id: UInt16(entry & 0xff), version: 0, offset: next))
            from = next
            next = Int(entry >> 8 & 0xfc)
        }
        return found
    }

    /// The extended capabilities of a PCI Express function, in the order of their list.
    ///
    /// Source: PCI Express Base Specification 5.0, 7.6.3. A space of 256 bytes has none, nor has one that answers 0 or all ones there.
    ///
    /// - Throws: `listLoops`, `listLeaves` for a pointer below 0x100 that is not 0.
    public static func extendedList(_ reader: some ConfigurationReader) throws(ConfigurationError) -> [PCICapability] {
        guard reader.count > PCIOffset.extended else { return [] }
        var found: [PCICapability] = []
        var seen: Set<Int> = []
        var from = PCIOffset.extended
        var next = PCIOffset.extended
        while next != 0 {
            guard next >= PCIOffset.extended, next <= reader.count - 4 else { throw .listLeaves(from: from, to: next) }
            // Ends: each place is visited once.
            guard seen.insert(next).inserted else { throw .listLoops(at: next) }
            let entry = reader.word(at: next)
            // 0 at the beginning is an empty list; further on, an entry without an identity and a follower.
            guard entry != .max, entry != 0 else { break }
            if UInt16(truncatingIfNeeded: entry) != 0 {
                found.append(
                    PCICapability(
                        id: UInt16(truncatingIfNeeded: entry), version: UInt8(entry >> 16 & 0xf), offset: next))
            }
            from = next
            next = Int(entry >> 20 & 0xffc)
        }
        return found
    }
}

extension Sequence<PCICapability> {
    /// The first of that identity.
    public func first(_ id: UInt16) -> PCICapability? { first { $0.id == id } }
}

extension ConfigurationReader {
    /// - Throws: `truncated` where a structure of `length` bytes does not fit.
    func check(_ offset: Int, _ length: Int) throws(ConfigurationError) {
        guard offset >= 0, length <= count, offset <= count - length else { throw .truncated(at: offset) }
    }
}
