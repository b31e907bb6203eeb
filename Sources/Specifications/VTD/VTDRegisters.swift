// SPDX-License-Identifier: Apache-2.0

public import DMARegisters

/// Registers of an Intel IOMMU, a "remapping hardware unit".
///
/// Source: Intel Virtualization Technology for Directed I/O, Architecture Specification (D51397), revision 3.3, "Register Descriptions".
public enum VTD {
    /// Bytes of the registers that are declared here; the fault records and the IOTLB registers lie where the capabilities say.
    public static let registersCount = 4096

    /// Major and minor version; 0 or all ones where there is no unit.
    public static let version = Register<UInt32, ReadOnly>(0x00)
    /// What the unit can do.
    public static let capability = Register<VTDCapability, ReadOnly>(0x08)
    /// What it can do beyond that.
    public static let extendedCapability = Register<VTDExtendedCapability, ReadOnly>(0x10)
    /// Switches: one is changed at a time, and the others are written as ``globalStatus`` shows them.
    public static let globalCommand = Register<VTDGlobal, WriteOnly>(0x18, isDoorbell: true)
    /// The state of the switches.
    public static let globalStatus = Register<VTDGlobal, ReadOnly>(0x1c)
    /// Address of the root table, a page.
    public static let rootTable = Register<UInt64, ReadWrite>(0x20)
    /// Invalidation of cached context entries.
    public static let contextCommand = Register<VTDContextCommand, ReadWrite>(0x28, isDoorbell: true)
    /// Which faults are recorded.
    public static let faultStatus = Register<VTDFaultStatus, WriteOneToClear>(0x34)

    /// Invalidation of cached translations.
    public static func translationCommand(_ extended: VTDExtendedCapability) -> Register<VTDTranslationCommand, ReadWrite> {
        Register(Int(extended[.invalidationOffset]) * 16 + 8, isDoorbell: true)
    }
}

/// What ``VTD/capability`` says.
public struct VTDCapability: RegisterLayout {
    public var word: UInt64
    public init(word: UInt64) { self.word = word }

    /// Fault records that the unit has.
    public var faultRecords: Int { Int(self[.lastFaultRecord]) + 1 }
    /// Where fault record `index` begins. Bytes.
    public func faultRecord(_ index: Int) -> Int { Int(self[.faultOffset]) * 16 + index * 16 }
}

extension Field where Layout == VTDCapability, Value == Bool {
    /// Entries that are not present may be cached, and need an invalidation when they become present.
    public static var cachesAbsent: Self { Self(7) }
    /// Tables of three levels: addresses of 39 bits.
    public static var has39Bits: Self { Self(9) }
    /// Tables of four levels: addresses of 48 bits.
    public static var has48Bits: Self { Self(10) }
}

extension Field where Layout == VTDCapability, Value == UInt16 {
    /// Where the first fault record lies, in units of 16 bytes.
    public static var faultOffset: Self { Self(24...33) }
}

extension Field where Layout == VTDCapability, Value == UInt8 {
    /// The number of the last fault record.
    public static var lastFaultRecord: Self { Self(40...47) }
}

/// What ``VTD/extendedCapability`` says.
public struct VTDExtendedCapability: RegisterLayout {
    public var word: UInt64
    public init(word: UInt64) { self.word = word }
}

extension Field where Layout == VTDExtendedCapability, Value == Bool {
    /// The unit's reads of tables are coherent with the processors' caches.
    public static var isCoherent: Self { Self(0) }
}

extension Field where Layout == VTDExtendedCapability, Value == UInt16 {
    /// Where the IOTLB registers lie, in units of 16 bytes.
    public static var invalidationOffset: Self { Self(8...17) }
}

/// The switches of ``VTD/globalCommand`` and ``VTD/globalStatus``.
public struct VTDGlobal: RegisterLayout {
    public var word: UInt32
    public init(word: UInt32) { self.word = word }

    /// The switches that stay on: the others start something once, and are written as 0.
    public var lasting: VTDGlobal { VTDGlobal(word: word & 0x96ff_ffff) }
}

extension Field where Layout == VTDGlobal, Value == Bool {
    /// Addresses are translated.
    public static var translates: Self { Self(31) }
    /// Written as 1, the unit takes the address of the root table; reads as 1 when it has.
    public static var hasRootTable: Self { Self(30) }
}

/// How much an invalidation covers.
public enum VTDScope: UInt8, FieldChoice {
    case all = 1
    case domain = 2
    /// One device's entries, or one range of addresses.
    case selected = 3
}

/// ``VTD/contextCommand``.
public struct VTDContextCommand: RegisterLayout {
    public var word: UInt64
    public init(word: UInt64) { self.word = word }

    /// Of all context entries.
    public static var all: VTDContextCommand {
        var command = VTDContextCommand(word: 0)
        command[.isPending] = true
        command[.scope] = .all
        return command
    }
}

extension Field where Layout == VTDContextCommand, Value == Bool {
    /// Written as 1, starts; reads as 1 until the invalidation is done.
    public static var isPending: Self { Self(63) }
}

extension Field where Layout == VTDContextCommand, Value == VTDScope {
    /// What is invalidated.
    public static var scope: Self { Self(61...62) }
}

/// ``VTD/translationCommand(_:)``.
public struct VTDTranslationCommand: RegisterLayout {
    public var word: UInt64
    public init(word: UInt64) { self.word = word }

    /// Of all translations, after the reads and writes that used them.
    public static var all: VTDTranslationCommand {
        var command = VTDTranslationCommand(word: 0)
        command[.isPending] = true
        command[.scope] = .all
        command[.drainsReads] = true
        command[.drainsWrites] = true
        return command
    }
}

extension Field where Layout == VTDTranslationCommand, Value == Bool {
    /// Written as 1, starts; reads as 1 until the invalidation is done.
    public static var isPending: Self { Self(63) }
    /// Reads that are under way are done first.
    public static var drainsReads: Self { Self(49) }
    /// Writes that are under way are done first.
    public static var drainsWrites: Self { Self(48) }
}

extension Field where Layout == VTDTranslationCommand, Value == VTDScope {
    /// What is invalidated.
    public static var scope: Self { Self(60...61) }
}

/// ``VTD/faultStatus``.
public struct VTDFaultStatus: RegisterLayout {
    public var word: UInt32
    public init(word: UInt32) { self.word = word }
}

extension Field where Layout == VTDFaultStatus, Value == Bool {
    /// A fault was lost, because no record was free.
    public static var hasOverflowed: Self { Self(0) }
    /// A record holds a fault. Read only.
    public static var isPending: Self { Self(1) }
}
