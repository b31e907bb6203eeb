// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMAEngineKit

/// Ends a channel: stops the device, then ends the cargo, or moves it to the quarantine where the device did not stop.
@usableFromInline
enum ChannelEnd<E: Engine & ~Copyable, C: Cargo & ~Copyable> {
    /// The memory is the ending channel's own. When this returns, it is freed or belongs to the quarantine.
    @unsafe @usableFromInline
    static func run(
        _ engine: consuming E, records: UnsafeMutablePointer<SlotRecord>, table: SlotTable<C>, arena: SlotArena,
        limits: ChannelLimits, space: Domain, generation: UInt32
    ) {
        // In a child process the device and its memory belong to the parent: nothing is touched or freed.
        if generation != cdma_fork_generation() {
            unsafe _ = Unmanaged.passRetained(ParkedChannel(engine, [], table, arena, limits.slots, in: space))
            return
        }
        // SAFETY: slots are counted up to their number; cargo is initialized where the sequence is not idle and the slot not reserved.
        let slots = 0..<limits.slots
        let isOpen = { (slot: Int) -> Bool in unsafe table.sequence(slot) != SlotRecord.idle && !records[slot].isClosed }
        let open = slots.filter(isOpen)
        if !open.isEmpty { engine.terminate() }
        let hasStopped = open.isEmpty || engine.quiesce(by: .after(milliseconds: 1000))
        for slot in slots where unsafe table.sequence(slot) != SlotRecord.idle && !records[slot].isReserved {
            if hasStopped || !isOpen(slot) { unsafe table.cargo(slot).deinitialize(count: 1) }
        }
        unsafe records.deallocate()
        if hasStopped {
            arena.deallocate()
            table.deallocate(slots: limits.slots)
            return
        }
        // The device may still read the operand lists and write the cargo, and the engine's rings with it.
        engine.willBeParked()
        Quarantine.park(ParkedChannel(engine, open, table, arena, limits.slots, in: space))
    }
}

/// The remains of a channel whose device did not stop: its engine, the operand lists, and the cargo of transactions in flight.
// SAFETY: only the quarantine holds it, and ends it once, after the caller of `release` has vouched that the device has
// stopped. No thread uses the engine any more when this is made.
final class ParkedChannel<E: Engine & ~Copyable, C: Cargo & ~Copyable>: ParkedObject, @unchecked Sendable {
    private var engine: E?
    private let slots: [Int]
    private let slotCount: Int
    private let table: SlotTable<C>
    private let arena: SlotArena
    private let space: Domain

    init(_ engine: consuming E, _ slots: [Int], _ table: SlotTable<C>, _ arena: SlotArena, _ slotCount: Int, in space: Domain) {
        self.engine = consume engine
        self.slots = slots
        self.slotCount = slotCount
        self.table = table
        self.arena = arena
        var ranges: [MappedRange] = []
        for slot in slots {
            // SAFETY: the slots are those with initialized cargo.
            unsafe ranges += table.cargo(slot).pointee.ranges
        }
        self.space = space
        super.init(domain: space.id, ranges: ranges)
    }

    override var isDead: Bool { space.space.backend?.isDead ?? false }

    deinit {
        // The engine ends first, because it may refer to the memory; then the cargo.
        engine = nil
        // SAFETY: as in the initializer, and this runs once.
        for slot in slots { unsafe table.cargo(slot).deinitialize(count: 1) }
        arena.deallocate()
        table.deallocate(slots: slotCount)
    }
}
