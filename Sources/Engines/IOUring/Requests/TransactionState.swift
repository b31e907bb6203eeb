// SPDX-License-Identifier: Apache-2.0

/// The state of a slow-path transaction.
///
/// Only events change a state. ``after(_:)`` is the whole table: an event without a row is impossible, and is counted where it
/// occurs.
enum TransactionState: Equatable {
    /// What an issued transaction without a request waits for.
    enum Obstacle: Equatable {
        /// Earlier transactions on the same stream.
        case turn
        /// Writes of the other kind on the same file: ``WriteGate``.
        case gate
        /// The end of a pause.
        case pause
    }

    /// The requests of a transaction that the carrier has.
    enum Requests: Equatable {
        /// One request, direct or not.
        case single(isDirect: Bool)
        /// Head, middle and tail of a transfer, linked.
        case chain(RequestChain)
        /// One command to an NVMe namespace, with its number of bytes.
        case passthrough(bytes: UInt64)
        /// A zero-copy send with this result; the kernel still reads its memory.
        case sent(Int32)
        /// A poll until the file is ready; the transaction's request follows.
        case poll
        /// A cyclic receive that is being cancelled because of this error.
        case stopping(errno: Int32)
    }

    /// The slot is free, or its transaction is one plain request.
    case none
    /// Not issued.
    case queued
    /// Issued; the carrier has no request of it.
    case waiting(for: Obstacle)
    /// The carrier has requests of it, or one has ended and the next is about to be made.
    case running(Requests)

    enum Event {
        case enqueued
        /// A plain request has ended short or with an error: the slow path takes over.
        case promoted(isDirect: Bool)
        case stopped(by: Obstacle)
        case requested(Requests)
        case part(Int, result: Int32)
        case sent(Int32)
        case failing(errno: Int32)
        case ended
    }

    /// The state after an event; nil where the event cannot happen.
    func after(_ event: Event) -> TransactionState? {
        switch (self, event) {
        case (.none, .enqueued): .queued
        case (.none, .promoted(let isDirect)): .running(.single(isDirect: isDirect))
        case (.none, _), (_, .enqueued), (_, .promoted): nil
        case (_, .ended): TransactionState.none
        // A transaction that was begun on a stream keeps its turn, and one past the gate does not enter it again.
        case (.queued, .stopped(let obstacle)), (.waiting, .stopped(let obstacle)): .waiting(for: obstacle)
        case (.running, .stopped(.pause)): .waiting(for: .pause)
        case (.running, .stopped): nil
        case (.queued, .requested(let requests)), (.waiting, .requested(let requests)), (.running, .requested(let requests)):
            .running(requests)
        case (.running(.chain(let chain)), .part(let index, let result)):
            chain.after(index, result).map { .running(.chain($0)) }
        case (.running(.single), .sent(let result)): .running(.sent(result))
        case (.running(.single), .failing(let errno)): .running(.stopping(errno: errno))
        case (_, .part), (_, .sent), (_, .failing): nil
        }
    }

    /// Whether requests of it may be with the carrier.
    var isRunning: Bool { if case .running = self { true } else { false } }
    /// Whether its only request polls its file.
    var isPolling: Bool { self == .running(.poll) }
    /// Whether it was issued and waits.
    var isWaiting: Bool { if case .waiting = self { true } else { false } }
}

/// Up to three requests that the carrier runs one after the other: the length of each, and its result.
struct RequestChain: Equatable {
    /// The bytes of each part, direct or not; missing parts have 0.
    private(set) var planned: SIMD4<Int64> = .zero
    private(set) var directParts: UInt8 = 0
    private(set) var results: SIMD4<Int64> = .zero
    let parts: Int

    init(_ pieces: [TransferPiece]) {
        parts = min(pieces.count, 4)
        for index in 0..<parts {
            planned[index] = Int64(clamping: pieces[index].count)
            if pieces[index].isDirect { directParts |= 1 << index }
        }
    }

    /// The chain after the request of a part has ended; nil for a missing part.
    func after(_ part: Int, _ result: Int32) -> RequestChain? {
        guard part >= 0, part < parts else { return nil }
        var chain = self
        chain.results[part] = Int64(result)
        return chain
    }

    /// The result of a chain whose requests have all ended, as if it had been one: the bytes up to the first that is missing,
    /// or the error if there are none.
    var result: Int32 {
        var sum: Int64 = 0
        for part in 0..<parts {
            let moved = results[part]
            if moved < 0 { return sum > 0 ? Int32(clamping: sum) : Int32(clamping: moved) }
            sum += min(moved, planned[part])
            if moved < planned[part] { break }
        }
        return Int32(clamping: sum)
    }

    /// Of the first `count` bytes, those that were direct.
    func directBytes(of count: UInt64) -> UInt64 {
        var left = Int64(clamping: count)
        var direct: Int64 = 0
        for part in 0..<parts {
            let bytes = max(min(left, planned[part]), 0)
            if directParts >> part & 1 != 0 { direct += bytes }
            left -= bytes
        }
        return UInt64(direct)
    }
}
