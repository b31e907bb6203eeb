// SPDX-License-Identifier: Apache-2.0

public import DMARegisters

/// The command register, at 0x04.
///
/// Source: PCI Local Bus Specification 3.0, 6.2.2; PCI Express Base Specification 5.0, 7.5.1.1.3.
public struct PCICommand: RegisterLayout {
    public var word: UInt16
    public init(word: UInt16) { self.word = word }
    /// Bits 15:11.
    public static var preserved: UInt16 { 0xf800 }
}

extension Field where Layout == PCICommand, Value == Bool {
    /// Answers accesses to its I/O ports.
    public static var decodesPorts: Self { Self(0) }
    /// Answers accesses to its memory.
    public static var decodesMemory: Self { Self(1) }
    /// May read and write memory by itself, which MSI is too.
    public static var isBusMaster: Self { Self(2) }
    /// Reports parity errors.
    public static var answersParity: Self { Self(6) }
    /// Reports fatal and non-fatal errors.
    public static var reportsSystemErrors: Self { Self(8) }
    /// Does not assert INTx.
    public static var disablesINTx: Self { Self(10) }
}

/// The status register, at 0x06. Its error bits are cleared by writing 1.
///
/// Source: PCI Local Bus Specification 3.0, 6.2.3.
public struct PCIStatus: RegisterLayout {
    public var word: UInt16
    public init(word: UInt16) { self.word = word }
}

extension Field where Layout == PCIStatus, Value == Bool {
    /// INTx is pending.
    public static var isINTxPending: Self { Self(3) }
    /// There is a list of capabilities.
    public static var hasCapabilities: Self { Self(4) }
    /// A request of its own was not answered: nothing decodes the address.
    public static var receivedMasterAbort: Self { Self(13) }
    /// A request of its own was refused.
    public static var receivedTargetAbort: Self { Self(12) }
}

/// Where the registers of the header stand, in bytes.
///
/// Source: PCI Local Bus Specification 3.0, figure 6-1.
public enum PCIOffset {
    /// The command register, 2 bytes.
    public static let command = 0x04
    /// The status register, 2 bytes.
    public static let status = 0x06
    /// The base address registers, 4 bytes each.
    public static let baseAddresses = 0x10
    /// The address of the expansion ROM of a device.
    public static let expansionROM = 0x30
    /// Where the first capability is, 1 byte.
    public static let capabilities = 0x34
    /// What firmware has noted of the interrupt, 1 byte.
    public static let interruptLine = 0x3c
    /// The first byte in which a capability can be.
    public static let firstCapability = 0x40
    /// The first byte of the extended space.
    public static let extended = 0x100
}

/// The registers that say which function it is and of which kind.
public struct FunctionHeader: Equatable, Sendable {
    /// What follows the first 16 bytes.
    public enum Kind: UInt8, Sendable {
        /// Type 0: a device.
        case device = 0
        /// Type 1: a bridge or a port.
        case bridge = 1
        /// Type 2: a CardBus bridge.
        case cardBus = 2
    }

    /// The vendor's ID.
    public let vendor: UInt16
    /// The device's ID.
    public let device: UInt16
    /// Which revision of it.
    public let revision: UInt8
    /// Class, subclass and programming interface, one byte each, the class above.
    public let classCode: UInt32
    /// What follows the first 16 bytes.
    public let kind: Kind
    /// Whether the device has more than one function.
    public let isMultifunction: Bool
    /// 0 on bridges.
    public let subsystemVendor: UInt16
    /// 0 on bridges.
    public let subsystem: UInt16
    /// 1 for INTA to 4 for INTD; nil where there is none, or where it is a number that no pin has.
    public let interruptPin: UInt8?
    /// Of a bridge: the bus behind it; nil on devices.
    public let secondaryBus: UInt8?

    /// Reads the header.
    ///
    /// - Throws: `absent`; `headerType` for a type that no specification defines; `truncated`.
    public init(_ reader: some ConfigurationReader) throws(ConfigurationError) {
        guard reader.count >= 64 else { throw .truncated(at: 0) }
        let first = reader.word(at: 0)
        vendor = UInt16(truncatingIfNeeded: first)
        device = UInt16(truncatingIfNeeded: first >> 16)
        // 0x0001 is what a function answers that is not ready after a reset (PCI Express Base Specification 5.0, 2.3.2).
        guard vendor != .max, vendor != 0, vendor != 1 else { throw .absent }
        let third = reader.word(at: 8)
        revision = UInt8(truncatingIfNeeded: third)
        classCode = third >> 8
        let type = reader.byte(at: 0x0e)
        guard let kind = Kind(rawValue: type & 0x7f) else { throw .headerType(type & 0x7f) }
        self.kind = kind
        isMultifunction = type & 0x80 != 0
        subsystemVendor = kind == .device ? reader.half(at: 0x2c) : 0
        subsystem = kind == .device ? reader.half(at: 0x2e) : 0
        let pin = reader.byte(at: 0x3d)
        interruptPin = (1...4).contains(pin) ? pin : nil
        secondaryBus = kind == .bridge ? reader.byte(at: 0x19) : nil
    }

    /// How many base address registers a header of this kind has.
    public var baseAddressCount: Int {
        switch kind {
        case .device: 6
        case .bridge: 2
        case .cardBus: 1
        }
    }
}
