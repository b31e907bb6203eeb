// SPDX-License-Identifier: Apache-2.0

public import DMATypes

/// What an engine reports about one transaction. Untrusted: the channel checks every field.
@frozen
public struct Completion: Equatable, Sendable {
    /// The tag that was passed to `enqueue`.
    public var tag: UInt32
    /// Status in the lowest byte, the period mark in the next, the device's status word above: 0 for a transaction that
    /// completed in full, so that one comparison recognizes it.
    @usableFromInline var outcome: UInt64
    /// Bytes not moved.
    public var residue: UInt64
    /// The CRC, the validation bits, or the number of periods since the start, as the operation defines.
    public var value: UInt64

    /// The report for the transaction that was enqueued with `tag`.
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
    /// Whether this reports one period of a running cyclic transaction, and not its end.
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
    /// Whether the transaction completed in full and without a device status, as nearly every completion does.
    @inlinable
    public var isPlain: Bool { outcome | residue == 0 }
}

/// The outcome of `enqueue`.
@frozen
public enum EnqueueResult: Equatable, Sendable {
    /// The descriptor is queued behind earlier ones.
    case accepted
    /// The engine has no room now; it will have once a transaction has completed.
    case full
    /// The engine cannot run the descriptor, now or later, for this reason.
    case refused(DMAError)
    /// The device was removed or no longer responds, and accepts nothing.
    case deviceGone
}

/// Which address space an engine's descriptors refer to.
@frozen
public enum EngineAddressing: Hashable, Sendable {
    /// Virtual addresses of this process, for CPU threads and the kernel. Any domain without translation fits.
    case cpu
    /// Bus addresses of this domain, which translates or belongs to one device.
    case bus(DomainID)
}

/// The order in which an engine reports completions (rule 9).
@frozen
public enum CompletionOrder: UInt8, Hashable, Sendable {
    /// The order of submission. The channel finds the slot of the next completion by counting.
    case inOrder
    /// Any order. The channel keeps a list of free slots.
    case outOfOrder
    /// Known only at run time, from ``Capabilities/completesInOrder``.
    case dynamic
}
