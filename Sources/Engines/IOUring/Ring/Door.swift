// SPDX-License-Identifier: Apache-2.0

/// How submissions are started: words, so that the steady path neither looks into an object nor counts its references.
@usableFromInline @frozen
struct Door {
    @usableFromInline
    enum Kind: UInt8 {
        /// By io_uring_enter(2).
        case kernel
        /// The kernel's thread looks by itself, and is woken where it sleeps.
        case thread
        /// The carrier is asked.
        case carrier
    }
    @usableFromInline var kind: Kind
    @usableFromInline var descriptor: Int32
    @usableFromInline var flags: UInt32
}
