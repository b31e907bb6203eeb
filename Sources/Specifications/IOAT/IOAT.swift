// SPDX-License-Identifier: Apache-2.0

public import DMARegisters

/// Intel I/OAT (QuickData), versions 3.2 and 3.3: a DMA engine of a processor's root complex, with up to 31 channels that work through linked
/// descriptors of 64 bytes.
///
/// Source: Linux, drivers/dma/ioat/registers.h, hw.h, init.c, dma.c, prep.c; SPDK, include/spdk/ioat_spec.h, lib/ioat/ioat.c.
public enum IOAT {
    /// Intel.
    public static let vendor: UInt16 = 0x8086
    /// Broadwell-DE (BDXDE0), version 3.3: Linux uses it without parity operations (init.c, `is_bwd_noraid`).
    public static let broadwellDE: UInt16 = 0x6f50
    /// Atom S1200 (BWD0), version 3.3, with XOR and PQ.
    public static let atom: UInt16 = 0x0c50
    /// System peripheral, other: what Linux's table does not look at, and lspci shows.
    public static let classCode: UInt32 = 0x08_8000
    /// The one range of its registers: base address register 0 (hw.h, `IOAT_MMIO_BAR`).
    public static let registers = 0
    /// Bytes of that range.
    public static let registersCount = 1 << 14
    /// Bytes of a channel's registers; those of channel n begin at n + 1 times this (`IOAT_CHANNEL_MMIO_SIZE`, `ioat_init_channel`).
    public static let channelStride = 0x80
    /// Most channels: the number has five bits.
    public static let mostChannels = 31
    /// Bytes of a descriptor, and what its address is a multiple of.
    public static let descriptorCount = 64
    /// What the completion's address is a multiple of (SPDK, `SPDK_IOAT_CHANCMP_ALIGN`).
    public static let completionAlignment = 8
    /// Most sources of XOR, PQ and their validations (init.c, `max_xor`, `dma_set_maxpq`).
    public static let mostSources = 8
    /// The smallest transfer that a channel must take, as a power of two: 4 KiB.
    public static let leastTransferBits: UInt8 = 12
    /// Versions: the major one in the upper half.
    public static let version32: UInt8 = 0x32
    public static let version33: UInt8 = 0x33

    /// How many channels there are. Bits 0 to 4.
    public static let channelCount = Register<UInt8, ReadOnly>(0x00)
    /// The longest transfer of a descriptor, as a power of two. Bits 0 to 4; 0 means 4 GiB (SPDK) or no channel (Linux).
    public static let transferCapacity = Register<UInt8, ReadOnly>(0x01)
    /// General control.
    public static let generalControl = Register<UInt8, ReadWrite>(0x02)
    /// Whether interrupts are on. The chip switches them off when this is read; a handler writes it back when it has looked.
    public static let interruptControl = Register<IOATInterruptControl, ReadWrite>(0x03, isDoorbell: true)
    /// A bit for each channel that has raised an interrupt. Cleared when it is read.
    public static let attention = Register<UInt32, ReadOnly>(0x04)
    /// Which version of the interface it has.
    public static let version = Register<UInt8, ReadOnly>(0x08)
    /// Where registers of ports begin; 0 for none.
    public static let portOffset = Register<UInt16, ReadOnly>(0x0a)
    /// How long an interrupt waits for further ones.
    public static let interruptDelay = Register<IOATInterruptDelay, ReadWrite>(0x0c)
    /// What is restricted.
    public static let deviceStatus = Register<UInt16, ReadOnly>(0x0e)
    /// What the device can do.
    public static let capability = Register<IOATCapability, ReadOnly>(0x10)
    /// Where the registers of direct cache access begin; 0 for none.
    public static let cacheAccessOffset = Register<UInt16, ReadOnly>(0x14)
}

/// Registers of a channel, from the beginning of its ``IOAT/channelStride`` bytes.
public enum IOATChannel {
    /// How interrupts and errors are dealt with.
    public static let control = Register<IOATChannelControl, ReadWrite>(0x00, isDoorbell: true)
    /// Which versions it is compatible with.
    public static let compatibility = Register<UInt16, ReadOnly>(0x02)
    /// Suspends, aborts or resets; the reset's bit reads as 1 until that is done.
    public static let command = Register<IOATChannelCommand, ReadWrite>(0x04, isDoorbell: true)
    /// How many descriptors there are since the chain's address was written, modulo 65,536: written, the channel goes on until it has done as many.
    /// Extension descriptors count.
    // Computed, so that code inlined elsewhere accesses no global.
    @inlinable public static var count: Register<UInt16, ReadWrite> { Register(0x06, isDoorbell: true) }
    /// The state, and which descriptor was completed last.
    public static let status = Register<IOATStatus, ReadOnly>(0x08)
    /// The first descriptor. Two accesses, as Linux does: "doing 2 32bit writes to mmio since 1 64b write doesn't work".
    public static let chainAddress = Register<UInt64, ReadWrite>(0x10, isSplit: true)
    /// Where the channel writes its status when a descriptor says so. Likewise.
    public static let completionAddress = Register<UInt64, ReadWrite>(0x18, isSplit: true)
    /// The descriptor that is worked on.
    public static let currentDescriptor = Register<UInt64, ReadOnly>(0x20)
    /// What went wrong.
    public static let errors = Register<IOATErrors, WriteOneToClear>(0x28)
    /// Errors that do not stop the channel.
    public static let errorMask = Register<IOATErrors, ReadWrite>(0x2c)
    /// Direct cache access of the completion's write.
    public static let cacheAccess = Register<UInt32, ReadWrite>(0x30)
}
