// SPDX-License-Identifier: Apache-2.0

/// A word of a register: `UInt8`, `UInt16`, `UInt32`, `UInt64`, and no other type.
public protocol RegisterWord: FixedWidthInteger, UnsignedInteger, BitwiseCopyable, Sendable, RegisterLayout
where Word == Self {}

extension UInt8: RegisterWord {}
extension UInt16: RegisterWord {}
extension UInt32: RegisterWord {}
extension UInt64: RegisterWord {}

/// What the bits of a register mean: a value with fields over one word.
///
/// The word comes from a device, which writes what it likes: every pattern is a value of the layout, and what a specification does not define is
/// found by reading a field (see ``RegisterLayout/subscript(_:)-(Field<Self,V>)``).
public protocol RegisterLayout: BitwiseCopyable, Sendable {
    /// The word that is read and written.
    associatedtype Word: RegisterWord

    /// All bits.
    var word: Word { get set }
    /// The value of these bits.
    init(word: Word)

    /// Reserved bits that software writes as it has read them (PCI Express Base Specification, "RsvdP").
    static var preserved: Word { get }
    /// Reserved bits that software writes as 0 (PCI Express Base Specification, "RsvdZ").
    static var zeroed: Word { get }
}

extension RegisterLayout {
    @inlinable public static var preserved: Word { 0 }
    @inlinable public static var zeroed: Word { 0 }

    /// The word as it may be written: reserved bits that have to be 0 are.
    @inlinable public var written: Word { word & ~Self.zeroed }
    /// Whether the device answered all ones: it is gone, is in reset, or does not decode the address.
    @inlinable public var isAllOnes: Bool { word == .max }
}

// A word without fields is a layout of its own.
extension RegisterWord {
    @inlinable public var word: Self {
        get { self }
        set { self = newValue }
    }
    @inlinable public init(word: Self) { self = word }
}
