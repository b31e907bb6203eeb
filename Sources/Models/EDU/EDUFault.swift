// SPDX-License-Identifier: Apache-2.0

/// What a model of an EDU does wrong when it is told to: a driver has to survive each.
public enum EDUFault: String, Sendable, CaseIterable {
    /// The command register shows bits that were never written.
    case wrongStatus
    /// The interrupt comes long after the transfer.
    case lateInterrupt
    /// No interrupt comes.
    case lostInterrupt
    /// The interrupt comes twice.
    case duplicateInterrupt
    /// The transfer never ends, until a reset.
    case stuck
    /// The transfer goes to an address that was never given.
    case wildAddress
    /// Registers answer all ones for a while.
    case allOnesForAWhile
    /// Registers answer all ones until a reset.
    case allOnes
    /// The device is pulled out in the middle of a transfer.
    case unplugged
    /// The last byte of a transfer is not moved, and nothing says so: what only a look at the bytes can find.
    case oneByteShort
    /// The end is shown before the bytes are moved.
    case earlyStatus
}
