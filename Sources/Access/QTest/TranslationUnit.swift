// SPDX-License-Identifier: Apache-2.0

internal import DMAAccess
internal import DMARegisters
internal import DMATypes
internal import DMAVTDSpecification

/// The Intel IOMMU of a machine: its tables lie in the machine's memory, all devices of bus 0 share them.
///
/// Devices get the first half of the machine's memory, without the tables: the bus address `offset + x` leads to the machine's address x. All tables are
/// made at the start, so that only entries of the lowest level change.
final class TranslationUnit: Sendable {
    /// Where the board q35 has its registers (QEMU, include/hw/i386/intel_iommu.h).
    private static let registers: UInt64 = 0xfed9_0000
    private static let domain: UInt16 = 1
    /// Reads of a register until a command counts as not taken; each takes a message and its answer.
    private static let looks = 10_000

    /// What is added to a machine's address to get the bus address that leads there.
    let offset: UInt64
    /// The machine's addresses that devices can be given.
    let usable: ClosedRange<UInt64>

    private let memory: GuestMemory
    private let connection: QTestConnection
    /// The first table of the lowest level; the others follow, in order.
    private let leaves: UInt64
    private let capability: VTDCapability
    private let extended: VTDExtendedCapability
    /// Commands of the unit are given one at a time.
    private let commands = Locked(())

    /// Makes the tables, and switches translation on.
    ///
    /// - Parameters:
    ///   - first: the machine's address of the tables, a whole page.
    ///   - message: the page that interrupts' messages are written to; devices may write it at its own address.
    init(_ connection: QTestConnection, _ memory: GuestMemory, from first: UInt64, message: UInt64) throws(QTestError) {
        self.connection = connection
        self.memory = memory
        let window = Self.window(connection)
        let version = window.read(VTD.version)
        guard version != 0, version != .max else {
            throw QTestError(.badAnswer, "the machine has no IOMMU at 0x\(String(Self.registers, radix: 16))")
        }
        capability = window.read(VTD.capability)
        extended = window.read(VTD.extendedCapability)
        let levels = capability[.has39Bits] ? 3 : 4
        guard capability[.has39Bits] || capability[.has48Bits],
            VTD.translationCommand(extended).offset + 8 <= VTD.registersCount,
            capability.faultRecord(capability.faultRecords) <= VTD.registersCount
        else { throw QTestError(.badAnswer, "the capabilities of the machine's IOMMU contradict the specification") }
        let (page, count) = (VTDTables.page, memory.count)
        // One table of the lowest level for each 2 MiB, one of the second for each GiB.
        let lowest = (count + (2 << 20) - 1) / (2 << 20)
        let second = (count + (1 << 30) - 1) / (1 << 30)
        let (root, context) = (first, first + page)
        let tops = (0..<UInt64(levels - 2)).map { context + page * ($0 + 1) }
        let middle = context + page * UInt64(levels - 1)
        leaves = middle + page * second
        let free = leaves + page * lowest
        offset = count / 2
        guard free < count / 2 else { throw QTestError(.badConfiguration, "no memory is left beside the IOMMU's tables") }
        usable = free...count / 2 - 1

        let (low, high) = VTDTables.context(pagingTable: tops[0], levels: levels, domain: Self.domain)
        put(VTDTables.root(contextTable: context), at: root)
        for slot in 0..<256 as Range<UInt64> {
            put(low, at: context + 16 * slot)
            put(high, at: context + 16 * slot + 8)
        }
        for (top, next) in zip(tops, tops.dropFirst() + [middle]) {
            let tables = next == middle ? second : 1
            for index in 0..<tables { put(Self.table(next + page * index), at: top + 8 * index) }
        }
        // The tables of one level follow each other, and so do the entries that lead to them.
        for index in 0..<lowest { put(Self.table(leaves + page * index), at: middle + 8 * index) }
        set(message, to: message, count: page, .write)
        try start(window, root)
    }

    private static func table(_ address: UInt64) -> UInt64 { VTDTables.paging(address, reads: true, writes: true) }

    private static func window(_ connection: QTestConnection) -> RegisterWindow {
        RegisterWindow(QTestPath(connection, base: registers, isPorts: false), count: VTD.registersCount)
    }

    /// The order of the specification's "Hardware Initialization": root table, invalidations, translation.
    private func start(_ window: borrowing RegisterWindow, _ root: UInt64) throws(QTestError) {
        window.write(root, to: VTD.rootTable)
        try turnOn(.hasRootTable, window)
        guard invalidateContexts(window), invalidateTranslations(window) else { throw refused() }
        try turnOn(.translates, window)
    }

    private func turnOn(_ bit: Field<VTDGlobal, Bool>, _ window: borrowing RegisterWindow) throws(QTestError) {
        var command = window.read(VTD.globalStatus).lasting
        command[bit] = true
        window.write(command, to: VTD.globalCommand)
        for _ in 0..<Self.looks {
            let status = window.read(VTD.globalStatus)
            if status.isAllOnes { break }
            if status[bit] { return }
        }
        throw refused()
    }

    private func refused() -> QTestError {
        connection.failure ?? QTestError(.noAnswer, "the machine's IOMMU does not take a command")
    }

    // MARK: Translations

    private func put(_ value: UInt64, at address: UInt64) { _ = memory.put(value, at: address) }

    private func set(_ bus: UInt64, to address: UInt64, count: UInt64, _ access: DeviceAccess) {
        for page in 0..<count / VTDTables.page {
            let distance = page * VTDTables.page
            let entry = VTDTables.paging(address + distance, reads: access.contains(.read), writes: access.contains(.write))
            put(access.isEmpty ? 0 : entry, at: leaves + 8 * ((bus + distance) / VTDTables.page))
        }
    }

    /// Lets devices reach whole pages of the usable memory, at their addresses plus ``offset``.
    ///
    /// - Returns: false where the unit does not answer; the pages are then not reached.
    func map(_ address: UInt64, count: UInt64, _ access: DeviceAccess) -> Bool {
        set(address + offset, to: address, count: count, access)
        guard capability[.cachesAbsent] else { return true }
        if invalidate() { return true }
        set(address + offset, to: address, count: count, [])
        return false
    }

    /// Ends it, and returns when no translation is cached.
    ///
    /// - Returns: false where the unit does not answer; devices may then still reach the pages.
    func unmap(_ address: UInt64, count: UInt64) -> Bool {
        set(address + offset, to: address, count: count, [])
        return invalidate()
    }

    private func invalidate() -> Bool { invalidateTranslations(Self.window(connection)) }

    private func invalidateContexts(_ window: borrowing RegisterWindow) -> Bool {
        commands.withLock { _ in
            window.write(VTDContextCommand.all, to: VTD.contextCommand)
            for _ in 0..<Self.looks where !window.read(VTD.contextCommand)[.isPending] { return true }
            return false
        }
    }

    private func invalidateTranslations(_ window: borrowing RegisterWindow) -> Bool {
        commands.withLock { _ in
            let register = VTD.translationCommand(extended)
            window.write(VTDTranslationCommand.all, to: register)
            for _ in 0..<Self.looks where !window.read(register)[.isPending] { return true }
            return false
        }
    }

    // MARK: Faults

    /// The faults since the last call, and whether others were lost. Each record is cleared when it was read.
    func takeFaults() -> (records: [VTDFaultRecord], hasLost: Bool) {
        commands.withLock { _ in
            let window = Self.window(connection)
            let status = window.read(VTD.faultStatus)
            guard !status.isAllOnes else { return ([], false) }
            var records: [VTDFaultRecord] = []
            for index in 0..<capability.faultRecords {
                let place = capability.faultRecord(index)
                let record = VTDFaultRecord(
                    low: window.load(place, as: UInt64.self), high: window.load(place + 8, as: UInt64.self))
                guard record.isValid else { continue }
                records.append(record)
                window.store(VTDFaultRecord.cleared, at: place + VTDFaultRecord.clearing)
            }
            var lost = VTDFaultStatus(word: 0)
            lost[.hasOverflowed] = true
            window.clear(lost, in: VTD.faultStatus)
            window.flush()
            return (records, status[.hasOverflowed])
        }
    }
}
