// SPDX-License-Identifier: Apache-2.0

import CDMA
import DMACore
import Foundation
import Testing

@testable import DMAIOUringEngine

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

@Suite("Commands to an NVMe namespace", .serialized)
struct NVMeTests {
    let namespace = NVMeNamespace(identifier: 3, blockShift: 12, blocks: 1 << 33)

    @Test("a transfer becomes the command of the specification, byte for byte")
    func encoding() throws {
        let command = try #require(
            namespace.transfer(writes: true, at: 0x1_2345_6789 << 12, address: 0xabc_def0_1234, count: 16 << 10))
        let bytes = unsafe withUnsafeBytes(of: command) { unsafe Array($0) }
        var expected = [UInt8](repeating: 0, count: 72)
        expected[0] = 0x01
        expected[4] = 3
        for (index, byte) in [0x34, 0x12, 0xf0, 0xde, 0xbc, 0x0a].enumerated() { expected[24 + index] = UInt8(byte) }
        expected[37] = 0x40
        for (index, byte) in [0x89, 0x67, 0x45, 0x23, 0x01].enumerated() { expected[40 + index] = UInt8(byte) }
        expected[48] = 3
        #expect(bytes == expected)
        #expect(namespace.transfer(writes: false, at: 0, address: 0, count: 4096)?.opcode == 0x02)
        #expect(namespace.flush.opcode == 0 && namespace.flush.namespace_id == 3)
        // _IOWR('N', 0x80, 72 bytes)
        #expect(cdma_nvme_uring_operation() == 0xc048_4e80)
    }

    @Test("transfers other than whole blocks inside the namespace, in whole words of memory, make no command")
    func bounds() {
        let end = UInt64(1 << 33) << 12
        let bad: [(UInt64, UInt64, UInt64)] = [
            (1, 0, 4096), (0, 2, 4096), (0, 0, 512), (0, 0, 0), (end, 0, 4096), (end - 4096, 0, 8192), (0, 0, 256 << 10),
        ]
        for (position, address, count) in bad {
            let command = namespace.transfer(writes: false, at: position, address: address, count: count)
            #expect(command == nil)
        }
        #expect(namespace.transfer(writes: false, at: end - 4096, address: 0, count: 4096) != nil)
    }

    @Test("a ring with room for commands supports everything else too")
    func wide() throws {
        var configuration = Carrying.ring.configuration()
        configuration.passthrough = true
        try StorageTests().model(configuration, Scratch.memory, .asOpened, "wide")
    }

    static let node: String? = {
        let all = (0..<16).map { (number: Int) -> String in "/dev/ng\(number)n1" }
        return all.first { (path: String) -> Bool in unsafe access(path, R_OK) == 0 }
    }()

    @Test(
        "reads a real namespace by commands and through its block device, with the same result",
        .enabled(
            if: NVMeTests.node != nil,
            "no generic NVMe node (/dev/ng0n1), or no right to it; run as root on a machine with an NVMe disk and Linux 5.13 or later"
        ))
    func real() throws {
        let found = Self.node
        let node = try #require(found)
        let disk = "/dev/nvme" + node.dropFirst("/dev/ng".count)
        var configuration = Carrying.ring.configuration()
        let file = unsafe open(node, O_RDWR | O_CLOEXEC)
        defer { close(file) }
        var narrow = try Channel<IOUringEngine, Freight>.make(configuration)
        var refusal: DMAError?
        do throws(DMAError) { _ = try narrow.attach(PeripheralFile(file)) } catch { refusal = error }
        #expect(refusal?.errno == EOPNOTSUPP)
        configuration.passthrough = true
        var channel = try Channel<IOUringEngine, Freight>.make(configuration)
        let number = try channel.attach(PeripheralFile(file))
        let target = try freight([[UInt8](repeating: 0, count: 1 << 20)], .fromDevice, alignment: 4096)
        let finished = try channel.perform(.fromPeripheral(0..<1, at: PeripheralPlace(number: number, position: 0)), target)
        let (status, value) = (finished.status, finished.value)
        #expect(status == .complete, "errno \(value)")
        let got = try bytes(finished.cargo)
        let handle = try #require(FileHandle(forReadingAtPath: disk))
        let expected = [UInt8](try #require(try handle.read(upToCount: 1 << 20)))
        #expect(got == expected)
    }
}
