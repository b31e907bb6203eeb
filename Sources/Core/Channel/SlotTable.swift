// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// A channel's slots: for each the data that the fast path touches, and the cargo in the same cache line where it fits.
///
/// Raw memory, because a slot's cargo is initialized and moved out again and again.
// SAFETY: the numbers of slots that are passed in come from `sequence & indexMask` or from the list of free slots, or count up to `slots`,
// and so are always inside the allocation.
@usableFromInline @frozen @safe
struct SlotTable<C: Cargo & ~Copyable> {
    @usableFromInline let base: UnsafeMutableRawPointer

    /// The offset of the cargo in a slot: after the cookie and the count, aligned for its type.
    @inlinable @inline(__always)
    static var cargoOffset: Int { max(16, MemoryLayout<C>.alignment) }

    /// Bytes from slot to slot: a power of two, so that a slot's address takes a shift and an addition.
    @inlinable @inline(__always)
    static var stride: Int {
        let size = cargoOffset + MemoryLayout<C>.size
        return 1 << (Int.bitWidth - (size - 1).leadingZeroBitCount)
    }

    /// Bytes before the first slot: the operations that may take the fast path, and whether completions are taken directly. The
    /// kernel clears this memory in a child process, which therefore takes the slow path for both.
    @inlinable @inline(__always)
    static var headerSize: Int { 64 }

    /// Bytes before the header: the numbers of free slots, for channels whose engine completes out of order.
    private static func listSize(_ slots: Int) -> Int { (slots * 4 + 63) & ~63 }

    /// - Throws: `outOfMemory`.
    init(slots: Int) throws(DMAError) {
        let before = SlotTable.listSize(slots) + SlotTable.headerSize
        let bytes = before + slots * SlotTable.stride
        var start: UnsafeMutableRawPointer?
        // SAFETY: the memory is sized here, and freed by `deallocate`, which the owning channel calls once. Its parts are aligned for any
        // cargo: pages are, and what stands before the slots is a multiple of 64 bytes.
        let error = unsafe cdma_map_anonymous(0, bytes, 0, &start)
        guard error == 0, let start = unsafe start else { throw DMAError(.outOfMemory, asked: UInt64(bytes), errno: -error) }
        // Before Linux 4.14 only the slow path detects a child process.
        _ = unsafe cdma_wipe_on_fork(start, bytes)
        unsafe base = start + before
        // The first slot is on top.
        for slot in 0..<slots {
            unsafe free(slot - slots).pointee = UInt32(truncatingIfNeeded: slot)
            setSequence(slot, SlotRecord.idle)
            setCount(slot, 0)
        }
    }

    func deallocate(slots: Int) {
        // SAFETY: as allocated in the initializer. The kernel refuses only a range that is not mapped.
        let before = SlotTable.listSize(slots) + SlotTable.headerSize
        _ = unsafe cdma_unmap(base - before, before + slots * SlotTable.stride)
    }

    /// Entry `index` of the list of free slots, from minus the number of slots to -1. Index 0 is a word of the header, which
    /// may be read.
    @unsafe @inlinable @inline(__always)
    func free(_ index: Int) -> UnsafeMutablePointer<UInt32> {
        // SAFETY: for an index in these bounds the place is inside the list or the header, which both lie in the allocation before
        // `base` and are aligned for the word. The caller vouches for the index.
        unsafe (base - SlotTable.headerSize).assumingMemoryBound(to: UInt32.self) + index
    }

    /// The operations that `submit` accepts on the fast path: all of the engine's, or none.
    @inlinable @inline(__always)
    var ready: OperationSet {
        // SAFETY: the word is the header's, in the allocation before `base`, and aligned.
        get { OperationSet(rawValue: unsafe base.load(fromByteOffset: -8, as: UInt32.self)) }
        nonmutating set { unsafe base.storeBytes(of: newValue.rawValue, toByteOffset: -8, as: UInt32.self) }
    }

    /// Whether completions are taken directly, in the process that made the channel.
    @inlinable @inline(__always)
    var isSteady: Bool {
        // SAFETY: as above: a word of the header.
        get { unsafe base.load(fromByteOffset: -4, as: UInt32.self) != 0 }
        nonmutating set { unsafe base.storeBytes(of: newValue ? 1 : 0, toByteOffset: -4, as: UInt32.self) }
    }

    /// The cookie of the transaction in the slot, or `SlotRecord.idle`.
    // SAFETY: each slot begins with this word; callers pass numbers of slots, as stated for the whole table.
    @inlinable @inline(__always)
    func sequence(_ slot: Int) -> UInt64 { unsafe base.load(fromByteOffset: slot &* SlotTable.stride, as: UInt64.self) }
    @inlinable @inline(__always)
    func setSequence(_ slot: Int, _ value: UInt64) {
        unsafe base.storeBytes(of: value, toByteOffset: slot &* SlotTable.stride, as: UInt64.self)
    }

    /// The transaction's length in bytes: 63 bits, with the interrupt flag above them.
    // SAFETY: as for `sequence`: the second word of a slot.
    @inlinable @inline(__always)
    func count(_ slot: Int) -> UInt64 { word(slot) & ~SlotTable.interruptBit }
    @inlinable @inline(__always)
    func asksInterrupt(_ slot: Int) -> Bool { word(slot) & SlotTable.interruptBit != 0 }
    @inlinable @inline(__always)
    func setCount(_ slot: Int, _ value: UInt64, asksInterrupt: Bool = false) {
        let word = asksInterrupt ? value | SlotTable.interruptBit : value
        unsafe base.storeBytes(of: word, toByteOffset: slot &* SlotTable.stride &+ 8, as: UInt64.self)
    }

    // SAFETY: as for `sequence`: the second word of a slot.
    @inlinable @inline(__always)
    static var interruptBit: UInt64 { 1 << 63 }
    @inlinable @inline(__always)
    func word(_ slot: Int) -> UInt64 { unsafe base.load(fromByteOffset: slot &* SlotTable.stride &+ 8, as: UInt64.self) }

    /// The cargo: initialized while the slot has a transaction that is not kept for reuse.
    // SAFETY: as for the whole table; callers know whether it is initialized.
    @unsafe @inlinable @inline(__always)
    func cargo(_ slot: Int) -> UnsafeMutablePointer<C> {
        unsafe (base + (slot &* SlotTable.stride &+ SlotTable.cargoOffset)).assumingMemoryBound(to: C.self)
    }
}
