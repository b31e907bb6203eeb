// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAEngineKit

/// How far a transaction of the slow path has come.
@usableFromInline @safe
struct SlowPathTransaction {
    // SAFETY: it names no address.
    var descriptor = unsafe Descriptor(kind: .null)
    private(set) var state = TransactionState.none
    /// The file, and the second one of a command between two; -1 for none.
    var file = -1
    var second = -1
    /// Bytes done.
    var done: UInt64 = 0
    /// Requests whose completions are still to come.
    var outstanding = 0
    /// Requests in a row that moved nothing.
    var retries = 0
    /// Whether a stream's order holds it.
    var hasTurn = false
    /// Which of the ways to do a command is tried.
    var method = 0
    /// Whether its end was asked for, alone or with all of its file.
    var isCancelled = false
    /// How it stands to its file's gate, where it has passed it.
    var gate: WriteGate.Kind?
    /// Whether none of it may go past the page cache.
    var avoidsDirect = false
    /// The header of a message with a list, made when first needed.
    var message: UnsafeMutablePointer<cdma_message>?
    /// Room for the rest of a list: made when first needed, kept for the slot's next uses.
    var scratch: UnsafeMutablePointer<Segment>?

    init() {}

    var writes: Bool { descriptor.writes }

    /// As new, for another transaction.
    mutating func begin(_ descriptor: Descriptor, file: Int) {
        // SAFETY: the pointers are kept for the next use, not dereferenced; the memory stays this slot's.
        let scratch = unsafe scratch
        let message = unsafe message
        self = SlowPathTransaction()
        unsafe self.scratch = unsafe scratch
        unsafe self.message = unsafe message
        self.descriptor = descriptor
        self.file = file
    }

    /// Changes the state; false, and nothing changed, where the event cannot happen in it.
    mutating func apply(_ event: TransactionState.Event) -> Bool {
        guard let next = state.after(event) else { return false }
        state = next
        return true
    }
}
