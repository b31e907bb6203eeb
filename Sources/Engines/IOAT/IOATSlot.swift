// SPDX-License-Identifier: Apache-2.0

internal import DMACore
public import DMAEngineKit
internal import DMAIOATSpecification
internal import DMARegisters

/// What the driver knows about the transaction whose first descriptor is at a position of the ring.
///
/// Kept apart from the ring, which the device can write.
@usableFromInline
struct IOATSlot {
    @usableFromInline var tag: UInt32
    /// The number of descriptors in the lower half, and in the upper one the number up to the last one's own address, behind which its extension lies;
    /// and flags. Of the other descriptors of a transaction, the flags alone.
    @usableFromInline var shape: UInt32
    /// Bytes.
    @usableFromInline var count: UInt64

    @inlinable
    init(tag: UInt32, shape: UInt32, count: UInt64) {
        self.tag = tag
        self.shape = shape
        self.count = count
    }

    /// One descriptor, and nothing to be looked at when it is done.
    @inlinable static var single: UInt32 { 0x0001_0001 }
    /// The transaction reports what its validation has found.
    static var validates: UInt32 { 0x8000_0000 }
    /// It ends as failed.
    static var fails: UInt32 { 0x8000 }
    /// The descriptor at this position has an extension.
    static var hasExtension: UInt32 { 0x4000 }

    var taken: UInt32 { shape & 0x3fff }
    var span: UInt32 { shape >> 16 & 0x3fff }
    func has(_ flag: UInt32) -> Bool { shape & flag != 0 }
}

/// What the fast path does not use.
@usableFromInline
struct IOATColdState {
    let device: IOATDevice
    let channel: Int
    let line: InterruptLine
    @usableFromInline let addressing: EngineAddressing
    let capabilities: Capabilities
    /// What the validation of the transaction at `head` has found in the descriptors that are done.
    var found: UInt64 = 0
    /// What the next look has to deal with.
    var trouble: IOATFailure.Reason?
    /// The completion's word that shows it, where it does.
    var noticed: UInt64?
    var lastFailure: IOATFailure?
    /// The position of the transaction that failed; others fail because of it.
    var failedAt: UInt32?
    /// Where `done` was at the last look at the clock, how often it was there, and until when it must have moved.
    var mark: UInt32 = 0
    var looks = 0
    var limit: Deadline?
    /// When the status register is read next.
    var statusDue = Deadline(nanoseconds: 0)
    /// A suspension was asked for, and did not come in time: it may come yet.
    var mayBeSuspended = false
    /// The bus master is off: the device is to be restarted before it can work.
    var isOff = false
    /// Positions that were dropped, whose residue is still asked for.
    var droppedFrom: UInt32 = 0
    var failures: UInt64 = 0
    var channelResets: UInt64 = 0
    var deviceResets: UInt64 = 0
    /// Completions that name nothing that runs.
    var strayCompletions: UInt64 = 0

    init(_ device: IOATDevice, channel: Int, capabilities: Capabilities) {
        self.device = device
        self.channel = channel
        line = device.handler.lines[channel]
        addressing = .bus(device.domain.id)
        self.capabilities = capabilities
    }
}
