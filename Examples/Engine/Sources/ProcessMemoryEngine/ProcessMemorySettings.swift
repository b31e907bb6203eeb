// SPDX-License-Identifier: Apache-2.0

/// What can be set on a ``ProcessMemoryEngine``.
public struct ProcessMemorySettings: Hashable, Sendable {
    /// Which system call moves the bytes. The kernel accesses one side as this process's own memory and pins the pages of the other, as if
    /// that were another process's.
    public enum Call: Hashable, Sendable, CaseIterable {
        /// process_vm_readv(2), which pins the source.
        case read
        /// process_vm_writev(2), which pins the destination.
        case write
    }

    /// Which system call moves the bytes.
    public var call: Call
    /// Bytes of one call: how far a transfer goes in one poll, and so how soon a pause or a termination acts. 4 KiB to 1 GiB.
    public var quantum: UInt64

    /// process_vm_writev(2), 256 KiB at a time.
    public init(call: Call = .write, quantum: UInt64 = 1 << 18) {
        self.call = call
        self.quantum = quantum
    }

    /// The quanta that an engine takes. The kernel moves less than 2 GiB in one call.
    public static let quanta: ClosedRange<UInt64> = 1 << 12...1 << 30
}
