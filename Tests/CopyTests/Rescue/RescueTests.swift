// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Foundation
import Synchronization
import Testing

@testable import DMACopy

@Suite("Rescues of files and disks with bad sectors", .serialized)
struct RescueTests {
    private let size = 1 << 20
    /// Within a page, at a page's edge, over several blocks, and at the end.
    private let bad = [5000..<5100, 65_536..<65_537, 300_000..<700_000, (1 << 20) - 512..<1 << 20]

    private func bytes() -> [UInt8] {
        var random = Seeded("rescue")
        // Odd, so that no byte is zero as in what is not read.
        return random.bytes(size).map { $0 | 1 }
    }

    /// What is lost where reads have this granularity.
    private func lost(_ sector: Int) -> [Range<Int>] {
        bad.map { $0.lowerBound / sector * sector..<($0.upperBound + sector - 1) / sector * sector }
    }

    private func expect(_ scratch: Scratch, _ name: String, _ all: [UInt8], without lost: [Range<Int>], else fill: UInt8 = 0)
        throws
    {
        var expected = all
        for range in lost { for place in range { expected[place] = fill } }
        #expect(try scratch.read(name) == expected)
    }

    private func map(_ scratch: Scratch, _ name: String) throws -> RescueMap {
        try #require(try RescueMap.parse(try scratch.read(name)))
    }

    @Test(
        "a file with bad pages: what can be read arrives, the rest is a hole, and the map says which",
        .enabled(if: GeneratedFile.isPossible, Comment(rawValue: GeneratedFile.without)))
    func file() throws {
        let scratch = try Scratch()
        let all = bytes()
        let source = try GeneratedFile(all, says: size, bad: bad, in: scratch)
        let report = try Copier().rescue(
            from: .path(source.path), to: .path(scratch.at("b")), map: CopyPath(scratch.at("map")))
        let sector = Int(report.plan.sector)
        #expect(!report.isWhole && report.readErrors > 0 && report.badAreas == 4, "\(report)")
        try expect(scratch, "b", all, without: lost(sector))
        let map = try map(scratch, "map")
        #expect(map.all.filter { $0.state == .bad }.map { Int($0.range.lowerBound)..<Int($0.range.upperBound) } == lost(sector))
        #expect(map.position.phase == .finished && map.bytes(.rescued) == report.rescued && map.bytes(.bad) == report.bad)
        #expect(try scratch.names().filter { $0 != source.folderName } == ["b", "map"])
        // What was not read takes no room.
        let blocks = try Command.run(["stat", "-c", "%b", scratch.at("b")]).output
        #expect(try #require(Int(blocks.trimmingCharacters(in: .whitespacesAndNewlines))) * 512 < size - 300_000)
    }

    @Test("a rescue that is cancelled while it waits for its rate says how to continue")
    func cancelledInWait() throws {
        let scratch = try Scratch()
        let path = try scratch.write("a", bytes())
        var options = CopyOptions()
        // The first block overdraws the rate for seconds.
        (options.rate, options.chunk) = (8192, 65_536)
        let control = CopyControl()
        let thread = Thread {
            usleep(300_000)
            control.cancel()
        }
        thread.start()
        do {
            _ = try Copier().rescue(
                from: .path(path), to: .path(scratch.at("b")), map: CopyPath(scratch.at("map")), options, control: control)
            Issue.record("not cancelled")
        } catch { #expect(error.code == .cancelled && error.cure.contains("same map") && error.notes.isEmpty, "\(error)") }
        #expect(try map(scratch, "map").bytes(.rescued) == 65_536)
    }

    @Test(
        "a disk with bad sectors: single sectors are rescued by direct I/O; a second run reads bad ones alone",
        .enabled(
            if: GeneratedFile.isPossible && Machine.hasLoops, "no FUSE file system or no loop device; run as root"))
    func disk() throws {
        let scratch = try Scratch()
        let all = bytes()
        let image = try GeneratedFile(all, says: size, bad: bad, in: scratch)
        let disk = try LoopDisk(readOnly: image.path)
        defer { disk.end() }
        let (from, to, map) = (
            Endpoint.path(disk.device), Endpoint.path(scratch.at("b")), CopyPath(scratch.at("map"))
        )
        let report = try Copier().rescue(from: from, to: to, map: map)
        #expect(report.plan.source == .direct && report.plan.sector == 512 && report.notes.isEmpty, "\(report)")
        try expect(scratch, "b", all, without: lost(512))
        #expect(report.badAreas == 4 && report.rescued == UInt64(size - lost(512).map(\.count).reduce(0, +)))
        let again = try Copier().rescue(from: from, to: to, map: map, retries: 2)
        #expect(again.added == 0 && again.readErrors == 2 * again.bad / 512 && again.rescued == report.rescued)
        // The same map, of a medium that can be read again.
        let mended = try LoopDisk(readOnly: try scratch.write("mended", all))
        defer { mended.end() }
        let whole = try Copier().rescue(from: .path(mended.device), to: to, map: map, retries: 1)
        #expect(whole.isWhole && whole.added == report.bad && whole.readErrors == 0 && whole.badAreas == 0)
        #expect(try scratch.read("b") == all)
    }

    @Test(
        "an old target keeps its bytes where the source cannot be read, and a longer one its end",
        .enabled(if: GeneratedFile.isPossible, Comment(rawValue: GeneratedFile.without)))
    func existing() throws {
        let scratch = try Scratch()
        let all = bytes()
        let source = try GeneratedFile(all, says: size, bad: bad, in: scratch)
        try scratch.write("b", [UInt8](repeating: 0xee, count: size + 1000))
        let report = try Copier().rescue(from: .path(source.path), to: .path(scratch.at("b")), map: CopyPath(scratch.at("map")))
        #expect(report.notes.contains { $0.hasPrefix("the target existed before") })
        try expect(
            scratch, "b", all + [UInt8](repeating: 0xee, count: 1000), without: lost(Int(report.plan.sector)), else: 0xee)
    }

    @Test("a whole file: mode and times as a copy has them, holes kept, zeros written over old bytes")
    func whole() throws {
        let scratch = try Scratch()
        try Command.shell(
            "truncate -s 3M a; printf x | dd of=a bs=1 seek=2000000 conv=notrunc 2>/dev/null; chmod 640 a; touch -d 2001-02-03 a",
            folder: scratch.path)
        let (from, map) = (Endpoint.path(scratch.at("a")), CopyPath(scratch.at("map")))
        let report = try Copier().rescue(from: from, to: .path(scratch.at("b")), map: map)
        #expect(report.isWhole && report.bad == 0 && report.badAreas == 0 && report.added == 3 << 20)
        #expect(try scratch.read("a") == scratch.read("b"))
        let seen = try Command.shell("stat -c '%a %Y' a b; stat -c %b b", folder: scratch.path).output.split(separator: "\n")
        #expect(seen.count == 3 && seen[0] == seen[1] && (Int(seen[2]) ?? .max) * 512 < 1 << 20, "\(seen)")
        try scratch.write("c", [UInt8](repeating: 7, count: 3 << 20))
        _ = try Copier().rescue(from: from, to: .path(scratch.at("c")), map: CopyPath(scratch.at("map2")))
        #expect(try scratch.read("a") == scratch.read("c"))
    }

    @Test("a rescue that is stopped saves its map, and continues behind it")
    func stopped() throws {
        let scratch = try Scratch()
        let all = bytes()
        try scratch.write("a", all)
        let (from, to, map) = (Endpoint.path(scratch.at("a")), Endpoint.path(scratch.at("b")), CopyPath(scratch.at("map")))
        let stop = Mutex<CopyControl?>(nil)
        let control = CopyControl { if $0.bytes > 0 { stop.withLock { $0?.cancel() } } }
        stop.withLock { $0 = control }
        defer { stop.withLock { $0 = nil } }
        var options = CopyOptions()
        options.chunk = 64 << 10
        options.rate = 400 << 10
        do throws(CopyFailure) {
            _ = try Copier().rescue(from: from, to: to, map: map, options, control: control)
            Issue.record("it was not stopped")
        } catch { #expect(error.code == .cancelled && error.cure.contains("same map") && error.notes.isEmpty, "\(error)") }
        let saved = try self.map(scratch, "map")
        let rescued = saved.bytes(.rescued)
        #expect(rescued > 0 && rescued < UInt64(size) && saved.position.phase == .copying)
        #expect(Array(try scratch.read("b")[..<Int(saved.rescuedEnd)]) == Array(all[..<Int(saved.rescuedEnd)]))
        let plan = try Copier().rescuePlan(from: from, to: to, map: map)
        #expect(plan.isResumed && plan.rescued == rescued && plan.untried == UInt64(size) - rescued)
        let report = try Copier().rescue(from: from, to: to, map: map)
        #expect(report.isWhole && report.added == UInt64(size) - rescued)
        #expect(try scratch.read("b") == all)
    }

    @Test("a full target file system ends the rescue, with a map of what is there")
    func full() throws {
        guard Machine.canMount else { return }
        let scratch = try Scratch()
        try scratch.tmpfs("small", "size=512k")
        try scratch.write("a", bytes())
        let (from, map) = (Endpoint.path(scratch.at("a")), CopyPath(scratch.at("map")))
        do throws(CopyFailure) {
            _ = try Copier().rescue(from: from, to: .path(scratch.at("small/b")), map: map)
            Issue.record("it was not full")
        } catch { #expect(error.code == .noSpace && error.possible.contains("free)"), "\(error)") }
        let saved = try self.map(scratch, "map")
        #expect(saved.bytes(.rescued) > 0 && saved.bytes(.bad) == 0)
        let end = Int(saved.rescuedEnd)
        #expect(try scratch.read("small/b")[..<end] == scratch.read("a")[..<end])
    }

    @Test("maps of other sources and targets are refused, and nothing is written")
    func maps() throws {
        let scratch = try Scratch()
        try scratch.write("a", [1, 2, 3])
        try scratch.write("short", [1])
        func refused(_ map: String?, to target: String = "b", _ code: CopyFailure.Code = .badJournal) throws {
            if let map { try scratch.write("map", Array(map.utf8)) }
            let before = try scratch.names()
            expectCode(code) {
                _ = try Copier().rescue(
                    from: .path(scratch.at("a")), to: .path(scratch.at(target)), map: CopyPath(scratch.at("map")))
            }
            #expect(try scratch.names() == before)
        }
        try refused("0 ? 1\n0 4 ?\n")
        try refused("0 ? 1\n0 2 ?\n")
        try refused("no map\n")
        // What the map gives as rescued is not there.
        try refused("0 ? 1\n0 2 +\n2 1 ?\n")
        try refused("0 ? 1\n0 2 +\n2 1 ?\n", to: "short")
        try Command.shell("rm map; mkfifo map", folder: scratch.path)
        try refused(nil, .notSupported)
        try Command.shell("rm map; ln -s a map", folder: scratch.path)
        try refused(nil, .sameFile)
        try Command.shell("rm map; mkdir map", folder: scratch.path)
        try refused(nil, .notSupported)
        #expect(try scratch.read("a") == [1, 2, 3] && scratch.read("short") == [1])
        // An empty file is a map to be.
        try Command.shell("rmdir map; : > map; chmod 600 map", folder: scratch.path)
        let report = try Copier().rescue(
            from: .path(scratch.at("a")), to: .path(scratch.at("b")), map: CopyPath(scratch.at("map")))
        let saved = try map(scratch, "map")
        #expect(report.isWhole && saved.isWhole)
        #expect(try Command.shell("stat -c %a map", folder: scratch.path).output == "600\n")
    }

    @Test("options that no rescue can follow are refused by their names, and so are ends without positions")
    func refused() throws {
        let scratch = try Scratch()
        try scratch.write("a", [1, 2, 3])
        let wishes: [(String, (inout CopyOptions) -> Void)] = [
            ("mode", { $0.mode = .burst }), ("depth", { $0.depth = 2 }), ("engine", { $0.engine = "io_uring" }),
            ("reflink", { $0.reflink = .always }), ("resume", { $0.treatment = .resume }),
            ("append", { $0.treatment = .append }), ("verifies", { $0.verifies = true }),
            ("preserves", { $0.preserves = true }), ("discards", { $0.discards = true }), ("flushes", { $0.flushes = false }),
            ("overwritesDevices", { $0.overwritesDevices = true }), ("chunk", { $0.chunk = 1 }), ("rate", { $0.rate = 0 }),
        ]
        func rescue(_ from: Endpoint, _ to: Endpoint, retries: Int = 0, _ options: CopyOptions = CopyOptions())
            throws(CopyFailure)
        {
            _ = try Copier().rescue(from: from, to: to, map: CopyPath(scratch.at("map")), retries: retries, options)
        }
        let (from, to) = (Endpoint.path(scratch.at("a")), Endpoint.path(scratch.at("b")))
        for (name, wish) in wishes {
            var options = CopyOptions()
            wish(&options)
            #expect("\(name)") { try rescue(from, to, options) } throws: {
                ($0 as? CopyFailure)?.code == .badOption && ($0 as? CopyFailure)?.subject == name
            }
        }
        for retries in [-1, 10_001] { expectCode(.badOption) { try rescue(from, to, retries: retries) } }
        try Command.run(["mkfifo", scratch.at("pipe")])
        for end in [Endpoint.standard, .zero(100), .pattern(seed: 1, size: 100), .path(scratch.at("pipe")), .path("/dev/zero")]
        {
            expectCode(.notSupported) { try rescue(end, to) }
        }
        for end in [Endpoint.standard, .null, .memory(100), .path(scratch.at("pipe")), .path("/dev/null")] {
            expectCode(.notSupported) { try rescue(from, end) }
        }
        expectCode(.notSupported) { try rescue(.path("/proc/self/status"), to) }
        expectCode(.sameFile) { try rescue(from, from) }
        #expect(try scratch.names() == ["a", "pipe"])
    }

    @Test("a target that cannot be made or a map that cannot be written leaves nothing behind")
    func unwritable() throws {
        let scratch = try Scratch()
        try scratch.write("a", [1, 2, 3])
        expectCode(.notFound) {
            _ = try Copier().rescue(
                from: .path(scratch.at("a")), to: .path(scratch.at("b")), map: CopyPath(scratch.at("none/map")))
        }
        expectCode(.notFound) {
            _ = try Copier().rescue(
                from: .path(scratch.at("a")), to: .path(scratch.at("none/b")), map: CopyPath(scratch.at("map")))
        }
        #expect(try scratch.names() == ["a"])
        guard Machine.canMount else { return }
        try scratch.tmpfs("full", "size=4k,nr_inodes=2")
        try Command.shell(": > full/x", folder: scratch.path)
        expectCode(.noSpace) {
            _ = try Copier().rescue(
                from: .path(scratch.at("a")), to: .path(scratch.at("b")), map: CopyPath(scratch.at("full/map")))
        }
        #expect(try scratch.names() == ["a", "full"])
    }
}
