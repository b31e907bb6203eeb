// SPDX-License-Identifier: Apache-2.0

internal import DMAAccess
internal import DMAPCISpecification
internal import DMATypes

/// A place on the machine's bus 0.
struct QTestSlot: Hashable, Comparable {
    /// 0 to 31.
    let device: Int
    /// 0 to 7.
    let function: Int

    /// Device and function as a PCI address has them.
    var number: UInt64 { UInt64(device << 3 | function) }
    static func < (left: QTestSlot, right: QTestSlot) -> Bool { left.number < right.number }
}

/// The bridge between processor and PCI bus of a PC: configuration space, and the addresses that devices are given.
///
/// Source: PCI Local Bus Specification 3.0, 3.2.2.3.2 (mechanism 1: ports 0xcf8 and 0xcfc); Intel 3 Series Express Chipset datasheet, 5.1.20
/// (PCIEXBAR, at 0x60 of the host bridge: where all configuration spaces lie in memory, which QEMU's q35 follows).
final class PCIHost: Sendable {
    private static let mapped: UInt64 = 0xb000_0000
    private static let memoryWindow: ClosedRange<UInt64> = 0xe000_0000...0xfebf_ffff
    private static let portWindow: ClosedRange<UInt64> = 0xc000...0xefff

    private struct State {
        var memory = memoryWindow.lowerBound
        var ports = portWindow.lowerBound
    }

    private let connection: QTestConnection
    /// Whether the configuration spaces are mapped, and so have 4,096 bytes each.
    let isExtended: Bool
    private let state = Locked(State())
    /// The two ports of mechanism 1 are used by one access at a time.
    private let mechanism = Locked(())

    init(_ connection: QTestConnection, machine: String) throws(QTestError) {
        self.connection = connection
        let board = machine.split(separator: ",").first ?? ""
        isExtended = Self.isQ35(machine)
        guard isExtended || board == "pc" || board.hasPrefix("pc-i440fx") else {
            throw QTestError(
                .badConfiguration, "no PCI of the board \"\(machine)\" is known", cure: "use the board q35 or pc")
        }
        if isExtended { writePort(UInt32(Self.mapped) | 1, QTestSlot(device: 0, function: 0), 0x60, .word) }
        if let failure = connection.failure { throw failure }
    }

    /// Whether QEMU's option names the board q35, or a version of it.
    static func isQ35(_ machine: String) -> Bool {
        let board = machine.split(separator: ",").first ?? ""
        return board == "q35" || board.hasPrefix("pc-q35-")
    }

    // MARK: Configuration space

    var configurationCount: Int { isExtended ? 4096 : 256 }

    func read(_ slot: QTestSlot, _ offset: Int, _ width: AccessWidth) -> UInt32 {
        guard (0..<configurationCount).contains(offset) else { return UInt32(truncatingIfNeeded: width.allOnes) }
        if isExtended {
            return UInt32(
                truncatingIfNeeded: connection.read(QTestConnection.reading(width), place(slot, offset), width))
        }
        return mechanism.withLock { _ in
            select(slot, offset)
            let port = 0xcfc + UInt64(offset & 3)
            return UInt32(truncatingIfNeeded: connection.read(QTestConnection.readingPort(width), port, width))
        }
    }

    func write(_ value: UInt32, _ slot: QTestSlot, _ offset: Int, _ width: AccessWidth) {
        guard (0..<configurationCount).contains(offset) else { return }
        if isExtended {
            connection.post(
                QTestConnection.words(QTestConnection.writing(width), place(slot, offset), UInt64(value) & width.allOnes),
                sendsNow: true)
            connection.flush()
        } else {
            writePort(value, slot, offset, width)
        }
    }

    private func place(_ slot: QTestSlot, _ offset: Int) -> UInt64 { Self.mapped + slot.number << 12 + UInt64(offset) }

    private func select(_ slot: QTestSlot, _ offset: Int) {
        let address = 0x8000_0000 | slot.number << 8 | UInt64(offset & 0xfc)
        connection.post(QTestConnection.words("outl", 0xcf8, address), sendsNow: false)
    }

    private func writePort(_ value: UInt32, _ slot: QTestSlot, _ offset: Int, _ width: AccessWidth) {
        mechanism.withLock { _ in
            select(slot, offset)
            connection.post(
                QTestConnection.words(
                    QTestConnection.writingPort(width), 0xcfc + UInt64(offset & 3), UInt64(value) & width.allOnes),
                sendsNow: true)
            connection.flush()
        }
    }

    // MARK: Addresses

    /// An address for a range of registers, aligned to its size; nil where there is no room left.
    func allocate(_ base: BaseAddress) -> UInt64? {
        state.withLock { state in
            let isPorts = base.space == .ports
            let window = isPorts ? Self.portWindow : Self.memoryWindow
            let next = isPorts ? state.ports : state.memory
            // Sizes are powers of two. A page at least, so that no two devices share one.
            let size = max(base.count, isPorts ? 1 : 4096)
            guard size <= window.upperBound - window.lowerBound else { return nil }
            let start = (next + (size - 1)) & ~(size - 1)
            guard start <= window.upperBound, size - 1 <= window.upperBound - start else { return nil }
            if isPorts { state.ports = start + size } else { state.memory = start + size }
            return start
        }
    }
}

extension QTestConnection {
    static func reading(_ width: AccessWidth) -> StaticString {
        switch width {
        case .byte: "readb"
        case .half: "readw"
        case .word: "readl"
        case .wide: "readq"
        }
    }
    static func writing(_ width: AccessWidth) -> StaticString {
        switch width {
        case .byte: "writeb"
        case .half: "writew"
        case .word: "writel"
        case .wide: "writeq"
        }
    }
    /// Ports have no accesses of 64 bits.
    static func readingPort(_ width: AccessWidth) -> StaticString {
        switch width {
        case .byte: "inb"
        case .half: "inw"
        case .word, .wide: "inl"
        }
    }
    static func writingPort(_ width: AccessWidth) -> StaticString {
        switch width {
        case .byte: "outb"
        case .half: "outw"
        case .word, .wide: "outl"
        }
    }
}

/// Registers of a device of the machine.
final class QTestPath: RegisterPath {
    private let connection: QTestConnection
    private let base: UInt64
    private let isPorts: Bool

    init(_ connection: QTestConnection, base: UInt64, isPorts: Bool) {
        self.connection = connection
        self.base = base
        self.isPorts = isPorts
    }

    func read(_ offset: UInt64, _ width: AccessWidth) -> UInt64 {
        connection.read(
            isPorts ? QTestConnection.readingPort(width) : QTestConnection.reading(width), base &+ offset, width)
    }

    func write(_ value: UInt64, _ offset: UInt64, _ width: AccessWidth, isDoorbell: Bool) {
        let command = isPorts ? QTestConnection.writingPort(width) : QTestConnection.writing(width)
        connection.post(QTestConnection.words(command, base &+ offset, value & width.allOnes), sendsNow: isDoorbell)
    }

    func flush() { connection.flush() }
}
