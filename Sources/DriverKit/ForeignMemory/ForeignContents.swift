// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMATypes

/// What a writer of a table of foreign memory holds, under its lock.
struct ForeignContents {
    /// A region that no access finds any more.
    struct Leaving {
        let region: ForeignRegion
        /// The grace after which no access can have it.
        let grace: UInt64
        /// Why the kernel did not end the mapping; 0 where it was not asked.
        var errno: Int32 = 0
    }

    var table = ForeignTable(address: 0)
    /// Regions of the table.
    var count = 0
    var grace = ReaderGate.Grace()
    var leaving: [Leaving] = []
    /// Memory of replaced tables, and the grace after which nobody has it.
    private var replaced: [(grace: UInt64, memory: UInt)] = []

    /// Publishes another table.
    mutating func replace(_ change: ForeignTable.Change, _ gate: borrowing ReaderGate) {
        gate.publish(change.table.address)
        table = change.table
        let next = grace.next()
        replaced += change.freed.map { (next, $0) }
    }

    /// Goes on with the graces without waiting, and ends what nobody can have any more.
    mutating func settle(_ gate: borrowing ReaderGate) {
        grace.advance(gate)
        let completed = grace.completed
        // SAFETY: its grace is over, so that every access that could have seen it has left.
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

    /// Ends everything.
    ///
    /// Unsafe: the caller vouches that no access is under way, nor will be.
    @unsafe
    mutating func end(unmaps: Bool) {
        // SAFETY: the caller's part; the mappings are this table's.
        for region in table.regions + leaving.map(\.region) where unmaps { _ = unsafe Self.unmap(region) }
        for memory in table.memory + replaced.map(\.memory) { unsafe ForeignTable.free(memory) }
        self = ForeignContents()
    }

    /// Ends a region's mapping. 0, or an error number.
    @unsafe
    private static func unmap(_ region: ForeignRegion) -> Int32 {
        // SAFETY: mapped by `ForeignMapping` with that length, and no access can have the address any more: the callers' part.
        guard region.mapped > 0 else { return 0 }
        return unsafe -cdma_unmap(UnsafeMutableRawPointer(bitPattern: region.base), Int(region.mapped))
    }
}
