// SPDX-License-Identifier: Apache-2.0

/// What an engine has done, and where it could not do what was wished: each fallback is counted.
public struct IOUringStatistics: Equatable, Sendable {
    /// Transactions that took more than one plain request.
    public internal(set) var slowPathTransactions: UInt64 = 0
    /// Requests that were made again for the rest, after less than all was moved.
    public internal(set) var continuations: UInt64 = 0
    /// Requests that were made again after EAGAIN or EINTR, or after the kernel had cancelled them unasked.
    public internal(set) var retries: UInt64 = 0
    /// Requests through registered memory, and without.
    public internal(set) var fixedRequests: UInt64 = 0
    /// Mappings that were registered with the ring, and those that the kernel refused.
    public internal(set) var registeredBuffers: UInt64 = 0
    /// Mappings that the kernel would not register: no memory may be locked, or no room.
    public internal(set) var refusedBuffers: UInt64 = 0
    /// Bytes moved past the page cache, of transactions that were not plain requests.
    public internal(set) var directBytes: UInt64 = 0
    /// Bytes of files attached as direct that went through the page cache: heads, tails, and what was misaligned.
    public internal(set) var bufferedBytes: UInt64 = 0
    /// Transactions on direct files whose memory was misaligned, so that all of it was buffered.
    public internal(set) var misalignedTransactions: UInt64 = 0
    /// Files attached as direct that could not be opened so, or refused a direct transfer.
    public internal(set) var directRefusals: UInt64 = 0
    /// Sends whose bytes the kernel took from the client's memory; and those of them that it copied all the same, as on a loopback.
    public internal(set) var zeroCopySends: UInt64 = 0
    /// Zero-copy sends that the kernel made with a copy.
    public internal(set) var zeroCopyCopied: UInt64 = 0
    /// Sends that had to be made with a copy, because the socket has no other.
    public internal(set) var zeroCopyRefusals: UInt64 = 0
    /// Requests that receive round a ring by themselves.
    public internal(set) var multishotReceives: UInt64 = 0
    /// Completions that named no request of ours. A kernel makes none.
    public internal(set) var unknownCompletions: UInt64 = 0
    /// System calls on the ring that the kernel refused otherwise than for the moment.
    public internal(set) var refusedCalls: UInt64 = 0
    /// What happened to transactions that cannot happen where they stood. Nothing does.
    public internal(set) var unexpectedEvents: UInt64 = 0
    /// Times that the kernel could not take all that was issued at once.
    public internal(set) var delayedSubmissions: UInt64 = 0

    /// Nothing done.
    public init() {}
}
