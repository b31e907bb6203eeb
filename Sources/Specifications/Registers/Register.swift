// SPDX-License-Identifier: Apache-2.0

/// What software may do with a register: a type without values, so that what it may not does not compile.
public protocol RegisterAccess: Sendable {}
/// Reading it has a meaning.
public protocol ReadableRegister: RegisterAccess {}
/// Writing a value to it has a meaning.
public protocol WritableRegister: RegisterAccess {}

/// Read only.
public enum ReadOnly: ReadableRegister {}
/// Write only: what is read means nothing.
public enum WriteOnly: WritableRegister {}
/// Read and written.
public enum ReadWrite: ReadableRegister, WritableRegister {}
/// Read; a bit that is written as 1 is cleared (RW1C). Writing what was read would clear all that is set: `modify` does not compile.
public enum WriteOneToClear: ReadableRegister {}

/// A register of a device: where it is, how wide, what its bits mean, and what may be done with it.
///
/// Declared once, in the specification that a driver and a model share.
@frozen
public struct Register<Layout: RegisterLayout, Access: RegisterAccess>: Sendable {
    /// The half of a 64-bit register that is accessed first where it takes two accesses.
    @frozen
    public enum Half: Sendable {
        /// The lower 32 bits.
        case low
        /// The upper 32 bits.
        case high
    }

    /// Bytes from the window's beginning.
    public let offset: Int
    /// Which half comes first, where the way or the device wants two accesses of 32 bits. Of no meaning for narrower registers.
    public let first: Half
    /// Whether the device wants two accesses of 32 bits, always.
    public let isSplit: Bool
    /// Whether writing it starts something: everything written before it, to memory and to registers, is seen by the device first, and the write
    /// is on its way when the call returns.
    public let isDoorbell: Bool

    /// The register at `offset`.
    @inlinable
    public init(_ offset: Int, first: Half = .low, isSplit: Bool = false, isDoorbell: Bool = false) {
        self.offset = offset
        self.first = first
        self.isSplit = isSplit
        self.isDoorbell = isDoorbell
    }

    /// Bytes of the register.
    @inlinable public static var width: Int { MemoryLayout<Layout.Word>.size }
}
