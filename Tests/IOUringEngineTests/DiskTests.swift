// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAIOUringEngine
import DMATestSupport
import Foundation
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

@Suite("Disks", .serialized, .enabled(if: Machine.hasLoops, Comment(rawValue: Machine.withoutLoops)))
struct DiskTests {
    @Test("direct transfers on ext4 agree with a model of bytes", arguments: [Carrying.ring, .threads])
    func ext4(_ carrying: Carrying) throws {
        let disk = try LoopDisk(count: 128 << 20, fileSystem: "ext4")
        defer { disk.end() }
        let statistics = try DirectTests().pieces(carrying, disk.directory, rounds: 6)
        #expect(statistics.directBytes > 0 && statistics.unknownCompletions == 0)
    }

    @Test("a block device: direct and buffered writes, zeroes, discards, flushes", arguments: Carrying.allCases)
    func block(_ carrying: Carrying) throws {
        let disk = try LoopDisk(count: 16 << 20)
        defer { disk.end() }
        var random = Seeded("block")
        let file = unsafe open(disk.device, O_RDWR | O_CLOEXEC)
        defer { close(file) }
        var channel = try Channel<IOUringEngine, Freight>.make(carrying.configuration())
        let number = try channel.attach(PeripheralFile(file, cache: .direct))
        let alignment = channel.withEngine { $0.directAlignment(of: number)?.read }
        #expect(alignment == 512)
        var model = [UInt8](repeating: 0, count: 16 << 20)
        func place(_ position: Int) -> PeripheralPlace { PeripheralPlace(number: number, position: UInt64(position)) }
        for _ in 0..<40 {
            let position = Int.random(in: 0..<(15 << 20), using: &random) & (Bool.random(using: &random) ? ~4095 : ~0)
            let image = random.bytes(Int.random(in: 1...300_000, using: &random))
            model.replaceSubrange(position..<position + image.count, with: image)
            let finished = try channel.perform(
                .toPeripheral(0..<1, at: place(position)), try freight([image], .toDevice, alignment: 4096))
            let (status, residue) = (finished.status, finished.residue)
            #expect(status == .complete && residue == 0)
        }
        for (command, start) in [(PeripheralCommand.zero, 1 << 20), (.discard, 5 << 20)] {
            model.replaceSubrange(start..<start + (1 << 20), with: [UInt8](repeating: 0, count: 1 << 20))
            let finished = try channel.perform(.command(command, at: place(start), count: 1 << 20))
            let (status, value) = (finished.status, finished.value)
            #expect(status == .complete, "\(command): errno \(value)")
        }
        let flushed = try channel.perform(.command(.flush, at: place(0)))
        let status = flushed.status
        #expect(status == .complete)
        let target = try freight([[UInt8](repeating: 1, count: 16 << 20)], .fromDevice, alignment: 4096)
        let finished = try channel.perform(.fromPeripheral(0..<1, at: place(0)), target)
        let isRight = try bytes(finished.cargo) == model
        #expect(isRight)
        // The end of a device behaves like the end of a file; nothing can be written beyond it.
        let beyond = try channel.perform(
            .fromPeripheral(0..<1, at: place((16 << 20) - 10)), try freight([[UInt8](repeating: 0, count: 100)], .fromDevice))
        let (readStatus, residue) = (beyond.status, beyond.residue)
        #expect(readStatus == .complete && residue == 90)
        let full = try channel.perform(
            .toPeripheral(0..<1, at: place(16 << 20)), try freight([[1]], .toDevice))
        let (writeStatus, value) = (full.status, full.value)
        #expect(writeStatus == .writeFailed && value == UInt64(ENOSPC))
    }

    @Test("a full disk: the completion tells how much was written", arguments: [Carrying.ring, .threads])
    func full(_ carrying: Carrying) throws {
        let disk = try LoopDisk(count: 16 << 20, fileSystem: "ext4")
        defer { disk.end() }
        let scratch = try Scratch(disk.directory)
        var channel = try Channel<IOUringEngine, Freight>.make(carrying.configuration())
        let number = try channel.attach(PeripheralFile(scratch.descriptor))
        let image = [UInt8](repeating: 5, count: 32 << 20)
        let finished = try channel.perform(
            .toPeripheral(0..<1, at: PeripheralPlace(number: number, position: 0)), try freight([image], .toDevice))
        let (status, value, residue) = (finished.status, finished.value, finished.residue)
        #expect(status == .writeFailed && value == UInt64(ENOSPC) && residue > 16 << 20)
        #expect(scratch.contents.count == (32 << 20) - Int(residue))
    }
}
