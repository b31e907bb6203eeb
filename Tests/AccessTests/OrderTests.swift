// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMACore
import DMADeviceSide
import DMAInProcessAccess
import DMAPCISpecification
import DMARegisters
import Testing

@Suite("The life of a device")
struct OrderTests {
    private func device(
        _ model: PlainModel = PlainModel(), _ recorder: Recorder? = nil
    ) throws -> InProcessDevice { try InProcessDevice(model, name: "plain", recorder: recorder) }

    /// Whether bits of the command register were written, in their order: true for bus master on.
    private func busMaster(_ events: [AccessEvent]) -> [(place: Int, isOn: Bool)] {
        events.enumerated().compactMap { place, event in
            if case .configurationWrite(PCIOffset.command, 2, let value) = event { (place, value & 4 != 0) } else { nil }
        }
    }

    @Test("bus master off, reset, map, bus master on; stop, bus master off, unmap")
    func order() throws {
        let recorder = Recorder()
        let device = try device(PlainModel(), recorder)
        // What a former owner has left running.
        DeviceConfiguration(device).store(UInt16(6), at: PCIOffset.command)
        recorder.clear()
        do {
            let quiet = try QuietDevice(opening: device)
            #expect(quiet.resetMethod == .transport)
            let ring = try CoherentBuffer(count: 4096, domain: quiet.domain)
            let running = try quiet.start()
            #expect(device.function.isBusMaster)
            switch running.stop(until: .after(milliseconds: 100), { true }) {
            case .stopped(let quiet):
                #expect(!device.function.isBusMaster)
                _ = consume ring
                _ = consume quiet
            case .running(_, let error): Issue.record("\(error)")
            }
        }
        let events = recorder.events
        let masters = busMaster(events)
        let reset = try #require(events.firstIndex(of: .reset))
        let map = try #require(events.firstIndex { if case .map = $0 { true } else { false } })
        let unmap = try #require(events.firstIndex { if case .unmap = $0 { true } else { false } })
        let on = try #require(masters.first { $0.isOn }?.place)
        #expect(masters.filter { $0.isOn }.count == 1)
        let off = try #require(masters.first { !$0.isOn }?.place)
        let offAgain = try #require(masters.first { !$0.isOn && $0.place > on }?.place)
        #expect(events.first == .claim && events.last == .release)
        #expect(off < reset && reset < map && map < on && on < offAgain && offAgain < unmap)
    }

    @Test("a driver that is dropped leaves no bus master on")
    func dropped() throws {
        let recorder = Recorder()
        let device = try device(PlainModel(), recorder)
        do {
            let quiet = try QuietDevice(opening: device)
            let running = try quiet.start()
            recorder.clear()
            _ = consume running
        }
        #expect(!device.function.isBusMaster)
        #expect(recorder.events.contains(.reset))
        #expect(recorder.events.last == .release)
        let again = try QuietDevice(opening: device)
        _ = consume again
    }

    @Test("a start that fails closes the device")
    func startFails() throws {
        let device = try device()
        let quiet = try QuietDevice(opening: device)
        device.function.remove()
        var code: AccessError.Code?
        do throws(AccessError) { _ = try quiet.start().name } catch { code = error.code }
        #expect(code == .gone)
        // Given back: only the one that is pulled out cannot be opened again.
        #expect(throws: AccessError.self) { try Self.open(device) }
    }
    private static func open(_ transport: any DeviceTransport) throws(AccessError) {
        _ = try QuietDevice(opening: transport, resetLimit: .after(milliseconds: 50))
    }

    @Test("a second opener is told that the device is busy, and gets it afterwards")
    func busy() throws {
        let device = try device()
        do {
            let first = try QuietDevice(opening: device)
            let error = #expect(throws: AccessError.self) { try Self.open(device) }
            #expect(error?.code == .busy)
            _ = consume first
        }
        try Self.open(device)
    }

    @Test("all ones after a reset mean not ready, and for longer than the limit, gone")
    func allOnes() throws {
        try Self.open(device(PlainModel(allOnesAfterReset: 20)))
        let stuck = try device(PlainModel(allOnesAfterReset: .max))
        let error = #expect(throws: AccessError.self) { try Self.open(stuck) }
        #expect(error?.code == .notReady)
        // It is given back.
        stuck.function.answerAllOnes(0)
        let again = #expect(throws: AccessError.self) { try Self.open(stuck) }
        #expect(again?.code == .notReady)
    }

    @Test("a device that does not stop is kept, and can be stopped later")
    func doesNotStop() throws {
        let device = try device()
        let running = try Self.running(device)
        switch running.stop(until: .after(milliseconds: 10), { false }) {
        case .stopped: Issue.record("stopped without a proof")
        case .running(let running, let error):
            #expect(error.code == .notStopped)
            #expect(device.function.isBusMaster)
            switch running.stop(until: .after(milliseconds: 10), { true }) {
            case .stopped: #expect(!device.function.isBusMaster)
            case .running(_, let error): Issue.record("\(error)")
            }
        }
    }
    private static func running(_ transport: any DeviceTransport) throws(AccessError) -> RunningDevice {
        let quiet = try QuietDevice(opening: transport)
        return try quiet.start()
    }

    @Test("a restart has the bus master off until the device is proved idle, and arms interrupts again")
    func restart() throws {
        let recorder = Recorder()
        let device = try device(PlainModel(), recorder)
        let quiet = try QuietDevice(opening: device)
        try quiet.enableInterrupts(preferring: [.msi]) { _ in }
        let running = try quiet.start()
        recorder.clear()
        var asked = 0
        try running.restart(by: .after(milliseconds: 500)) {
            asked += 1
            #expect(!device.function.isBusMaster)
            return asked == 3
        }
        #expect(device.function.isBusMaster && device.function.usesMessages)
        let masters = busMaster(recorder.events)
        let reset = try #require(recorder.events.firstIndex(of: .reset))
        #expect(masters.first?.isOn == false && (masters.first?.place ?? .max) < reset && masters.last?.isOn == true)
        let error = #expect(throws: AccessError.self) { try running.restart(by: .after(milliseconds: 5)) { false } }
        #expect(error?.code == .notStopped)
        #expect(!device.function.isBusMaster)
    }

    @Test("registers: what is there, what is not, and what is decoded")
    func windows() throws {
        let model = PlainModel()
        let device = try device(model)
        let quiet = try QuietDevice(opening: device)
        let window = try quiet.window(0, atLeast: 64)
        #expect(window.count == 4096)
        #expect(try quiet.window(2).count == 65_536)
        #expect(throws: AccessError.self) { _ = try quiet.window(0, atLeast: 4097).count }
        #expect(throws: AccessError.self) { _ = try quiet.window(1).count }
        // Posted: the device sees a write that is no doorbell when something is read.
        window.store(UInt32(7), at: 16)
        #expect(model.words[16] == nil)
        #expect(window.load(16, as: UInt32.self) == 7)
        #expect(model.words[16] == 7)
        window.store(UInt32(8), at: 20)
        window.flush()
        #expect(model.words[20] == 8)
        window.store(UInt32(9), at: 24, isDoorbell: true)
        #expect(model.words[24] == 9)
        // Of a device that does not decode its memory, all is ones, and writes are lost.
        quiet.configuration.store(UInt16(0), at: PCIOffset.command)
        #expect(window.load(16, as: UInt32.self) == .max)
        window.store(UInt32(1), at: 16, isDoorbell: true)
        quiet.configuration.store(UInt16(2), at: PCIOffset.command)
        #expect(window.load(16, as: UInt32.self) == 7)
    }

    @Test("a model's base address registers are sized as a device's are")
    func sizes() throws {
        let device = try device()
        let configuration = DeviceConfiguration(device)
        let bases = try BaseAddress.sizes(configuration, count: 6) { configuration.store($1, at: $0) }
        #expect(bases.map(\.index) == [0, 2] && bases.map(\.count) == [4096, 65_536])
        #expect(bases.map(\.space) == [.memory32, .memory64])
    }

    @Test("a device whose configuration space does not keep the bit is refused")
    func bitDoesNotStay() throws {
        let inner = try device()
        let error = #expect(throws: AccessError.self) { _ = try Self.running(StubbornTransport(inner)) }
        #expect(error?.code == .badConfiguration)
        #expect(error?.detail.contains("switched on") == true)
        try Self.open(inner)
    }
}

/// A device that takes every write of its command register but the bit for the bus master.
final class StubbornTransport: DeviceTransport {
    private let inner: InProcessDevice
    init(_ inner: InProcessDevice) { self.inner = inner }

    var name: String { inner.name }
    var space: AddressSpace { inner.space }
    var goneReason: String? { inner.goneReason }
    var isDead: Bool { inner.isDead }
    func claim() throws(AccessError) { try inner.claim() }
    func release() { inner.release() }
    func reset(by deadline: Deadline) throws(AccessError) -> ResetMethod { try inner.reset(by: deadline) }
    var configurationCount: Int { inner.configurationCount }
    func readConfiguration(_ offset: Int, _ width: AccessWidth) -> UInt32 { inner.readConfiguration(offset, width) }
    func writeConfiguration(_ value: UInt32, _ offset: Int, _ width: AccessWidth) {
        inner.writeConfiguration(offset == PCIOffset.command ? value & ~4 : value, offset, width)
    }
    func regions() throws(AccessError) -> [DeviceRegion] { try inner.regions() }
    func interruptCount(_ kind: InterruptKind) -> Int { inner.interruptCount(kind) }
    func enableInterrupts(
        _ kind: InterruptKind, count: Int, _ handler: @escaping InterruptHandler
    ) throws(AccessError) { try inner.enableInterrupts(kind, count: count, handler) }
    func rearmInterrupts() throws(AccessError) { try inner.rearmInterrupts() }
    func disableInterrupts() throws(AccessError) { try inner.disableInterrupts() }
    var deliversInterrupts: Bool { inner.deliversInterrupts }
    func look() { inner.look() }
    func pause(until deadline: Deadline) { inner.pause(until: deadline) }
}
