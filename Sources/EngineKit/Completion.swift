// SPDX-License-Identifier: Apache-2.0

public import DMATypes

/// What an engine reports of one transaction. Untrusted: the channel checks every field.
@frozen
public struct Completion: Equatable, Sendable {
    /// The tag that `enqueue` was given.
    public var tag: UInt32
    /// The status in the lowest byte, whether it is a period in the next, the device's status word above: 0 where the transaction is simply
    /// complete, which is one comparison.
    @usableFromInline var outcome: UInt64
    /// Bytes not moved.
    public var residue: UInt64
    /// The CRC, the validation bits, or the number of periods since the start, as the operation defines.
    public var value: UInt64

    /// The report of the transaction that was enqueued with `tag`.
    @inlinable
    public init(
        tag: UInt32, status: TransactionStatus = .complete, deviceStatus: UInt32 = 0, isPeriod: Bool = false,
        residue: UInt64 = 0, value: UInt64 = 0
    ) {
        self.tag = tag
        outcome = UInt64(status.rawValue) | (isPeriod ? 0x100 : 0) | UInt64(deviceStatus) << 32
        self.residue = residue
        self.value = value
    }

    /// A ``TransactionStatus`` raw value; others count as an engine failure.
    @inlinable
    public var status: UInt8 {
        get { UInt8(truncatingIfNeeded: outcome) }
        set { outcome = outcome & ~0xff | UInt64(newValue) }
    }
    /// Whether this is one period of a cyclic transaction that goes on, not its end.
    @inlinable
    public var isPeriod: Bool {
        get { outcome & 0x100 != 0 }
        set { outcome = outcome & ~0x100 | (newValue ? 0x100 : 0) }
    }
    /// The device's own status word, 0 for success: an NVMe status field, IOAT's CHANERR, the kernel's errno. Shown, never interpreted.
    @inlinable
    public var deviceStatus: UInt32 {
        get { UInt32(truncatingIfNeeded: outcome >> 32) }
        set { outcome = outcome & 0xffff_ffff | UInt64(newValue) << 32 }
    }
    /// Whether the transaction is complete, whole and without a device status: what nearly every completion is.
    @inlinable
    public var isPlain: Bool { outcome | residue == 0 }
}

/// What became of a descriptor that an engine was given.
@frozen
public enum EnqueueResult: Equatable, Sendable {
    /// It is queued behind those before it.
    case accepted
    /// There is no room now; there will be once a transaction has completed.
    case full
    /// The engine cannot do it, now or later, for this reason.
    case refused(DMAError)
    /// The device has been removed or no longer answers; it accepts nothing any more.
    case deviceGone
}

/// Which addresses an engine's descriptors hold.
@frozen
public enum EngineAddressing: Hashable, Sendable {
    /// This process's own virtual addresses: CPU threads, the kernel. Any domain that does not translate fits.
    case cpu
    /// Bus addresses of this domain, which translates or belongs to one device.
    case bus(DomainID)
}

/// In which order an engine reports completions (rule 9).
@frozen
public enum CompletionOrder: UInt8, Hashable, Sendable {
    /// The order of submission. A channel finds the slot of the next completion by counting.
    case inOrder
    /// Any order. A channel keeps a list of free slots.
    case outOfOrder
    /// Known only at run time, from ``Capabilities/completesInOrder``.
    case dynamic
}
