// SPDX-License-Identifier: Apache-2.0

internal import DMAEngineKit

/// What a wrapper has given to the engine below it, and whether what that engine says of it can be true.
///
/// An engine that cuts transactions into pieces stands below the channel's checks, so that it makes the same ones for itself: each piece
/// has a tag of its own, which no later piece has until the generation wraps, and a completion counts only where its tag is that of a piece
/// that is issued and not over. The tags' low bits are unique among those in flight, as a channel's are.
struct InFlightTable {
    /// One descriptor that is with the engine.
    struct Item: Equatable {
        /// The client's tag, which what comes of it is reported under.
        var tag: UInt32
        /// Bytes that the descriptor moves.
        var count: UInt64
        /// Whether it has periods.
        var isCyclic: Bool
        /// Whether it is a piece of a transaction, and not the whole of one.
        var isPiece: Bool
    }

    /// What a completion is found to be.
    enum Finding: Equatable {
        /// Of nothing that is in flight: counted, and to be dropped.
        case refused
        /// A period of a cyclic transaction that goes on.
        case period(Item)
        /// The end of an entry, which is in flight no more; status and residue are made such as can be.
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
    /// Descriptors in flight, and how many of them are whole transactions.
    private(set) var count = 0
    private(set) var wholes = 0
    /// What the engine said that cannot be.
    private(set) var faults = EngineFaults()

    private static var idle: UInt64 { .max }

    /// - Throws: `badConfiguration` for a depth outside 1…32,768, tags outside 16…32 bits, or an alignment that is no power of two: what a
    ///   channel refuses too.
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

    /// Whether there is room for no more, `others` transactions being kept beside those in flight whole.
    func isFull(with others: Int) -> Bool { wholes + others >= depth }

    /// Reports that an honest engine can have at once, and some: a bound on how many are looked at.
    var mostReports: Int { 2 * slots.count + 16 }

    /// As many bits as the engine returns.
    private func given(_ sequence: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: sequence & tagMask) }

    /// The tag for the next descriptor, or nil where none has room. ``enter(_:as:)`` follows where the engine takes it.
    mutating func nextTag() -> UInt32? {
        guard count < depth else { return nil }
        while slots[Int(nextSequence & indexMask)].sequence != Self.idle { nextSequence &+= 1 }
        return given(nextSequence)
    }

    /// The engine has taken the descriptor that it was offered under the last ``nextTag()``.
    mutating func enter(_ entry: Item) {
        slots[Int(nextSequence & indexMask)] = Slot(sequence: nextSequence, entry: entry)
        nextSequence &+= 1
        count += 1
        if !entry.isPiece { wholes += 1 }
    }

    /// Everything entered so far was issued.
    mutating func issue() { issuedEnd = nextSequence }

    /// The engine's tag of the entry that the client knows as `tag`, and the entry; nil where none is in flight whole.
    func whole(_ tag: UInt32) -> (tag: UInt32, entry: Item)? {
        for slot in slots where slot.sequence != Self.idle && !slot.entry.isPiece && slot.entry.tag == tag {
            return (given(slot.sequence), slot.entry)
        }
        return nil
    }

    /// Judges what the engine says.
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

    /// Nothing is in flight any more: the engine has quiesced. Tags given out so far stay stale.
    mutating func clear() {
        for index in slots.indices { slots[index].sequence = Self.idle }
        (count, wholes) = (0, 0)
        issuedEnd = nextSequence
    }

    /// The engine had no room although its depth says otherwise.
    mutating func refusedEnqueue() { faults.refusedEnqueue &+= 1 }
    mutating func didNotQuiesce() { faults.didNotQuiesce &+= 1 }
    mutating func badResidue() { faults.badResidue &+= 1 }
}
