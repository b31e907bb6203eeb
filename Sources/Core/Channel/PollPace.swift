// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// The pace of polling for a completion without interrupt: back to back for 2 ms, then with pauses of an eighth of the time
/// waited so far, at most 20 ms. A completion is seen late by at most an eighth of its time, and a wait of one second costs
/// some 4 ms of processor time.
///
/// Engines that work inside polls make no progress during a pause: for them the task only yields between polls.
@usableFromInline
struct PollPace {
    private let worksInPoll: Bool
    private var began: Int64 = 0

    @usableFromInline
    init(worksInPoll: Bool) { self.worksInPoll = worksInPoll }

    /// A poll found something: the next wait starts again with back-to-back polls.
    @usableFromInline
    mutating func reset() { began = 0 }

    /// Pauses. Returns at once in a cancelled task.
    @usableFromInline
    mutating func rest() async {
        if worksInPoll { return await Task.yield() }
        let now = cdma_monotonic_nanoseconds()
        if began == 0 { began = now }
        let waited = now - began
        // Most waits are short, a timer costs as much as many polls, and some devices make progress only when polled.
        if waited < 2_000_000 { return await Task.yield() }
        // The caller checks for cancellation next.
        try? await Task.sleep(nanoseconds: UInt64(min(waited / 8, 20_000_000)))
    }
}
