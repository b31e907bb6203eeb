// SPDX-License-Identifier: Apache-2.0

public import CDMA

/// A word that is read and written as a whole in memory that a device shares: `UInt8`, `UInt16`, `UInt32`, `UInt64`, and no
/// other type.
public protocol SharedWord: FixedWidthInteger, UnsignedInteger, BitwiseCopyable {}

extension UInt8: SharedWord {}
extension UInt16: SharedWord {}
extension UInt32: SharedWord {}
extension UInt64: SharedWord {}

extension SharedWord {
    /// Exactly one access of exactly this width. `pointer` is aligned to it, and its memory outlives the call.
    @unsafe @inlinable @inline(__always)
    package static func volatileLoad(_ pointer: UnsafeRawPointer) -> Self {
        // SAFETY: the pointer is the caller's, valid and aligned for the word; the access has the word's width. The width is
        // known at compile time, so that one case remains.
        switch MemoryLayout<Self>.size {
        case 1: unsafe Self(truncatingIfNeeded: cdma_volatile_load8(pointer))
        case 2: unsafe Self(truncatingIfNeeded: cdma_volatile_load16(pointer))
        case 4: unsafe Self(truncatingIfNeeded: cdma_volatile_load32(pointer))
        default: unsafe Self(truncatingIfNeeded: cdma_volatile_load64(pointer))
        }
    }

    /// The same for writing.
    @unsafe @inlinable @inline(__always)
    package static func volatileStore(_ value: Self, _ pointer: UnsafeMutableRawPointer) {
        // SAFETY: as for `volatileLoad`.
        switch MemoryLayout<Self>.size {
        case 1: unsafe cdma_volatile_store8(pointer, UInt8(truncatingIfNeeded: value))
        case 2: unsafe cdma_volatile_store16(pointer, UInt16(truncatingIfNeeded: value))
        case 4: unsafe cdma_volatile_store32(pointer, UInt32(truncatingIfNeeded: value))
        default: unsafe cdma_volatile_store64(pointer, UInt64(truncatingIfNeeded: value))
        }
    }
}
