// SPDX-License-Identifier: Apache-2.0

internal import DMAEngineKit

/// Tracks the descriptors that a wrapper has passed to the engine below it, and checks that engine's reports.
///
/// An engine that splits transactions into pieces stands below the channel's checks, so it makes the same checks itself: each
/// piece has a tag of its own, which is not reused until the generation wraps, and a completion is valid only if its tag
/// belongs to a piece that is issued and not finished. The tags' low bits are unique among those in flight, as a channel's are.
struct InFlightTable {
    /// One descriptor that the engine holds.
    struct Item: Equatable {
        /// The client's tag, under which its outcome is reported.
        var tag: UInt32
        /// Bytes that the descriptor moves.
        var count: UInt64
        /// Whether it has periods.
        var isCyclic: Bool
        /// Whether it is a piece of a transaction, and not a whole one.
        var isPiece: Bool
    }

    /// The verdict on a completion.
    enum Finding: Equatable {
        /// Belongs to nothing in flight: counted, and to be dropped.
        case refused
        /// A period of a running cyclic transaction.
        case period(Item)
        /// The end of an entry, which is no longer in flight; invalid status and residue are corrected.
        case over(Item, status: TransactionStatus, residue: UInt64)
    }

    private struct Slot {
        var sequence: UInt64
        var entry: Item
    }

    private var slots: [Slot]
    private let depth: Int
    private let indexMask: UInt64
    private let tagMask: UInt64
    private var nextSequence: UInt64 = 1
    private var issuedEnd: UInt64 = 1
    /// The number of descriptors in flight, and how many of them are whole transactions.
    private(set) var count = 0
    private(set) var wholes = 0
    /// Impossible reports of the engine.
    private(set) var faults = EngineFaults()

    private static var idle: UInt64 { .max }

    /// - Throws: `badConfiguration` for a depth outside 1…32,768, tags outside 16…32 bits, or an alignment that is no power of
    ///   two: the conditions that a channel refuses too.
    init(_ capabilities: Capabilities) throws(DMAError) {
        guard (1...32_768).contains(capabilities.depth) else {
            throw DMAError(.badConfiguration, asked: UInt64(clamping: capabilities.depth), limit: 32_768)
        }
        guard (16...32).contains(capabilities.tagBits) else {
            throw DMAError(.badConfiguration, asked: UInt64(clamping: capabilities.tagBits), limit: 32)
        }
        guard capabilities.alignment > 0, capabilities.alignment & (capabilities.alignment - 1) == 0 else {
            throw DMAError(.badConfiguration, asked: capabilities.alignment, limit: 1)
        }
        depth = capabilities.depth
        let indexBits = depth == 1 ? 0 : Int.bitWidth - (depth - 1).leadingZeroBitCount
        indexMask = (UInt64(1) << UInt64(indexBits)) &- 1
        tagMask = (UInt64(1) << UInt64(capabilities.tagBits)) &- 1
        let empty = Slot(sequence: Self.idle, entry: Item(tag: 0, count: 0, isCyclic: false, isPiece: false))
        slots = [Slot](repeating: empty, count: 1 << indexBits)
    }

    /// Whether the table is full, with `others` transactions kept in addition to those in flight as a whole.
    func isFull(with others: Int) -> Bool { wholes + others >= depth }

    /// A bound on the reports handled per call: more than a correct engine can have at once.
    var mostReports: Int { 2 * slots.count + 16 }

    /// As many bits as the engine returns.
    private func given(_ sequence: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: sequence & tagMask) }

    /// The tag for the next descriptor, or nil where there is no room. ``enter(_:as:)`` follows where the engine accepts it.
    mutating func nextTag() -> UInt32? {
        guard count < depth else { return nil }
        while slots[Int(nextSequence & indexMask)].sequence != Self.idle { nextSequence &+= 1 }
        return given(nextSequence)
    }

    /// Records that the engine has accepted the descriptor with the last ``nextTag()``.
    mutating func enter(_ entry: Item) {
        slots[Int(nextSequence & indexMask)] = Slot(sequence: nextSequence, entry: entry)
        nextSequence &+= 1
        count += 1
        if !entry.isPiece { wholes += 1 }
    }

    /// Marks everything entered so far as issued.
    mutating func issue() { issuedEnd = nextSequence }

    /// The engine's tag of the entry with the client's tag `tag`, and the entry; nil where none is in flight as a whole.
    func whole(_ tag: UInt32) -> (tag: UInt32, entry: Item)? {
        for slot in slots where slot.sequence != Self.idle && !slot.entry.isPiece && slot.entry.tag == tag {
            return (given(slot.sequence), slot.entry)
        }
        return nil
    }

    /// Checks a report of the engine.
    mutating func settle(_ completion: Completion) -> Finding {
        guard UInt64(completion.tag) <= tagMask else {
            faults.unknownTag &+= 1
            return .refused
        }
        let index = Int(UInt64(completion.tag) & indexMask)
        let (sequence, entry) = (slots[index].sequence, slots[index].entry)
        guard sequence != Self.idle, (sequence ^ UInt64(completion.tag)) & tagMask == 0 else {
            faults.notInFlight &+= 1
            return .refused
        }
        guard sequence < issuedEnd else {
            faults.beforeIssue &+= 1
            return .refused
        }
        if completion.isPeriod {
            guard entry.isCyclic else {
                faults.badStatus &+= 1
                return .refused
            }
            return .period(entry)
        }
        slots[index].sequence = Self.idle
        count -= 1
        if !entry.isPiece { wholes -= 1 }
        var status = TransactionStatus.failed
        if let said = TransactionStatus(rawValue: completion.status), said.isFinal {
            status = said
        } else {
            faults.badStatus &+= 1
        }
        if completion.residue > entry.count { faults.badResidue &+= 1 }
        return .over(entry, status: status, residue: min(completion.residue, entry.count))
    }

    /// The engine has quiesced: nothing is in flight. Tags assigned so far stay invalid.
    mutating func clear() {
        for index in slots.indices { slots[index].sequence = Self.idle }
        (count, wholes) = (0, 0)
        issuedEnd = nextSequence
    }

    /// The engine had no room although its declared depth promises it.
    mutating func refusedEnqueue() { faults.refusedEnqueue &+= 1 }
    mutating func didNotQuiesce() { faults.didNotQuiesce &+= 1 }
    mutating func badResidue() { faults.badResidue &+= 1 }
}
