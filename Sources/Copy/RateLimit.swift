// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

/// A limit of bytes a second: a bucket that fills with time and holds a tenth of a second's worth.
struct RateLimit {
    private let rate: Double
    private var credit: Double
    private var last: Int64

    /// nil for no limit.
    init?(_ rate: UInt64?) {
        guard let rate else { return nil }
        self.rate = Double(rate)
        credit = 0
        last = Deadline.now.nanoseconds
    }

    /// How many of `wanted` bytes may go now: 0 means later. A bucket in debt pays first, so that the mean is kept whatever the chunk.
    mutating func allows() -> Bool {
        let now = Deadline.now.nanoseconds
        credit = min(credit + Double(now - last) / 1e9 * rate, rate / 10)
        last = now
        return credit >= 0
    }

    mutating func charge(_ bytes: UInt64) { credit -= Double(bytes) }

    /// When the debt will be paid, a tenth of a second on at most.
    var nextTurn: Deadline { .after(nanoseconds: Int64(min(max(-credit / rate, 0.001), 0.1) * 1e9)) }

    /// Sleeps until bytes may go, and takes `bytes` of the allowance.
    ///
    /// - Throws: `cancelled`.
    mutating func waitAndCharge(_ bytes: UInt64, _ path: String, _ control: CopyControl) throws(CopyFailure) {
        while !allows() {
            if control.isCancelled { throw .cancelled(path, after: control.progress.bytes) }
            cdma_sleep_until(nextTurn.nanoseconds)
        }
        charge(bytes)
    }
}
