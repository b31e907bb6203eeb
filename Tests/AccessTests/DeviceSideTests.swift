// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMACore
import DMADeviceSide
import DMADriverKit
import DMAInProcessAccess
import DMAPCISpecification
import DMARegisters
import Synchronization
import Testing

@Suite("The device's side")
struct DeviceSideTests {
    /// Vectors that a driver was told of.
    private final class Vectors: Sendable {
        private let all = Mutex<[Int]>([])
        var list: [Int] { all.withLock { $0 } }
        func add(_ cause: InterruptCause) { if case .vector(let vector) = cause { all.withLock { $0.append(vector) } } }
    }

    private func bytes(_ function: DeviceFunction, _ address: UInt64, _ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        try function.read(IOVA(address), into: &raw)
        return bytes
    }

    @Test("memory is reached where it is mapped, as it is mapped, and with the bus master on")
    func memory() throws {
        let device = try InProcessDevice(PlainModel(), name: "plain")
        let function = device.function
        let quiet = try QuietDevice(opening: device)
        var buffer = try Buffer(count: 4096)
        try buffer.store(UInt32(0x1122_3344))
        let source = try buffer.mapped(for: quiet.domain, direction: .toDevice)
        let address = source.iova.rawValue
        // Off: nothing.
        #expect(throws: DMAError.self) { try bytes(function, address, 4) }
        #expect(function.refusedTransfers == 1)
        let running = try quiet.start()
        #expect(try bytes(function, address, 4) == [0x44, 0x33, 0x22, 0x11])
        // Read only.
        let two: [UInt8] = [1, 2]
        #expect(throws: DMAError.self) { unsafe try function.write(two.span.bytes, at: IOVA(address)) }
        // Beyond the mapping, and where nothing is.
        #expect(throws: DMAError.self) { try bytes(function, address + 4094, 4) }
        #expect(throws: DMAError.self) { try bytes(function, 0xdead_0000, 1) }
        #expect(function.refusedTransfers == 4)
        let status = running.configuration.read(DeviceConfiguration.status)
        #expect(status[.receivedMasterAbort])
        running.configuration.clear(status, in: DeviceConfiguration.status)
        #expect(!running.configuration.read(DeviceConfiguration.status)[.receivedMasterAbort])
        let back = try source.unmap()
        #expect(try back.load(as: UInt32.self) == 0x1122_3344)
        #expect(throws: DMAError.self) { try bytes(function, address, 1) }
    }

    @Test("a vector that fires while it is masked is pending, and unmasking delivers exactly one", arguments: [1, 2, 100])
    func masked(_ times: Int) throws {
        let device = try InProcessDevice(PlainModel(), name: "plain")
        let vectors = Vectors()
        let quiet = try QuietDevice(opening: device)
        try quiet.enableInterrupts(4, preferring: [.msi]) { vectors.add($0) }
        let running = try quiet.start()
        let capability = try #require(try PCICapability.list(running.configuration).first(PCICapability.msi))
        let msi = try MSI(running.configuration, capability)
        let (mask, pending) = (try #require(msi.mask), try #require(msi.pending))
        running.configuration.store(UInt32(4), at: mask)
        for _ in 0..<times { device.function.fire(2) }
        device.function.fire(1)
        running.look()
        #expect(vectors.list == [1])
        #expect(running.configuration.load(pending, as: UInt32.self) == 4)
        running.configuration.store(UInt32(0), at: mask)
        running.look()
        #expect(vectors.list == [1, 2])
        #expect(running.configuration.load(pending, as: UInt32.self) == 0)
        // Vectors that there are not, and none with the bus master off.
        device.function.fire(4)
        device.function.fire(-1)
        let isOff = running.switchOff()
        #expect(isOff)
        device.function.fire(0)
        running.look()
        #expect(vectors.list == [1, 2])
        #expect(device.function.lostInterrupts == 1)
    }

    @Test("INTx is delivered once for each rise, and held back by the command register")
    func intx() throws {
        let device = try InProcessDevice(PlainModel(), name: "plain")
        let vectors = Vectors()
        let quiet = try QuietDevice(opening: device)
        try quiet.enableInterrupts(preferring: [.intx]) { vectors.add($0) }
        device.function.setINTx(true)
        device.function.setINTx(true)
        quiet.look()
        #expect(vectors.list == [0])
        device.function.setINTx(false)
        quiet.configuration.modify(DeviceConfiguration.command) { $0[.disablesINTx] = true }
        device.function.setINTx(true)
        quiet.look()
        #expect(vectors.list == [0])
        quiet.configuration.modify(DeviceConfiguration.command) { $0[.disablesINTx] = false }
        quiet.look()
        #expect(vectors.list == [0, 0])
    }

    @Test("interrupts that the device does not have are refused")
    func none() throws {
        let device = try InProcessDevice(PlainModel(msiVectors: 2), name: "plain")
        let quiet = try QuietDevice(opening: device)
        #expect(quiet.interruptCount(.msix) == 0 && quiet.interruptCount(.msi) == 2)
        for (count, kinds) in [(1, [InterruptKind.msix]), (3, [.msi, .intx]), (0, [.msi]), (1, [])] {
            let error = #expect(throws: AccessError.self) { try quiet.enableInterrupts(count, preferring: kinds) { _ in } }
            #expect(error?.code == .noInterrupts)
        }
    }

    @Test("a function level reset by the configuration space, and what is left of it")
    func functionReset() throws {
        let model = PlainModel(hasFunctionReset: true)
        let device = try InProcessDevice(model, name: "plain")
        let quiet = try QuietDevice(opening: device)
        #expect(quiet.resetMethod == .function)
        let capability = try #require(try PCICapability.list(quiet.configuration).first(PCICapability.pciExpress))
        let express = try PCIExpress(quiet.configuration, capability)
        #expect(express.hasFunctionReset)
        let window = try quiet.window(0)
        window.store(UInt32(1), at: 0, isDoorbell: true)
        #expect(!model.words.isEmpty)
        quiet.configuration.store(UInt16(0x8000), at: express.deviceControl)
        #expect(model.words.isEmpty)
        #expect(quiet.configuration.read(DeviceConfiguration.command).word == 0)
    }

    @Test("violations are kept up to a number, and all counted")
    func violations() {
        let function = DeviceFunction(FunctionDescription(vendor: 1, device: 1))
        for number in 0..<300 { function.report("number \(number)") }
        #expect(function.violations.count == 256 && function.violationCount == 300)
    }
}
