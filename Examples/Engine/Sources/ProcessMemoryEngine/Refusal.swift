// SPDX-License-Identifier: Apache-2.0

public import DMADriverKit

/// Why the kernel did not move the bytes, in terms of this engine's calls.
///
/// A channel reports `errno` as ``Finished/deviceStatus``; an engine that cannot be made throws it in a `DMAError`.
public struct Refusal: Equatable, Sendable, CustomStringConvertible {
    /// The kernel's error number.
    public let errno: Int32

    /// The refusal for a device status of this engine; nil for success.
    public init?(deviceStatus: UInt32) {
        guard deviceStatus != 0 else { return nil }
        errno = Int32(bitPattern: deviceStatus)
    }

    /// The refusal that kept the engine from being made; nil for an error of another kind.
    public init?(_ error: DMAError) {
        guard error.code == .kernelRefused, error.errno != 0 else { return nil }
        errno = error.errno
    }

    /// What happened, and the cure.
    public var description: String { "\(reason). Cure: \(cure)." }

    /// What happened.
    public var reason: String { texts.reason }

    /// What to change.
    public var cure: String { texts.cure }

    private var texts: (reason: String, cure: String) {
        switch errno {
        case Kernel.permissionDenied:
            (
                """
                the kernel does not permit process_vm_readv(2) and process_vm_writev(2), not even on the calling process: a seccomp \
                profile forbids them
                """,
                """
                run the container with a profile that allows both (docker run --security-opt seccomp=PROFILE; in systemd, \
                SystemCallFilter=process_vm_readv process_vm_writev); a capability does not help where the filter comes first
                """
            )
        case Kernel.noSuchCall:
            ("the kernel has no process_vm_readv(2) and process_vm_writev(2)", "use one with CONFIG_CROSS_MEMORY_ATTACH")
        case Kernel.badAddress:
            (
                "an address of the transfer is not mapped, or not with the access that it needs",
                "keep the memory mapped, and writable at the destination, until the transaction has ended"
            )
        case Kernel.outOfMemory:
            ("the kernel lacks memory for the call's lists", "free memory, or set a smaller quantum")
        default: ("the kernel returned errno \(errno)", "see process_vm_readv(2)")
        }
    }
}
