// SPDX-License-Identifier: Apache-2.0

/// The width of one access.
@frozen
public enum AccessWidth: Int, Sendable, CaseIterable {
    /// 8 bits.
    case byte = 1
    /// 16 bits.
    case half = 2
    /// 32 bits.
    case word = 4
    /// 64 bits.
    case wide = 8

    /// All ones of that width: the value of a read that no device answers.
    @inlinable public var allOnes: UInt64 { .max >> UInt64(64 - 8 * rawValue) }
}

/// Access to registers that are not mapped, by messages to the process that has the device. The cold path of a ``RegisterWindow``.
///
/// Thread rules: called from any thread.
public protocol RegisterPath: AnyObject, Sendable {
    /// One read of `width` bytes at `offset`, a multiple of the width inside the region. It returns after everything that was written before has
    /// reached the device. All ones where no device answers.
    func read(_ offset: UInt64, _ width: AccessWidth) -> UInt64

    /// One write of the lower `width` bytes of `value`. It is posted: it may be on its way when this returns, and keeps the order of the others. With
    /// `isDoorbell` it is sent before this returns, with everything before it.
    func write(_ value: UInt64, _ offset: UInt64, _ width: AccessWidth, isDoorbell: Bool)

    /// Sends what is posted, and waits until it has reached the device.
    func flush()

    /// A barrier was executed between writes to memory and a doorbell. Called for recorders.
    func didOrder()

    /// A driver's access outside of the region, or not aligned, was not done.
    func didRefuse(_ offset: UInt64, _ width: AccessWidth)

    /// Where these bytes of the region are mapped in this process, all of them; 0 where they are not. A region may be mapped in parts.
    ///
    /// The path vouches that the address is aligned to 8 bytes where `offset` is, and that the memory stays mapped for reading and writing as long as
    /// the path lives.
    @unsafe func mappedAddress(_ offset: UInt64, _ count: Int) -> UInt
}

extension RegisterPath {
    public func didOrder() {}
    public func didRefuse(_ offset: UInt64, _ width: AccessWidth) {}
    // SAFETY: no address.
    @unsafe public func mappedAddress(_ offset: UInt64, _ count: Int) -> UInt { 0 }
}
