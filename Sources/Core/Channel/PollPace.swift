// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// How a task waits for what no interrupt announces: it looks again and again for 2 ms, and rests then between two looks an eighth of the
/// time that it has waited, 20 ms at most. So a completion is seen late by an eighth of its time, and a wait of a second costs some 4 ms of a processor.
///
/// Where the engine works inside polls, nothing happens meanwhile: the task lets others run, and looks again.
@usableFromInline
struct PollPace {
    private let worksInPoll: Bool
    private var began: Int64 = 0

    @usableFromInline
    init(worksInPoll: Bool) { self.worksInPoll = worksInPoll }

    /// A look found something: the next wait begins anew.
    @usableFromInline
    mutating func reset() { began = 0 }

    /// Rests. In a cancelled task it returns at once.
    @usableFromInline
    mutating func rest() async {
        if worksInPoll { return await Task.yield() }
        let now = cdma_monotonic_nanoseconds()
        if began == 0 { began = now }
        let waited = now - began
        // Short waits are the rule, a timer costs as much as many looks, and there are devices that work when they are looked at.
        if waited < 2_000_000 { return await Task.yield() }
        // Cancelled is what the caller asks next.
        try? await Task.sleep(nanoseconds: UInt64(min(waited / 8, 20_000_000)))
    }
}
