// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

// Which slots of a channel are free, and which transactions are in flight.

extension Channel where E: ~Copyable, C: ~Copyable {
    /// The next cookie whose slot is free; nil where none is. May take the slot of a transaction kept for reuse.
    @usableFromInline
    mutating func nextFree() -> UInt64? {
        if let sequence = scanFree() { return sequence }
        return reclaimReserved() ? scanFree() : nil
    }

    /// Whether the channel is on its fast path and has no free slot. It makes a refusal of a full queue as cheap as an
    /// acceptance.
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
        // Cookies in flight are consecutive, so that one taken slot means that all are taken, unless a transaction was taken,
        // reserved or reported out of order.
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

    /// Whether this many transactions are in flight.
    mutating func hasInFlight(atLeast number: Int) -> Bool {
        keepsOrder ? inFlight >= number : limits.slots + freeIndex >= number
    }

    /// Whether the engine may still access the memory of the transaction in `slot`, or will once a fence releases it.
    func isOpen(_ slot: Int) -> Bool {
        // SAFETY: callers pass numbers of slots.
        unsafe table.sequence(slot) != SlotRecord.idle && !records[slot].isClosed
    }

    /// Whether the engine holds a transaction before `sequence`.
    func hasOpen(before sequence: UInt64) -> Bool {
        for slot in 0..<limits.slots {
            if isOpen(slot) && table.sequence(slot) < sequence { return true }
        }
        return false
    }

    /// Frees a slot and resets its record.
    mutating func recycle(_ slot: Int) {
        if !keepsOrder, table.sequence(slot) != SlotRecord.idle { release(slot) }
        table.setSequence(slot, SlotRecord.idle)
        // SAFETY: callers pass numbers of slots.
        unsafe records[slot] = SlotRecord()
    }
}
