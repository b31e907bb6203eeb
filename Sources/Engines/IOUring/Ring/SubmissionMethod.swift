// SPDX-License-Identifier: Apache-2.0

/// How submissions are started: words, so that the steady path neither looks into an object nor counts its references.
@usableFromInline @frozen
struct SubmissionMethod {
    @usableFromInline
    enum Kind: UInt8 {
        /// By io_uring_enter(2).
        case systemCall
        /// The kernel's thread looks by itself, and is woken where it sleeps.
        case kernelThread
        /// The carrier is asked.
        case carrier
    }
    @usableFromInline var kind: Kind
    /// The ring, or its number among the thread's registered ones.
    @usableFromInline var ring: Int32
    @usableFromInline var flags: UInt32
}
