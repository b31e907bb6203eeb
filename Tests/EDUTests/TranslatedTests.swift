// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMACore
import DMAEDUEngine
import DMAEDURig
import DMAEDUSpecification
import DMAQTestAccess
import DMARegisters
import DMATestSupport
import Testing

/// QEMU's device behind QEMU's Intel IOMMU, whose tables this package writes: the second opinion on its words, without a guest.
@Suite(
    "EDU: behind an Intel IOMMU, without a guest", .serialized,
    .enabled(
        if: Machine.has("qemu-system-x86_64"),
        "qemu-system-x86_64 is not installed; Debian: apt-get install qemu-system-x86"))
struct TranslatedTests {
    private func machine(_ board: String = "q35") throws -> QTestMachine {
        var configuration = QTestConfiguration(devices: ["edu,addr=5"])
        configuration.machine = board
        configuration.hasIOMMU = true
        configuration.clock = .fast
        return try QTestMachine(configuration)
    }

    private var configuration: EDUConfiguration {
        var configuration = EDUConfiguration()
        // On a machine that others use.
        configuration.patience = .seconds(20)
        return configuration
    }

    @Test(
        "the driver: every page is translated, the bytes are right, interrupts arrive, and nothing is refused",
        arguments: [true, false])
    func copies(_ interrupts: Bool) async throws {
        let machine = try machine()
        var configuration = configuration
        configuration.interrupts = interrupts ? [.msi] : []
        let engine = try EDUEngine(opening: machine.device(at: 5), configuration)
        let domain = engine.domain
        var channel = try EDUChannel(engine, domain: domain)
        var random = Seeded("translated")
        for size in [1, 63, 4032, 4096, 20_000] {
            let copied = try await channel.copy(size, &random, for: domain)
            #expect(copied.isRight, "\(size) bytes: \(String(describing: copied.error))")
        }
        let count = channel.withEngine { $0.figures }.first { $0.name == "interrupts" }?.value
        #expect((count ?? 0) > 0 || !interrupts)
        let (faults, hasLost) = machine.takeFaults()
        #expect(faults == [] && !hasLost)
        #expect(machine.failure == nil)
    }

    /// An EDU that is driven by hand.
    private struct Bare: ~Copyable {
        let window: RegisterWindow
        let device: RunningDevice
        let domain: Domain

        init(_ machine: QTestMachine) throws {
            let device = try QuietDevice(opening: machine.device(at: 5)).start()
            window = try device.window(EDU.registers)
            self.device = device
            domain = Domain(
                name: "bare", constraints: EDUConfiguration().constraints, space: machine.space)
        }

        /// One transfer between the device's buffer and a bus address.
        func transfer(_ direction: EDUDirection, _ address: UInt64, _ count: UInt64) throws {
            let isRead = direction == .memoryToDevice
            window.write(isRead ? address : EDU.buffer, to: EDU.source)
            window.write(isRead ? EDU.buffer : address, to: EDU.destination)
            window.write(count, to: EDU.count)
            window.write(EDUCommand(direction, interrupts: false), to: EDU.command)
            for _ in 0..<2000 {
                if !window.read(EDU.command)[.isRunning] { return }
                device.pause(until: .after(milliseconds: 5))
            }
            throw Late()
        }
    }

    private func filled(_ byte: UInt8, _ domain: Domain, _ direction: Direction) throws -> MappedBuffer {
        var buffer = try Buffer(count: 4096, for: domain)
        buffer.fill([UInt8](repeating: byte, count: 4096))
        return try buffer.mapped(for: domain, direction: direction)
    }

    private func contents(_ buffer: consuming MappedBuffer) throws -> Set<UInt8> {
        let buffer = try buffer.unmap()
        return buffer.withBytes { bytes in
            var found: Set<UInt8> = []
            for index in 0..<bytes.byteCount { unsafe found.insert(bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)) }
            return found
        }
    }

    private func fault(_ machine: QTestMachine, _ address: UInt64, isRead: Bool) {
        let (faults, _) = machine.takeFaults()
        #expect(faults.count == 1, "\(faults)")
        guard let fault = faults.first else { return }
        #expect(fault.page == address & ~0xfff && fault.isRead == isRead, "\(fault)")
        #expect(fault.bus == 0 && fault.slot == 5 && fault.function == 0, "\(fault)")
        #expect(fault.reason == (isRead ? 6 : 5), "\(fault)")
        #expect(fault.description.contains("device 5.0 of bus 0: the page is not mapped for \(isRead ? "reading" : "writing")"))
    }

    @Test("a page is another one for the device: the translation is not the identity")
    func distance() throws {
        // A version of the board, with an option.
        let machine = try machine("pc-q35-7.2,smm=off")
        let bare = try Bare(machine)
        let buffer = try filled(0x11, bare.domain, .toDevice)
        // The machine has 256 MiB, of which the first half is given to devices.
        let address = buffer.iova.rawValue
        #expect(address >= 128 << 20)
        try bare.transfer(.memoryToDevice, address, 4032)
        #expect(machine.takeFaults().faults == [])
        // The machine's own address of the page is none of the device's.
        try bare.transfer(.memoryToDevice, address - 128 << 20, 64)
        fault(machine, address - 128 << 20, isRead: true)
    }

    @Test("an address that was never mapped: the access is refused and recorded")
    func unmapped() throws {
        let machine = try machine()
        let bare = try Bare(machine)
        let address: UInt64 = 200 << 20
        try bare.transfer(.deviceToMemory, address, 512)
        fault(machine, address, isRead: false)
        try bare.transfer(.memoryToDevice, address + 4096, 512)
        fault(machine, address + 4096, isRead: true)
        #expect(machine.takeFaults().faults == [], "a fault is taken twice")
    }

    @Test("a mapping toDevice is not written, and one fromDevice is not read")
    func permissions() throws {
        let machine = try machine()
        let bare = try Bare(machine)
        let source = try filled(0x22, bare.domain, .toDevice)
        let address = source.iova.rawValue
        try bare.transfer(.deviceToMemory, address, 4032)
        fault(machine, address, isRead: false)
        #expect(try contents(source) == [0x22], "the page was written")

        let target = try filled(0x33, bare.domain, .fromDevice)
        let other = target.iova.rawValue
        try bare.transfer(.memoryToDevice, other, 64)
        fault(machine, other, isRead: true)
        // The way that is permitted still works: zeros, as the device's buffer has them.
        try bare.transfer(.deviceToMemory, other, 4032)
        #expect(machine.takeFaults().faults == [])
        #expect(try contents(target).contains(0))
    }

    @Test("after unmap a translation that was in use is not used again")
    func ended() throws {
        let machine = try machine()
        let bare = try Bare(machine)
        for direction in [EDUDirection.memoryToDevice, .deviceToMemory] {
            let buffer = try filled(0x44, bare.domain, .bidirectional)
            let address = buffer.iova.rawValue
            // The unit has now cached it.
            try bare.transfer(direction, address, 64)
            #expect(machine.takeFaults().faults == [])
            let before = try contents(buffer)
            try bare.transfer(direction, address, 64)
            fault(machine, address, isRead: direction == .memoryToDevice)
            #expect(before.count <= 2)
        }
        #expect(machine.failure == nil)
    }

    @Test("a board without that IOMMU is refused before QEMU is started, and too little memory after")
    func refused() {
        let error = #expect(throws: QTestError.self) { _ = try machine("pc") }
        #expect(error?.code == .badConfiguration && error?.cure == "use the board q35")
        var configuration = QTestConfiguration()
        configuration.hasIOMMU = true
        configuration.memory = 2 << 20
        let small = #expect(throws: QTestError.self) { _ = try QTestMachine(configuration) }
        #expect(small?.code == .badConfiguration)
    }
}
