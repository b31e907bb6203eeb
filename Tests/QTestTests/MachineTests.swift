// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMACore
import DMAPCISpecification
import DMAQTestAccess
import DMARegisters
import DMATestSupport
import Foundation
import Testing

@Suite(
    "qtest: real machines", .serialized, .enabled(if: Machine.hasQEMU, Comment(rawValue: Machine.withoutQEMU)))
struct MachineTests {
    @Test("a machine's devices, and QEMU's version", arguments: ["q35", "pc"])
    func devices(_ board: String) throws {
        var configuration = QTestConfiguration(devices: ["edu,addr=5"])
        configuration.machine = board
        let machine = try QTestMachine(configuration)
        #expect(machine.version.split(separator: ".").count >= 2)
        let found = machine.devices()
        #expect(found.contains { $0.slot == 0 && $0.vendor == 0x8086 })
        #expect(found.contains { $0.slot == 5 && $0.vendor == 0x1234 && $0.device == 0x11e8 })
        #expect(machine.failure == nil)
        // By the mapped space and by ports, the header is the same.
        let quiet = try QuietDevice(opening: machine.device(at: 5))
        #expect(quiet.header.classCode == 0x00ff00 && quiet.header.revision == 0x10)
        #expect(quiet.configuration.count == (board == "q35" ? 4096 : 256))
        #expect(try PCICapability.extendedList(quiet.configuration) == [])
        #expect(try PCICapability.list(quiet.configuration).map(\.id) == [PCICapability.msi])
        #expect(quiet.interruptCount(.msi) == 1 && quiet.interruptCount(.msix) == 0)
        #expect(quiet.interruptCount(.intx) == (board == "q35" ? 1 : 0))
        #expect(try quiet.window(0).count == 1 << 20)
    }

    @Test("QEMU ends with its machine: no zombie, no descriptor; and dies with the thread that holds it")
    func ends() throws {
        let before = Own.descriptors
        var process: Int32?
        do {
            let machine = try QTestMachine()
            process = machine.processIdentifier
            let number = try #require(process)
            #expect(Own.runs(number))
            // It has what it was given, and no more: its own, the socket, memory, and ROM.
            let links = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(number)/fd").compactMap {
                try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(number)/fd/\($0)")
            }
            let own = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").compactMap {
                try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)")
            }
            let shared = links.filter { $0.hasPrefix("/") && own.contains($0) && !$0.hasPrefix("/memfd:") && $0 != "/dev/null" }
            #expect(shared == [])
            let status = try String(contentsOfFile: "/proc/\(number)/status", encoding: .utf8)
            #expect(status.contains("qemu"))
        }
        let number = try #require(process)
        #expect(!Own.exists(number))
        #expect(Own.waits { Own.descriptors <= before })
    }

    @Test("QEMU killed from outside: reads are all ones, opening says why, waits end")
    func killed() throws {
        let machine = try QTestMachine(QTestConfiguration(devices: ["edu,addr=5"]))
        let quiet = try QuietDevice(opening: machine.device(at: 5))
        let window = try quiet.window(0)
        #expect(window.load(0, as: UInt32.self) == 0x0100_00ed)
        let number = try #require(machine.processIdentifier)
        kill(number, SIGKILL)
        #expect(Own.waits { !Own.exists(number) })
        #expect(window.load(0, as: UInt32.self) == .max)
        window.store(UInt32(1), at: 4)
        window.flush()
        #expect(machine.failure?.code == .ended)
        #expect(machine.failure?.detail.contains("signal 9") == true)
        var code: AccessError.Code?
        do throws(AccessError) { _ = try quiet.start().name } catch { code = error.code }
        #expect(code == .gone)
        let again = #expect(throws: AccessError.self) { _ = try QuietDevice(opening: machine.device(at: 6)).name }
        #expect(again?.code == .gone)
    }

    @Test("QEMU refuses a device, and its last words say why")
    func refuses() throws {
        let error = #expect(throws: QTestError.self) {
            _ = try QTestMachine(QTestConfiguration(devices: ["no-such-device"]))
        }
        #expect(error?.code == .ended)
        #expect(error?.lastWords.contains("no-such-device") == true)
    }

    @Test("slots without a device, slots that there are not, and one that is open")
    func slots() throws {
        let machine = try QTestMachine(QTestConfiguration(devices: ["edu,addr=5"]))
        for (slot, function, code) in [
            (7, 0, AccessError.Code.absent), (5, 3, .absent), (32, 0, .absent), (-1, 0, .absent), (5, 8, .absent),
            (0, -1, .absent),
        ] {
            let error = #expect(throws: AccessError.self) {
                _ = try QuietDevice(opening: machine.device(at: slot, function: function)).name
            }
            #expect(error?.code == code, "\(slot).\(function)")
        }
        let first = try QuietDevice(opening: machine.device(at: 5))
        let busy = #expect(throws: AccessError.self) { _ = try QuietDevice(opening: machine.device(at: 5)).name }
        #expect(busy?.code == .busy)
        _ = first.name
    }

    @Test("many posted writes keep their order and arrive")
    func posted() throws {
        let machine = try QTestMachine(QTestConfiguration(devices: ["edu,addr=5"]))
        let quiet = try QuietDevice(opening: machine.device(at: 5))
        let window = try quiet.window(0)
        for value: UInt32 in 0..<5000 { window.store(value, at: 4) }
        #expect(window.load(4, as: UInt32.self) == ~4999)
        for value: UInt32 in 0..<100 { window.store(value, at: 4, isDoorbell: true) }
        #expect(window.load(4, as: UInt32.self) == ~99)
    }

    @Test("two threads use one machine")
    func threads() async throws {
        let machine = try QTestMachine(QTestConfiguration(devices: ["edu,addr=5", "edu,addr=6"]))
        await withTaskGroup(of: Bool.self) { group in
            for slot in [5, 6] {
                group.addTask {
                    guard let quiet = try? QuietDevice(opening: machine.device(at: slot)),
                        let window = try? quiet.window(0)
                    else { return false }
                    for value: UInt32 in 0..<300 {
                        window.store(value << UInt32(slot), at: 4)
                        guard window.load(4, as: UInt32.self) == ~(value << UInt32(slot)) else { return false }
                    }
                    return true
                }
            }
            for await isRight in group { #expect(isRight) }
        }
        #expect(machine.failure == nil)
    }

    @Test("memory that is mapped for a device keeps its bytes, there and back")
    func memory() throws {
        let machine = try QTestMachine(QTestConfiguration(devices: ["edu,addr=5"]))
        let quiet = try QuietDevice(opening: machine.device(at: 5))
        var random = Seeded("guest memory")
        for round in 0..<20 {
            let count = 1 + Int(random.next() % 40_000)
            let image = random.bytes(count)
            var buffer = try round % 2 == 0 ? Buffer(count: count, for: quiet.domain) : Buffer(count: count)
            var span = buffer.mutableBytes
            for (offset, byte) in image.enumerated() { try span.store(byte, at: offset) }
            let mapped = try buffer.mapped(for: quiet.domain, direction: .bidirectional)
            #expect(mapped.wasBounced == (round % 2 == 1))
            #expect(mapped.iova.rawValue >= 0x11_0000 && mapped.iova.rawValue < 256 << 20)
            let back = try mapped.unmap()
            for (offset, byte) in image.enumerated() where try back.load(at: offset, as: UInt8.self) != byte {
                Issue.record("byte \(offset) of \(count)")
                break
            }
        }
        #expect(quiet.domain.statistics.mappings == 0)
        #expect(quiet.domain.statistics.bounces == 10)
    }
}
