// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAEngineKit

/// The progress of a slow-path transaction.
@usableFromInline @safe
struct SlowPathTransaction {
    // SAFETY: it contains no address.
    var descriptor = unsafe Descriptor(kind: .null)
    private(set) var state = TransactionState.none
    /// The file, and the second one of a command between two; -1 for none.
    var file = -1
    var second = -1
    /// Bytes done.
    var done: UInt64 = 0
    /// Requests whose completions are outstanding.
    var outstanding = 0
    /// Consecutive requests that moved nothing.
    var retries = 0
    /// Whether it waits for its turn on a stream.
    var hasTurn = false
    /// The index of the method that is tried for a command.
    var method = 0
    /// Whether it is being cancelled, alone or with its whole file.
    var isCancelled = false
    /// Its kind at its file's gate, once it has passed it.
    var gate: WriteGate.Kind?
    /// Whether all of it must be buffered.
    var avoidsDirect = false
    /// The header of a message with a list, allocated when first needed.
    var message: UnsafeMutablePointer<cdma_message>?
    /// Memory for the rest of a list: allocated when first needed, kept for the slot's next uses.
    var scratch: UnsafeMutablePointer<Segment>?

    init() {}

    var writes: Bool { descriptor.writes }

    /// Resets it for another transaction.
    mutating func begin(_ descriptor: Descriptor, file: Int) {
        // SAFETY: the pointers are kept for the next use, not dereferenced; the memory stays with this slot.
        let scratch = unsafe scratch
        let message = unsafe message
        self = SlowPathTransaction()
        unsafe self.scratch = unsafe scratch
        unsafe self.message = unsafe message
        self.descriptor = descriptor
        self.file = file
    }

    /// Changes the state; false, without a change, where the event is impossible in it.
    mutating func apply(_ event: TransactionState.Event) -> Bool {
        guard let next = state.after(event) else { return false }
        state = next
        return true
    }
}
