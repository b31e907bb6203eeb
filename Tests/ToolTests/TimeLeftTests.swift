// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Foundation
import Testing

@testable import DMATool

@Suite("How long work still takes", .serialized)
struct TimeLeftTests {
    @Test("what is left takes as long as what was done, for each step")
    func left() {
        let time = TimeLeft(since: 1_000_000_000)
        #expect(time.text(1, of: 4, now: 3_000_000_000) == "1/4  6 s left")
        #expect(time.text(3, of: 4, now: 4_000_000_000) == "3/4  1 s left")
        #expect(time.text(4, of: 4, now: 9_000_000_000) == "4/4")
        // More steps than were expected, none at all, and a clock that stands.
        #expect(time.text(5, of: 4, now: 9_000_000_000) == "5/5" && time.text(0, of: 4, now: 1) == "0/4")
        #expect(time.text(1, of: 100, now: 0) == "1/100  0 s left")
        #expect(time.text(1, of: .max, now: .max).hasSuffix(" a long time left"))
    }

    @Test("--duration 0 repeats the test with new random numbers until a signal, and reports the number of rounds")
    func endless() throws {
        let running = try Command.start(
            [
                Program.dmactl, "test", "--engine", "cpu", "--operation", "null", "--iterations", "1", "--duration", "0",
                "--noverify",
            ],
            environment: ["NO_COLOR": "1", "COLUMNS": ""])
        #expect(running.listens(to: SIGINT))
        usleep(300_000)
        running.signal(SIGINT)
        let ran = running.wait(limit: 60)
        #expect(ran.status == 130 && ran.errors.contains("dmactl: stopped by SIGINT after "), "\(ran)")
    }

    @Test(
        "SIGTERM ends a step that takes longer, within a second",
        arguments: [
            [
                "test", "--engine", "cpu", "--operation", "copy", "--test-buf-size", "256MiB", "--threads-per-chan", "1",
                "--norandom",
            ],
            ["bench", "--engine", "cpu", "--size", "1GiB", "--depth", "1", "--seconds", "30"],
        ])
    func terminated(_ words: [String]) throws {
        let isTimely = try Machine.isTimely(1.5) {
            let running = try Command.start([Program.dmactl] + words, environment: ["NO_COLOR": "1", "COLUMNS": ""])
            #expect(running.listens(to: SIGTERM))
            usleep(200_000)
            let began = Date()
            running.signal(SIGTERM)
            let ran = running.wait(limit: 60)
            #expect(ran.status == 143, "\(ran)")
            return Date().timeIntervalSince(began)
        }
        #expect(isTimely)
    }

    @Test("more than the machine or the engines have is refused, or said")
    func limits() throws {
        let sources = try Program.run(["test", "--engine", "cpu", "--xor-sources", "99"])
        #expect(sources.status == 64 && sources.errors.contains("--xor-sources 99: "), "\(sources)")
        let threads = try Program.run(["bench", "--engine", "cpu", "--threads", "999"])
        #expect(
            threads.status == 64 && threads.errors.contains("--threads 999: each thread has a channel of its own"), "\(threads)"
        )
        let quick = ["test", "--engine", "cpu", "--operation", "fill", "--iterations", "1", "--duration", "0.1"]
        let channels = try Program.run(quick + ["--max-channels", "200", "--test-buf-size", "64"])
        #expect(channels.status == 0 && channels.errors.contains("--max-channels 200: cpu has "), "\(channels)")
        let depth = try Program.run(quick + ["--threads-per-chan", "4000", "--test-buf-size", "64"])
        #expect(depth.status == 0 && depth.errors.contains("--threads-per-chan 4000: cpu takes "), "\(depth)")
    }

    @Test("a size is written the same way in test as in bench, and what is none is refused")
    func sizes() throws {
        let quick = ["test", "--engine", "cpu", "--operation", "fill", "--iterations", "1", "--duration", "0.1"]
        let ran = try Program.run(quick + ["--test-buf-size", "8KiB", "--transfer-size", "4 KiB"])
        #expect(ran.status == 0 && ran.output.contains("4 KiB"), "\(ran)")
        for wrong in ["8XB", "-1", "1e3KiB", "", "9999999999999999999"] {
            let ran = try Program.run(quick + ["--test-buf-size=\(wrong)"])
            #expect(ran.status == 64 && ran.errors.contains("--test-buf-size"), "\(wrong): \(ran)")
        }
    }

    @Test(
        "without /proc the program starts, finds its arguments, and says what is missing",
        .enabled(if: Machine.canUnshare, Comment(rawValue: Machine.withoutUnshare)),
        .enabled(if: !Machine.isSanitized, Comment(rawValue: Machine.sanitized)))
    func withoutProc() throws {
        for (words, says) in [(["--version"], "0."), (["list"], "cpu, by "), (["explain", "rule18"], "rule18")] {
            let ran = try Command.run(
                ["unshare", "-rm", "sh", "-c", "mount -t tmpfs none /proc && exec \"$0\" \"$@\"", Program.dmactl] + words,
                environment: ["NO_COLOR": "1", "COLUMNS": ""])
            #expect(ran.status == 0 && ran.output.contains(says), "\(words): \(ran)")
            #expect(ran.errors.contains("dmactl: /proc is not there"), "\(words): \(ran)")
        }
    }
}
