// SPDX-License-Identifier: Apache-2.0

/// Names a submitted transaction on its channel: the kernel's `dma_cookie_t`, in 63 bits, so that none is ever used twice (rule 8).
@frozen
public struct Cookie: Hashable, Comparable, Sendable {
    /// Positive, and larger than that of every transaction submitted before it.
    public let rawValue: UInt64
    @inlinable init(_ rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public static func < (left: Cookie, right: Cookie) -> Bool { left.rawValue < right.rawValue }
}

/// Where a transaction stands, or how it ended (rules 10 and 13).
@frozen
public enum TransactionStatus: UInt8, Hashable, Sendable, CaseIterable {
    /// Done. With a residue, the peripheral had no more: the end of a file or of a stream.
    case complete = 0
    /// Submitted, not issued.
    case queued = 1
    /// Issued.
    case inProgress = 2
    /// Issued, on a channel that is paused.
    case paused = 3
    /// Terminated before it was done: `DMA_TRANS_ABORTED`.
    case aborted = 4
    /// The source could not be read: `DMA_TRANS_READ_FAILED`.
    case readFailed = 5
    /// The destination could not be written: `DMA_TRANS_WRITE_FAILED`.
    case writeFailed = 6
    /// The engine failed otherwise, or said what cannot be.
    case failed = 7

    /// Whether nothing more will happen to the transaction.
    @inlinable
    public var isFinal: Bool {
        switch self {
        case .queued, .inProgress, .paused: false
        default: true
        }
    }
}

/// What a validating operation found: the kernel's `enum sum_check_flags` (rule 27).
@frozen
public struct ValidationResult: OptionSet, Hashable, Sendable {
    public let rawValue: UInt64
    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
    /// P is wrong, or the XOR is not zero: `SUM_CHECK_P_RESULT`.
    @inlinable public static var pFailed: Self { Self(rawValue: 1) }
    /// Q is wrong: `SUM_CHECK_Q_RESULT`.
    @inlinable public static var qFailed: Self { Self(rawValue: 2) }
}

/// A prepared transaction: an operation and the memory it works on. Submitted or dropped, once (rule 4).
@frozen
public struct Transaction<C: Cargo & ~Copyable>: ~Copyable {
    /// What is to be done with the cargo.
    public let operation: Operation
    /// By when it is to be complete; ``Deadline/never`` where nobody waits for it.
    public let deadline: Deadline
    /// The memory that it works on; the channel's from submission on.
    public var cargo: C

    /// - Parameters:
    ///   - operation: what is to be done.
    ///   - cargo: what it works on.
    ///   - deadline: by when it is to be complete; the channel reports it late otherwise.
    @inlinable
    public init(_ operation: Operation, _ cargo: consuming C, deadline: Deadline = .never) {
        self.operation = operation
        self.cargo = cargo
        self.deadline = deadline
    }
}

extension Transaction: Sendable where C: Sendable & ~Copyable {}

/// What came of a submission. A refused one gives the cargo back.
@frozen
public enum Submission<C: Cargo & ~Copyable>: ~Copyable {
    /// It is the channel's now, and this names it.
    case queued(Cookie)
    /// Why not, and the cargo back.
    case refused(DMAError, C)

    /// The cookie; throws the reason of a refusal, and lets the cargo go.
    @inlinable
    public consuming func get() throws(DMAError) -> Cookie {
        switch self {
        case .queued(let cookie): return cookie
        case .refused(let error, _): throw error
        }
    }
}

extension Submission: Sendable where C: Sendable & ~Copyable {}

/// A transaction that is over: how it ended, and the cargo back.
@frozen
public struct Finished<C: Cargo & ~Copyable>: ~Copyable {
    /// Which transaction.
    public let cookie: Cookie
    /// How it ended: complete, failed or aborted.
    public let status: TransactionStatus
    /// Bytes not moved.
    public let residue: UInt64
    /// The CRC of ``OperationKind/crc32c`` and ``OperationKind/copyCRC32C``; the validation bits of the validating operations; of a
    /// transaction that failed, the kernel's error number, on engines that have one.
    public let value: UInt64
    /// Nanoseconds past the deadline; 0 where it was met, or there was none.
    public let lateness: Int64
    /// The memory it worked on, which no device touches any more.
    public var cargo: C

    @inlinable @inline(__always)
    init(
        cookie: Cookie, status: TransactionStatus, residue: UInt64, value: UInt64, lateness: Int64, cargo: consuming C
    ) {
        self.cookie = cookie
        self.status = status
        self.residue = residue
        self.value = value
        self.lateness = lateness
        self.cargo = cargo
    }

    /// Whether it ended after its deadline.
    @inlinable public var isLate: Bool { lateness > 0 }
    /// What a validating operation found.
    @inlinable public var validation: ValidationResult { ValidationResult(rawValue: value & 3) }
    /// The kernel's error number of a failed transaction; 0 of others, and on engines that have none.
    @inlinable public var errno: Int32 {
        switch status {
        case .readFailed, .writeFailed, .failed: Int32(truncatingIfNeeded: value)
        default: 0
        }
    }
    /// The cargo alone.
    @inlinable public consuming func takeCargo() -> C { cargo }
}

extension Finished: Sendable where C: Sendable & ~Copyable {}

/// What an engine did that no honest one does. Each was dropped or corrected; the counts show in `dmactl list`.
public struct EngineFaults: Equatable, Sendable {
    /// Tags that no slot has.
    public var unknownTag: UInt64 = 0
    /// Completions for a slot that has nothing in flight, or another generation: twice, or after termination.
    public var notInFlight: UInt64 = 0
    /// Completions ahead of an earlier transaction, from an engine that says it keeps the order.
    public var outOfOrder: UInt64 = 0
    /// Residues larger than the transaction; taken as the whole.
    public var badResidue: UInt64 = 0
    /// Statuses that are none, or not final; taken as failed.
    public var badStatus: UInt64 = 0
    /// Descriptors that the engine had no room for although its depth said so.
    public var refusedEnqueue: UInt64 = 0
    /// Times that the engine did not stop when it was told to.
    public var didNotQuiesce: UInt64 = 0
    /// Completions for transactions that were not issued yet.
    public var beforeIssue: UInt64 = 0

    /// None so far.
    public init() {}
    /// All kinds together.
    public var total: UInt64 {
        unknownTag &+ notInFlight &+ outOfOrder &+ badResidue &+ badStatus &+ refusedEnqueue &+ didNotQuiesce &+ beforeIssue
    }
}
