// SPDX-License-Identifier: Apache-2.0

// `await` over polling: looks first, suspends only on a miss.

extension Channel where E: ~Copyable, C: ~Copyable {
    /// The completion of one transaction.
    ///
    /// Issues what is queued. On an engine with an interrupt line, a transaction that asked for an interrupt suspends the task until
    /// the line is raised; on others, and for transactions that did not ask, the task yields between polls.
    ///
    /// - Throws: `staleCookie`; `cancelled` in a cancelled task. Then the transaction goes on and its cargo stays the channel's:
    ///   cancelling a task frees no memory that a device can still write (rule 18).
    @inlinable @inline(__always)
    public mutating func finished(_ cookie: Cookie) async throws(DMAError) -> Finished<C> {
        // The steady case: it is the next completion, and it is there.
        if detours.isEmpty, let finished = next() {
            if finished.cookie == cookie { return finished }
            putBack(finished)
        }
        return try await finishedLater(cookie)
    }

    @usableFromInline @inline(never)
    mutating func finishedLater(_ cookie: Cookie) async throws(DMAError) -> Finished<C> {
        issuePending()
        while true {
            let seen = engine.interruptLine?.count ?? 0
            if let finished = try take(cookie) { return finished }
            if Task.isCancelled { throw DMAError(.cancelled) }
            if let line = engine.interruptLine, wantsInterrupt(cookie) {
                await line.wait(after: seen)
            } else {
                await Task.yield()
            }
        }
    }

    /// Undoes a `next`: the transaction waits among the finished ones again.
    @usableFromInline
    mutating func putBack(_ finished: consuming Finished<C>) {
        let slot = Int(truncatingIfNeeded: finished.cookie.rawValue & limits.indexMask)
        table.setSequence(slot, finished.cookie.rawValue)
        conclude(slot, finished.status, residue: finished.residue, value: finished.value)
        unsafe table.cargo(slot).initialize(to: finished.takeCargo())
    }

    func wantsInterrupt(_ cookie: Cookie) -> Bool {
        guard let slot = try? find(cookie) else { return false }
        return unsafe records[slot].interruptSequence == cookie.rawValue
    }
}
