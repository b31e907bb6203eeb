// SPDX-License-Identifier: Apache-2.0

import DMA
import DMACore
import DMAEngineKit
import DMAIOUringEngine
import DMATestSupport
import Foundation
import Testing

@testable import DMACopy

@Suite("Copies of files against a model of bytes", .serialized)
struct CopyTests {
    /// A file of data and holes, and its bytes.
    private func layout(_ path: String, _ random: inout Seeded, largest: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        _ = FileManager.default.createFile(atPath: path, contents: nil)
        let handle = try FileHandle(forWritingTo: URL(filePath: path))
        for _ in 0..<Int.random(in: 0..<6, using: &random) {
            let count = Int.random(in: 1...largest, using: &random)
            if Bool.random(using: &random) {
                let piece = random.bytes(count)
                try handle.seek(toOffset: UInt64(bytes.count))
                try handle.write(contentsOf: Data(piece))
                bytes += piece
            } else {
                bytes += [UInt8](repeating: 0, count: count)
            }
        }
        try handle.truncate(atOffset: UInt64(bytes.count))
        try handle.close()
        return bytes
    }

    private func crc(_ bytes: [UInt8]) -> UInt32 { unsafe CRC32C.of(bytes.span.bytes) }

    @Test("any size and layout of holes, by every path, arrives byte for byte; the CRC is that of the whole")
    func model() throws {
        let scratch = try Scratch()
        var random = Seeded("model")
        let copier = Copier()
        for round in 0..<60 {
            let bytes = try layout(scratch.at("a"), &random, largest: 200_000)
            try? FileManager.default.removeItem(atPath: scratch.at("b"))
            if Bool.random(using: &random) { try scratch.write("b", random.bytes(Int.random(in: 0..<300_000, using: &random))) }
            var options = CopyOptions()
            options.flushes = round % 8 == 0
            options.treatment = [.replace, .inPlace, .resume].randomElement(using: &random) ?? .replace
            options.verifies = Bool.random(using: &random)
            let way = round % 3
            if way == 1 {
                options.engine = "io_uring"
                options.chunk = UInt64.random(in: 512...100_000, using: &random)
                options.depth = Int.random(in: 1...16, using: &random)
            }
            if way == 2 {
                options.mode = .cycleStealing
                options.share = 0.9
            }
            let report = try copier.copy(from: .path(scratch.at("a")), to: .path(scratch.at("b")), options)
            #expect(try scratch.read("b") == bytes, "\(options) \(report.plan.path)")
            #expect(report.bytes == UInt64(bytes.count))
            if let found = report.crc32c { #expect(found == crc(bytes)) }
            #expect(report.verified == (options.verifies && !bytes.isEmpty) || bytes.isEmpty)
            #expect(try scratch.names() == ["a", "b"], "\(options)")
        }
    }

    @Test(
        "direct on both sides, with lengths that are no multiple of anything",
        .enabled(if: Machine.hasLoops, Comment(rawValue: Machine.withoutLoops)))
    func direct() throws {
        let scratch = try Scratch()
        let folder = try scratch.mounted("ext4", 128 << 20, "fs", make: ["-q"])
        var random = Seeded("direct")
        for extra in [0, 1, 511, 4095, 70_001] {
            let bytes = random.bytes((17 << 20) + extra)
            try scratch.write("fs/a", bytes)
            try Command.run(["bash", "-c", "sync; echo 3 > /proc/sys/vm/drop_caches"])
            var options = CopyOptions()
            options.verifies = true
            let report = try Copier().copy(from: .path(folder + "/a"), to: .path(folder + "/b"), options)
            #expect(report.plan.source == .direct && report.plan.target == .direct && report.plan.path == .engine)
            #expect(try scratch.read("fs/b") == bytes && report.verified)
        }
    }

    @Test("copied in the kernel, as a plan says: every size and layout")
    func inKernel() throws {
        let scratch = try Scratch()
        var random = Seeded("in-kernel")
        let copier = Copier()
        var copied = 0
        for _ in 0..<10 {
            let bytes = try layout(scratch.at("a"), &random, largest: 400_000)
            let (source, target) = (Endpoint.path(scratch.at("a")), Endpoint.path(scratch.at("b")))
            var plan = try copier.plan(from: source, to: target)
            if bytes.isEmpty { continue }
            plan.path = .inKernel
            plan.chunk = 65_536
            let report = try copier.copy(from: source, to: target, plan: plan)
            #expect(try scratch.read("b") == bytes && report.plan.path == .inKernel && report.bytes == UInt64(bytes.count))
            copied += 1
        }
        #expect(copied > 2)
    }

    @Test("where io_uring is forbidden, threads carry the same copies, and the report says so")
    func threads() throws {
        let scratch = try Scratch()
        var random = Seeded("threads")
        let provider = IOUringProvider(IOUringConfiguration(path: .threads))
        let copier = Copier(system: DMASystem(providers: [provider]))
        for _ in 0..<10 {
            let bytes = try layout(scratch.at("a"), &random, largest: 400_000)
            var options = CopyOptions()
            options.engine = "io_uring"
            options.chunk = 30_000
            options.verifies = true
            let report = try copier.copy(from: .path(scratch.at("a")), to: .path(scratch.at("b")), options)
            #expect(try scratch.read("b") == bytes)
            #expect(bytes.isEmpty || report.engine.contains("threads"), "\(report.engine)")
        }
    }

    @Test("holes stay holes, and zeroes do not become some")
    func holes() throws {
        let scratch = try Scratch()
        try Command.shell(
            "truncate -s 64M a; dd if=/dev/urandom of=a bs=1M count=1 seek=30 conv=notrunc 2>/dev/null", folder: scratch.path)
        for engine in [nil, "io_uring"] {
            var options = CopyOptions()
            options.engine = engine
            options.reflink = .never
            let report = try Copier().copy(from: .path(scratch.at("a")), to: .path(scratch.at("b")), options)
            let facts = try #require(try FileFacts.at(CopyPath(scratch.at("b"))))
            #expect(facts.size == 64 << 20 && facts.allocated <= 2 << 20 && report.holes == 63 << 20)
            #expect(try scratch.read("a") == scratch.read("b"))
        }
    }

    @Test(
        "20 TiB of holes are copied at once, byte for byte they would take hours",
        .enabled(
            if: Machine.canMount,
            "no tmpfs may be mounted, and ext4 ends at 16 TiB; run as root (a container needs --privileged)"))
    func twentyTiB() throws {
        let scratch = try Scratch()
        try scratch.tmpfs("t", "size=64m")
        try Command.shell(
            "truncate -s 20T a; printf end | dd of=a bs=1 seek=21990232555500 conv=notrunc 2>/dev/null", folder: scratch.at("t")
        )
        for verifies in [false, true] {
            var options = CopyOptions()
            options.verifies = verifies
            let isTimely = try Machine.isTimely(2) {
                let began = Date()
                let report = try Copier().copy(from: .path(scratch.at("t/a")), to: .path(scratch.at("t/b")), options)
                let seconds = -began.timeIntervalSinceNow
                #expect(report.bytes == 20 << 40 && report.moved <= 65_536 && report.verified == verifies)
                return seconds
            }
            #expect(isTimely)
        }
        // The largest file there is, all hole: figures of it must not leave their range.
        let whole = try Command.shell("truncate -s 8191P c; $D copy c d; stat -c %s d", folder: scratch.at("t"))
        #expect(whole.output == "9222246136947933184\n", "\(whole)")
        #expect(try Command.shell("tail -c 20 b | tr -d '\\0'", folder: scratch.at("t")).output == "end")
    }

    /// Whether files of tests may have attributes of their users'.
    private static let hasAttributes: Bool = {
        guard let scratch = try? Scratch(), (try? scratch.write("a", [1])) != nil else { return false }
        return (try? Command.shell(setAttribute, folder: scratch.path).status) == 0
    }()
    private static let setAttribute = "python3 -c 'import os; os.setxattr(\"a\",\"user.x\",b\"y\")'"

    @Test(
        "extended attributes are kept with preserve, and without it they are not",
        .enabled(
            if: hasAttributes,
            "no extended attribute can be set; Debian: apt-get install python3, and TMPDIR on ext4, xfs, btrfs or a tmpfs of Linux 6.6"
        ))
    func extendedAttributes() throws {
        let scratch = try Scratch()
        try scratch.write("a", [1, 2, 3])
        try Command.shell(Self.setAttribute, folder: scratch.path)
        var options = CopyOptions()
        for preserves in [false, true] {
            options.preserves = preserves
            _ = try Copier().copy(from: .path(scratch.at("a")), to: .path(scratch.at("b")), options)
            let found = try Command.shell("python3 -c 'import os; print(os.listxattr(\"b\"))'", folder: scratch.path)
            #expect(found.output.contains("user.x") == preserves, "\(found)")
        }
    }

    @Test("mode and times are kept")
    func attributes() throws {
        let scratch = try Scratch()
        try scratch.write("a", [1, 2, 3])
        try Command.shell("chmod 640 a; touch -d '2001-02-03 04:05:06.789' a", folder: scratch.path)
        _ = try Copier().copy(from: .path(scratch.at("a")), to: .path(scratch.at("b")))
        let a = try #require(try FileFacts.at(CopyPath(scratch.at("a"))))
        let b = try #require(try FileFacts.at(CopyPath(scratch.at("b"))))
        #expect(b.mode == 0o640 && b.modified == a.modified)
    }

    @Test("a symbolic link as target: the file behind it is replaced, and the link stays")
    func link() throws {
        let scratch = try Scratch()
        try scratch.write("a", [1])
        try scratch.write("real", [2, 2])
        try Command.run(["ln", "-s", "real", scratch.at("link")])
        try Command.run(["ln", "-s", "nowhere", scratch.at("dangling")])
        _ = try Copier().copy(from: .path(scratch.at("a")), to: .path(scratch.at("link")))
        #expect(try scratch.read("real") == [1])
        #expect(try FileFacts.at(CopyPath(scratch.at("link")), follow: false)?.kind == .other)
        expectCode(.danglingLink) { _ = try Copier().copy(from: .path(scratch.at("a")), to: .path(scratch.at("dangling"))) }
    }

    @Test("one file by two names is refused: itself, a hard link, a symbolic one")
    func sameFile() throws {
        let scratch = try Scratch()
        try scratch.write("a", [1])
        try Command.shell("ln a hard; ln -s a soft", folder: scratch.path)
        for name in ["a", "hard", "soft"] {
            expectCode(.sameFile) { _ = try Copier().copy(from: .path(scratch.at("a")), to: .path(scratch.at(name))) }
        }
        #expect(try scratch.read("a") == [1])
    }

    @Test("a pattern is copied, compared, and its first wrong byte named")
    func pattern() throws {
        let scratch = try Scratch()
        let copier = Copier()
        let file = Endpoint.path(scratch.at("p"))
        _ = try copier.copy(from: .pattern(seed: 5, size: 3_000_001), to: file)
        let report = try copier.copy(from: file, to: .pattern(seed: 5, size: nil))
        #expect(report.bytes == 3_000_001)
        expectCode(.patternMismatch) { _ = try copier.copy(from: file, to: .pattern(seed: 6, size: nil)) }
        try Command.shell("printf x | dd of=p bs=1 seek=1234567 conv=notrunc 2>/dev/null", folder: scratch.path)
        do throws(CopyFailure) {
            _ = try copier.copy(from: file, to: .pattern(seed: 5, size: nil))
            Issue.record("a changed byte was not found")
        } catch { #expect(error.possible.contains("offset 1234567")) }
    }

    @Test("memory, zeroes and null")
    func local() throws {
        let scratch = try Scratch()
        let copier = Copier()
        #expect(try copier.copy(from: .memory(10 << 20), to: .null).bytes == 10 << 20)
        #expect(try copier.copy(from: .zero(5), to: .memory(5)).bytes == 5)
        _ = try copier.copy(from: .zero(100_000), to: .path(scratch.at("z")))
        #expect(try scratch.read("z") == [UInt8](repeating: 0, count: 100_000))
        expectCode(.targetTooSmall) { _ = try copier.copy(from: .zero(6), to: .memory(5)) }
    }

    @Test("a client's buffer as source and as target: its bytes, no more of them, and only one copy at a time")
    func clientsBuffer() throws {
        let scratch = try Scratch()
        let copier = Copier()
        let bytes = (0..<100_001).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let source = CopyBuffer(try Buffer(copying: bytes))
        #expect(try copier.copy(from: .buffer(source), to: .path(scratch.at("file"))).bytes == 100_001)
        #expect(try scratch.read("file") == bytes)
        let target = CopyBuffer(try Buffer(count: 200_000))
        #expect(try copier.copy(from: .path(scratch.at("file")), to: .buffer(target)).bytes == 100_001)
        #expect(try copier.copy(from: .buffer(target), to: .path(scratch.at("both"))).bytes == 200_000)
        #expect(try scratch.read("both") == bytes + [UInt8](repeating: 0, count: 99_999))
        // A pipe, and a file of /proc that says it has no bytes: what comes behind its size goes to the same buffer.
        _ = try copier.copy(from: .path("/proc/self/status"), to: .buffer(target))
        #expect(try copier.copy(from: .buffer(source), to: .buffer(target)).bytes == 100_001)
        expectCode(.held) { _ = try copier.copy(from: .buffer(source), to: .buffer(source)) }
        expectCode(.targetTooSmall) { _ = try copier.copy(from: .buffer(target), to: .buffer(source)) }
        var options = CopyOptions()
        options.verifies = true
        #expect(try copier.copy(from: .buffer(source), to: .path(scratch.at("verified")), options).verified)
        // It is the client's again after copies that failed, too.
        let back = target.take()
        let isBack = back?.count == 200_000
        #expect(isBack)
        let isEmpty = target.take() == nil
        #expect(isEmpty)
        expectCode(.held) { _ = try copier.copy(from: .zero(1), to: .buffer(target)) }
    }

    @Test("append begins behind the end")
    func append() throws {
        let scratch = try Scratch()
        try scratch.write("a", [3, 4])
        try scratch.write("b", [1, 2])
        var options = CopyOptions()
        options.treatment = .append
        _ = try Copier().copy(from: .path(scratch.at("a")), to: .path(scratch.at("b")), options)
        #expect(try scratch.read("b") == [1, 2, 3, 4])
    }

    @Test("the rate is kept, whatever moves the bytes", arguments: ["read-write", "engine", "in-kernel", "splice"])
    func rate(_ way: String) throws {
        let scratch = try Scratch()
        let bytes = [UInt8](repeating: 7, count: 2_000_000)
        try scratch.write("a", bytes)
        var options = CopyOptions()
        options.rate = 2_000_000
        options.chunk = way == "splice" ? nil : 100_000
        options.engine = way == "engine" ? "io_uring" : nil
        let (source, target) = (Endpoint.path(scratch.at("a")), Endpoint.path(scratch.at("b")))
        let reader =
            way == "splice" ? try Command.start(["sh", "-c", "mkfifo b && exec cat b > c"], folder: scratch.path) : nil
        if reader != nil { while !scratch.exists("b") { usleep(1000) } }
        var plan = try Copier().plan(from: source, to: target, options)
        if way == "in-kernel" { plan.path = .inKernel }
        let began = Date()
        let report = try Copier().copy(from: source, to: target, options, plan: plan)
        let seconds = -began.timeIntervalSinceNow
        #expect(report.plan.path.rawValue == way && report.bytes == 2_000_000)
        #expect(seconds > 0.7, "\(seconds)")
        if let reader { #expect(reader.wait().status == 0) }
        #expect(try scratch.read(reader == nil ? "b" : "c") == bytes)
    }

    @Test("a report's speed is that of the copy and its flush, and its times are those of its parts")
    func report() throws {
        var report = CopyReport(plan: CopyPlan())
        (report.bytes, report.setupNanoseconds, report.copyNanoseconds) = (6_000_000_000, 9_000_000_000, 1_000_000_000)
        (report.flushNanoseconds, report.verifyNanoseconds) = (2_000_000_000, 9_000_000_000)
        #expect(report.bytesPerSecond == 2_000_000_000)
        // Parts of one whole.
        let scratch = try Scratch()
        var options = CopyOptions()
        options.verifies = true
        let began = CopyClock.now
        let found = try Copier().copy(from: .pattern(seed: 1, size: 4 << 20), to: .path(scratch.at("b")), options)
        let parts = [found.setupNanoseconds, found.copyNanoseconds, found.flushNanoseconds, found.verifyNanoseconds]
        #expect(parts.allSatisfy { $0 > 0 } && parts.reduce(0, +) <= CopyClock.now - began)
    }
}

/// `body` fails with this code.
func expectCode(_ code: CopyFailure.Code, at location: SourceLocation = #_sourceLocation, _ body: () throws -> Void) {
    do {
        try body()
        Issue.record("it did not fail with \(code)", sourceLocation: location)
    } catch let failure as CopyFailure {
        #expect(failure.code == code, "\(failure)", sourceLocation: location)
    } catch { Issue.record("another error: \(error)", sourceLocation: location) }
}
