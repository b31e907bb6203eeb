// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Foundation
import Testing

@testable import DMATool

@Suite("serve, bind and devices by their addresses", .serialized)
struct ServeTests {
    @Test("a served model is tested by its address, and a signal ends the server, which says what it has seen")
    func serve() throws {
        let scratch = try Scratch()
        let server = try Command.start([Program.dmactl, "serve", "ioat", "--socket", "s"], folder: scratch.path)
        #expect(server.listens(to: 2))
        while !scratch.exists("s"), server.isRunning { usleep(2000) }
        let ran = try Command.run(
            [
                Program.dmactl, "test", "--device", "vfio-user:s", "--iterations", "1", "--duration", "10", "--operation",
                "copy",
                "--operation", "xor", "--test-buf-size", "8192",
            ], folder: scratch.path)
        #expect(ran.status == 0, "\(ran.output)\(ran.errors)")
        #expect(ran.output.contains("vfio-user:s") && ran.output.contains("xor"))
        server.signal(15)
        let ended = server.wait(limit: 60)
        #expect(ended.status == 143, "\(ended)")
        for words in ["serving ioat at s", "client 1 has connected", "client 1 has ended", "0 violations of drivers"] {
            #expect(ended.errors.contains(words), "\(ended.errors)")
        }
        #expect(!scratch.exists("s"))
    }

    @Test("what cannot be served, bound or used says so, with the right exit code")
    func refused() throws {
        let scratch = try Scratch()
        _ = try scratch.write("file", [1])
        for (words, status, text) in [
            (["serve", "nvme", "--socket", "s"], 64, "there are edu"), (["serve", "edu"], 64, "--socket"),
            (["serve", "edu", "--socket", "file"], 1, "cannot serve file"), (["bind", "first"], 64, "0000:01:00.0"),
            (["bind", "0000:ff:1f.7"], 1, "0000:ff:1f.7"), (["unbind", "--dry-run", "0000:ff:1f.7"], 1, "0000:ff:1f.7"),
            (["test", "--device", "vfio-user:nowhere"], 1, "vfio-user:nowhere"),
            (["test", "--device", "qtest:q35"], 64, "qtest:"),
            (["bench", "--device", "model:nvme", "--seconds", "0.01"], 1, "no model"),
            (["copy", "--engine", "0000:ff:1f.7", "pattern:1:4096", "memory:4096"], 1, "0000:ff:1f.7"),
        ] {
            let ran = try Command.run([Program.dmactl] + words, folder: scratch.path)
            #expect(ran.status == status && ran.errors.contains(text), "\(words): \(ran.status) \(ran.errors)")
        }
    }

    /// A PCI function that has a driver of the kernel's, so that unbinding it from vfio-pci writes nothing.
    private static let function = (try? FileManager.default.contentsOfDirectory(atPath: "/sys/bus/pci/devices"))?.sorted()
        .first { FileManager.default.fileExists(atPath: "/sys/bus/pci/devices/\($0)/driver") }

    @Test(
        "unbind --json is as its schema says, and a dry run writes nothing",
        .enabled(
            if: function != nil && hasValidator, "no PCI function with a driver, or no validator; run Scripts/setup --tests"))
    func unbind() throws {
        let function = try #require(Self.function)
        let ran = try Program.run(["unbind", "--dry-run", "--json", function])
        #expect(ran.status == 0, "\(ran.errors)")
        #expect(try SchemaTests().findings("bind", ran.output) == "")
        let broken = ran.output.replacingOccurrences(of: "\"isDryRun\" : true", with: "\"isDryRun\" : 1")
        #expect(broken != ran.output)
        #expect(try SchemaTests().findings("bind", broken) != "")
    }

    @Test("a model is measured by its address beside memcpy")
    func bench() throws {
        let ran = try Program.run([
            "bench", "--device", "model:ioat", "--size", "4KiB", "--seconds", "0.05", "--repeats", "1", "--json",
        ])
        #expect(ran.status == 0, "\(ran.errors)")
        #expect(ran.output.contains("\"model:ioat\"") && ran.output.contains("memcpy"))
    }
}
