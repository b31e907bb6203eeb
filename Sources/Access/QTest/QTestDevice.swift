// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMAAccess
public import DMACore
internal import DMAPCISpecification
internal import DMARegisters
public import DMATypes

/// A PCI device of a machine of QEMU's.
///
/// Addresses for its registers are assigned when it is opened for the first time, and again after a reset that takes them.
///
/// **Interrupts.** A message goes to a word of the machine's memory, where it is found by looking; INTx is a pin of the interrupt controller that the
/// protocol reports, on the board q35 and in slots below 24.
///
/// **Reset.** By what the function has: a function level reset, or the way through D3hot. Many of QEMU's devices have neither; then a stopped bus master
/// has to do.
///
/// Thread rules: everything may be called from any thread.
public final class QTestDevice: DeviceTransport {
    private let machine: QTestMachine
    private let slot: QTestSlot

    private struct State {
        var bases: [BaseAddress]?
        var messages: (address: UInt64, count: Int)?
        var armed: (kind: InterruptKind, messages: [UInt64])?
    }
    private let state = Locked(State())

    init(_ machine: QTestMachine, _ slot: QTestSlot) {
        self.machine = machine
        self.slot = slot
    }

    public var name: String {
        let digits = String(slot.device & 0xff, radix: 16)
        return "\(machine.name) 00:\(digits.count < 2 ? "0" : "")\(digits).\(slot.function & 7)"
    }
    public var space: AddressSpace { machine.space }
    public var goneReason: String? {
        machine.failure.map(String.init(describing:))
            ?? (machine.process.hasEnded ? "QEMU: \(machine.process.ending ?? "it has ended")" : nil)
    }
    public var isDead: Bool { machine.process.hasEnded }

    // MARK: Opening

    public func claim() throws(AccessError) {
        guard (0..<32).contains(slot.device), (0..<8).contains(slot.function) else {
            throw AccessError(
                .absent, device: name, "there is no slot \(slot.device).\(slot.function)",
                cure: "name a slot from 0 to 31, and a function from 0 to 7")
        }
        if let reason = goneReason { throw AccessError(.gone, device: name, reason, cure: "start another machine") }
        guard machine.claim(slot) else {
            throw AccessError(.busy, device: name, "it is open", cure: "close it where it is open, or use another device")
        }
    }

    public func release() {
        machine.watcher.remove(slot)
        machine.release(slot)
    }

    public func reset(by deadline: Deadline) throws(AccessError) -> ResetMethod {
        let configuration = DeviceConfiguration(self)
        do throws(ConfigurationError) {
            let header = try FunctionHeader(configuration)
            let capabilities = try PCICapability.list(configuration)
            let method: ResetMethod
            if let place = capabilities.first(PCICapability.pciExpress),
                case let express = try PCIExpress(configuration, place), express.hasFunctionReset
            {
                configuration.modify(Register<DeviceControl, ReadWrite>(express.deviceControl)) { $0[.resetsFunction] = true }
                // PCI Express Base Specification 5.0, 6.6.2: the function is ready within 100 ms.
                sleep(100, deadline)
                method = .function
            } else if let place = capabilities.first(PCICapability.powerManagement),
                case let power = try PowerManagement(configuration, place), power.resetsInD3
            {
                // PCI Bus Power Management Interface Specification 1.2, 5.6.1: 10 ms after each change.
                for state in [PowerState.d3hot, .d0] {
                    configuration.modify(Register<PowerControl, ReadWrite>(power.control)) { $0[.state] = state }
                    sleep(10, deadline)
                }
                method = .power
            } else {
                method = .none
            }
            try assign(configuration, header)
            return method
        } catch { throw AccessError(error, device: name) }
    }

    private func sleep(_ milliseconds: Int64, _ deadline: Deadline) {
        cdma_sleep_until(min(Deadline.after(milliseconds: milliseconds), deadline).nanoseconds)
    }

    /// Gives the function the addresses that it had, or new ones, and lets it answer there.
    private func assign(
        _ configuration: DeviceConfiguration, _ header: FunctionHeader
    ) throws(ConfigurationError) {
        configuration.modify(DeviceConfiguration.command) { command in
            command[.decodesMemory] = false
            command[.decodesPorts] = false
        }
        let bases: [BaseAddress]
        if let known = state.withLock({ $0.bases }) {
            bases = known
        } else {
            let found = try BaseAddress.sizes(configuration, count: header.baseAddressCount) { offset, value in
                configuration.store(value, at: offset)
            }
            var placed: [BaseAddress] = []
            for base in found {
                guard let address = machine.host.allocate(base) else {
                    throw .badBaseAddress(index: base.index, mask: 0 &- base.count)
                }
                placed.append(base.moved(to: address))
            }
            bases = placed
            state.withLock { $0.bases = placed }
        }
        for base in bases {
            let offset = PCIOffset.baseAddresses + 4 * base.index
            configuration.store(UInt32(truncatingIfNeeded: base.address), at: offset)
            if base.registers == 2 { configuration.store(UInt32(truncatingIfNeeded: base.address >> 32), at: offset + 4) }
        }
        configuration.modify(DeviceConfiguration.command) { command in
            command[.decodesMemory] = true
            command[.decodesPorts] = true
        }
    }

    // MARK: Configuration space and registers

    public var configurationCount: Int { machine.host.configurationCount }

    public func readConfiguration(_ offset: Int, _ width: AccessWidth) -> UInt32 { machine.host.read(slot, offset, width) }

    public func writeConfiguration(_ value: UInt32, _ offset: Int, _ width: AccessWidth) {
        machine.host.write(value, slot, offset, width)
    }

    public func regions() throws(AccessError) -> [DeviceRegion] {
        (state.withLock { $0.bases } ?? []).map { base in
            let isPorts = base.space == .ports
            return DeviceRegion(
                index: base.index, count: base.count, isPorts: isPorts,
                path: QTestPath(machine.connection, base: base.address, isPorts: isPorts), splitsWide: isPorts)
        }
    }

    // MARK: Interrupts

    public func interruptCount(_ kind: InterruptKind) -> Int {
        let configuration = DeviceConfiguration(self)
        do throws(ConfigurationError) {
            switch kind {
            case .intx:
                return try FunctionHeader(configuration).interruptPin != nil && slot.device < 24 && machine.host.isExtended
                    ? 1 : 0
            case .msi:
                // All vectors of MSI write to one word, in which one would hide another.
                return try PCICapability.list(configuration).first(PCICapability.msi) == nil ? 0 : 1
            case .msix:
                guard let place = try PCICapability.list(configuration).first(PCICapability.msix) else { return 0 }
                return try MSIX(configuration, place).vectors
            }
        } catch { return 0 }
    }

    public func enableInterrupts(
        _ kind: InterruptKind, count: Int, _ handler: @escaping InterruptHandler
    ) throws(AccessError) {
        guard count > 0, count <= interruptCount(kind) else {
            throw AccessError(
                .noInterrupts, device: name, "\(count) vectors of \(kind); there are \(interruptCount(kind))",
                cure: "ask for fewer, or poll")
        }
        let source: QTestWatcher.Source
        if kind == .intx {
            source = QTestWatcher.Source(handler: handler, messages: [], pin: try listenToPin())
        } else {
            guard let first = messages(count) else {
                throw AccessError(
                    .noInterrupts, device: name, "\(count) vectors more than the machine's 1024 messages",
                    cure: "ask for fewer")
            }
            source = QTestWatcher.Source(
                handler: handler, messages: (0..<count).map { first + UInt64(4 * $0) }, pin: nil)
        }
        do throws(DMAError) { try machine.watcher.add(slot, source) } catch {
            throw AccessError(error, device: name, "starting a thread for interrupts")
        }
        state.withLock { $0.armed = (kind, source.messages) }
        do throws(AccessError) { try rearmInterrupts() } catch {
            state.withLock { $0.armed = nil }
            machine.watcher.remove(slot)
            throw error
        }
    }

    public func rearmInterrupts() throws(AccessError) {
        guard let armed = state.withLock({ $0.armed }) else { return }
        do throws(ConfigurationError) {
            switch armed.kind {
            case .intx: DeviceConfiguration(self).modify(DeviceConfiguration.command) { $0[.disablesINTx] = false }
            case .msi: try aimMSI(armed.messages)
            case .msix: try aimMSIX(armed.messages)
            }
        } catch { throw AccessError(error, device: name) }
    }

    public func disableInterrupts() throws(AccessError) {
        machine.watcher.remove(slot)
        state.withLock { $0.armed = nil }
        guard goneReason == nil else { return }
        let configuration = DeviceConfiguration(self)
        do throws(ConfigurationError) {
            let capabilities = try PCICapability.list(configuration)
            if let place = capabilities.first(PCICapability.msi) {
                let msi = try MSI(configuration, place)
                configuration.modify(Register<MSIControl, ReadWrite>(msi.control)) { $0[.isEnabled] = false }
            }
            if let place = capabilities.first(PCICapability.msix) {
                let msix = try MSIX(configuration, place)
                configuration.modify(Register<MSIXControl, ReadWrite>(msix.control)) { $0[.isEnabled] = false }
            }
            configuration.modify(DeviceConfiguration.command) { $0[.disablesINTx] = true }
        } catch { throw AccessError(error, device: name) }
    }

    public var deliversInterrupts: Bool { true }
    public func look() {}
    public func pause(until deadline: Deadline) {
        cdma_sleep_until(min(deadline, Deadline.after(nanoseconds: 200_000)).nanoseconds)
    }

    /// Words for messages: those that the device had, where they are enough.
    private func messages(_ count: Int) -> UInt64? {
        if let known = state.withLock({ $0.messages }), known.count >= count { return known.address }
        guard let address = machine.allocateMessages(count) else { return nil }
        state.withLock { $0.messages = (address, count) }
        return address
    }

    /// The interrupt controller's pin of this slot, from now on reported.
    ///
    /// Source: Intel ICH9 datasheet, 10.1.49 (D31IR … D25IR) for the routing; QEMU's hw/isa/lpc_ich9.c gives slots 0 to 23 the fixed one.
    private func listenToPin() throws(AccessError) -> Int {
        let header: FunctionHeader
        do throws(ConfigurationError) { header = try FunctionHeader(DeviceConfiguration(self)) } catch {
            throw AccessError(error, device: name)
        }
        do throws(QTestError) { _ = try machine.connection.ask("irq_intercept_in ioapic") } catch {
            throw AccessError(
                .refused, device: name, "listening to the interrupt controller: \(error.detail)", cure: error.cure)
        }
        return 16 + (slot.device + Int(header.interruptPin ?? 1) - 1) % 4 + 4
    }

    private func aimMSI(_ addresses: [UInt64]) throws(ConfigurationError) {
        let configuration = DeviceConfiguration(self)
        guard let place = try PCICapability.list(configuration).first(PCICapability.msi), let address = addresses.first else {
            throw .absent
        }
        let msi = try MSI(configuration, place)
        configuration.store(UInt32(truncatingIfNeeded: address), at: msi.address)
        if msi.isWide { configuration.store(UInt32(truncatingIfNeeded: address >> 32), at: msi.address + 4) }
        configuration.store(Self.message(0), at: msi.data)
        if let mask = msi.mask { configuration.store(UInt32(0), at: mask) }
        configuration.modify(Register<MSIControl, ReadWrite>(msi.control)) { control in
            control[.given] = 0
            control[.isEnabled] = true
        }
    }

    private func aimMSIX(_ addresses: [UInt64]) throws(ConfigurationError) {
        let configuration = DeviceConfiguration(self)
        guard let place = try PCICapability.list(configuration).first(PCICapability.msix) else { throw .absent }
        let msix = try MSIX(configuration, place)
        let bases = state.withLock { $0.bases } ?? []
        try msix.check(bases)
        guard let base = bases.first(where: { $0.index == msix.tableBase }) else { throw .absent }
        let control = Register<MSIXControl, ReadWrite>(msix.control)
        // All masked until the table stands.
        configuration.modify(control) { control in
            control[.isEnabled] = true
            control[.isMasked] = true
        }
        let path = QTestPath(machine.connection, base: base.address + msix.tableOffset, isPorts: false)
        for vector in 0..<msix.vectors {
            let entry = UInt64(vector * MSIX.entry)
            let isUsed = vector < addresses.count
            let address = isUsed ? addresses[vector] : 0
            path.write(address & 0xffff_ffff, entry, .word, isDoorbell: false)
            path.write(address >> 32, entry + 4, .word, isDoorbell: false)
            path.write(UInt64(Self.message(vector)), entry + 8, .word, isDoorbell: false)
            path.write(isUsed ? 0 : 1, entry + 12, .word, isDoorbell: false)
        }
        path.flush()
        configuration.modify(control) { $0[.isMasked] = false }
    }

    /// What a message writes: not 0. The lower half is all that MSI has.
    private static func message(_ vector: Int) -> UInt32 { 0x4000 | UInt32(truncatingIfNeeded: vector & 0x7ff) }
}
