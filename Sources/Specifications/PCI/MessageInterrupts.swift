// SPDX-License-Identifier: Apache-2.0

public import DMARegisters

/// The message control register of MSI, 2 bytes behind the capability's beginning.
///
/// Source: PCI Local Bus Specification 3.0, 6.8.1.3.
public struct MSIControl: RegisterLayout {
    public var word: UInt16
    public init(word: UInt16) { self.word = word }
    /// Bits 15:9.
    public static var preserved: UInt16 { 0xfe00 }
}

extension Field where Layout == MSIControl, Value == Bool {
    /// Messages are on, and INTx has no meaning.
    public static var isEnabled: Self { Self(0) }
    /// The address has 64 bits.
    public static var isWide: Self { Self(7) }
    /// Each vector can be masked.
    public static var masksVectors: Self { Self(8) }
}

extension Field where Layout == MSIControl, Value == UInt8 {
    /// Binary logarithm of the vectors that the function asks for.
    public static var wanted: Self { Self(1...3) }
    /// Binary logarithm of the vectors that it was given.
    public static var given: Self { Self(4...6) }
}

/// Interrupts as writes to memory, in the configuration space.
public struct MSI: Equatable, Sendable {
    /// Where the capability begins.
    public let offset: Int
    /// Vectors that the function can use: a power of two up to 32.
    public let vectors: Int
    /// Whether the address has 64 bits.
    public let isWide: Bool
    /// Whether each vector can be masked.
    public let masksVectors: Bool

    /// - Throws: `badField` for a number of vectors that is reserved; `truncated`.
    public init(_ reader: some ConfigurationReader, _ capability: PCICapability) throws(ConfigurationError) {
        offset = capability.offset
        try reader.check(offset, 10)
        let control = MSIControl(word: reader.half(at: offset + 2))
        isWide = control[.isWide]
        masksVectors = control[.masksVectors]
        guard control[.wanted] <= 5 else { throw .badField(at: offset + 2, value: UInt64(control.word)) }
        vectors = 1 << Int(control[.wanted])
        try reader.check(offset, length)
    }

    /// Bytes of the capability.
    public var length: Int { (isWide ? 14 : 10) + (masksVectors ? 10 : 0) }
    /// Where the control register stands.
    public var control: Int { offset + 2 }
    /// Where the message's address stands.
    public var address: Int { offset + 4 }
    /// Where the message's data stand.
    public var data: Int { offset + (isWide ? 12 : 8) }
    /// Where a bit for each vector masks it; nil where they cannot be masked.
    public var mask: Int? { masksVectors ? offset + (isWide ? 16 : 12) : nil }
    /// Where a bit for each vector says that it is pending; nil where they cannot be masked.
    public var pending: Int? { mask.map { $0 + 4 } }
}

/// The message control register of MSI-X, 2 bytes behind the capability's beginning.
///
/// Source: PCI Local Bus Specification 3.0, 6.8.2.3.
public struct MSIXControl: RegisterLayout {
    public var word: UInt16
    public init(word: UInt16) { self.word = word }
    /// Bits 13:11.
    public static var preserved: UInt16 { 0x3800 }
}

extension Field where Layout == MSIXControl, Value == Bool {
    /// Messages are on, and INTx has no meaning.
    public static var isEnabled: Self { Self(15) }
    /// All vectors are masked.
    public static var isMasked: Self { Self(14) }
}

extension Field where Layout == MSIXControl, Value == UInt16 {
    /// The number of the last vector.
    public static var last: Self { Self(0...10) }
}

/// Interrupts as writes to memory, from a table in the function's memory.
///
/// Source: PCI Local Bus Specification 3.0, 6.8.2.
public struct MSIX: Equatable, Sendable {
    /// Where the capability begins.
    public let offset: Int
    /// 1 to 2048.
    public let vectors: Int
    /// The base address register in whose range the table lies.
    public let tableBase: Int
    /// Bytes from the range's beginning, a multiple of 8.
    public let tableOffset: UInt64
    /// The same for the bits that say which vectors are pending.
    public let pendingBase: Int
    /// Bytes from the range's beginning, a multiple of 8.
    public let pendingOffset: UInt64

    /// Bytes of a vector's entry in the table: address of 64 bits, data of 32, control of 32 whose bit 0 masks it.
    public static let entry = 16

    /// - Throws: `badField` for a range that no function has; `truncated`.
    public init(_ reader: some ConfigurationReader, _ capability: PCICapability) throws(ConfigurationError) {
        offset = capability.offset
        try reader.check(offset, 12)
        vectors = Int(MSIXControl(word: reader.half(at: offset + 2))[.last]) + 1
        let table = reader.checkedWord(offset + 4)
        let pending = reader.checkedWord(offset + 8)
        guard table & 7 < 6 else { throw .badField(at: offset + 4, value: UInt64(table)) }
        guard pending & 7 < 6 else { throw .badField(at: offset + 8, value: UInt64(pending)) }
        (tableBase, tableOffset) = (Int(table & 7), UInt64(table & ~7))
        (pendingBase, pendingOffset) = (Int(pending & 7), UInt64(pending & ~7))
    }

    /// Where the control register stands.
    public var control: Int { offset + 2 }
    /// Bytes of the table.
    public var tableCount: UInt64 { UInt64(vectors * Self.entry) }

    /// - Throws: `badField` where the table or the pending bits do not fit into the function's ranges.
    public func check(_ bases: [BaseAddress]) throws(ConfigurationError) {
        func fits(_ index: Int, _ offset: UInt64, _ count: UInt64) -> Bool {
            guard let base = bases.first(where: { $0.index == index }), base.space != .ports else { return false }
            return count <= base.count && offset <= base.count - count
        }
        guard fits(tableBase, tableOffset, tableCount) else { throw .badField(at: offset + 4, value: tableOffset) }
        // Whole words of 64 bits.
        guard fits(pendingBase, pendingOffset, UInt64((vectors + 63) / 64 * 8)) else {
            throw .badField(at: offset + 8, value: pendingOffset)
        }
    }
}
