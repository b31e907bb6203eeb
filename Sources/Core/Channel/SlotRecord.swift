// SPDX-License-Identifier: Apache-2.0

/// A slot's state apart from the cookie, the count and the cargo.
@usableFromInline @frozen
struct SlotRecord {
    var residue: UInt64
    var value: UInt64
    /// The deadline, and after the end the lateness. `Int64.max` without a deadline.
    var deadline: Int64
    /// The next slot of the list that contains this one.
    var link: UInt32
    var status: TransactionStatus
    /// Finished and not taken yet.
    var isDone: Bool
    /// Held back by a fence; the engine has not received it.
    var isHeld: Bool
    /// Periods that cyclic transaction `periodSequence` has completed since its start.
    var periods: UInt64
    var periodSequence: UInt64
    /// The device's own status word.
    var deviceStatus: UInt32
    /// Submitted with ``DescriptorFlags/reuse``.
    var isReusable: Bool
    /// Taken, and kept to be submitted again: there is no cargo.
    var isReserved: Bool
    var wasReportedLate: Bool
    /// The last transaction of this slot that had metadata in client mode.
    var metadataSequence: UInt64

    @inlinable static var idle: UInt64 { .max }

    /// Whether the engine no longer owns the memory of the transaction in the slot: it has finished, or the client keeps it for
    /// reuse.
    var isClosed: Bool { isDone || isReserved }

    init() {
        residue = 0
        value = 0
        deadline = .max
        link = .max
        status = .queued
        isDone = false
        isHeld = false
        periods = 0
        periodSequence = 0
        deviceStatus = 0
        isReusable = false
        isReserved = false
        wasReportedLate = false
        metadataSequence = 0
    }
}

/// How a transaction ended, apart from its value.
@usableFromInline @frozen
struct Ending {
    @usableFromInline var status: TransactionStatus
    @usableFromInline var deviceStatus: UInt32
    @usableFromInline var residue: UInt64
    @usableFromInline var lateness: Int64
    @inlinable @inline(__always)
    init(status: TransactionStatus, deviceStatus: UInt32, residue: UInt64, lateness: Int64) {
        self.status = status
        self.deviceStatus = deviceStatus
        self.residue = residue
        self.lateness = lateness
    }
    /// Complete, in full and in time.
    @inlinable @inline(__always)
    static var plain: Ending { Ending(status: .complete, deviceStatus: 0, residue: 0, lateness: 0) }
}

/// What a slow path returns for `next`.
@usableFromInline @frozen
struct HandedOut {
    @usableFromInline var sequence: UInt64 = 0
    @usableFromInline var value: UInt64 = 0
    @usableFromInline var ending = Ending.plain
    init() {}
}
