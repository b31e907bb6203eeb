// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

/// A limit of bytes a second: a token bucket that holds the bytes of a tenth of a second.
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

    /// Whether a chunk may be transferred now. The bucket may be overdrawn by one chunk, and must be full again before the next: the mean rate
    /// is kept for every chunk size.
    mutating func allows() -> Bool {
        let now = Deadline.now.nanoseconds
        credit = min(credit + Double(now - last) / 1e9 * rate, rate / 10)
        last = now
        return credit >= 0
    }

    mutating func charge(_ bytes: UInt64) { credit -= Double(bytes) }

    /// When to ask again: when the bucket is no longer overdrawn, in a tenth of a second at most.
    var nextTurn: Deadline { .after(nanoseconds: Int64(min(max(-credit / rate, 0.001), 0.1) * 1e9)) }

    /// Sleeps until a chunk may be transferred, and takes `bytes` from the bucket.
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
