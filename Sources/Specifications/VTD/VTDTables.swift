// SPDX-License-Identifier: Apache-2.0

/// The tables of an Intel IOMMU in legacy mode: words in memory, little-endian, each table a page of 4 KiB.
///
/// Source: Intel Virtualization Technology for Directed I/O, Architecture Specification (D51397), revision 3.3, "Translation Structure Formats".
public enum VTDTables {
    /// Bytes of a table, and of the smallest page.
    public static let page: UInt64 = 4096

    /// The lower word of a bus's root entry, 16 bytes each: the address of the context table of its devices.
    public static func root(contextTable: UInt64) -> UInt64 { contextTable & ~0xfff | 1 }

    /// The two words of a device's context entry: the address of its top paging table.
    ///
    /// - Parameters:
    ///   - levels: 3 or 4.
    ///   - domain: what cached translations are told apart by; not 0.
    public static func context(pagingTable: UInt64, levels: Int, domain: UInt16) -> (low: UInt64, high: UInt64) {
        (pagingTable & ~0xfff | 1, UInt64(domain) << 8 | UInt64(max(levels, 2) - 2))
    }

    /// A paging entry: a page or the next table, and what devices may do there. Without a permission it is not present.
    public static func paging(_ address: UInt64, reads: Bool, writes: Bool) -> UInt64 {
        address & 0x000f_ffff_ffff_f000 | (reads ? 1 : 0) | (writes ? 2 : 0)
    }
}

/// One recorded fault of an Intel IOMMU: 16 bytes.
///
/// Source: as for ``VTDTables``, "Fault Recording Registers".
public struct VTDFaultRecord: Equatable, Sendable {
    /// Bytes 0 to 7, and 8 to 15.
    public let low, high: UInt64

    /// From its two words.
    public init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }

    /// Whether it holds a fault.
    public var isValid: Bool { high >> 63 != 0 }
    /// The page of the address that was accessed.
    public var address: UInt64 { low & ~0xfff }
    /// Bus, device and function that accessed it, as in a PCI request: bits 8…15, 3…7 and 0…2.
    public var requester: UInt16 { UInt16(truncatingIfNeeded: high) }
    /// Whether it was a read.
    public var isRead: Bool { high >> 62 & 1 != 0 }
    /// Why it was refused, as the specification's appendix "Fault Reason Encodings" numbers it.
    public var reason: UInt8 { UInt8(truncatingIfNeeded: high >> 32) }

    /// Bytes from the record's beginning to the word that clears it.
    public static let clearing = 12
    /// The value that clears it.
    public static let cleared: UInt32 = 1 << 31
}
