// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Foundation
import Testing

/// Full disks, little memory, and the ends of every range that an option's help or its error names.
@Suite("Limits of tests and benchmarks", .serialized)
struct LimitTests {
    @Test(
        "without disk space for its file a test says how much it needs, and reports no engine as failed",
        .enabled(if: Machine.canMount, Comment(rawValue: Machine.withoutMounts)), arguments: ["1m", "20m"])
    func fullDisk(_ size: String) throws {
        let scratch = try Scratch()
        let folder = try scratch.tmpfs("full", "size=\(size)")
        let words = ["test", "--engine", "io_uring", "--duration", "0.5", "--iterations", "1"]
        for form in [[], ["--tap"], ["--json"]] {
            let ran = try Program.run(words + form, environment: ["TMPDIR": folder])
            #expect(ran.status == 1, "\(ran)")
            #expect(ran.output.contains("no room in \(folder)") && ran.output.contains("64 MiB are needed"), "\(ran.output)")
            for word in ["mismatch", "WRONG", "bytes wrong"] { #expect(!ran.output.contains(word), "\(ran.output)") }
            if form.isEmpty { #expect(ran.output.contains("io_uring: could not be tried: no room")) }
        }
    }

    /// A memory control group of so many bytes, and what takes it away; nil where none can be made.
    private static func group(_ bytes: Int) -> (procs: String, end: () -> Void)? {
        let name = "dmactl-test-\(UUID().uuidString)"
        for (top, limit) in [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")] {
            let folder = "\(top)/\(name)"
            guard
                FileManager.default.fileExists(
                    atPath: top == "/sys/fs/cgroup" ? top + "/cgroup.controllers" : top + "/" + limit)
            else { continue }
            guard unsafe mkdir(folder, 0o755) == 0 else { continue }
            if (try? "\(bytes)".write(toFile: "\(folder)/\(limit)", atomically: false, encoding: .utf8)) != nil {
                try? "0".write(toFile: "\(folder)/memory.swap.max", atomically: false, encoding: .utf8)
                return (
                    "\(folder)/cgroup.procs",
                    { for _ in 0..<200 where unsafe rmdir(folder) != 0 { usleep(5000) } }
                )
            }
            _ = unsafe rmdir(folder)
        }
        return nil
    }

    static let hasGroups: Bool = {
        guard let group = group(64 << 20) else { return false }
        group.end()
        return true
    }()

    @Test(
        "in a container with little memory a benchmark takes less, or says why not; nothing is killed",
        .enabled(if: hasGroups, "no memory control group can be made; run as root, with cgroups that can be written"),
        .enabled(if: !Machine.isSanitized, Comment(rawValue: Machine.sanitized)), arguments: [48, 64])
    func container(_ size: Int) throws {
        let group = try #require(Self.group(size << 20))
        defer { group.end() }
        for words in [
            ["bench", "--engine", "cpu", "--size", "1MiB", "--seconds", "0.01", "--repeats", "1"],
            ["bench", "--engine", "cpu", "--size", "64MiB", "--seconds", "0.01", "--repeats", "1"],
        ] {
            let ran = try Command.run(
                ["sh", "-c", "echo $$ > \(group.procs); exec \"$0\" \"$@\"", Program.dmactl] + words,
                environment: ["NO_COLOR": "1", "COLUMNS": ""])
            #expect(ran.status != 137 && !ran.isKilled, "\(words): \(ran)")
            #expect((ran.output + ran.errors).contains("memory."), "\(words): \(ran)")
            if words.contains("64MiB") {
                #expect(ran.status == 1 && ran.output.contains("one transaction of 64 MiB takes 128 MiB of memory"), "\(ran)")
            } else {
                #expect(ran.status == 0 && ran.output.contains("of memory for each channel"), "\(ran)")
            }
        }
    }

    /// Each option with the ends of its range, and what lies beyond.
    private static let test: [(option: String, least: String, most: String, below: String, above: String)] = [
        ("--alignment", "0", "12", "-1", "13"), ("--xor-sources", "1", "32", "0", "256"),
        ("--pq-sources", "1", "32", "0", "33"),
        ("--transfer-size", "1", "65536", "0", "65537"), ("--test-buf-size", "64", "1048576", "63", "1073741825"),
        ("--iterations", "1", "1000000", "0", "1000001"), ("--max-channels", "1", "64", "0", "1025"),
        ("--threads-per-chan", "1", "4096", "0", "4097"), ("--timeout", "1000", "86400000", "0", "86400001"),
        ("--duration", "0.01", "0.3", "-1", "86401"),
    ]

    @Test("each option of test works at the ends of its range, and is refused beyond", arguments: test.indices)
    func testRanges(_ index: Int) throws {
        let one = Self.test[index]
        let kind = ["--xor-sources": "xor", "--pq-sources": "pq", "--max-channels": "fill"][one.option] ?? "copy"
        var base = ["test", "--engine", "cpu", "--operation", kind]
        if one.option != "--transfer-size", one.option != "--test-buf-size" { base += ["--test-buf-size", "1KiB"] }
        let quick = one.option == "--duration" ? [] : ["--duration", "0.05"]
        let few = one.option == "--iterations" ? [] : ["--iterations", "1"]
        for value in [one.least, one.most] {
            let words = base + quick + few + [one.option, value]
            if one.option == "--iterations", value == one.most {
                // As many take their time: that it goes on is seen, and it is stopped.
                let running = try Command.start([Program.dmactl] + words, environment: ["NO_COLOR": "1", "COLUMNS": ""])
                #expect(running.listens(to: SIGINT))
                running.signal(SIGINT)
                #expect(running.wait().status == 130)
                continue
            }
            let ran = try Program.run(words)
            #expect(ran.status == 0, "\(one.option) \(value): \(ran)")
        }
        for value in [one.below, one.above] {
            let ran = try Program.run(base + quick + few + ["\(one.option)=\(value)"])
            #expect(ran.status == 64 && ran.errors.contains(one.option), "\(one.option) \(value): \(ran)")
        }
    }

    private static let bench: [(option: String, least: String, most: String, below: String, above: String)] = [
        ("--size", "1", "16MiB", "0", "5GiB"), ("--depth", "1", "32768", "0", "32769"), ("--threads", "1", "3", "0", "1025"),
        ("--sources", "1", "32", "0", "33"), ("--repeats", "1", "5", "0", "1001"), ("--seconds", "0.001", "0.02", "0", "3601"),
        ("--batch", "1", "32768", "0", "32769"),
        ("--mode", "cycle-stealing:0.01", "cycle-stealing:1", "cycle-stealing:0", "cycle-stealing:1.01"),
        ("--file-size", "64KiB", "2MiB", "4095", "1025GiB"),
    ]

    @Test("each option of bench works at the ends of its range, and is refused beyond", arguments: bench.indices)
    func benchRanges(_ index: Int) throws {
        let one = Self.bench[index]
        var base = ["bench"]
        base += one.option == "--file-size" ? [] : ["--engine", "cpu"]
        if one.option == "--sources" { base += ["--operation", "xor", "--operation", "pq"] }
        if one.option == "--file-size" { base += ["--engine", "io_uring", "--size", "4KiB"] }
        if !["--size", "--file-size"].contains(one.option) { base += ["--size", "4KiB"] }
        if one.option != "--repeats" { base += ["--repeats", "1"] }
        // With a mode, time for hundreds of the foreground task's pieces: of a few, one that lost its processor makes the median.
        if one.option != "--seconds" { base += ["--seconds", one.option == "--mode" ? "0.2" : "0.01"] }
        for value in [one.least, one.most] {
            let ran = try Program.run(base + [one.option, value])
            #expect(ran.status == 0, "\(one.option) \(value): \(ran)")
        }
        for value in [one.below, one.above] {
            let ran = try Program.run(base + ["\(one.option)=\(value)"])
            #expect(ran.status == 64 && ran.errors.contains(one.option), "\(one.option) \(value): \(ran)")
        }
    }

    @Test("a benchmark that measured no engine is no success")
    func nothingMeasured() throws {
        for words in [
            ["--engine", "io_uring", "--operation", "copy", "--size", "4KiB"],
            ["--engine", "cpu", "--operation", "fromPeripheral", "--size", "4KiB", "--file-size", "1MiB"],
            ["--engine", "io_uring", "--operation", "fromPeripheral", "--size", "2MiB", "--file-size", "1MiB"],
        ] {
            for form in [[], ["--json"], ["--csv"]] {
                let ran = try Program.run(["bench", "--seconds", "0.01", "--repeats", "1"] + words + form)
                #expect(ran.status == 1 && ran.errors.contains("dmactl: no engine was measured: "), "\(words): \(ran)")
            }
        }
    }
}
