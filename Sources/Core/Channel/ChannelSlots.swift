// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

// Which slots of a channel are free, and which transactions are under way.

extension Channel where E: ~Copyable, C: ~Copyable {
    /// The next cookie whose slot is free, or nil where none is. May take the slot of a transaction kept for reuse.
    @usableFromInline
    mutating func nextFree() -> UInt64? {
        if let sequence = scanFree() { return sequence }
        return reclaimReserved() ? scanFree() : nil
    }

    /// Whether the channel is on its fast path, and no slot is free. A refusal for want of room is so no dearer than an acceptance.
    @inlinable @inline(never)
    mutating func isFull() -> Bool {
        guard !table.ready.isEmpty, reserved.isEmpty else { return false }
        guard keepsOrder else { return freeIndex == 0 }
        return done.isEmpty && faultCounts.outOfOrder == 0 && lastSkip < expectedSequence
            && table.sequence(Int(truncatingIfNeeded: nextSequence & limits.indexMask)) != SlotRecord.idle
    }

    mutating func scanFree() -> UInt64? {
        guard keepsOrder else {
            guard freeIndex < 0 else { return nil }
            // SAFETY: the places from `freeIndex` to -1 hold numbers of free slots.
            let slot = UInt64(unsafe table.free(freeIndex).pointee)
            return nextSequence &+ ((slot &- nextSequence) & limits.indexMask)
        }
        if table.sequence(Int(nextSequence & limits.indexMask)) == SlotRecord.idle { return nextSequence }
        // Cookies in flight follow each other without a gap, so that a slot that is taken means that all are; unless a transaction was taken,
        // reserved or reported out of turn.
        if done.isEmpty, reserved.isEmpty, faultCounts.outOfOrder == 0, lastSkip < expectedSequence { return nil }
        for step in 1..<UInt64(max(limits.slots, 1)) {
            let sequence = nextSequence &+ step
            if table.sequence(Int(sequence & limits.indexMask)) == SlotRecord.idle {
                lastSkip = sequence
                return sequence
            }
        }
        return nil
    }

    /// Whether so many transactions are in flight.
    mutating func hasInFlight(atLeast number: Int) -> Bool {
        keepsOrder ? inFlight >= number : limits.slots + freeIndex >= number
    }

    /// Whether the engine may still touch the memory of the transaction in `slot`, or will once it is let go of a fence.
    func isOpen(_ slot: Int) -> Bool {
        // SAFETY: callers pass numbers of slots.
        unsafe table.sequence(slot) != SlotRecord.idle && !records[slot].isClosed
    }

    /// Whether a transaction before `sequence` is with the engine.
    func hasOpen(before sequence: UInt64) -> Bool {
        for slot in 0..<limits.slots {
            if isOpen(slot) && table.sequence(slot) < sequence { return true }
        }
        return false
    }

    /// Makes a slot free, and its record as new.
    mutating func recycle(_ slot: Int) {
        if !keepsOrder, table.sequence(slot) != SlotRecord.idle { release(slot) }
        table.setSequence(slot, SlotRecord.idle)
        // SAFETY: callers pass numbers of slots.
        unsafe records[slot] = SlotRecord()
    }
}
