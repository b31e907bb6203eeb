// SPDX-License-Identifier: Apache-2.0

/// A queue of slots, linked through their records: no allocation, and a slot can be taken out of the middle.
@usableFromInline @frozen
struct SlotList {
    static var none: UInt32 { .max }
    @usableFromInline var first: UInt32
    @usableFromInline var last: UInt32

    init() {
        first = SlotList.none
        last = SlotList.none
    }

    var isEmpty: Bool { first == SlotList.none }

    mutating func append(_ slot: Int, _ records: UnsafeMutablePointer<SlotRecord>) {
        let slot = UInt32(truncatingIfNeeded: slot)
        unsafe records[Int(slot)].link = SlotList.none
        if isEmpty { first = slot } else { unsafe records[Int(last)].link = slot }
        last = slot
    }

    mutating func popFirst(_ records: UnsafeMutablePointer<SlotRecord>) -> Int? {
        guard !isEmpty else { return nil }
        let slot = Int(first)
        first = unsafe records[slot].link
        if isEmpty { last = SlotList.none }
        return slot
    }

    /// Takes out the slot of transaction `sequence`, where it is in the list.
    mutating func remove(sequence: UInt64, _ records: UnsafeMutablePointer<SlotRecord>) -> Int? {
        var before = SlotList.none
        var slot = first
        while slot != SlotList.none {
            let link = unsafe records[Int(slot)].link
            if unsafe records[Int(slot)].sequence == sequence {
                if before == SlotList.none { first = link } else { unsafe records[Int(before)].link = link }
                if slot == last { last = before }
                return Int(slot)
            }
            before = slot
            slot = link
        }
        return nil
    }
}
