// SPDX-License-Identifier: Apache-2.0

/// How submissions are started: plain words, so that the fast path neither dereferences an object nor counts its references.
@usableFromInline @frozen
struct SubmissionMethod {
    @usableFromInline
    enum Kind: UInt8 {
        /// By io_uring_enter(2).
        case systemCall
        /// The kernel's thread polls the ring, and is woken where it sleeps.
        case kernelThread
        /// By a call of the carrier.
        case carrier
    }
    @usableFromInline var kind: Kind
    /// The ring's descriptor, or its index among the thread's registered ones.
    @usableFromInline var ring: Int32
    @usableFromInline var flags: UInt32
}
