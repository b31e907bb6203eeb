// SPDX-License-Identifier: Apache-2.0

public import DMARegisters

/// What ``IOAT/interruptControl`` says.
public struct IOATInterruptControl: RegisterLayout {
    public var word: UInt8
    public init(word: UInt8) { self.word = word }
    public static var zeroed: UInt8 { 0xf0 }
}

extension Field where Layout == IOATInterruptControl, Value == Bool {
    /// Interrupts are on.
    public static var isEnabled: Self { Self(0) }
    /// A channel has raised one. Read only.
    public static var status: Self { Self(1) }
    /// Both of these. Read only.
    public static var isAsserted: Self { Self(2) }
    /// With MSI-X, each channel has its own vector.
    public static var usesVectors: Self { Self(3) }
}

/// What ``IOAT/interruptDelay`` says.
public struct IOATInterruptDelay: RegisterLayout {
    public var word: UInt16
    public init(word: UInt16) { self.word = word }
    public static var zeroed: UInt16 { 0x4000 }

    /// The longest delay. Microseconds.
    public static let longest: UInt16 = 0x3fff
}

extension Field where Layout == IOATInterruptDelay, Value == UInt16 {
    /// How long an interrupt waits. Microseconds.
    public static var microseconds: Self { Self(0...13) }
}

extension Field where Layout == IOATInterruptDelay, Value == Bool {
    /// Whether the chip can delay. Read only.
    public static var isSupported: Self { Self(15) }
}

/// What ``IOAT/capability`` says.
public struct IOATCapability: RegisterLayout {
    public var word: UInt32
    public init(word: UInt32) { self.word = word }
}

extension Field where Layout == IOATCapability, Value == Bool {
    /// A descriptor can name two pages for one side.
    public static var pageBreak: Self { Self(0) }
    /// Direct cache access.
    public static var cacheAccess: Self { Self(4) }
    /// Fill of a block.
    public static var fill: Self { Self(6) }
    /// Interrupts by the local APIC's messages.
    public static var apic: Self { Self(7) }
    /// XOR and its validation.
    public static var xor: Self { Self(8) }
    /// P and Q, and their validation.
    public static var pq: Self { Self(9) }
    /// Errors of a validation are written into the descriptor.
    public static var descriptorErrors: Self { Self(13) }
    /// P and Q of 16 sources, by super extended descriptors.
    public static var sixteenSources: Self { Self(17) }
}

/// What ``IOATChannel/control`` says.
public struct IOATChannelControl: RegisterLayout {
    public var word: UInt16
    public init(word: UInt16) { self.word = word }
    public static var zeroed: UInt16 { 0x0cc2 }

    /// What Linux runs a channel with (`IOAT_CHANCTRL_RUN`): errors stop it, are written as a completion, and interrupt.
    public static var run: IOATChannelControl {
        var control = IOATChannelControl(word: 0)
        control[.rearms] = true
        control[.errorInterrupts] = true
        control[.errorCompletes] = true
        control[.errorAborts] = true
        return control
    }
}

extension Field where Layout == IOATChannelControl, Value == Bool {
    /// Written as 1, lets the channel raise its next interrupt: it raises one, and none until this is written again.
    public static var rearms: Self { Self(0) }
    /// An error writes a completion.
    public static var errorCompletes: Self { Self(2) }
    /// An error of any kind stops the channel.
    public static var errorAborts: Self { Self(3) }
    /// An error interrupts.
    public static var errorInterrupts: Self { Self(4) }
    /// Descriptors are read without looking into caches.
    public static var descriptorsNotSnooped: Self { Self(5) }
    /// The channel is in use: a note for software.
    public static var inUse: Self { Self(8) }
    /// Completions go into a processor's cache.
    public static var completionCacheAccess: Self { Self(9) }
}

extension Field where Layout == IOATChannelControl, Value == UInt8 {
    /// Priority of the channel.
    public static var priority: Self { Self(12...15) }
}

/// What ``IOATChannel/command`` asks for.
public struct IOATChannelCommand: RegisterLayout {
    public var word: UInt8
    public init(word: UInt8) { self.word = word }
    public static var zeroed: UInt8 { 0xc0 }

    /// Ends with the descriptor that is worked on; the others stay.
    public static var suspend: IOATChannelCommand { IOATChannelCommand(word: 0x04) }
    /// Ends in the middle of a descriptor.
    public static var abort: IOATChannelCommand { IOATChannelCommand(word: 0x08) }
    /// Goes on after a suspension. Linux and SPDK never use it: they start a new chain.
    public static var resume: IOATChannelCommand { IOATChannelCommand(word: 0x10) }
    /// Brings the channel to its first state.
    public static var reset: IOATChannelCommand { IOATChannelCommand(word: 0x20) }
}

extension Field where Layout == IOATChannelCommand, Value == Bool {
    public static var suspends: Self { Self(2) }
    public static var aborts: Self { Self(3) }
    public static var resumes: Self { Self(4) }
    public static var resets: Self { Self(5) }
}

/// What a channel does (SPDK, `SPDK_IOAT_CHANSTS_STATUS`).
public enum IOATState: UInt8, FieldChoice {
    case active = 0
    /// Everything that was counted is done.
    case idle = 1
    case suspended = 2
    /// Stopped by an error, or never started.
    case halted = 3
    case armed = 4
}

/// What ``IOATChannel/status`` says, and the word that a channel writes as a completion.
public struct IOATStatus: RegisterLayout {
    public var word: UInt64
    public init(word: UInt64) { self.word = word }

    /// A status with its parts.
    public init(_ state: IOATState, completed: UInt64) {
        word = completed & ~0x3f
        self[.state] = state
    }

    /// Address of the descriptor that was completed last; 0 where none was since the chain began.
    @inlinable public var completed: UInt64 { word & ~0x3f }
}

extension Field where Layout == IOATStatus, Value == IOATState {
    /// What the channel does; nil for a pattern that means nothing.
    public static var state: Self { Self(0...2) }
}

extension Field where Layout == IOATStatus, Value == Bool {
    /// An error that belongs to no descriptor.
    public static var unaffiliatedError: Self { Self(3) }
    /// An error that did not stop the channel.
    public static var softError: Self { Self(4) }
}

/// What went wrong: bits of ``IOATChannel/errors``.
public struct IOATErrors: RegisterLayout {
    public var word: UInt32
    public init(word: UInt32) { self.word = word }

    /// Names of the bits, the lowest first.
    public static let names = [
        "source address", "destination address", "next descriptor's address", "descriptor's alignment", "chain address",
        "channel command", "chipset data integrity", "DMA data integrity", "data read", "data write", "descriptor control",
        "descriptor length", "completion address", "interrupt configuration", "super extended descriptor's address",
        "unaffiliated", "P or XOR", "Q", "descriptor count",
    ]

    /// The names of the bits that are set; the number of one without a name.
    public var described: String {
        let list = (0..<32).filter { word & 1 << UInt32($0) != 0 }.map { bit in
            bit < Self.names.count ? Self.names[bit] : "bit \(bit)"
        }
        return list.isEmpty ? "none" : list.joined(separator: ", ")
    }
}

extension Field where Layout == IOATErrors, Value == Bool {
    public static var sourceAddress: Self { Self(0) }
    public static var destinationAddress: Self { Self(1) }
    /// The descriptor could not be read.
    public static var nextAddress: Self { Self(2) }
    public static var descriptorAlignment: Self { Self(3) }
    public static var chainAddress: Self { Self(4) }
    public static var command: Self { Self(5) }
    public static var readData: Self { Self(8) }
    public static var writeData: Self { Self(9) }
    /// A field of a descriptor that means nothing.
    public static var descriptorControl: Self { Self(10) }
    public static var length: Self { Self(11) }
    public static var completionAddress: Self { Self(12) }
    public static var interruptConfiguration: Self { Self(13) }
    public static var unaffiliated: Self { Self(15) }
    /// A validation: P, or the XOR, is wrong.
    public static var p: Self { Self(16) }
    /// A validation: Q is wrong.
    public static var q: Self { Self(17) }
    /// The count ends between a descriptor and its extension.
    public static var count: Self { Self(18) }
}
