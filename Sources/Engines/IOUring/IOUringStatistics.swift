// SPDX-License-Identifier: Apache-2.0

/// Counters of an engine's work, and of each fallback.
public struct IOUringStatistics: Equatable, Sendable {
    /// Transactions that took more than one plain request.
    public internal(set) var slowPathTransactions: UInt64 = 0
    /// Requests for the rest, after a short transfer.
    public internal(set) var continuations: UInt64 = 0
    /// Requests repeated after EAGAIN or EINTR, or after the kernel had cancelled them on its own.
    public internal(set) var retries: UInt64 = 0
    /// Requests with registered memory, and without.
    public internal(set) var fixedRequests: UInt64 = 0
    /// Mappings that were registered with the ring.
    public internal(set) var registeredBuffers: UInt64 = 0
    /// Mappings that the kernel refused to register: locked memory not permitted, or no room.
    public internal(set) var refusedBuffers: UInt64 = 0
    /// Bytes of direct transfers, in transactions that were not plain requests.
    public internal(set) var directBytes: UInt64 = 0
    /// Bytes of files attached as direct that were buffered: heads, tails, and misaligned transfers.
    public internal(set) var bufferedBytes: UInt64 = 0
    /// Transactions on direct files whose memory was misaligned, so that all of it was buffered.
    public internal(set) var misalignedTransactions: UInt64 = 0
    /// Files attached as direct that could not be opened with O_DIRECT, or refused a direct transfer.
    public internal(set) var directRefusals: UInt64 = 0
    /// Zero-copy sends.
    public internal(set) var zeroCopySends: UInt64 = 0
    /// Zero-copy sends for which the kernel made a copy anyway, as on a loopback.
    public internal(set) var zeroCopyCopied: UInt64 = 0
    /// Sends made with a copy, because the socket does not support zero-copy.
    public internal(set) var zeroCopyRefusals: UInt64 = 0
    /// Multishot receives round a ring.
    public internal(set) var multishotReceives: UInt64 = 0
    /// Completions with an unknown request name. A correct kernel makes none.
    public internal(set) var unknownCompletions: UInt64 = 0
    /// System calls on the ring that the kernel refused permanently.
    public internal(set) var refusedCalls: UInt64 = 0
    /// Events that are impossible in a transaction's state. None occurs in a correct engine.
    public internal(set) var unexpectedEvents: UInt64 = 0
    /// Times that the kernel did not consume all issued entries at once.
    public internal(set) var delayedSubmissions: UInt64 = 0

    /// All counters at 0.
    public init() {}
}
