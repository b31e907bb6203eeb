// SPDX-License-Identifier: Apache-2.0

import DMACore

/// Progress of work that consists of steps, and an estimate of the remaining time from the speed so far.
struct TimeLeft {
    private let began: Int64

    init(since began: Int64 = Deadline.now.nanoseconds) { self.began = began }

    /// "3/40  12 s left"; of more steps than were expected, or of the last one, no time.
    func text(_ done: Int, of all: Int, now: Int64 = Deadline.now.nanoseconds) -> String {
        guard done > 0, all > done else { return "\(done)/\(max(all, done))" }
        let each = Double(max(now - began, 0)) / 1e9 / Double(done)
        return "\(done)/\(all)  \(ProgressLine.duration(each * Double(all - done))) left"
    }
}
