// SPDX-License-Identifier: Apache-2.0

import DMABench
import DMATestSupport
import Foundation
import Testing

@Suite("Configuration files")
struct ConfigurationTests {
    /// The root of the package, which this file lies in.
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    static let full = """
        version: 1
        defaults:
          repeats: 3
          seconds: 0.25
          warmup: 0
          cache: cold
        cases:
          - name: all keys
            skip: true
            engines: [cpu, cpu-threads]
            operations: [copy, xor]
            memcpy: false
            sizes: {from: 64, to: 8KiB, times: 2}
            depths: {from: 1, to: 7, plus: 3}
            threads: [1, 2]
            modes: [burst, cycle-stealing:0.25, demand]
            waits: [poll, wait, await]
            repeats: 9
            batch: 32
            memory: 10MiB
            processors: [0, 1]
            nodes: {source: 0, destination: 1}
            sources: 8
            segments: {source: 4, destination: 2}
            foreground: false
            directory: /var/tmp
            fileSize: 1GiB
            access: random
            direct: true
          - sizes: 1.5KiB
            engines: cpu
        """

    @Test("every key is read, defaults hold where a case says nothing")
    func everyKey() throws {
        let plan = try BenchConfiguration.plan(Self.full, file: "sweep.yaml")
        #expect(plan.cases.count == 2)
        let first = plan.cases[0]
        #expect(first.name == "all keys")
        #expect(first.skip)
        #expect(first.engines == ["cpu", "cpu-threads"])
        #expect(first.operations == [.copy, .xor])
        #expect(!first.memcpy)
        #expect(first.sizes == [64, 128, 256, 512, 1024, 2048, 4096, 8192])
        #expect(first.depths == [1, 4, 7])
        #expect(first.threads == [1, 2])
        #expect(first.modes == [.burst, .cycleStealing(0.25), .demand])
        #expect(first.waits == [.poll, .wait, .await])
        let settings = first.settings
        #expect(settings.repeats == 9)
        #expect(settings.seconds == 0.25)
        #expect(settings.warmup == 0)
        #expect(settings.cache == .cold)
        #expect(settings.batch == 32)
        #expect(settings.memory == 10 << 20)
        #expect(settings.processors == [0, 1])
        #expect(settings.sourceNode == 0)
        #expect(settings.destinationNode == 1)
        #expect(settings.sources == 8)
        #expect(settings.sourceSegments == 4)
        #expect(settings.destinationSegments == 2)
        #expect(!settings.foreground)
        #expect(settings.directory == "/var/tmp")
        #expect(settings.fileSize == 1 << 30)
        #expect(settings.access == .random)
        #expect(settings.direct)
        let second = plan.cases[1]
        #expect(second.name == "case 2")
        #expect(second.sizes == [1536])
        #expect(second.engines == ["cpu"])
        #expect(second.settings.repeats == 3)
        #expect(second.settings.cache == .cold)
    }

    @Test("several batches and several memories are a case each, and its name says which")
    func varied() throws {
        let text = """
            version: 1
            defaults: {batch: [1, 8]}
            cases:
              - {name: a, memory: {from: 1MiB, to: 4MiB, times: 2}}
              - {name: b, batch: {from: 1, to: 3, plus: 1}}
              - {name: c, batch: 4}
            """
        let cases = try BenchConfiguration.plan(text, file: "f").cases
        #expect(cases.count == 2 * 3 + 3 + 1)
        #expect(cases[0].name == "a, batch 1, 1 MiB of memory")
        #expect(cases.map(\.settings.batch) == [1, 1, 1, 8, 8, 8, 1, 2, 3, 4])
        #expect(cases.prefix(3).map(\.settings.memory) == [1 << 20, 2 << 20, 4 << 20])
        #expect(cases[6...].map(\.name) == ["b, batch 1", "b, batch 2", "b, batch 3", "c"])
        // Rows are told apart by the case's name: no two cases share one.
        #expect(Set(cases.map(\.name)).count == cases.count)
    }

    @Test("JSON is read as well")
    func json() throws {
        let text = #"{"version": 1, "cases": [{"name": "one", "sizes": ["4KiB", 65536], "modes": ["cycle-stealing:0.5"]}]}"#
        let plan = try BenchConfiguration.plan(text, file: "sweep.json")
        #expect(plan.cases[0].sizes == [4096, 65_536])
        #expect(plan.cases[0].modes == [.cycleStealing(0.5)])
    }

    struct Wrong: Sendable, CustomTestStringConvertible {
        let text: String
        let place: String
        let says: String
        var testDescription: String { says }
    }

    static let wrongs: [Wrong] = [
        Wrong(text: "", place: "f:1:1", says: "the file is empty"),
        Wrong(text: "version: 2\ncases: []", place: "f:1:10", says: "does not know this version; allowed: 1"),
        Wrong(text: "cases: []", place: "f:1:1", says: "version is missing"),
        Wrong(text: "version: 1", place: "f:1:1", says: "cases is missing"),
        Wrong(text: "version: 1\ncases: []", place: "f:2:8", says: "there is no case"),
        Wrong(text: "version: 1\ncases:\n  - size: 64", place: "f:3:5", says: "has no key \"size\"; allowed: name, skip"),
        Wrong(text: "version: 1\ncases:\n  - sizes: 64KB5", place: "f:3:12", says: "sizes is \"64KB5\"; allowed: 1 B to 4 GiB"),
        Wrong(text: "version: 1\ncases:\n  - sizes: [64, 0]", place: "f:3:17", says: "sizes is \"0\""),
        Wrong(text: "version: 1\ncases:\n  - depths: 40000", place: "f:3:13", says: "allowed: 1 to 32768"),
        Wrong(text: "version: 1\ncases:\n  - operations: [copy, move]", place: "f:3:24", says: "allowed: copy, fill, crc32c"),
        Wrong(
            text: "version: 1\ncases:\n  - modes: cycle-stealing:2", place: "f:3:12", says: "is no mode; allowed: burst, demand"
        ),
        Wrong(text: "version: 1\ncases:\n  - waits: spin", place: "f:3:12", says: "allowed: poll, wait, await"),
        Wrong(text: "version: 1\ncases:\n  - cache: hot", place: "f:3:12", says: "allowed: warm, cold"),
        Wrong(text: "version: 1\ncases:\n  - skip: maybe", place: "f:3:11", says: "allowed: true or false"),
        Wrong(text: "version: 1\ncases:\n  - sizes: {from: 8, to: 4, times: 2}", place: "f:3:19", says: "from lies above to"),
        Wrong(text: "version: 1\ncases:\n  - sizes: {from: 8, to: 64}", place: "f:3:12", says: "has no step, or two"),
        Wrong(
            text: "version: 1\ncases:\n  - sizes: {from: 1, to: 4GiB, plus: 1}", place: "f:3:12", says: "more than 1000 values"),
        Wrong(text: "version: 1\ncases:\n  - threads: [1, 1]", place: "f:3:18", says: "twice"),
        Wrong(text: "version: 1\ncases:\n  - engines: []", place: "f:3:14", says: "is an empty list"),
        Wrong(text: "version: 1\ncases:\n  - nodes: {from: 1}", place: "f:3:13", says: "allowed: source, destination"),
        Wrong(text: "version: 1\ncases:\n  - name: a\n    name: b", place: "f:3:5", says: "name stands there twice"),
        Wrong(text: "version: 1\ncases: {", place: "f:3:1", says: "did not find expected node content"),
        Wrong(text: "version: 1\ncases: 5", place: "f:2:8", says: "cases is \"5\"; allowed: a list"),
        Wrong(text: "version: 1\ncases:\n  - fileSize: 1KiB", place: "f:3:15", says: "allowed: 4 KiB to 1024 GiB"),
        Wrong(text: "version: 1\ncases:\n  - access: backwards", place: "f:3:13", says: "allowed: sequential, random"),
        Wrong(text: "version: 1\ncases:\n  - direct: 1", place: "f:3:13", says: "allowed: true or false"),
        Wrong(text: "version: 1\ncases:\n  - directory: [a]", place: "f:3:16", says: "allowed: a path of less than 4096 bytes"),
        Wrong(text: "version: 1\ncases:\n  - batch: [1, 99999]", place: "f:3:16", says: "allowed: 1 to 32768"),
        Wrong(text: "version: 1\ncases:\n  - memory: {from: 1MiB, to: 2MiB}", place: "f:3:13", says: "has no step, or two"),
        Wrong(text: "version: 1\ncases:\n  - name: \"\\e[2J\"", place: "f:3:11", says: "without control characters"),
        Wrong(text: "version: 1\ncases:\n  - \"\\e[2J\": 1", place: "f:3:5", says: "has no key \"\u{fffd}[2J\""),
        // A billion points: counted, not made.
        Wrong(
            text: "version: 1\ncases:\n  - {}\n  - &a {sizes: {from: 1, to: 1000, plus: 1}, "
                + "depths: {from: 1, to: 1000, plus: 1}, threads: {from: 1, to: 1000, plus: 1}}\n  - *a",
            place: "f:4:5", says: "points or more; allowed: at most 100000 in all"),
        Wrong(
            text: "a: &a [x, x, x]\n"
                + zip("bcdefghijklmnopqrstuvwxy", "abcdefghijklmnopqrstuvwx").map { "\($0): &\($0) [*\($1), *\($1), *\($1)]\n" }
                .joined()
                + "? *y\n: 1", place: "f:12:1", says: "more than 32 aliases"),
        // Closing brackets in a comment close nothing.
        Wrong(
            text: "#" + String(repeating: "]", count: 100_000) + "\n" + String(repeating: "[", count: 100_000), place: "f:2:1",
            says: "levels of nesting"),
        Wrong(
            text: String(repeating: "- &a ", count: 40_000), place: "f:1:6", says: "block sequence entries are not allowed"),
        Wrong(text: String(repeating: "[", count: 100_000), place: "f:1:1", says: "levels of nesting"),
        Wrong(text: String(repeating: "- ", count: 100_000), place: "f:1:1", says: "levels of nesting"),
        Wrong(text: String(repeating: "#", count: 300_000), place: "f:1:1", says: "larger than 256 KiB"),
    ]

    @Test("an error names its line, its column and what is allowed", arguments: wrongs)
    func wrong(_ wrong: Wrong) {
        do throws(ConfigurationError) {
            _ = try BenchConfiguration.plan(wrong.text, file: "f")
            Issue.record("was accepted")
        } catch {
            #expect(error.description.hasPrefix(wrong.place + ": "), "\(error)")
            #expect(error.description.contains(wrong.says), "\(error)")
        }
    }

    struct Range: Sendable, CustomTestStringConvertible {
        let key: String
        let taken: [String]
        let refused: [String]
        var testDescription: String { key }
    }

    static let ranges: [Range] = [
        Range(key: "repeats", taken: ["1", "1000"], refused: ["0", "1001", "1.5", "x"]),
        Range(key: "seconds", taken: ["0.001", "3600"], refused: ["0", "3601", "nan", "inf", "-1"]),
        Range(key: "warmup", taken: ["0", "60"], refused: ["-0.1", "61"]),
        Range(key: "sources", taken: ["1", "32"], refused: ["0", "33"]),
        Range(
            key: "segments", taken: ["{source: 1, destination: 256}", "{source: 256, destination: 1}"],
            refused: ["{source: 0}", "{source: 257}", "{destination: 0}", "{destination: 257}"]),
        Range(
            key: "nodes", taken: ["{source: 0, destination: 1023}"],
            refused: ["{source: -1}", "{source: 1024}", "{destination: -1}", "{destination: 1024}"]),
        Range(key: "processors", taken: ["0", "[0, 1023]"], refused: ["-1", "1024"]),
        Range(key: "threads", taken: ["1", "1024"], refused: ["0", "1025"]),
        Range(key: "depths", taken: ["1", "32768"], refused: ["0", "32769"]),
        Range(key: "batch", taken: ["1", "32768"], refused: ["0", "32769"]),
        Range(
            key: "sizes", taken: ["1", "4GiB", "{from: 1, to: 8, times: 1.01}", "{from: 1, to: 1000, plus: 1}"],
            refused: [
                "0", "4294967297", "{from: 1, to: 8, times: 1}", "{from: 1, to: 8, times: 0}", "{from: 1, to: 8, plus: 0}",
                "{from: 1, to: 1001, plus: 1}",
            ]),
        Range(key: "memory", taken: ["4096", "1024GiB"], refused: ["4095", "1025GiB"]),
        Range(key: "fileSize", taken: ["4096", "1024GiB"], refused: ["4095", "1025GiB"]),
        Range(key: "name", taken: [String(repeating: "a", count: 200)], refused: [String(repeating: "a", count: 201), "''"]),
        Range(
            key: "directory", taken: ["/" + String(repeating: "a", count: 4094)],
            refused: ["/" + String(repeating: "a", count: 4095), "\"/a\\eb\"", "\"\\x9b\"", "''"]),
    ]

    @Test("what is at the end of a range is taken, what is beyond is refused", arguments: ranges)
    func limits(_ range: Range) {
        func plan(_ value: String) throws(ConfigurationError) -> BenchPlan {
            try BenchConfiguration.plan("version: 1\ncases:\n  - \(range.key): \(value)", file: "f")
        }
        for value in range.taken { #expect(throws: Never.self, "\(value)") { try plan(value) } }
        for value in range.refused {
            #expect("\(value)") {
                try plan(value)
            } throws: {
                ($0 as? ConfigurationError)?.line == 3 && !(($0 as? ConfigurationError)?.allowed.isEmpty ?? true)
            }
        }
    }

    @Test("a plan of 100000 points is taken, one of more is refused")
    func pointLimit() throws {
        func plan(_ sizes: Int) throws(ConfigurationError) -> BenchPlan {
            let sizes = "sizes: {from: 1, to: \(sizes), plus: 1}, depths: {from: 1, to: 1000, plus: 1}"
            return try BenchConfiguration.plan("version: 1\ncases:\n  - {\(sizes)}", file: "f")
        }
        #expect(try plan(100).mostPoints == 100_000)
        #expect(throws: ConfigurationError.self) { try plan(101) }
    }

    @Test("any mutation of a file gives a plan or an error")
    func mutations() {
        var random = Seeded("configuration")
        let scraps = [
            "[", "{", ":", "-", " ", "\n", "&a", "*a", "!!", "\"", "1e999", "\u{0}", "- ", "? ", "%", "99999999999999999999",
        ]
        for _ in 0..<1500 {
            var text = Array(Self.full)
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<text.count, using: &random)
                if Bool.random(using: &random) {
                    text.remove(at: place)
                } else {
                    text.insert(contentsOf: scraps.randomElement(using: &random) ?? "", at: place)
                }
            }
            do throws(ConfigurationError) {
                let plan = try BenchConfiguration.plan(String(text), file: "f")
                #expect(plan.cases.allSatisfy { !$0.sizes.isEmpty && $0.settings.repeats > 0 })
            } catch {
                #expect(error.line >= 1)
                #expect(!error.problem.isEmpty)
            }
        }
    }

    @Test("the example in the repository is a plan")
    func example() throws {
        let file = Self.root.appending(path: "Examples/bench.yaml")
        let plan = try BenchConfiguration.plan(try String(contentsOf: file, encoding: .utf8), file: "bench.yaml")
        #expect(plan.cases.count >= 3)
    }
}
