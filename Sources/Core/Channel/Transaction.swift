// SPDX-License-Identifier: Apache-2.0

/// Identifies a submitted transaction on its channel: the kernel's `dma_cookie_t`, in 63 bits, so that no value is ever reused
/// (rule 8).
@frozen
public struct Cookie: Hashable, Comparable, Sendable {
    /// Positive, and larger than the cookie of every transaction submitted before.
    public let rawValue: UInt64
    @inlinable init(_ rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public static func < (left: Cookie, right: Cookie) -> Bool { left.rawValue < right.rawValue }
}

/// A prepared transaction: an operation and the memory it works on. It is submitted or dropped, once (rule 4).
@frozen
public struct Transaction<C: Cargo & ~Copyable>: ~Copyable, Sendable {
    /// The operation on the cargo.
    public let operation: Operation
    /// The deadline; `Deadline.never` for none.
    public let deadline: Deadline
    /// The memory that it works on; the channel owns it from submission on.
    public var cargo: C

    /// - Parameters:
    ///   - operation: the operation.
    ///   - cargo: what it works on.
    ///   - deadline: a later completion is reported as late.
    @inlinable
    public init(_ operation: Operation, _ cargo: consuming C, deadline: Deadline = .never) {
        self.operation = operation
        self.cargo = cargo
        self.deadline = deadline
    }
}

/// The outcome of a submission. A refusal returns the cargo.
@frozen
public enum Submission<C: Cargo & ~Copyable>: ~Copyable, Sendable {
    /// The channel has it; this identifies it.
    case queued(Cookie)
    /// The reason of the refusal, and the cargo.
    case refused(DMAError, C)

    /// The cookie; throws the reason of a refusal, and ends the cargo.
    @inlinable
    public consuming func get() throws(DMAError) -> Cookie {
        switch self {
        case .queued(let cookie): return cookie
        case .refused(let error, _): throw error
        }
    }
}

/// A transaction that has ended: its status, and the cargo.
@frozen
public struct Finished<C: Cargo & ~Copyable>: ~Copyable, Sendable {
    /// The transaction's cookie.
    public let cookie: Cookie
    /// The status: complete, failed or aborted.
    public let status: TransactionStatus
    /// Bytes not moved.
    public let residue: UInt64
    /// The CRC, the validation bits or the kernel's error number, depending on operation and status; see ``crc32c``,
    /// ``validation`` and ``errno``.
    public let value: UInt64
    /// The device's own status word, 0 for success: an NVMe status field, IOAT's CHANERR. The device's specification defines
    /// its meaning.
    public let deviceStatus: UInt32
    /// Nanoseconds past the deadline; 0 where it was met, or there was none.
    public let lateness: Int64
    /// The memory it worked on, which no device accesses any more.
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
    /// Why it failed, with the device's status word; nil where it is complete.
    public var error: DMAError? {
        switch status {
        case .complete: nil
        case .aborted: DMAError(.terminating)
        case .deviceGone: DMAError(.deviceGone, errno: errno, deviceStatus: deviceStatus)
        default: DMAError(.engineFailed, asked: UInt64(status.rawValue), errno: errno, deviceStatus: deviceStatus)
        }
    }
    /// The result of a validating operation.
    @inlinable public var validation: ValidationResult { ValidationResult(rawValue: value & 3) }
    /// The kernel's error number of a failed transaction; 0 for others, and on engines without one.
    @inlinable public var errno: Int32 {
        switch status {
        case .readFailed, .writeFailed, .failed: Int32(truncatingIfNeeded: value)
        default: 0
        }
    }
    /// Returns the cargo alone.
    @inlinable public consuming func takeCargo() -> C { cargo }
}
