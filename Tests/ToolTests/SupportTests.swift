// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Foundation
import Testing

/// What tests leave behind spoils those after them.
@Suite("The tests' own tools", .serialized)
struct SupportTests {
    private struct Thrown: Error {}

    /// Loop devices and mounts whose files lie in a folder.
    private func left(_ folder: String) throws -> String {
        try Command.shell("losetup -a | grep -F \(folder); grep -F \(folder) /proc/self/mounts; ls -d \(folder)* 2>/dev/null")
            .output
    }

    @Test(
        "nothing is left of disks and mounts when a test throws",
        .enabled(if: Machine.hasLoops, Comment(rawValue: Machine.withoutLoops)))
    func thrown() throws {
        var folder = ""
        #expect(throws: Thrown.self) {
            let scratch = try Scratch()
            folder = scratch.path
            try scratch.mounted("ext4", 8 << 20, "fs")
            try scratch.tmpfs("fs/t", "size=1m")
            _ = try scratch.loop(1 << 20)
            #expect(try left(folder).split(separator: "\n").count == 5)
            throw Thrown()
        }
        #expect(try left(folder) == "")
        // A disk whose file system cannot be made is none.
        let path = FileManager.default.temporaryDirectory.appending(path: "dma-none-\(UUID().uuidString)").path
        #expect(throws: Machine.Missing.self) {
            _ = try LoopDisk(count: 8 << 20, fileSystem: "ext4", at: path, make: ["-b", "7"])
        }
        #expect(try left(path) == "")
    }

    @Test("a program that takes too long ends with all its children, and so does one that is not waited for")
    func limits() throws {
        let scratch = try Scratch()
        let line = "sleep 1000 & echo $! > \(scratch.at("pid")); wait"
        func isGone() throws -> Bool {
            let pid = try #require(Int32(String(decoding: scratch.read("pid"), as: UTF8.self).dropLast()))
            for _ in 0..<5000 where kill(pid, 0) == 0 { usleep(2000) }
            return kill(pid, 0) != 0
        }
        let answer = try Command.shell(line, limit: 1)
        #expect(answer.status == 137 && answer.seconds < 30)
        #expect(try isGone())
        try scratch.write("pid", [])
        do {
            let running = try Command.start(["bash", "-c", line])
            #expect(scratch.waits(until: "pid", has: 2) && running.isRunning)
        }
        #expect(try isGone())
    }

    @Test("a program has its input, its environment and its folder, and answers with both outputs")
    func plain() throws {
        let answer = try Command.run(
            ["bash", "-c", "cat; pwd; echo $X >&2; exit 3"], input: "in\n", environment: ["X": "y"], folder: "/usr")
        #expect(answer.status == 3 && answer.output == "in\n/usr\n" && answer.errors == "y\n")
        #expect(throws: (any Error).self) { try Command.run(["true"], folder: "/nonexistent") }
    }
}
