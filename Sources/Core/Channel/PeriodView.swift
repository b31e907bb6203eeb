// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// The result of reading the next period.
@frozen
public enum PeriodOutcome<R> {
    /// The device has finished no further period.
    case empty
    /// The device did not access the period while the body ran.
    case intact(R)
    /// The device reached the period. This many periods were lost, and are counted.
    case overrun(UInt64)
    /// The transaction ended with this status, and no finished period is left.
    case ended(TransactionStatus)
}

extension PeriodOutcome: Sendable where R: Sendable {}
extension PeriodOutcome: Equatable where R: Equatable {}

/// One period of a ring, lent to a closure. Bytes are copied out of it and into it: a device may be writing them, so that a
/// span over them would be unsound.
@safe
public struct PeriodView: ~Copyable, ~Escapable {
    private let start: UnsafeMutableRawPointer
    /// Bytes.
    public let count: Int
    private let isWritable: Bool
    /// The period's number since the start.
    public let index: UInt64

    // SAFETY: the caller guarantees that `count` bytes from `start` stay valid for the view's lifetime.
    @_lifetime(immortal)
    @unsafe
    init(start: UnsafeMutableRawPointer, count: Int, isWritable: Bool, index: UInt64) {
        unsafe self.start = start
        self.count = count
        self.isWritable = isWritable
        self.index = index
    }

    /// One byte, by a volatile read; nil outside the period.
    public subscript(offset: Int) -> UInt8? {
        guard offset >= 0, offset < count else { return nil }
        // SAFETY: `offset` was just checked; the memory outlives the view.
        return unsafe cdma_volatile_load8(start + offset)
    }

    /// Copies the period, from `offset` on, into `target`. Returns the number of bytes.
    public func copy(from offset: Int = 0, into target: inout MutableRawSpan) -> Int {
        guard offset >= 0, offset < count else { return 0 }
        let length = min(count - offset, target.byteCount)
        // SAFETY: `length` is no more than what is left of the period, and than the target.
        unsafe target.withUnsafeMutableBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            unsafe cdma_copy_volatile(base, start + offset, length)
        }
        return length
    }

    /// Copies `source` into the period, from `offset` on. Returns the number of bytes: 0 for a ring that the device writes.
    public mutating func write(_ source: RawSpan, at offset: Int = 0) -> Int {
        guard isWritable, offset >= 0, offset < count else { return 0 }
        let length = min(count - offset, source.byteCount)
        // SAFETY: `length` is no more than what is left of the period, and than the source.
        unsafe source.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            unsafe cdma_copy_volatile(start + offset, base, length)
        }
        return length
    }
}
