// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Foundation
import Testing

@Suite(
    "dmactl copy --rescue", .serialized,
    .enabled(if: GeneratedFile.isPossible, Comment(rawValue: GeneratedFile.without)))
struct RescueTests {
    private static let hasPeer = Machine.has("ddrescue")
    private static let withoutPeer: Comment = "GNU ddrescue is not installed; run Scripts/setup --tests"

    private let size = 1 << 20
    private let bad = [65_536..<66_048, 300_000..<600_000]

    private func bytes() -> [UInt8] {
        var random = Seeded("rescue")
        return random.bytes(size).map { $0 | 1 }
    }

    private func expect(_ scratch: Scratch, _ name: String, _ bytes: [UInt8]) throws {
        var expected = bytes
        for range in bad {
            for place in range.lowerBound / 4096 * 4096..<(range.upperBound + 4095) / 4096 * 4096 { expected[place] = 0 }
        }
        #expect(try scratch.read(name) == expected)
    }

    @Test("exit code 1 and the words where something is missing, 0 where nothing is; a plan touches nothing")
    func words() throws {
        let scratch = try Scratch()
        let all = bytes()
        let source = try GeneratedFile(all, says: size, bad: bad, in: scratch)
        let before = try scratch.names()
        let plan = try Command.copy("--rescue", "m", "--explain", source.path, "b", folder: scratch.path)
        #expect(plan.status == 0 && plan.output.contains("new ") && plan.output.contains("256 KiB"), "\(plan)")
        #expect(try scratch.names() == before)
        let partial = try Command.copy("--rescue", "m", source.path, "b", folder: scratch.path)
        #expect(partial.status == 1 && partial.output.isEmpty, "\(partial)")
        #expect(
            partial.errors
                == "dmactl: b is not whole: 724 KiB of 1 MiB rescued, 300 KiB in 2 bad areas could not be read. "
                + "Run it again with the same map and --retries 3 to read the bad areas again.\n", "\(partial.errors)")
        try expect(scratch, "b", all)
        let again = try Command.copy("--rescue", "m", "--explain", source.path, "b", folder: scratch.path)
        #expect(again.output.contains("continued") && again.output.contains("724 KiB"), "\(again)")
        try scratch.write("mended", all)
        let whole = try Command.copy("--rescue", "m", "--retries", "1", "mended", "b", folder: scratch.path)
        #expect(whole.status == 0 && whole.errors.isEmpty && whole.output.isEmpty, "\(whole)")
        #expect(try scratch.read("b") == all)
    }

    @Test(
        "JSON of a plan, a rescue that is not whole, and a failure fits the schema",
        .enabled(if: hasValidator, withoutValidator))
    func documents() throws {
        let scratch = try Scratch()
        let source = try GeneratedFile(bytes(), says: size, bad: bad, in: scratch)
        let map = scratch.at("m")
        for (words, status, key) in [(["--explain"], Int32(0), "rescuePlan"), ([], 1, "rescue")] {
            let answer = try Command.run(
                [Command.dmactl, "copy", "--rescue", map, "--json"] + words + [source.path, scratch.at("b")])
            let findings = try SchemaTests().findings("copy", answer.output)
            #expect(answer.status == status && findings.isEmpty, "\(findings) \(answer)")
            let found = try JSONSerialization.jsonObject(with: Data(answer.bytes)) as? [String: Any]
            let document = try #require(found?[key] as? [String: Any])
            #expect(document["size"] as? Int == size && found?["map"] as? String == map)
            if key == "rescue" { #expect(document["badAreas"] as? Int == 2 && document["bad"] as? Int == 300 << 10) }
        }
        let refused = try Command.copy("--rescue", map, "--json", source.path, scratch.at("c"))
        #expect(refused.status == 1)
        #expect(try SchemaTests().findings("copy", refused.output) == "")
        #expect(refused.output.contains("\"badJournal\"") && !scratch.exists("c"))
    }

    @Test("options that do not fit are wrong command lines, by their names")
    func options() throws {
        let scratch = try Scratch()
        try scratch.write("a", [1, 2, 3])
        for words in [
            ["--resume"], ["--append"], ["--reflink", "always"], ["--verify"], ["--engine", "io_uring"], ["--depth", "4"],
            ["--mode", "burst"], ["--preserve"], ["--no-sync"], ["--retries", "-1"], ["--retries", "10001"],
        ] {
            let answer = try Command.run(
                [Command.dmactl, "copy", "--rescue", "m"] + words + ["a", "b"], folder: scratch.path)
            #expect(answer.status == 64 && answer.errors.contains(words[0]), "\(words): \(answer)")
        }
        for line in ["--retries 1 a b", "--rescue m --files-from a .", "--rescue m --plan p a b"] {
            #expect(try Command.shell("$D copy \(line)", folder: scratch.path).status == 64, "\(line)")
        }
        for line in ["- b", "a -", "a null:"] {
            let answer = try Command.shell("$D copy --rescue m \(line) < /dev/null", folder: scratch.path)
            #expect(answer.status == 1 && answer.errors.contains("positions"), "\(line): \(answer)")
        }
        #expect(try scratch.names() == ["a"])
    }

    @Test(
        "a signal ends a rescue with its map saved, and a killed one never has a map that is ahead of its target",
        arguments: [Int32(2), 15, 9])
    func signals(_ number: Int32) throws {
        let scratch = try Scratch()
        let all = bytes()
        let source = try GeneratedFile(all, says: size, bad: bad, in: scratch)
        let running = try Command.start(
            [Command.dmactl, "copy", "--rescue", "m", "--rate", "500kB", "--chunk", "16KiB", source.path, "b"],
            folder: scratch.path)
        #expect(running.listens(to: 2) && scratch.waits(until: "m", has: 1))
        usleep(700_000)
        running.signal(number)
        let answer = running.wait()
        #expect(answer.status == 128 + number, "\(answer)")
        if number != 9 { #expect(answer.errors.contains("same map to continue"), "\(answer.errors)") }
        let text = try #require(String(validating: try scratch.read("m"), as: UTF8.self))
        let target = try scratch.read("b")
        var rescued = 0
        for line in text.split(separator: "\n") where line.hasSuffix("  +") {
            let numbers = line.split(separator: " ").prefix(2).compactMap { Int($0.dropFirst(2), radix: 16) }
            let range = numbers[0]..<(numbers[0] + numbers[1])
            #expect(target[range] == all[range])
            rescued += range.count
        }
        #expect(number == 9 || rescued > 0)
        let rest = try Command.copy("--rescue", "m", source.path, "b", folder: scratch.path)
        #expect(rest.status == 1, "\(rest)")
        try expect(scratch, "b", all)
    }

    @Test("GNU ddrescue continues a rescue of dmactl, and the other way round", .enabled(if: hasPeer, withoutPeer))
    func peer() throws {
        let scratch = try Scratch()
        let all = bytes()
        let source = try GeneratedFile(all, says: size, bad: bad, in: scratch)
        try scratch.write("mended", all)
        // Begun here, read and ended there.
        #expect(try Command.copy("--rescue", "m", source.path, "b", folder: scratch.path).status == 1)
        let status = try Command.shell("ddrescuelog -t m && ddrescuelog -l - -b 4096 m | wc -l", folder: scratch.path)
        #expect(status.status == 0 && status.output.hasSuffix("\n75\n"), "\(status)")
        let theirs = try Command.shell("ddrescue -q -r 1 mended b m && ddrescuelog -D m", folder: scratch.path)
        #expect(theirs.status == 0, "\(theirs)")
        #expect(try scratch.read("b") == all)
        #expect(try Command.copy("--rescue", "m", source.path, "b", folder: scratch.path).status == 0)
        // Begun there, also in the middle of each phase, and ended here.
        for words in ["-b 4096", "-b 4096 -n", "-b 4096 -N", "-b 4096 -s 400000", "-b 4096 -R"] {
            let begun = try Command.shell("rm -f t n; ddrescue -q \(words) \(source.path) t n; cat n", folder: scratch.path)
            #expect(begun.output.contains("# Mapfile. Created by GNU ddrescue"), "\(words): \(begun)")
            let ended = try Command.copy("--rescue", "n", source.path, "t", folder: scratch.path)
            #expect(ended.status == 1 && ended.errors.contains("300 KiB in 2 bad areas"), "\(words): \(ended)")
            try expect(scratch, "t", all)
        }
    }
}
