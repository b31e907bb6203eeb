// SPDX-License-Identifier: Apache-2.0

/// What a model of an I/OAT does wrong when it is told to: a driver has to survive each.
public enum IOATFault: String, Sendable, CaseIterable {
    /// The state of a completion, and of the status register until the channel is reset, is a pattern that means nothing.
    case wrongStatus
    /// The channel halts, and its error register shows nothing.
    case spuriousHalt
    /// The interrupt comes long after the completion.
    case lateInterrupt
    /// No interrupt comes.
    case lostInterrupt
    /// The interrupt comes twice.
    case duplicateInterrupt
    /// The descriptor is never worked on, and the channel is not suspended, until it is reset.
    case stuck
    /// The bytes are written to an address that was never given.
    case wildDestination
    /// The bytes are read from an address that was never given.
    case wildSource
    /// The completion names a descriptor that there is not.
    case garbageCompletion
    /// The bytes are moved, and no completion is written.
    case noCompletion
    /// The bytes are moved, and the completion is written to the address that the channel had before it was set up the last time.
    case oldCompletion
    /// Registers answer all ones for a while.
    case allOnesForAWhile
    /// Registers answer all ones until the device is reset.
    case allOnes
    /// The device is pulled out in the middle of a descriptor.
    case unplugged
    /// The descriptor takes long, and the channel neither suspends nor resets before it is done: its bytes and its completion come late.
    case delayedStop
    /// The last byte of a descriptor is not moved, and nothing says so: what only a look at the bytes can find.
    case oneByteShort
    /// The completion is written before the bytes are moved.
    case earlyCompletion
}
