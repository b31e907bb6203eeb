// SPDX-License-Identifier: Apache-2.0

/// The state of a transaction, or how it ended (rules 10 and 13).
@frozen
public enum TransactionStatus: UInt8, Hashable, Sendable, CaseIterable {
    /// Complete. A residue means that the peripheral had no more data: the end of a file or of a stream.
    case complete = 0
    /// Submitted, not yet issued.
    case queued = 1
    /// Issued.
    case inProgress = 2
    /// Issued, on a channel that is paused.
    case paused = 3
    /// Terminated before completion: `DMA_TRANS_ABORTED`.
    case aborted = 4
    /// The source could not be read: `DMA_TRANS_READ_FAILED`.
    case readFailed = 5
    /// The destination could not be written: `DMA_TRANS_WRITE_FAILED`.
    case writeFailed = 6
    /// The engine failed in another way, or reported an impossible state.
    case failed = 7
    /// The device was removed, or stopped responding, before completion.
    case deviceGone = 8

    /// Whether the state is final.
    @inlinable
    public var isFinal: Bool {
        switch self {
        case .queued, .inProgress, .paused: false
        default: true
        }
    }
}

/// The result of a validating operation: the kernel's `enum sum_check_flags` (rule 27).
@frozen
public struct ValidationResult: OptionSet, Hashable, Sendable {
    public let rawValue: UInt64
    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
    /// P is wrong, or the XOR is not zero: `SUM_CHECK_P_RESULT`.
    @inlinable public static var pFailed: Self { Self(rawValue: 1) }
    /// Q is wrong: `SUM_CHECK_Q_RESULT`.
    @inlinable public static var qFailed: Self { Self(rawValue: 2) }
}
