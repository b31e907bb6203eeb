// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMATypes

/// The writer's state of a table of foreign memory, used under its lock.
struct ForeignContents {
    /// A removed region, which no new access finds.
    struct Leaving {
        let region: ForeignRegion
        /// The grace period after which no access can use it.
        let grace: UInt64
        /// The error of the munmap(2) that failed; 0 where none did.
        var errno: Int32 = 0
    }

    var table = ForeignTable(address: 0)
    /// Regions of the table.
    var count = 0
    var grace = ReaderGate.Grace()
    var leaving: [Leaving] = []
    /// Memory of replaced tables, and the grace period after which no reader uses it.
    private var replaced: [(grace: UInt64, memory: UInt)] = []

    /// Publishes a new table.
    mutating func replace(_ change: ForeignTable.Change, _ gate: borrowing ReaderGate) {
        gate.publish(change.table.address)
        table = change.table
        let next = grace.next()
        replaced += change.freed.map { (next, $0) }
    }

    /// Advances the grace periods without waiting, and frees what no reader can use any more.
    mutating func settle(_ gate: borrowing ReaderGate) {
        grace.advance(gate)
        let completed = grace.completed
        // SAFETY: its grace period is over, so that every access that could have seen it has ended.
        replaced.removeAll { old in
            guard old.grace <= completed else { return false }
            unsafe ForeignTable.free(old.memory)
            return true
        }
        guard !leaving.isEmpty else { return }
        var rest: [Leaving] = []
        for var one in leaving {
            if one.grace <= completed {
                one.errno = unsafe Self.unmap(one.region)
                if one.errno == 0 { continue }
            }
            rest.append(one)
        }
        leaving = rest
    }

    /// Unmaps everything.
    ///
    /// Unsafe: the caller guarantees that no access is in progress or will begin.
    @unsafe
    mutating func end(unmaps: Bool) {
        // SAFETY: as the caller guarantees; the mappings are this table's.
        for region in table.regions + leaving.map(\.region) where unmaps { _ = unsafe Self.unmap(region) }
        for memory in table.memory + replaced.map(\.memory) { unsafe ForeignTable.free(memory) }
        self = ForeignContents()
    }

    /// Unmaps a region. Returns 0, or an error number.
    @unsafe
    private static func unmap(_ region: ForeignRegion) -> Int32 {
        // SAFETY: mapped by `ForeignMapping` with that length, and no access can use the address any more, as the callers
        // guarantee.
        guard region.mapped > 0 else { return 0 }
        return unsafe -cdma_unmap(UnsafeMutableRawPointer(bitPattern: region.base), Int(region.mapped))
    }
}
