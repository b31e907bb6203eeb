// SPDX-License-Identifier: Apache-2.0

/// A queue of slots, linked through their records: it allocates nothing, and slots can be removed from the middle.
@usableFromInline @frozen
struct SlotList {
    @inlinable static var none: UInt32 { .max }
    @usableFromInline var first: UInt32
    @usableFromInline var last: UInt32

    init() {
        first = SlotList.none
        last = SlotList.none
    }

    @inlinable var isEmpty: Bool { first == SlotList.none }

    mutating func append(_ slot: Int, _ records: UnsafeMutablePointer<SlotRecord>) {
        // SAFETY: `records` has an entry for each slot; the caller passes a slot's number, and `last` is one where the list is not
        // empty.
        let slot = UInt32(truncatingIfNeeded: slot)
        unsafe records[Int(slot)].link = SlotList.none
        if isEmpty { first = slot } else { unsafe records[Int(last)].link = slot }
        last = slot
    }

    mutating func popFirst(_ records: UnsafeMutablePointer<SlotRecord>) -> Int? {
        // SAFETY: where the list is not empty, `first` is a slot's number, and `records` has an entry for each.
        guard !isEmpty else { return nil }
        let slot = Int(first)
        first = unsafe records[slot].link
        if isEmpty { last = SlotList.none }
        return slot
    }

    /// Removes a slot, wherever it is in the list. False where it is not.
    mutating func remove(_ wanted: Int, _ records: UnsafeMutablePointer<SlotRecord>) -> Bool {
        // SAFETY: each link is a slot's number or none, since `append` alone adds to the list, and `records` has an entry for each
        // slot.
        var before = SlotList.none
        var slot = first
        while slot != SlotList.none {
            let link = unsafe records[Int(slot)].link
            if Int(slot) == wanted {
                if before == SlotList.none { first = link } else { unsafe records[Int(before)].link = link }
                if slot == last { last = before }
                return true
            }
            before = slot
            slot = link
        }
        return false
    }
}
