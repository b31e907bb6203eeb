// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Foundation
import Testing

@Suite("Results from files", .serialized)
struct BenchFileTests {
    private static let sweep = ["--engine", "cpu", "--size", "4KiB", "--seconds", "0.01", "--repeats", "2"]

    /// A result of a real run, changed as text, then shown and compared.
    private func shown(_ change: (inout [String: Any]) -> Void) throws -> [Command.Answer] {
        let folder = FileManager.default.temporaryDirectory.appending(path: "dma-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let measured = try Program.run(["bench", "--json"] + Self.sweep).output
        var document = try #require(try JSONSerialization.jsonObject(with: Data(measured.utf8)) as? [String: Any])
        change(&document)
        let file = folder.appending(path: "changed.json")
        try JSONSerialization.data(withJSONObject: document).write(to: file)
        return [
            try Program.run(["bench", "--from", file.path, "--compare", file.path, "--html", folder.path + "/a.html"]),
            try Program.run(["bench", "--compare", file.path] + Self.sweep),
        ]
    }

    private func changeRow(_ document: inout [String: Any], _ change: (inout [String: Any]) -> Void) {
        guard var rows = document["rows"] as? [[String: Any]], !rows.isEmpty else { return }
        change(&rows[0])
        document["rows"] = rows
    }

    @Test("a hostile result is refused with 66 and what is wrong; nothing is measured first, and nothing crashes")
    func hostile() throws {
        let spoils: [(String, (inout [String: Any]) -> Void)] = [
            ("rows[0]: disturbedRepeats", { d in changeRow(&d) { $0["disturbedRepeats"] = -3 } }),
            ("rows[0]: bytesPerSecond", { d in changeRow(&d) { $0["bytesPerSecond"] = [1e300, 1e300] } }),
            ("rows[0]: bytesPerSecond", { d in changeRow(&d) { $0["bytesPerSecond"] = (0..<50_000).map(Double.init) } }),
            ("rows[0]: a text", { d in changeRow(&d) { $0["name"] = "\u{1b}[31mred" } }),
            // Of another version nothing else is looked at.
            ("version 7; this program reads version 1", { $0 = ["version": 7, "rows": "elsewhere"] }),
            ("no result of dmactl bench --json: no began\n", { $0 = ["version": 1] }),
            ("rows.[0].bytesWrong: ", { d in changeRow(&d) { $0["bytesWrong"] = "\u{1b}" } }),
        ]
        for (says, spoil) in spoils {
            for ran in try shown(spoil) {
                #expect(ran.status == 66, "\(says): \(ran.status) \(ran.errors.prefix(300))")
                #expect(ran.errors.contains(says), "\(ran.errors.prefix(300))")
                #expect(ran.output.isEmpty && !ran.errors.contains("\u{1b}"))
            }
        }
        #expect(try shown { _ in }.map(\.status) == [0, 0])
    }

    /// Runs dmactl in a folder that a file system of its own is mounted on, as root of a name space.
    private func mounted(_ type: String, _ options: String, _ arguments: String) throws -> Command.Answer {
        let folder = FileManager.default.temporaryDirectory.appending(path: "dma-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let command =
            "mount -t \(type) -o \(options) none \(folder) && exec \(Program.dmactl) bench --engine io_uring --operation fromPeripheral "
            + "--operation toPeripheral --size 4KiB --seconds 0.01 --repeats 2 --directory \(folder) \(arguments)"
        return try Command.run(
            ["unshare", "-rm", "sh", "-c", command], environment: ["NO_COLOR": "1", "COLUMNS": ""])
    }

    @Test(
        "a file system that refuses O_DIRECT, and one without room, are named",
        .enabled(if: Machine.canUnshare, Comment(rawValue: Machine.withoutUnshare)))
    func fileSystems() throws {
        let ramfs = try mounted("ramfs", "mode=755", "--direct --file-size 1MiB")
        #expect(ramfs.status == 0, "\(ramfs.errors)")
        // pread, pwrite and io_uring's two.
        let note = "4 points: through the page cache: the file system refuses O_DIRECT"
        #expect(ramfs.output.contains(note), "\(ramfs.output)")
        let buffered = try mounted("ramfs", "mode=755", "--file-size 1MiB")
        #expect(buffered.status == 0 && !buffered.output.contains("O_DIRECT"), "\(buffered.output)")
        let small = try mounted("tmpfs", "size=3m", "--file-size 4MiB")
        #expect(small.status == 1)
        #expect(small.output.contains("4 points: "), "\(small.output)")
        #expect(
            small.output.contains(": a file of 4 MiB was asked for, 3 MiB are free; choose a smaller file or another directory")
        )
        // Room for the one that is read, and not for the one that is written beside it.
        let tight = try mounted("tmpfs", "size=6m", "--file-size 4MiB")
        #expect(
            tight.status == 1 && tight.output.contains(": a file of 4 MiB was asked for, 2 MiB are free"), "\(tight.output)")
        #expect(tight.output.contains("pwrite, io_uring, 2 points: "))
    }

    @Test("other points are new and gone, and a point that went is named")
    func otherPoints() throws {
        let ran = try shown { document in
            changeRow(&document) { $0["name"] = "another case" }
        }
        #expect(ran[1].status == 0 && ran[1].output.contains("\ngone: memcpy copy 4 KiB beside x 32"))
        #expect(ran[1].output.contains(" new\n"))
    }
}
