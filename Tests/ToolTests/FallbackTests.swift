// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import ForbiddenSystemCalls
import Foundation
import Testing

@testable import DMABench

/// What ran instead of a ring is said in every form, with the reason and the cure.
@Suite("An engine that falls back", .serialized)
struct FallbackTests {
    @Test("without io_uring every command says threads, why, and what to change")
    func forbidden() async {
        await #expect(processExitsWith: .exitCode(0)) {
            guard forbid_io_uring() == 0 else { exit(1) }
            let by = "io_uring: by threads (io_uring: Operation not permitted)"
            let cure = "Cure: write 0 to /proc/sys/kernel/io_uring_disabled"
            let scratch = try Scratch()
            try scratch.write("s", [UInt8](repeating: 1, count: 17 << 20))
            let sweep = ["--operation", "fromPeripheral", "--size", "64KiB", "--seconds", "0.01", "--repeats", "1"]
            let commands: [(Int32, [String])] = [
                (2, ["bench", "--engine", "io_uring", "--file-size", "1MiB"] + sweep),
                (3, ["test", "--engine", "io_uring", "--iterations", "1", "--duration", "0.1", "--operation", "null"]),
                (4, ["copy", "--explain", "--engine", "io_uring", scratch.at("s"), scratch.at("t")]),
            ]
            for (code, words) in commands {
                let ran = try Program.run(words)
                guard ran.output.contains(by), ran.output.contains(cure) else {
                    print(ran)
                    exit(code)
                }
            }
            let list = try Program.run(["list"])
            guard list.output.contains("io_uring, by threads (io_uring: Operation not permitted)"), list.output.contains(cure)
            else {
                exit(5)
            }
            let tap = try Program.run(commands[1].1 + ["--tap"])
            guard tap.output.contains("# " + by) else { exit(6) }
            let json = try Program.run(commands[1].1 + ["--json"])
            guard json.output.contains("\"reason\" : \"io_uring: Operation not permitted\"") else { exit(7) }
            exit(0)
        }
    }

    @Test("a ring that may be made and not be used is threads too, and a copy through it ends")
    func refusedEntry() async {
        await #expect(processExitsWith: .exitCode(0)) {
            guard forbid_io_uring_enter(EPERM) == 0 else { exit(1) }
            let scratch = try Scratch()
            let bytes = (0..<(3 << 20)).map { UInt8(truncatingIfNeeded: $0 >> 3) }
            try scratch.write("s", bytes)
            let ran = try Command.run(
                [Program.dmactl, "copy", "--engine", "io_uring", scratch.at("s"), scratch.at("t")], limit: 60)
            guard ran.status == 0, try scratch.read("t") == bytes else { exit(2) }
            let list = try Program.run(["list"])
            guard list.output.contains("io_uring, by threads (io_uring_enter: Operation not permitted)") else { exit(3) }
            exit(0)
        }
    }

    @Test("two runs on different implementations are not compared without a word")
    func compared() throws {
        func result(_ implementation: String) -> BenchResult {
            let row = BenchRow(
                name: "case", point: BenchPoint(engine: "io_uring", bytes: 4096), implementation: implementation, inFlight: 32,
                bytesPerSecond: [1e9, 1.1e9, 1.2e9, 1.3e9], cpuSecondsPerGB: [1], submitNanoseconds: [], issueNanoseconds: [],
                latency: nil, share: [], foreground: [], disturbedRepeats: 0, bytesVerified: 1, bytesWrong: 0, notes: [],
                failure: nil)
            return BenchResult(
                began: "2026-01-01T00:00:00Z", seconds: 1, command: [], machine: MachineFacts(), plan: BenchPlan(cases: []),
                rows: [row], skipped: [], disturbance: Disturbance(seconds: 1), warnings: [])
        }
        let scratch = try Scratch()
        let now = try scratch.write("now", [UInt8](JSONEncoder().encode(result("threads (io_uring: ENOSYS)"))))
        let then = try scratch.write("then", [UInt8](JSONEncoder().encode(result("ring"))))
        let ran = try Program.run(["bench", "--from", now, "--compare", then])
        #expect(
            ran.output.contains("caution: another implementation of io_uring: ring then, threads (io_uring: ENOSYS) now"),
            "\(ran.output)")
        #expect(ran.output.contains("io_uring: by threads (io_uring: ENOSYS)"))
        let same = try Program.run(["bench", "--from", now, "--compare", now])
        #expect(same.status == 0 && !same.output.contains("another implementation"))
    }
}
