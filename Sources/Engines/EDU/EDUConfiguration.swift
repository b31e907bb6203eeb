// SPDX-License-Identifier: Apache-2.0

public import DMAAccess
public import DMACore
internal import DMAEDUSpecification
internal import DMATypes

/// How an EDU is driven.
public struct EDUConfiguration: Sendable {
    /// Transactions in flight at once: a power of two from 1 to 256.
    public var depth = 16
    /// How long one transfer of the device may take. The device takes 100 ms of its own clock for each.
    public var patience: Duration = .seconds(2)
    /// How long the device may take to come back after a fault.
    public var restartLimit: Duration = .seconds(2)
    /// Kinds of interrupts, the preferred one first; empty for polling.
    public var interrupts: [InterruptKind] = [.msi, .intx]
    /// Address lines of the device: QEMU's option `dma_mask`.
    public var addressBits = 28

    /// Interrupts, and everything else as QEMU's device has it.
    public init() {}

    /// What the device asks of memory.
    public var constraints: DeviceConstraints {
        var constraints = DeviceConstraints()
        constraints.streamingMask = DMAMask(bits: addressBits)
        constraints.coherentMask = DMAMask(bits: addressBits)
        return constraints
    }
}

/// Why a transaction of an EDU failed: the device status of its completion.
public enum EDUFailure: UInt32, Sendable, CaseIterable {
    /// The transfer did not end in time.
    case timeout = 1
    /// The command register showed what was never written.
    case badStatus = 2
    /// The device accessed an address that is not mapped, or without permission.
    case aborted = 3
    /// The registers answered all ones, though the device is there.
    case noAnswer = 4
}
