// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// What came of a look at the next period.
@frozen
public enum PeriodOutcome<R> {
    /// The device has finished no further period.
    case empty
    /// The period was the client's alone while the body ran.
    case intact(R)
    /// The device was there too. So many periods were lost, and are counted.
    case overrun(UInt64)
    /// The transaction is over, in this way, and no finished period is left.
    case ended(TransactionStatus)
}

extension PeriodOutcome: Sendable where R: Sendable {}
extension PeriodOutcome: Equatable where R: Equatable {}

/// One period of a ring, lent inside a closure. Bytes are copied out of it and into it: a device may be writing them, so that no span
/// over them would be sound.
@safe
public struct PeriodView: ~Copyable, ~Escapable {
    private let start: UnsafeMutableRawPointer
    /// Bytes.
    public let count: Int
    private let isWritable: Bool
    /// Which period since the start.
    public let index: UInt64

    // SAFETY: the caller vouches that `count` bytes from `start` stay valid as long as the view.
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

    /// Copies the period, from `offset` on, into `target`. Returns how many bytes that were.
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

    /// Copies `source` into the period, from `offset` on. Returns how many bytes that were: 0 for a ring that the device writes.
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
