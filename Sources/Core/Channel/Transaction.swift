// SPDX-License-Identifier: Apache-2.0

/// Names a submitted transaction on its channel: the kernel's `dma_cookie_t`, in 63 bits, so that none is ever used twice (rule 8).
@frozen
public struct Cookie: Hashable, Comparable, Sendable {
    /// Positive, and larger than that of every transaction submitted before it.
    public let rawValue: UInt64
    @inlinable init(_ rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public static func < (left: Cookie, right: Cookie) -> Bool { left.rawValue < right.rawValue }
}

/// A prepared transaction: an operation and the memory it works on. Submitted or dropped, once (rule 4).
@frozen
public struct Transaction<C: Cargo & ~Copyable>: ~Copyable, Sendable {
    /// What is to be done with the cargo.
    public let operation: Operation
    /// By when it is to be complete; `Deadline.never` for no deadline.
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

/// What came of a submission. A refused one gives the cargo back.
@frozen
public enum Submission<C: Cargo & ~Copyable>: ~Copyable, Sendable {
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

/// A transaction that is over: how it ended, and the cargo back.
@frozen
public struct Finished<C: Cargo & ~Copyable>: ~Copyable, Sendable {
    /// Which transaction.
    public let cookie: Cookie
    /// How it ended: complete, failed or aborted.
    public let status: TransactionStatus
    /// Bytes not moved.
    public let residue: UInt64
    /// The CRC, the validation bits or the kernel's error number, as the operation and the status define; see ``crc32c``,
    /// ``validation`` and ``errno``.
    public let value: UInt64
    /// The device's own status word, 0 for success: an NVMe status field, IOAT's CHANERR. What it means is for the device's
    /// specification to say.
    public let deviceStatus: UInt32
    /// Nanoseconds past the deadline; 0 where it was met, or there was none.
    public let lateness: Int64
    /// The memory it worked on, which no device touches any more.
    public var cargo: C

    @inlinable @inline(__always)
    init(
        cookie: Cookie, status: TransactionStatus, residue: UInt64, value: UInt64, deviceStatus: UInt32, lateness: Int64,
        cargo: consuming C
    ) {
        self.cookie = cookie
        self.status = status
        self.residue = residue
        self.value = value
        self.deviceStatus = deviceStatus
        self.lateness = lateness
        self.cargo = cargo
    }

    /// Whether it ended after its deadline.
    @inlinable public var isLate: Bool { lateness > 0 }
    /// The CRC32C of a complete `OperationKind.crc32c` or `OperationKind.copyCRC32C`.
    @inlinable public var crc32c: UInt32 { UInt32(truncatingIfNeeded: value) }
    /// Why it failed, with the device's status word beside the channel's; nil where it is complete.
    public var error: DMAError? {
        switch status {
        case .complete: nil
        case .aborted: DMAError(.terminating)
        case .deviceGone: DMAError(.deviceGone, errno: errno, deviceStatus: deviceStatus)
        default: DMAError(.engineFailed, asked: UInt64(status.rawValue), errno: errno, deviceStatus: deviceStatus)
        }
    }
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
