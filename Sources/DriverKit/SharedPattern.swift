// SPDX-License-Identifier: Apache-2.0

/// A claim that every bit pattern of `T`'s size is a valid `T`. Only an unsafe initializer makes one.
public struct EveryPattern<T: ~Copyable>: Sendable {
    /// The caller guarantees that every bit pattern is a valid value, padding included: true of integers, floating point and C
    /// structures of them; false of `Bool`, of enums and of anything with a reference or a pointer.
    @unsafe @inlinable
    public init() {}
}

/// A type that may be read from memory that a device, a peer process or a file also writes, because every bit pattern is a
/// valid value.
///
/// A device may write anything. Reading an enum or a `Bool` from such memory would be undefined behaviour, so `BitwiseCopyable`
/// is not enough. A conformance makes the claim once, at its declaration:
///
/// ```swift
/// extension Completion: SharedPattern {
///     static var bitValidity: EveryPattern<Completion> { unsafe EveryPattern() }
/// }
/// ```
public protocol SharedPattern: BitwiseCopyable {
    /// Evaluated when a ring over the type is made.
    static var bitValidity: EveryPattern<Self> { get }
}

// SAFETY, for each of these: a fixed-width integer has no invalid pattern and no padding.
extension UInt8: SharedPattern { @inlinable public static var bitValidity: EveryPattern<UInt8> { unsafe EveryPattern() } }
extension UInt16: SharedPattern { @inlinable public static var bitValidity: EveryPattern<UInt16> { unsafe EveryPattern() } }
extension UInt32: SharedPattern { @inlinable public static var bitValidity: EveryPattern<UInt32> { unsafe EveryPattern() } }
extension UInt64: SharedPattern { @inlinable public static var bitValidity: EveryPattern<UInt64> { unsafe EveryPattern() } }
extension Int8: SharedPattern { @inlinable public static var bitValidity: EveryPattern<Int8> { unsafe EveryPattern() } }
extension Int16: SharedPattern { @inlinable public static var bitValidity: EveryPattern<Int16> { unsafe EveryPattern() } }
extension Int32: SharedPattern { @inlinable public static var bitValidity: EveryPattern<Int32> { unsafe EveryPattern() } }
extension Int64: SharedPattern { @inlinable public static var bitValidity: EveryPattern<Int64> { unsafe EveryPattern() } }
