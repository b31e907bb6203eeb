// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMATestSupport
import Foundation
import Testing

@testable import DMACopy

@Suite("Where a source ends, whatever its size promised", .serialized)
struct SourceEndTests {
    @Test(
        "a file is copied to where its reads end, be its size given as less or as more",
        .enabled(if: GeneratedFile.isPossible, Comment(rawValue: GeneratedFile.without)),
        arguments: [(100_000, 4096), (1000, 4096), (50_000, 200_000), (5_000_000, 1), (4096, 4096), (300_000, 1 << 40)])
    func generated(_ count: Int, _ says: Int) throws {
        let scratch = try Scratch()
        var random = Seeded("generated \(count)")
        let bytes = random.bytes(count)
        let file = try GeneratedFile(bytes, says: says, in: scratch)
        #expect(try FileFacts.at(CopyPath(file.path))?.size == UInt64(says))
        for engine in [nil, "io_uring"] {
            for treatment in [TargetTreatment.replace, .inPlace, .append, .resume] {
                var options = CopyOptions()
                options.engine = engine
                options.treatment = treatment
                options.verifies = treatment != .append
                if engine != nil { (options.chunk, options.depth) = (8192, 8) }
                let name = "\(treatment) \(engine ?? "")"
                let report = try Copier().copy(from: .path(file.path), to: .path(scratch.at(name)), options)
                #expect(report.bytes == UInt64(count), "\(name) \(report)")
                // What is planned for a large file and left out is said, and nothing else.
                #expect(
                    report.notes.allSatisfy { report.plan.preallocates && $0.hasPrefix("space was not allocated in advance") })
                #expect(try scratch.read(name) == bytes, "\(name)")
                if let crc = report.crc32c { #expect(crc == CRC32C.of(bytes), "\(name)") }
            }
        }
        #expect(try Copier().copy(from: .path(file.path), to: .null).bytes == UInt64(count))
    }

    @Test("what was read behind an early end does not count")
    func order() {
        var order = MoverOrder(from: 0, crc: 0, counts: false)
        for sequence: UInt64 in 0..<4 { order.read(sequence, sequence * 10..<(sequence + 1) * 10, crc: 0) }
        order.written(3)
        order.written(0)
        // The second came short: what was read behind does not count, in whatever order it is done.
        order.read(1, 10..<15, crc: 0)
        order.end(at: 15)
        order.written(2)
        order.written(1)
        #expect(order.done == 15 && order.isBehindEnd(15) && !order.isBehindEnd(14))
    }
}

@Suite("Space for sources that are not as large as they report", .serialized)
struct UncertainSizeTests {
    @Test(
        "a file that reports 1 TiB and ends early is copied to a small file system; one that does not fit fails with what is known",
        .enabled(
            if: GeneratedFile.isPossible && Machine.hasLoops, "no FUSE file system or no loop device; run as root"))
    func lying() throws {
        let scratch = try Scratch()
        try scratch.mounted("ext4", 64 << 20, "fs", make: ["-q"])
        var random = Seeded("lying")
        let bytes = random.bytes(20 << 20)
        let file = try GeneratedFile(bytes, says: 1 << 40, in: scratch)
        for treatment in [TargetTreatment.replace, .inPlace] {
            var options = CopyOptions()
            options.treatment = treatment
            let report = try Copier().copy(from: .path(file.path), to: .path(scratch.at("fs/b")), options)
            #expect(report.bytes == UInt64(bytes.count))
            #expect(try scratch.read("fs/b") == bytes)
        }
        let large = try GeneratedFile(random.bytes(80 << 20), says: 1 << 40, in: scratch)
        do throws(CopyFailure) {
            _ = try Copier().copy(from: .path(large.path), to: .path(scratch.at("fs/c")))
            Issue.record("it does not fit")
        } catch {
            #expect(error.code == .noSpace && error.possible.contains(" free)") && !error.possible.contains("TiB"), "\(error)")
        }
        #expect(try scratch.names("fs").filter { $0 != "lost+found" } == ["b"])
    }

    @Test(
        "a file that is as large as it reports is refused before its first byte",
        .enabled(if: Machine.hasLoops, Comment(rawValue: Machine.withoutLoops)))
    func real() throws {
        let scratch = try Scratch()
        try scratch.mounted("ext4", 32 << 20, "fs", make: ["-q"])
        try Command.shell("head -c 60000000 /dev/urandom > a; truncate -s 1T holes", folder: scratch.path)
        let moved = Locked(UInt64(0))
        let control = CopyControl { progress in moved.withLock { $0 = max($0, progress.bytes) } }
        do throws(CopyFailure) {
            _ = try Copier().copy(from: .path(scratch.at("a")), to: .path(scratch.at("fs/b")), control: control)
            Issue.record("it does not fit")
        } catch { #expect(error.code == .noSpace && error.possible.contains("(needs 57.2 MiB, "), "\(error)") }
        #expect(moved.withLock { $0 } == 0)
        // Holes need no space.
        #expect(try Copier().copy(from: .path(scratch.at("holes")), to: .path(scratch.at("fs/b"))).holes == 1 << 40)
    }
}
