// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// A point in time on the monotonic clock, in nanoseconds: the latest moment for something to happen.
@frozen
public struct Deadline: Hashable, Comparable, Sendable {
    /// CLOCK_MONOTONIC, nanoseconds.
    public let nanoseconds: Int64
    /// The time `nanoseconds` on CLOCK_MONOTONIC.
    @inlinable public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    /// The current time.
    public static var now: Deadline { Deadline(nanoseconds: cdma_monotonic_nanoseconds()) }
    /// Later than every other time.
    @inlinable public static var never: Deadline { Deadline(nanoseconds: .max) }

    /// `nanoseconds` from now; a negative number lies in the past, a sum beyond the range is ``never``.
    public static func after(nanoseconds: Int64) -> Deadline {
        let (sum, overflow) = cdma_monotonic_nanoseconds().addingReportingOverflow(nanoseconds)
        // The clock is never negative, so that only a positive number can overflow.
        return overflow ? .never : Deadline(nanoseconds: sum)
    }
    /// `milliseconds` from now.
    public static func after(milliseconds: Int64) -> Deadline {
        let (product, overflow) = milliseconds.multipliedReportingOverflow(by: 1_000_000)
        return after(nanoseconds: overflow ? (milliseconds < 0 ? .min : .max) : product)
    }
    /// `duration` from now; a time before the clock's zero has passed, and one beyond its range is ``never``.
    public static func after(_ duration: Duration) -> Deadline {
        let (seconds, attoseconds) = duration.components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, carry) = product.addingReportingOverflow(attoseconds / 1_000_000_000)
        return after(nanoseconds: overflow || carry ? (seconds < 0 ? .min : .max) : sum)
    }
    /// Nanoseconds until `later`: 0 where `later` is not later, and exact over the whole range.
    package func nanoseconds(until later: Deadline) -> UInt64 {
        later > self ? UInt64(bitPattern: later.nanoseconds &- nanoseconds) : 0
    }
    @inlinable public static func < (left: Deadline, right: Deadline) -> Bool { left.nanoseconds < right.nanoseconds }
}
