// SPDX-License-Identifier: Apache-2.0

/// What a field can hold of which every pattern of bits is a value: flags and unsigned numbers.
public protocol FieldBits: Sendable {
    /// The value of these bits; those beyond the field are 0.
    init(fieldBits: UInt64)
    /// The bits; those beyond the field are not written.
    var fieldBits: UInt64 { get }
}

extension Bool: FieldBits {
    @inlinable public init(fieldBits: UInt64) { self = fieldBits != 0 }
    @inlinable public var fieldBits: UInt64 { self ? 1 : 0 }
}

extension FieldBits where Self: FixedWidthInteger & UnsignedInteger {
    @inlinable public init(fieldBits: UInt64) { self = Self(truncatingIfNeeded: fieldBits) }
    @inlinable public var fieldBits: UInt64 { UInt64(truncatingIfNeeded: self) }
}

extension UInt8: FieldBits {}
extension UInt16: FieldBits {}
extension UInt32: FieldBits {}
extension UInt64: FieldBits {}

/// What a field can hold of which only some patterns are defined: an enumeration. Another pattern reads as nil.
public protocol FieldChoice: RawRepresentable, Sendable where RawValue: FixedWidthInteger & UnsignedInteger & Sendable {}

/// Bits of a register, and the type of what they say.
///
/// Declared beside the layout, so that a driver writes `status[.isComputing]`:
///
/// ```swift
/// extension Field where Layout == Status, Value == Bool {
///     public static var isComputing: Self { Self(0) }
/// }
/// ```
@frozen
public struct Field<Layout: RegisterLayout, Value: Sendable>: Sendable {
    /// The lowest bit's number.
    public let lowest: Int
    /// The mask of the field's bits in the word.
    public let mask: Layout.Word

    /// One bit. A number that the word does not have is a field without bits: it reads as 0, and writing it changes nothing.
    @inlinable
    public init(_ bit: Int) { self.init(bit...bit) }

    /// The bits from the first to the last. What lies outside of the word is left out.
    @inlinable
    public init(_ bits: ClosedRange<Int>) {
        let first = max(bits.lowerBound, 0)
        let last = min(bits.upperBound, Layout.Word.bitWidth - 1)
        lowest = first
        // Shifts by too many bits answer 0.
        mask = last < first ? 0 : (Layout.Word.max >> (Layout.Word.bitWidth - 1 - (last - first))) << first
    }
}

extension RegisterLayout {
    /// A flag or a number.
    @inlinable
    public subscript<V: FieldBits>(field: Field<Self, V>) -> V {
        get { V(fieldBits: bits(field)) }
        set { set(newValue.fieldBits, field) }
    }

    /// One of several choices: nil where the device shows a pattern that no choice has. Writing nil changes nothing.
    @inlinable
    public subscript<V: FieldChoice>(field: Field<Self, V>) -> V? {
        get { V.RawValue(exactly: bits(field)).flatMap { V(rawValue: $0) } }
        set { if let newValue { set(UInt64(truncatingIfNeeded: newValue.rawValue), field) } }
    }

    @inlinable
    func bits<V>(_ field: Field<Self, V>) -> UInt64 { UInt64(truncatingIfNeeded: (word & field.mask) >> field.lowest) }

    @inlinable
    mutating func set<V>(_ bits: UInt64, _ field: Field<Self, V>) {
        word = word & ~field.mask | (Word(truncatingIfNeeded: bits) << field.lowest) & field.mask
    }
}
