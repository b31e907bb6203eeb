// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAEngineKit

/// How far a particular transaction has come.
@usableFromInline @safe
struct Detail {
    enum Phase: UInt8 {
        case unused
        /// In the queue; not issued.
        case queued
        /// Issued; waits for its turn on a stream.
        case waiting
        /// Issued; held back by a pause.
        case held
        /// Requests of it are with the kernel.
        case running
        /// Waits until its file is ready; then goes on.
        case polling
    }

    // SAFETY: it names no address.
    var descriptor = unsafe Descriptor(kind: .null)
    var phase = Phase.unused
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
    /// Which way of several a command has come to.
    var step = 0
    /// Whether its end was asked for, alone or with all of its file.
    var isCancelled = false
    /// How it stands to its file's gate, where it has passed it.
    var gate: WriteGate.Kind?
    /// Whether the request under way goes past the page cache, and whether none of the transaction may.
    var isDirect = false
    var avoidsDirect = false
    /// What the parts of a chain were to move, and what they moved; a chain of none is a single request.
    var chain: SIMD4<Int64> = .zero
    var moved: SIMD4<Int64> = .zero
    var parts = 0
    /// What a zero-copy send came to, while its memory is still in use.
    var sent: Int32 = 0
    /// The header of a message with a list, made when first needed.
    var message: UnsafeMutablePointer<cdma_message>?
    /// Room for the rest of a list: made when first needed, kept for the slot's next uses.
    var scratch: UnsafeMutablePointer<Segment>?

    init() {}

    var writes: Bool { descriptor.writes }

    /// As new, for another transaction.
    mutating func begin(_ descriptor: Descriptor, file: Int) {
        let scratch = unsafe scratch
        let message = unsafe message
        self = Detail()
        unsafe self.scratch = unsafe scratch
        unsafe self.message = unsafe message
        self.descriptor = descriptor
        self.file = file
        phase = .queued
    }
}
