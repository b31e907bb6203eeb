// SPDX-License-Identifier: Apache-2.0

import CDMA
import DMAAccess
import DMACore
import DMARegisters
import DMATypes
import Testing

@testable import DMAVFIOAccess

/// What a handler was called with.
final class Calls: Sendable {
    private let seen = Locked<[Int]>([])
    var vectors: [Int] { seen.withLock { $0 } }
    func note(_ cause: InterruptCause) { if case .vector(let vector) = cause { seen.withLock { $0.append(vector) } } }

    /// Waits at most ten seconds until so many have come.
    func wait(_ count: Int) -> Bool { waits { self.vectors.count >= count } }
}

/// Waits at most ten seconds.
func waits(_ body: () -> Bool) -> Bool {
    let deadline = Deadline.after(milliseconds: 10_000)
    while !body() {
        guard Deadline.now < deadline else { return false }
        cdma_sleep_until(Deadline.after(nanoseconds: 200_000).nanoseconds)
    }
    return true
}

struct NoPart: Error {}

@Suite("VFIO: registers, interrupts, reset")
struct DeviceTests {
    private func device(_ kernel: ScriptedKernel) throws -> VFIODevice {
        try VFIODevice(ScriptedKernel.address, by: nil, kernel)
    }

    // MARK: Registers

    @Test("a region that may be mapped is, as a whole; one that may not is read and written by the descriptor")
    func windows() throws {
        let kernel = ScriptedKernel()
        let quiet = try QuietDevice(opening: device(kernel))
        let window = try quiet.window(0, atLeast: 16_384)
        let isMapped = window.isMapped
        #expect(isMapped && kernel.log.contains("map 0 16384"))
        window.store(UInt64(0x1122_3344_5566_7788), at: 8)
        let (upper, beyond) = (window.load(12, as: UInt32.self), window.load(16_384, as: UInt32.self))
        #expect(upper == 0x1122_3344 && beyond == .max)

        let plain = self.plain(flags: 3)
        let other = try QuietDevice(opening: device(plain))
        let registers = try other.window(0)
        let isPlain = !registers.isMapped
        #expect(isPlain)
        registers.store(UInt64(0x1122_3344_5566_7788), at: 8)
        #expect(plain.with { Array($0.registers[8..<16]) } == [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11])
        let (wide, byte) = (registers.load(8, as: UInt64.self), registers.load(13, as: UInt8.self))
        #expect(wide == 0x1122_3344_5566_7788 && byte == 0x33)
        plain.with { $0.isGone = true }
        let (word, both) = (registers.load(8, as: UInt32.self), registers.load(8, as: UInt64.self))
        #expect(word == .max && both == .max)
    }

    private func plain(flags: UInt32) -> ScriptedKernel {
        scripted { $0.answers["region 0"] = ScriptedKernel.region(flags, 16_384, 0) }
    }

    @Test("sparse areas: a part inside of one is mapped, others are messages; the capability stands anywhere in the chain")
    func sparse() throws {
        let areas = ScriptedKernel.areasEntry([(0x1000, 0x1000), (0x3000, 0x1000)])
        for chain in [[areas], [(7, [1]), areas], [areas, (3, [])]] as [[ScriptedKernel.Entry]] {
            let kernel = scripted { $0.answers["region 0"] = ScriptedKernel.region(7, 16_384, 0, chain: chain) }
            let quiet = try QuietDevice(opening: device(kernel))
            let window = try quiet.window(0)
            let isWhole = window.isMapped
            #expect(!isWhole)
            #expect(kernel.log.filter { $0.hasPrefix("map ") } == ["map 4096 4096", "map 12288 4096"])
            guard let bells = window.part(at: 0x1000, count: 0x1000) else { throw NoPart() }
            guard let some = window.part(at: 0x3010, count: 16) else { throw NoPart() }
            guard let across = window.part(at: 0x1800, count: 0x1000) else { throw NoPart() }
            guard let before = window.part(at: 0, count: 0x1000) else { throw NoPart() }
            let mapped = [bells.isMapped, some.isMapped, across.isMapped, before.isMapped]
            #expect(mapped == [true, true, false, false])
            bells.store(UInt32(77), at: 0x20)
            guard let again = window.part(at: 0x1020, count: 8) else { throw NoPart() }
            let rung = again.load(0, as: UInt32.self)
            #expect(rung == 77)
            before.store(UInt32(78), at: 0x20)
            #expect(kernel.with { $0.registers[0x20] } == 78)
        }
    }

    @Test("areas outside of the region, or over each other, are refused; what is read-only is not mapped")
    func badAreas() throws {
        for areas in [[(0x3000, 0x1001)], [(0, 0x2000), (0x1000, 0x1000)], [(.max, 1)], [(0x1000, .max)]]
            as [[(UInt64, UInt64)]]
        {
            let chain = [ScriptedKernel.areasEntry(areas)]
            let error = opening(scripted { $0.answers["region 0"] = ScriptedKernel.region(7, 16_384, 0, chain: chain) })
            #expect(error?.code == .badConfiguration, "\(areas)")
        }
        let kernel = plain(flags: 5)
        let quiet = try QuietDevice(opening: device(kernel))
        let window = try quiet.window(0)
        let isMapped = window.isMapped
        #expect(!isMapped)
        window.store(UInt32(1), at: 0)
        #expect(kernel.with { $0.registers[0] } == 0)
    }

    @Test("while registers are mapped, memory stays decoded and the function stays out of D3hot")
    func decoding() throws {
        let kernel = ScriptedKernel()
        let quiet = try QuietDevice(opening: device(kernel))
        let configuration = quiet.configuration
        for width in 0..<3 {
            switch width {
            case 0: configuration.store(UInt8(0), at: 4)
            case 1: configuration.store(UInt16(0), at: 4)
            default: configuration.store(UInt32(0), at: 4)
            }
            #expect(configuration.load(4, as: UInt16.self) & 2 == 2)
        }
        configuration.store(UInt16(3), at: 0x54)
        #expect(configuration.load(0x54, as: UInt16.self) & 3 == 0)
        configuration.store(UInt16(0x8001), at: 0x54)
        #expect(configuration.load(0x54, as: UInt16.self) == 0x8001)
    }

    // MARK: Interrupts

    @Test("each vector reaches the handler; what is switched off does not", arguments: [InterruptKind.msi, .msix])
    func vectors(_ kind: InterruptKind) throws {
        let kernel = ScriptedKernel()
        let quiet = try QuietDevice(opening: device(kernel))
        let index: UInt32 = kind == .msi ? 1 : 2
        let calls = Calls()
        let count = quiet.interruptCount(kind)
        #expect(count == Int(index) * 4)
        try quiet.enableInterrupts(4, preferring: [kind]) { calls.note($0) }
        for vector in [0, 3, 1] {
            let before = calls.vectors.count
            kernel.fire(index, vector)
            #expect(calls.wait(before + 1))
        }
        #expect(calls.vectors == [0, 3, 1])
        var failure: AccessError?
        do throws(AccessError) { try quiet.enableInterrupts(9, preferring: [kind]) { _ in } } catch { failure = error }
        #expect(failure?.code == .noInterrupts)
    }

    @Test(
        "fired under a mask 1, 2 and 100 times: pending, and one call when the mask goes", arguments: [1, 2, 100],
        [true, false])
    func masks(_ count: Int, _ all: Bool) throws {
        let kernel = ScriptedKernel()
        let device = try device(kernel)
        let quiet = try QuietDevice(opening: device)
        let calls = Calls()
        try quiet.enableInterrupts(2, preferring: [.msix]) { calls.note($0) }
        device.setMasked(true, vector: all ? nil : 1)
        for _ in 0..<count { kernel.fire(2, 1) }
        #expect(waits { device.isPending(1) })
        if !all {
            kernel.fire(2, 0)
            #expect(calls.wait(1))
        }
        #expect(!device.isPending(0))
        let before = calls.vectors
        #expect(before == (all ? [] : [0]))
        device.setMasked(false, vector: all ? nil : 1)
        #expect(calls.wait(before.count + 1))
        #expect(calls.vectors == before + [1] && !device.isPending(1))
        // Nothing is left of it.
        kernel.fire(2, 0)
        #expect(calls.wait(before.count + 2))
        #expect(calls.vectors == before + [1, 0])
    }

    @Test("INTx is unmasked when its handler has returned, and stays masked under a mask")
    func level() throws {
        let kernel = ScriptedKernel()
        let device = try device(kernel)
        let quiet = try QuietDevice(opening: device)
        let calls = Calls()
        try quiet.enableInterrupts(1, preferring: [.intx]) { calls.note($0) }
        kernel.fire(0)
        #expect(waits { kernel.with { $0.unmasked } == 1 })
        #expect(calls.vectors == [0])
        device.setMasked(true, vector: 0)
        kernel.fire(0)
        #expect(waits { device.isPending(0) })
        #expect(kernel.with { $0.unmasked } == 1 && calls.vectors == [0])
        device.setMasked(false, vector: 0)
        #expect(waits { kernel.with { $0.unmasked } == 2 })
        #expect(calls.vectors == [0, 0])
    }

    @Test(
        "the kernel's request and a fatal error end the device: the reason stays, and it is not opened again",
        arguments: [3, 4])
    func askedBack(_ index: UInt32) throws {
        let kernel = ScriptedKernel()
        let device = try device(kernel)
        do {
            let quiet = try QuietDevice(opening: device)
            #expect(device.goneReason == nil)
            kernel.fire(index)
            #expect(waits { device.goneReason != nil })
            #expect(device.goneReason?.contains(index == 3 ? "AER" : "asks for it back") == true)
            _ = quiet.name
        }
        #expect(kernel.opened == 0)
        var failure: AccessError?
        do throws(AccessError) { _ = try QuietDevice(opening: device) } catch { failure = error }
        #expect(failure?.code == .gone)
        #expect(opening(kernel) == nil)
    }

    @Test("a conventional PCI function, whose link reports no errors, and an old kernel without requests")
    func fewInterrupts() throws {
        let kernel = scripted { state in
            for index in [0, 3, 4] { state.answers["interrupt \(index)"] = nil }
        }
        let device = try device(kernel)
        let quiet = try QuietDevice(opening: device)
        #expect(kernel.with { $0.events.isEmpty })
        let (pins, messages) = (quiet.interruptCount(.intx), quiet.interruptCount(.msi))
        #expect(pins == 0 && messages == 4)
    }

    @Test("100 openings leave no descriptor and no thread")
    func openings() throws {
        let kernel = ScriptedKernel()
        let device = try device(kernel)
        func descriptors() -> Int { RunningKernel.shared.names(in: "/proc/self/fd")?.count ?? -1 }
        _ = try QuietDevice(opening: device)
        let before = descriptors()
        for _ in 0..<100 {
            let quiet = try QuietDevice(opening: device)
            try quiet.enableInterrupts(2, preferring: [.msix]) { _ in }
        }
        // Other tests of this process open and close at the same time; what leaks here leaks a hundred times.
        #expect(waits { descriptors() < before + 100 })
        #expect(kernel.opened == 0)
    }

    // MARK: Reset

    @Test("a reset that another one delays is tried again until the limit; what the kernel refuses is an error")
    func resets() throws {
        let kernel = scripted { $0.resetError = 11 }
        #expect(opening(kernel)?.code == .refused)
        #expect(kernel.log.filter { $0 == "reset" }.count > 10)
        #expect(opening(scripted { $0.resetError = 5 })?.detail.contains("reset it") == true)
    }

    @Test("without a reset of its own: the bus is reset where it is alone there, and never with another device")
    func hotResets() throws {
        func entry(_ bus: UInt32, _ function: UInt32) -> [UInt32] { [7, bus << 16 | function << 24] }
        func method(_ devices: [[UInt32]]?, error: Int32 = 0) throws -> String {
            let kernel = scripted { state in
                state.answers["device"] = ScriptedKernel.words([0, 2, 9, 5])
                state.answers["hotReset"] = devices.map { devices in
                    ScriptedKernel.words([0, 0, UInt32(devices.count)] + devices.flatMap { $0 })
                }
                state.hotResetError = error
            }
            let quiet = try QuietDevice(opening: device(kernel))
            let method = quiet.resetMethod
            return "\(method)" + (kernel.log.contains { $0.hasPrefix("hot reset") } ? ", tried" : "")
        }
        #expect(try method([entry(1, 0)]) == "bus, tried")
        #expect(try method([entry(1, 0), entry(1, 1)]) == "none")
        #expect(try method([entry(2, 0)]) == "none")
        #expect(try method([]) == "none")
        #expect(try method(nil) == "none")
        #expect(try method([entry(1, 0)], error: 1) == "none, tried")
    }

    @Test("what is no PCI function, or has too few regions or a short configuration space, does not open")
    func noFunction() {
        for words in [[0, 4, 9, 5], [0, 3, 7, 5], [0, 0, 0, 0]] as [[UInt32]] {
            #expect(opening(scripted { $0.answers["device"] = ScriptedKernel.words(words) })?.code == .badConfiguration)
        }
        #expect(
            opening(scripted { $0.answers["region 7"] = ScriptedKernel.region(3, 128, 7) })?.code == .badConfiguration)
        #expect(opening(scripted { $0.isGone = true }) != nil)
    }
}
