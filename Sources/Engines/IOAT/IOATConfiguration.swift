// SPDX-License-Identifier: Apache-2.0

public import DMAAccess
internal import DMAIOATSpecification
internal import DMARegisters
internal import DMATypes

/// How a channel of an I/OAT is driven.
public struct IOATConfiguration: Sendable {
    /// Transactions in flight at once: a power of two from 1 to 8,192. The ring has four descriptors for each, and 64 at least.
    public var depth = 256
    /// How long a channel may go without progress, before it is reset.
    public var patience: Duration = .seconds(2)
    /// How long a channel may take to stop and to start again, and the device to come back from its reset.
    public var restartLimit: Duration = .seconds(2)
    /// Kinds of interrupts, the preferred one first; empty for polling.
    public var interrupts: [InterruptKind] = [.msi, .intx]

    /// Interrupts by messages, and a ring of 1,024 descriptors.
    public init() {}

    /// Descriptors of the ring.
    var ringCount: Int { max(64, depth * 4) }
}

/// What can be set while an I/OAT runs.
public struct IOATSettings: Hashable, Sendable {
    /// How long the device delays an interrupt, to report further completions with the same one. Microseconds, 0 to 16,383. One setting for all channels.
    public var interruptDelay: Int

    /// - Parameter interruptDelay: as the property; 0 for none.
    public init(interruptDelay: Int = 0) { self.interruptDelay = interruptDelay }
}

/// Why a transaction of an I/OAT failed, with the channel's status (CHANSTS) and error register (CHANERR) at that time.
///
/// The device status of a completion is the error register; where that shows nothing, ``Reason`` as a number, above the register's bits.
public struct IOATFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// What the driver has found.
    public enum Reason: UInt32, Sendable, CaseIterable {
        /// The channel halted with an error.
        case halted = 0x1000_0000
        /// The status register says that the bytes are moved, and no completion came within the time limit.
        case noCompletion = 0x2000_0000
        /// Nothing was moved within the time limit.
        case timeout = 0x3000_0000
        /// The completion names a descriptor that was not given to the channel.
        case badCompletion = 0x4000_0000
        /// A state that means nothing, or that the driver did not ask for.
        case badStatus = 0x5000_0000
        /// The registers answer all ones, though the device is there.
        case noAnswer = 0x6000_0000
        /// The transaction may have run when another one failed, and is not repeated.
        case interrupted = 0x7000_0000
    }

    /// What the driver has found.
    public let reason: Reason
    /// The status register, or the completion's word that shows the failure.
    public let status: UInt64
    /// The error register.
    public let errors: UInt32

    init(_ reason: Reason, _ status: UInt64, _ errors: UInt32) {
        self.reason = reason
        self.status = status
        self.errors = errors
    }

    /// The device status of the completion.
    var deviceStatus: UInt32 { errors == 0 || errors == .max ? reason.rawValue : errors }

    /// What happened, with both registers.
    public var description: String {
        let happened =
            switch reason {
            case .halted: "the channel halted"
            case .noCompletion: "data arrived, no completion written"
            case .timeout: "no data arrived, and no completion was written"
            case .badCompletion: "the completion names a descriptor that the channel was not given"
            case .badStatus: "the channel's state means nothing, or was not asked for"
            case .noAnswer: "the registers answer all ones"
            case .interrupted: "the channel was reset while the transaction may have run"
            }
        return "\(happened); CHANSTS is 0x\(String(status, radix: 16)), CHANERR is 0x\(String(errors, radix: 16))"
            + (errors == 0 || errors == .max ? "" : " (\(IOATErrors(word: errors).described))")
    }

    /// How the transaction ended.
    var transaction: TransactionStatus {
        guard errors != .max else { return .failed }
        let errors = IOATErrors(word: errors)
        if errors[.readData] || errors[.sourceAddress] { return .readFailed }
        if errors[.writeData] || errors[.destinationAddress] { return .writeFailed }
        return .failed
    }
}
