// SPDX-License-Identifier: Apache-2.0

public import CDMA

/// The addresses of a ring's words and entries: the kernel's ring or the threads', which have the same layout.
///
/// Indices only increase; an entry is at its index modulo the number of entries. The creator of the ring keeps its memory
/// alive.
@usableFromInline @frozen @safe
struct RingView {
    /// The submission head and tail.
    @usableFromInline let submissionHead: UnsafeMutableRawPointer
    @usableFromInline let submissionTail: UnsafeMutableRawPointer
    /// The other side's flags: ``SubmissionFlags``.
    @usableFromInline let submissionFlags: UnsafeMutableRawPointer
    @usableFromInline let completionHead: UnsafeMutableRawPointer
    @usableFromInline let completionTail: UnsafeMutableRawPointer
    @usableFromInline let submissions: UnsafeMutableRawPointer
    @usableFromInline let completions: UnsafeMutableRawPointer
    @usableFromInline let submissionMask: UInt32
    @usableFromInline let completionMask: UInt32
    /// Binary logarithms of the entries' sizes: 6 or 7, 4 or 5.
    @usableFromInline let submissionShift: UInt32
    @usableFromInline let completionShift: UInt32

    /// The entry for submission number `index`.
    @inlinable @inline(__always)
    func submission(_ index: UInt32) -> UnsafeMutablePointer<cdma_uring_sqe> {
        // SAFETY: the mask keeps it inside the ring.
        // The mask keeps it inside the ring.
        unsafe (submissions + Int((index & submissionMask) << submissionShift)).assumingMemoryBound(to: cdma_uring_sqe.self)
    }

    /// Completion number `index`.
    @inlinable @inline(__always)
    func completion(_ index: UInt32) -> UnsafeMutablePointer<cdma_uring_cqe> {
        // SAFETY: the mask keeps it inside the ring.
        unsafe (completions + Int((index & completionMask) << completionShift)).assumingMemoryBound(to: cdma_uring_cqe.self)
    }
}
