// SPDX-License-Identifier: Apache-2.0

/// A channel's slots: for each what the steady path touches, and the cargo beside it in the same cache line where it fits.
///
/// Raw memory, because a slot's cargo comes and goes.
// SAFETY: the numbers of slots that are passed in come from `sequence & indexMask` or from the list of free slots, or count up to `slots`,
// and so are always inside the allocation.
@usableFromInline @frozen @safe
struct SlotTable<C: Cargo & ~Copyable> {
    @usableFromInline let base: UnsafeMutableRawPointer
    /// Numbers of free slots, for channels whose engine completes out of order. One readable word stands before the first.
    @usableFromInline let free: UnsafeMutablePointer<UInt32>

    /// Where in a slot the cargo lies: behind the cookie and the count, aligned for its type.
    @inlinable @inline(__always)
    static var cargoOffset: Int { max(16, MemoryLayout<C>.alignment) }

    /// Bytes from slot to slot: a power of two, so that a slot's address is a shift and an addition.
    @inlinable @inline(__always)
    static var stride: Int {
        let size = cargoOffset + MemoryLayout<C>.size
        return 1 << (Int.bitWidth - (size - 1).leadingZeroBitCount)
    }

    init(slots: Int) {
        // SAFETY: both allocations are sized here, and freed by `deallocate`, which the owning channel calls once.
        unsafe base = .allocate(byteCount: slots * SlotTable.stride, alignment: max(64, MemoryLayout<C>.alignment))
        let list = UnsafeMutablePointer<UInt32>.allocate(capacity: slots + 1)
        // The first slot on top.
        unsafe list.initialize(to: 0)
        for index in 0..<slots { unsafe (list + 1 + index).initialize(to: UInt32(truncatingIfNeeded: slots - 1 - index)) }
        unsafe free = list + 1
        for slot in 0..<slots {
            setSequence(slot, SlotRecord.idle)
            setCount(slot, 0)
        }
    }

    func deallocate() {
        // SAFETY: as allocated in the initializer.
        unsafe base.deallocate()
        unsafe (free - 1).deallocate()
    }

    /// The cookie of the transaction that has the slot, or `SlotRecord.idle`.
    @inlinable @inline(__always)
    func sequence(_ slot: Int) -> UInt64 { unsafe base.load(fromByteOffset: slot &* SlotTable.stride, as: UInt64.self) }
    @inlinable @inline(__always)
    func setSequence(_ slot: Int, _ value: UInt64) {
        unsafe base.storeBytes(of: value, toByteOffset: slot &* SlotTable.stride, as: UInt64.self)
    }

    /// Bytes that the transaction moves: 63 bits, and above them whether it asked for an interrupt.
    @inlinable @inline(__always)
    func count(_ slot: Int) -> UInt64 { word(slot) & ~SlotTable.interruptBit }
    @inlinable @inline(__always)
    func asksInterrupt(_ slot: Int) -> Bool { word(slot) & SlotTable.interruptBit != 0 }
    @inlinable @inline(__always)
    func setCount(_ slot: Int, _ value: UInt64, asksInterrupt: Bool = false) {
        let word = asksInterrupt ? value | SlotTable.interruptBit : value
        unsafe base.storeBytes(of: word, toByteOffset: slot &* SlotTable.stride &+ 8, as: UInt64.self)
    }

    @inlinable @inline(__always)
    static var interruptBit: UInt64 { 1 << 63 }
    @inlinable @inline(__always)
    func word(_ slot: Int) -> UInt64 { unsafe base.load(fromByteOffset: slot &* SlotTable.stride &+ 8, as: UInt64.self) }

    /// Where the cargo lies: initialized while the slot has a transaction that is not kept for reuse.
    // SAFETY: as for the whole table; what is there is for the caller to know.
    @unsafe @inlinable @inline(__always)
    func cargo(_ slot: Int) -> UnsafeMutablePointer<C> {
        unsafe (base + (slot &* SlotTable.stride &+ SlotTable.cargoOffset)).assumingMemoryBound(to: C.self)
    }
}
