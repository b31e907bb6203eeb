// SPDX-License-Identifier: Apache-2.0

public import DMAPCISpecification
public import DMARegisters

/// The configuration space of an open device.
///
/// As with registers, an access outside of the space, or not aligned, is not done: a read answers all ones.
public struct DeviceConfiguration: ConfigurationReader, Sendable {
    private let transport: any DeviceTransport

    /// The space of the device behind a way.
    public init(_ transport: any DeviceTransport) { self.transport = transport }

    public var count: Int { transport.configurationCount }

    public func word(at offset: Int) -> UInt32 { load(offset) }

    /// Reads a register.
    public func read<L, A: ReadableRegister>(_ register: Register<L, A>) -> L { L(word: load(register.offset)) }

    /// Writes a register.
    public func write<L, A: WritableRegister>(_ value: L, to register: Register<L, A>) {
        store(value.written, at: register.offset)
    }

    /// Changes fields of a register: one read and one write. What was read is answered.
    @discardableResult
    public func modify<L, A: ReadableRegister & WritableRegister>(_ register: Register<L, A>, _ body: (inout L) -> Void) -> L {
        let before = read(register)
        var value = before
        body(&value)
        write(value, to: register)
        return before
    }

    /// Clears the bits of a register that are 1 in `bits`, and no others.
    public func clear<L>(_ bits: L, in register: Register<L, WriteOneToClear>) { store(bits.written, at: register.offset) }

    /// Reads 8, 16 or 32 bits; 64 by two reads, the lower half first.
    public func load<W: RegisterWord>(_ offset: Int, as type: W.Type = W.self) -> W {
        let width = MemoryLayout<W>.size
        guard offset >= 0, offset <= count - width, offset % min(width, 4) == 0 else { return .max }
        if width == 8 {
            let low = UInt64(transport.readConfiguration(offset, .word))
            return W(truncatingIfNeeded: low | UInt64(transport.readConfiguration(offset + 4, .word)) << 32)
        }
        return W(truncatingIfNeeded: transport.readConfiguration(offset, AccessWidth(rawValue: width) ?? .word))
    }

    /// Writes 8, 16 or 32 bits; 64 by two writes, the lower half first.
    public func store<W: RegisterWord>(_ value: W, at offset: Int) {
        let width = MemoryLayout<W>.size
        guard offset >= 0, offset <= count - width, offset % min(width, 4) == 0 else { return }
        let word = UInt64(truncatingIfNeeded: value)
        if width == 8 {
            transport.writeConfiguration(UInt32(truncatingIfNeeded: word), offset, .word)
            transport.writeConfiguration(UInt32(truncatingIfNeeded: word >> 32), offset + 4, .word)
        } else {
            transport.writeConfiguration(
                UInt32(truncatingIfNeeded: word), offset, AccessWidth(rawValue: width) ?? .word)
        }
    }

    /// The command register.
    public static let command = Register<PCICommand, ReadWrite>(PCIOffset.command)
    /// The status register.
    public static let status = Register<PCIStatus, WriteOneToClear>(PCIOffset.status)
}
