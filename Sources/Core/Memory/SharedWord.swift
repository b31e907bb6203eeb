// SPDX-License-Identifier: Apache-2.0

public import CDMA

/// A word that is read and written as a whole in memory that a device shares: 8, 16, 32 or 64 bits.
public protocol SharedWord: FixedWidthInteger, UnsignedInteger, BitwiseCopyable {
    /// Exactly one access of exactly this width. `pointer` is aligned to it, and its memory outlives the call.
    @unsafe static func volatileLoad(_ pointer: UnsafeRawPointer) -> Self
    /// The same for writing.
    @unsafe static func volatileStore(_ value: Self, _ pointer: UnsafeMutableRawPointer)
}

extension UInt8: SharedWord {
    // SAFETY, for each of these: the pointer is the caller's, valid and aligned for the word; the access is one of the word's width.
    @unsafe @inlinable
    public static func volatileLoad(_ pointer: UnsafeRawPointer) -> UInt8 { unsafe cdma_volatile_load8(pointer) }
    @unsafe @inlinable
    public static func volatileStore(_ value: UInt8, _ pointer: UnsafeMutableRawPointer) {
        unsafe cdma_volatile_store8(pointer, value)
    }
}

extension UInt16: SharedWord {
    // SAFETY, for each of these: as for `UInt8`.
    @unsafe @inlinable
    public static func volatileLoad(_ pointer: UnsafeRawPointer) -> UInt16 { unsafe cdma_volatile_load16(pointer) }
    @unsafe @inlinable
    public static func volatileStore(_ value: UInt16, _ pointer: UnsafeMutableRawPointer) {
        unsafe cdma_volatile_store16(pointer, value)
    }
}

extension UInt32: SharedWord {
    // SAFETY, for each of these: as for `UInt8`.
    @unsafe @inlinable
    public static func volatileLoad(_ pointer: UnsafeRawPointer) -> UInt32 { unsafe cdma_volatile_load32(pointer) }
    @unsafe @inlinable
    public static func volatileStore(_ value: UInt32, _ pointer: UnsafeMutableRawPointer) {
        unsafe cdma_volatile_store32(pointer, value)
    }
}

extension UInt64: SharedWord {
    // SAFETY, for each of these: as for `UInt8`.
    @unsafe @inlinable
    public static func volatileLoad(_ pointer: UnsafeRawPointer) -> UInt64 { unsafe cdma_volatile_load64(pointer) }
    @unsafe @inlinable
    public static func volatileStore(_ value: UInt64, _ pointer: UnsafeMutableRawPointer) {
        unsafe cdma_volatile_store64(pointer, value)
    }
}
