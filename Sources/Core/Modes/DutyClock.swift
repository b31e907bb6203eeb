// SPDX-License-Identifier: Apache-2.0

/// Computes when the next turn is due, so that the time at work is the requested share of the elapsed time.
///
/// It reads no clock: the time is passed in, in nanoseconds of CLOCK_MONOTONIC. No share and no time makes it overflow; results
/// saturate.
struct DutyClock: Equatable {
    private let began: Int64
    /// Nanoseconds at work.
    private(set) var busy: Int64 = 0

    init(now: Int64) { began = now }

    func elapsed(now: Int64) -> Int64 { Self.difference(now, began) }

    mutating func add(_ nanoseconds: Int64) { busy = Self.sum(busy, max(nanoseconds, 0)) }

    /// The time at which `busy` is at most `share` of the elapsed time.
    func due(_ share: Double) -> Int64 { Self.sum(began, Self.nanoseconds(Double(busy) / share)) }

    /// From the beginning to the time at which the next turn was due.
    func charged(_ share: Double) -> Int64 { Self.difference(due(share), began) }

    /// Whether a turn has been due for so long that the time since does not belong to the same run: longer than a scheduler
    /// keeps a thread off a shared processor, so that such delays are still compensated.
    func isStale(_ share: Double, now: Int64) -> Bool { Self.difference(now, due(share)) > 20_000_000 }

    func isDue(_ share: Double, now: Int64) -> Bool { now >= due(share) }

    // MARK: Saturating arithmetic

    static func sum(_ left: Int64, _ right: Int64) -> Int64 {
        let (sum, overflow) = left.addingReportingOverflow(right)
        return overflow ? (right < 0 ? .min : .max) : sum
    }

    static func difference(_ left: Int64, _ right: Int64) -> Int64 {
        let (difference, overflow) = left.subtractingReportingOverflow(right)
        return overflow ? (right < 0 ? .max : .min) : difference
    }

    static func product(_ left: Int64, _ right: Int64) -> Int64 {
        let (product, overflow) = left.multipliedReportingOverflow(by: right)
        return overflow ? ((left < 0) == (right < 0) ? .max : .min) : product
    }

    /// A number of nanoseconds, 0 or more; not-a-number becomes the maximum.
    static func nanoseconds(_ value: Double) -> Int64 {
        guard value < 0x1p63 else { return .max }
        return value > 0 ? Int64(value) : value.isNaN ? .max : 0
    }
}
