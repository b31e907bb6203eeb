// SPDX-License-Identifier: Apache-2.0

internal import DMAEngineKit

// Queries about one transaction, by its cookie.

extension Channel where E: ~Copyable, C: ~Copyable {
    /// The state of transaction `cookie` (rule 10).
    ///
    /// - Throws: `unknownCookie` for a cookie that was never assigned; `staleCookie` where its completion was taken.
    public mutating func status(of cookie: Cookie) throws(DMAError) -> TransactionStatus {
        // SAFETY: `find` returns a slot's number, and `records` has one for each.
        poll()
        let slot = try find(cookie)
        if unsafe records[slot].isDone { return unsafe records[slot].status }
        if slowPaths.contains(.terminating) || slowPaths.contains(.gone) { return .aborted }
        if cookie.rawValue >= issuedEnd { return .queued }
        return state == .paused ? .paused : .inProgress
    }

    /// Bytes that transaction `cookie` has not moved, in the engine's granularity (rules 20 and 21). Never more than its
    /// length.
    ///
    /// - Throws: `staleCookie`.
    public mutating func residue(of cookie: Cookie) throws(DMAError) -> UInt64 {
        // SAFETY: as above: `find` returns a slot's number.
        poll()
        let slot = try find(cookie)
        if unsafe records[slot].isDone { return unsafe records[slot].residue }
        let count = table.count(slot)
        guard unsafe !records[slot].isHeld, let said = engine.residue(of: tag(cookie.rawValue)) else { return count }
        if said > count { faultCounts.badResidue &+= 1 }
        return min(said, count)
    }

    /// Takes the completion of one transaction, whatever else is finished; nil while it has not ended.
    ///
    /// - Throws: `staleCookie`.
    public mutating func take(_ cookie: Cookie) throws(DMAError) -> Finished<C>? {
        // SAFETY: as above; `done` holds numbers of slots.
        poll()
        let slot = try find(cookie)
        guard unsafe records[slot].isDone, unsafe done.remove(slot, records) else { return nil }
        return handOut(slot)
    }

    /// Periods that cyclic transaction `cookie` has completed since its start, also after its end; 0 for any other transaction.
    ///
    /// - Throws: `staleCookie`.
    package mutating func periodCount(of cookie: Cookie) throws(DMAError) -> UInt64 {
        poll()
        let slot = try find(cookie)
        // SAFETY: `find` answers numbers of slots.
        return unsafe records[slot].periodSequence == cookie.rawValue ? records[slot].periods : 0
    }

    /// The slot of a transaction that is not yet taken.
    mutating func find(_ cookie: Cookie) throws(DMAError) -> Int {
        // SAFETY: the mask makes it a slot's number, for which there are an entry in the table and a record.
        let slot = Int(cookie.rawValue & limits.indexMask)
        if unsafe table.sequence(slot) == cookie.rawValue && !records[slot].isReserved { return slot }
        throw DMAError(
            cookie.rawValue < nextSequence ? .staleCookie : .unknownCookie, asked: cookie.rawValue)
    }

    /// Sets the deadline of a submitted transaction.
    @usableFromInline
    mutating func setDeadline(_ deadline: Deadline, of cookie: Cookie) {
        // SAFETY: as above: `find` returns a slot's number.
        guard let slot = try? find(cookie) else { return }
        unsafe records[slot].deadline = deadline.nanoseconds
        recordedCount += 1
        setSlow(.recorded)
    }

    /// Returns one transaction that is running past its deadline, with its residue; reports each once.
    public mutating func nextLate() -> LateTransaction? {
        // SAFETY: the loop counts up to the number of slots, and `records` has one for each.
        guard recordedCount > 0 else { return nil }
        poll()
        let now = Deadline.now.nanoseconds
        for slot in 0..<limits.slots {
            let record = unsafe records[slot]
            guard isOpen(slot), record.deadline < now, !record.wasReportedLate else { continue }
            unsafe records[slot].wasReportedLate = true
            let sequence = table.sequence(slot)
            let count = table.count(slot)
            let said = record.isHeld ? nil : engine.residue(of: tag(sequence))
            return LateTransaction(
                cookie: Cookie(sequence), residue: min(said ?? count, count),
                lateness: Int64(clamping: Deadline(nanoseconds: record.deadline).nanoseconds(until: Deadline(nanoseconds: now)))
            )
        }
        return nil
    }
}

/// A transaction that missed its deadline and is still running.
public struct LateTransaction: Equatable, Sendable {
    /// The transaction.
    public let cookie: Cookie
    /// Bytes not moved when it was found late.
    public let residue: UInt64
    /// Nanoseconds past the deadline.
    public let lateness: Int64
}
