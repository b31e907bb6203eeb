// SPDX-License-Identifier: Apache-2.0

/// Single root I/O virtualisation: a function that can be several.
///
/// Source: Single Root I/O Virtualization and Sharing Specification 1.1, 3.3.
public struct SRIOV: Equatable, Sendable {
    /// Where the capability begins.
    public let offset: Int
    /// Virtual functions at first, and in all.
    public let initialFunctions: Int
    /// Virtual functions in all.
    public let totalFunctions: Int
    /// Those that are there now; 0 unless ``isEnabled``.
    public let functions: Int
    /// Whether the functions are there.
    public let isEnabled: Bool
    /// From this function's routing ID to the first virtual one's, and from each to the next.
    public let firstOffset: Int
    /// From one virtual function's routing ID to the next.
    public let stride: Int
    /// The virtual functions' device ID.
    public let device: UInt16
    /// Bytes of each page size that the functions can have.
    public let pageSizes: [UInt64]
    /// The page size in force; nil where it is none.
    public let pageSize: UInt64?

    /// - Throws: `badField` where the numbers contradict each other; `truncated`.
    public init(_ reader: some ConfigurationReader, _ capability: PCICapability) throws(ConfigurationError) {
        offset = capability.offset
        try reader.check(offset, 0x40)
        isEnabled = reader.half(at: offset + 0x08) & 1 != 0
        initialFunctions = Int(reader.half(at: offset + 0x0c))
        totalFunctions = Int(reader.half(at: offset + 0x0e))
        let present = Int(reader.half(at: offset + 0x10))
        guard initialFunctions <= totalFunctions else {
            throw .badField(at: offset + 0x0c, value: UInt64(initialFunctions))
        }
        guard present <= totalFunctions else { throw .badField(at: offset + 0x10, value: UInt64(present)) }
        functions = isEnabled ? present : 0
        firstOffset = Int(reader.half(at: offset + 0x14))
        stride = Int(reader.half(at: offset + 0x16))
        device = reader.half(at: offset + 0x1a)
        // A stride of 0 would give all functions one routing ID.
        guard functions < 2 || stride > 0 else { throw .badField(at: offset + 0x16, value: 0) }
        let sizes = reader.checkedWord(offset + 0x1c)
        pageSizes = (0..<32).filter { sizes & 1 << UInt32($0) != 0 }.map { 4096 << UInt64($0) }
        let size = reader.checkedWord(offset + 0x20)
        pageSize = size.nonzeroBitCount == 1 ? 4096 << UInt64(size.trailingZeroBitCount) : nil
    }

    /// Where the control register stands: bit 0 enables the functions, bit 3 their memory.
    public var control: Int { offset + 0x08 }
    /// Where the number of functions to be made is written.
    public var wantedFunctions: Int { offset + 0x10 }

    /// The routing ID (bus, device and function as 16 bits) of virtual function `number`, counted from 0; nil where there is none, or where the sum
    /// leaves the 16 bits.
    public func routingID(of number: Int, physical: UInt16) -> UInt16? {
        guard number >= 0, number < totalFunctions else { return nil }
        return UInt16(exactly: Int(physical) + firstOffset + number * stride)
    }
}

/// Errors that a PCI Express function has seen.
///
/// Source: PCI Express Base Specification 5.0, 7.8.4.
public struct AdvancedErrors: Equatable, Sendable {
    /// Where the capability begins.
    public let offset: Int
    /// A bit for each uncorrectable error; of those, which are fatal.
    public let uncorrectable: UInt32
    /// Uncorrectable errors that are fatal, a bit for each.
    public let fatal: UInt32
    /// A bit for each correctable error.
    public let correctable: UInt32

    /// - Throws: `truncated`.
    public init(_ reader: some ConfigurationReader, _ capability: PCICapability) throws(ConfigurationError) {
        offset = capability.offset
        try reader.check(offset, 0x2c)
        uncorrectable = reader.checkedWord(offset + 0x04)
        fatal = uncorrectable & reader.checkedWord(offset + 0x0c)
        correctable = reader.checkedWord(offset + 0x10)
    }

    /// What the uncorrectable errors are called, in the order of their bits.
    public var names: [String] {
        let known: [(bit: UInt32, name: String)] = [
            (4, "data link protocol"), (5, "surprise down"), (12, "poisoned request"), (13, "flow control protocol"),
            (14, "completion timeout"), (15, "completer abort"), (16, "unexpected completion"), (17, "receiver overflow"),
            (18, "malformed packet"), (19, "checksum"), (20, "unsupported request"), (21, "access control"),
            (22, "internal"), (26, "poisoned packet blocked"),
        ]
        return known.filter { uncorrectable & 1 << $0.bit != 0 }.map(\.name)
    }
}
