// SPDX-License-Identifier: Apache-2.0

/// The settings of a ``ProcessMemoryEngine``.
public struct ProcessMemorySettings: Hashable, Sendable {
    /// The system call that moves the bytes. The kernel accesses one side as this process's own memory and pins the pages of
    /// the other, as if they belonged to another process.
    public enum Call: Hashable, Sendable, CaseIterable {
        /// process_vm_readv(2), which pins the source.
        case read
        /// process_vm_writev(2), which pins the destination.
        case write
    }

    /// The system call that moves the bytes.
    public var call: Call
    /// The length of one call in bytes: how far a transfer advances in one poll, and so how soon a pause or a termination takes
    /// effect. 4 KiB to 1 GiB.
    public var quantum: UInt64

    /// process_vm_writev(2), 256 KiB at a time.
    public init(call: Call = .write, quantum: UInt64 = 1 << 18) {
        self.call = call
        self.quantum = quantum
    }

    /// The supported quanta. The kernel moves less than 2 GiB in one call.
    public static let quanta: ClosedRange<UInt64> = 1 << 12...1 << 30
}
