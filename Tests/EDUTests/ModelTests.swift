// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMACore
import DMADeviceSide
import DMAEDUEngine
import DMAEDUModel
import DMAEDURig
import DMAEDUSpecification
import DMAEngineKit
import DMAInProcessAccess
import DMARegisters
import DMATestSupport
import Testing

@Suite("EDU: the driver on the model")
struct ModelTests {
    private static let sizes = [1, 2, 3, 7, 8, 63, 64, 100, 4095, 4096, 4097, 8192, 10_000, 65_536]

    @Test("copies of many sizes, byte for byte", arguments: [false, true])
    func sizes(_ threaded: Bool) async throws {
        let rig = try Rig(pace: threaded ? .threaded : .stepped)
        let engine = try rig.engine()
        let domain = engine.domain
        #expect((engine.interruptLine != nil) == threaded)
        var channel = try EDUChannel(engine, domain: domain)
        var random = Seeded("sizes")
        for size in Self.sizes {
            let copied = try await channel.copy(size, &random, for: domain)
            #expect(copied.isRight, "\(size) bytes: \(String(describing: copied.error))")
        }
        #expect(rig.device.function.violations == [])
        #expect(rig.model.transfers == UInt64(Self.sizes.reduce(0) { $0 + 2 * (($1 + 4031) / 4032) }))
        #expect(channel.faults.total == 0)
    }

    @Test("the device's interrupts are counted: one for each half of each piece that was asked for", arguments: [true, false])
    func interrupts(_ messages: Bool) async throws {
        let rig = try Rig(EDUModel(hasMessages: messages), pace: .threaded)
        let engine = try rig.engine()
        let domain = engine.domain
        var channel = try EDUChannel(engine, domain: domain)
        var random = Seeded("interrupts")
        let copied = try await channel.copy(10_000, &random, for: domain)
        #expect(copied.isRight)
        #expect(rig.device.function.interrupts == 6)
        // One for the client, whose transaction it was.
        let count = channel.withEngine { $0.interruptLine?.count }
        #expect(count == 1)
    }

    @Test("28 address lines, without an IOMMU: memory beyond them is bounced, and counted")
    func bounces() async throws {
        let rig = try Rig(addressing: .identity)
        let engine = try rig.engine()
        let domain = engine.domain
        var channel = try EDUChannel(engine, domain: domain)
        var random = Seeded("bounces")
        let near = try await channel.copy(5000, &random, for: domain)
        #expect(near.isRight && !near.wasBounced)
        #expect(domain.statistics.bounces == 0)
        let far = try await channel.copy(5000, &random, for: domain, foreign: true)
        #expect(far.isRight && far.wasBounced)
        #expect(domain.statistics.bounces == 2)
        #expect(rig.device.function.violations == [])
    }

    @Test("the order of a transfer: what it is about, a barrier, the doorbell")
    func order() async throws {
        let recorder = Recorder()
        let rig = try Rig(recorder: recorder)
        let engine = try rig.engine()
        let domain = engine.domain
        var channel = try EDUChannel(engine, domain: domain)
        var random = Seeded("order")
        recorder.clear()
        let copied = try await channel.copy(4, &random, for: domain)
        #expect(copied.isRight)
        let events = recorder.events
        let written = events.filter { event in
            switch event {
            case .write, .doorbell, .barrier, .refused: true
            default: false
            }
        }
        try #require(written.count == 10)
        guard case .write(0, 0x80, 8, let source) = written[0], case .write(0, 0x88, 8, let target) = written[6] else {
            Issue.record("\(written)")
            return
        }
        #expect(
            written == [
                .write(0, 0x80, 8, source), .write(0, 0x88, 8, EDU.buffer), .write(0, 0x90, 8, 4), .barrier,
                .doorbell(0, 0x98, 8, 1), .write(0, 0x80, 8, EDU.buffer), .write(0, 0x88, 8, target),
                .write(0, 0x90, 8, 4), .barrier, .doorbell(0, 0x98, 8, 3),
            ])
        let unmap = try #require(events.firstIndex { if case .unmap = $0 { true } else { false } })
        let lastDoorbell = try #require(events.lastIndex(of: .doorbell(0, 0x98, 8, 3)))
        #expect(lastDoorbell < unmap)
    }

    @Test("a second driver is told that the device is busy; 100 times open, copy, close")
    func opening() async throws {
        let rig = try Rig()
        var random = Seeded("opening")
        for round in 0..<100 {
            let engine = try rig.engine()
            if round == 0 {
                let error = #expect(throws: AccessError.self) { _ = try rig.engine().capabilities }
                #expect(error?.code == .busy)
            }
            let domain = engine.domain
            var channel = try EDUChannel(engine, domain: domain)
            let copied = try await channel.copy(100, &random, for: domain)
            #expect(copied.isRight, "round \(round)")
        }
        #expect(!rig.device.function.isBusMaster)
    }

    @Test("a device that is no EDU, a channel of an impossible depth, and no device")
    func refused() throws {
        let rig = try Rig()
        for depth in [0, 3, 512, -1] {
            var configuration = Rig.configuration
            configuration.depth = depth
            let error = #expect(throws: AccessError.self) { _ = try rig.engine(configuration).capabilities }
            #expect(error?.code == .badConfiguration)
        }
        rig.device.function.remove()
        let error = #expect(throws: AccessError.self) { _ = try rig.engine().capabilities }
        #expect(error?.code == .absent)
    }

    @Test("a transfer of a former owner ends before the bus master is on")
    func formerOwner() throws {
        let rig = try Rig(EDUModel(delay: 40))
        // As one that was killed in the middle of a copy has left it: no reset by the way, and it runs.
        let engine = try Self.leaveRunning(rig)
        let domain = engine.domain
        var channel = try Channel(engine, domain: domain, of: Pair<MappedBuffer, MappedBuffer>.self)
        var source = try Buffer(count: 4096, for: domain)
        source.fill([UInt8](repeating: 0x5a, count: 4096))
        let from = try source.mapped(for: domain, direction: .toDevice)
        let to = try Buffer(count: 4096, for: domain).mapped(for: domain, direction: .fromDevice)
        _ = try channel.submit(.copy(), Pair(from, to)).get()
        channel.issuePending()
        // By looks alone: each is a step of the model.
        for _ in 0..<1000 {
            guard let finished = channel.next() else { continue }
            let status = finished.status
            #expect(status == .complete)
            let last = try finished.cargo.second.withCPUAccess { bytes throws(DMAError) in
                try bytes.load(at: 4095, as: UInt8.self)
            }
            #expect(last == 0x5a)
            return
        }
        throw Late()
    }
    private static func leaveRunning(_ rig: Rig) throws -> EDUEngine {
        var configuration = Rig.configuration
        // So many steps take a while where each is a turn of a task.
        configuration.patience = .seconds(60)
        return try EDUEngine(opening: Unresettable(rig.device), configuration)
    }

    @Test("what the device can do beside copies: a factorial, as its registers have it")
    func factorial() throws {
        let rig = try Rig()
        let quiet = try QuietDevice(opening: rig.device)
        let window = try quiet.window(EDU.registers)
        window.write(5, to: EDU.factorial)
        while window.read(EDU.status)[.isComputing] {}
        #expect(window.read(EDU.factorial) == 120)
        window.write(0x0f0f_0f0f, to: EDU.liveness)
        #expect(window.read(EDU.liveness) == 0xf0f0_f0f0)
        // Accesses of a width that it does not decode.
        #expect(window.load(0, as: UInt8.self) == .max)
        #expect(window.load(0x20, as: UInt64.self) == .max)
        window.store(UInt8(1), at: 4, isDoorbell: true)
        #expect(rig.device.function.violationCount == 1)
    }

    @Test("the model reports what a driver must not do, and moves nothing")
    func violations() throws {
        let rig = try Rig()
        let quiet = try QuietDevice(opening: rig.device)
        let ring = try CoherentBuffer(count: 8192, domain: quiet.domain)
        let running = try quiet.start()
        let window = try Self.window(running)
        func transfer(_ source: UInt64, _ target: UInt64, _ count: UInt64, _ direction: EDUDirection) {
            window.write(source, to: EDU.source)
            window.write(target, to: EDU.destination)
            window.write(count, to: EDU.count)
            window.write(EDUCommand(direction, interrupts: false), to: EDU.command)
            for _ in 0..<10 where window.read(EDU.command)[.isRunning] {}
        }
        let address = ring.iova.rawValue
        transfer(address, EDU.buffer - 1, 4, .memoryToDevice)
        transfer(address, EDU.buffer + 4000, 97, .memoryToDevice)
        transfer(EDU.buffer, address, 4097, .deviceToMemory)
        transfer(.max, address, 1, .deviceToMemory)
        #expect(rig.device.function.violations.count == 4)
        transfer(address | 1 << 40, EDU.buffer, 4, .memoryToDevice)
        #expect(rig.device.function.violations.last?.contains("beyond the address lines") == true)
        #expect(rig.device.function.refusedTransfers == 0)
        transfer(0x0bad_0000, EDU.buffer, 4, .memoryToDevice)
        #expect(rig.device.function.refusedTransfers == 1)
        window.write(EDUCommand(.memoryToDevice, interrupts: false), to: EDU.command)
        window.write(0, to: EDU.source)
        window.flush()
        #expect(rig.device.function.violations.last == "source written while a transfer runs")
    }
    private static func window(_ device: borrowing RunningDevice) throws(AccessError) -> RegisterWindow {
        try device.window(EDU.registers)
    }
}
