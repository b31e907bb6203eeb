// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Foundation
import Testing

@testable import DMACopy
@testable import DMATool

/// What `dmactl copy` says of a copy, and what its options ask for.
@Suite("Reports of a copy", .serialized)
struct CopyReportTests {
    @Test("the last line has bytes, holes, time, speed, processor time, the way, and what was compared")
    func summary() {
        var report = CopyReport(plan: CopyPlan())
        report.plan.path = .readWrite
        (report.bytes, report.holes) = (1 << 30, 1 << 20)
        (report.copyNanoseconds, report.flushNanoseconds, report.processorNanoseconds) = (
            1_500_000_000, 500_000_000, 250_000_000
        )
        let plain = "1 GiB (1 MiB of it holes) in 2.00 s, 512 MiB/s, 0.25 s of processor; read and written"
        #expect(CopyOutput.summary(report) == plain)
        (report.verified, report.crc32c) = (true, 0xbeef)
        #expect(CopyOutput.summary(report) == plain + "; verified; CRC32C 0000beef")
    }

    @Test("progress has the share of the whole, and how long what is left will take")
    func progress() {
        var line = ProgressLine()
        var progress = CopyProgress()
        (progress.phase, progress.total) = (.copying, 1000 << 30)
        #expect(line.text(progress, name: "a", width: 100) == "a: copying, 0 B of 1000 GiB, 0 %")
        usleep(1_200_000)
        // A thousandth of more than a second is left.
        progress.bytes = 999 << 30
        let text = line.text(progress, name: "a", width: 100)
        #expect(text.hasPrefix("a: copying, 999 GiB of 1000 GiB, 99 %, ") && text.hasSuffix("/s, 1 s left"), "\(text)")
        #expect(line.text(progress, name: String(repeating: "x", count: 200) + "end", width: 90).count <= 90)
        let durations = [(0.2, "1 s"), (59, "59 s"), (61, "1:01 min"), (3661, "1:01 h"), (.infinity, "a long time")]
        for (seconds, text) in durations { #expect(ProgressLine.duration(seconds) == text) }
    }

    @Test("what the options ask for is in the plan")
    func options() throws {
        let scratch = try Scratch()
        try scratch.write("a", [1, 2, 3])
        func plan(_ words: String...) throws -> CopyPlan {
            struct Document: Decodable { let plan: CopyPlan }
            let ran = try Program.run(["copy", "--explain", "--json"] + words + [scratch.at("a"), scratch.at("b")])
            #expect(ran.status == 0, "\(ran.errors)")
            return try JSONDecoder().decode(Document.self, from: Data(ran.output.utf8)).plan
        }
        let usual = try plan()
        #expect(usual.flushes && !usual.verifies && usual.reflink == .auto && usual.publishing == .rename)
        let asked = try plan(
            "--no-sync", "--mode", "cycle-stealing:0.25", "--chunk", "4KiB", "--depth", "3", "--engine",
            "io_uring",
            "--reflink", "never", "--verify")
        #expect(!asked.flushes && asked.verifies && asked.mode == .cycleStealing && asked.share == 0.25)
        #expect(asked.chunk == 4096 && asked.depth == 3 && asked.engine == "io_uring" && asked.reflink == .never)
        #expect(try plan("--resume").publishing == .resume && plan("--append").publishing == .append)
        #expect(try plan("--in-place").publishing == .inPlace)
    }

    @Test("--rate is kept")
    func rate() throws {
        let scratch = try Scratch()
        try scratch.write("a", [UInt8](repeating: 1, count: 1_000_000))
        let ran = try Command.copy("--rate", "1MB", "--chunk", "64KiB", scratch.at("a"), scratch.at("b"))
        #expect(ran.status == 0 && ran.seconds > 0.7, "\(ran.seconds) \(ran.errors)")
    }

    @Test(
        "--preserve keeps the owner, and without it nothing does",
        .enabled(if: Machine.isRoot, "only root may give files away; run as root"))
    func preserve() throws {
        let scratch = try Scratch()
        try scratch.write("a", [1])
        try Command.run(["chown", "65534:65534", scratch.at("a")])
        #expect(try Command.copy("--preserve", scratch.at("a"), scratch.at("b")).status == 0)
        #expect(try Command.copy(scratch.at("a"), scratch.at("c")).status == 0)
        #expect(try Command.run(["stat", "-c", "%u:%g", scratch.at("b"), scratch.at("c")]).output == "65534:65534\n0:0\n")
    }
}
