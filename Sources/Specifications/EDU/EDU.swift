// SPDX-License-Identifier: Apache-2.0

public import DMARegisters

/// QEMU's teaching device: one buffer of 4 KiB, a DMA controller that fills and empties it, a factorial, and one interrupt.
///
/// Source: QEMU, docs/specs/edu.rst, and for what that leaves open hw/misc/edu.c.
public enum EDU {
    /// QEMU's own vendor ID.
    public static let vendor: UInt16 = 0x1234
    /// The device's own ID.
    public static let device: UInt16 = 0x11e8
    /// The one range of its registers: base address register 0.
    public static let registers = 0
    /// Bytes of that range.
    public static let registersCount = 1 << 20
    /// Where the device's buffer begins, as the DMA registers name it.
    public static let buffer: UInt64 = 0x40000
    /// Bytes of the buffer.
    public static let bufferCount: UInt64 = 4096
    /// Bytes of the longest transfer that every QEMU takes: 63 cache lines. One that ends with the buffer's last byte is inside by the specification, and
    /// ends the emulator of version 7.2 with "DMA range out of bounds" (hw/misc/edu.c, `edu_check_range`).
    public static let largestTransfer: UInt64 = 4032
    /// Address lines, unless the device was made with another `dma_mask`.
    public static let addressBits = 28
    /// Nanoseconds from the command to the transfer, of the virtual machine's clock.
    public static let delay: Int64 = 100_000_000

    /// 0xRRrr00ed: major and minor version.
    public static let identification = Register<EDUIdentification, ReadOnly>(0x00)
    /// Answers the complement of what was written last.
    public static let liveness = Register<UInt32, ReadWrite>(0x04)
    /// A number, and its factorial when ``status`` says that it is computed.
    public static let factorial = Register<UInt32, ReadWrite>(0x08)
    /// Whether a factorial is being computed, and whether its end interrupts.
    public static let status = Register<EDUStatus, ReadWrite>(0x20)
    /// What has raised the interrupt.
    public static let interruptStatus = Register<EDUInterrupts, ReadOnly>(0x24)
    /// Raises the interrupt: the bits are added to ``interruptStatus``.
    public static let interruptRaise = Register<EDUInterrupts, WriteOnly>(0x60, isDoorbell: true)
    /// Takes bits out of ``interruptStatus``; with none left, INTx is lowered.
    public static let interruptAcknowledge = Register<EDUInterrupts, WriteOnly>(0x64, isDoorbell: true)
    // Written while a transfer runs, these four stay what they are. The lower half alone is a whole access: it clears the upper one.
    /// Where a transfer reads: a bus address, or a place in the buffer.
    public static let source = Register<UInt64, ReadWrite>(0x80)
    /// Where a transfer writes, likewise.
    public static let destination = Register<UInt64, ReadWrite>(0x88)
    /// Bytes of a transfer.
    public static let count = Register<UInt64, ReadWrite>(0x90)
    /// What a transfer is to do; written, it begins.
    public static let command = Register<EDUCommand, ReadWrite>(0x98, isDoorbell: true)
}

/// What ``EDU/identification`` says.
public struct EDUIdentification: RegisterLayout {
    public var word: UInt32
    public init(word: UInt32) { self.word = word }

    /// Whether an EDU answers.
    public var isEDU: Bool { word & 0xffff == 0x00ed }
}

extension Field where Layout == EDUIdentification, Value == UInt8 {
    /// Major version.
    public static var major: Self { Self(24...31) }
    /// Minor version.
    public static var minor: Self { Self(16...23) }
}

/// What ``EDU/status`` says.
public struct EDUStatus: RegisterLayout {
    public var word: UInt32
    public init(word: UInt32) { self.word = word }
}

extension Field where Layout == EDUStatus, Value == Bool {
    /// A factorial is being computed. Read only.
    public static var isComputing: Self { Self(0) }
    /// A factorial that was computed raises the interrupt.
    public static var raisesFactorial: Self { Self(7) }
}

/// Reasons of an interrupt. Software may raise any bit.
public struct EDUInterrupts: RegisterLayout {
    public var word: UInt32
    public init(word: UInt32) { self.word = word }
}

extension Field where Layout == EDUInterrupts, Value == Bool {
    /// A factorial was computed.
    public static var factorial: Self { Self(0) }
    /// A transfer has ended.
    public static var transfer: Self { Self(8) }
}

/// Which way a transfer goes.
public enum EDUDirection: UInt8, FieldChoice {
    case memoryToDevice = 0
    case deviceToMemory = 1
}

/// What ``EDU/command`` starts, and whether it still runs.
public struct EDUCommand: RegisterLayout {
    public var word: UInt64
    public init(word: UInt64) { self.word = word }

    /// The command that starts a transfer.
    public init(_ direction: EDUDirection, interrupts: Bool) {
        word = 0
        self[.isRunning] = true
        self[.direction] = direction
        self[.interrupts] = interrupts
    }
}

extension Field where Layout == EDUCommand, Value == Bool {
    /// Written as 1, starts; reads as 1 until the transfer has ended.
    public static var isRunning: Self { Self(0) }
    /// The end raises the interrupt, with the reason `transfer`.
    public static var interrupts: Self { Self(2) }
}

extension Field where Layout == EDUCommand, Value == EDUDirection {
    /// Which way the transfer goes.
    public static var direction: Self { Self(1) }
}
