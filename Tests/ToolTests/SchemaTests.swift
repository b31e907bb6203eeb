// SPDX-License-Identifier: Apache-2.0

import DMABench
import DMATestSupport
import Foundation
import Testing

@testable import DMATool

let hasValidator = (try? Command.run(["python3", "-c", "import jsonschema, yaml"]).status) == 0
let withoutValidator: Comment = "python3-jsonschema and python3-yaml are not installed; run Scripts/setup --tests"

/// The schemas are held against what the program really prints by an independent validator, Debian's python3-jsonschema.
@Suite(
    "Schemas", .serialized,
    .enabled(if: hasValidator, withoutValidator))
struct SchemaTests {
    private static let program = """
        import sys, json, jsonschema, yaml
        schema = json.load(open(sys.argv[1]))
        jsonschema.Draft202012Validator.check_schema(schema)
        text = sys.stdin.read()
        document = yaml.safe_load(text) if sys.argv[2] == "yaml" else json.loads(text)
        found = [e.json_path + ": " + e.message for e in jsonschema.Draft202012Validator(schema).iter_errors(document)]
        print("\\n".join(found[:5]))
        """

    /// What the validator finds wrong; empty where nothing is.
    func findings(_ schema: String, _ text: String, yaml: Bool = false) throws -> String {
        let path = Program.root.appending(path: "Schemas/\(schema).schema.json").path
        let ran = try Command.run(["python3", "-c", Self.program, path, yaml ? "yaml" : "json"], input: text)
        #expect(ran.status == 0, "\(ran.errors)")
        return ran.output.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Every way in which one field of a document can be missing, of another type, or one too many, with the first that a schema takes.
    private static let mutations = """
        import sys, json, copy, jsonschema
        validator = jsonschema.Draft202012Validator(json.load(open(sys.argv[1])))
        document, optional = json.load(sys.stdin), set(sys.argv[2].split())
        seen, count = set(), 0
        def walk(value, path, general):
            yield value, path, general
            pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
            for key, inner in pairs: yield from walk(inner, path + (key,), general + ((key,) if isinstance(key, str) else ("*",)))
        def change(path, kind):
            changed = copy.deepcopy(document)
            place = changed
            for key in path[:-1]: place = place[key]
            if kind == "missing": del place[path[-1]]
            elif kind == "extra": place[path[-1]]["extra"] = 1
            elif kind == "type": place[path[-1]] = [] if isinstance(place[path[-1]], (dict, str, bool)) else "x"
            elif kind == "negative": place[path[-1]] = -5
            return changed
        for value, path, general in walk(document, (), ()):
            if not path or general in seen: continue
            seen.add(general)
            kinds = ["type"]
            if general[-1] != "*" and general[-1] not in optional: kinds.append("missing")
            if isinstance(value, dict): kinds.append("extra")
            if isinstance(value, (int, float)) and not isinstance(value, bool): kinds.append("negative")
            for kind in kinds:
                count += 1
                if validator.is_valid(change(path, kind)): print(kind, ".".join(general))
        print(count)
        """

    /// Holds the schema against a document with one thing wrong, again and again.
    func refusesMutations(_ schema: String, _ text: String, optional: String) throws {
        let path = Program.root.appending(path: "Schemas/\(schema).schema.json").path
        let ran = try Command.run(["python3", "-c", Self.mutations, path, optional], input: text)
        let lines = ran.output.split(separator: "\n")
        #expect(lines.count == 1 && (lines.last.flatMap { Int($0) } ?? 0) > 80, "\(ran.output)\(ran.errors)")
    }

    @Test("list --json")
    func list() throws {
        let ran = try Program.run(["list", "--json"])
        #expect(ran.status == 0)
        #expect(try findings("list", ran.output) == "")
        let broken = ran.output.replacingOccurrences(of: "\"version\" : 1", with: "\"version\" : 2")
        #expect(try findings("list", broken).contains("version"))
        try refusesMutations("list", ran.output, optional: "maximumSources maximumSegments")
    }

    @Test("explain --json")
    func explain() throws {
        let ran = try Program.run(["explain", "--json"])
        #expect(ran.status == 0)
        #expect(try findings("explain", ran.output) == "")
        for (good, bad) in [
            ("\"kind\" : \"rule\"", "\"kind\" : \"law\""), ("\"cure\" : ", "\"medicine\" : "),
            ("\"version\" : 1", "\"version\" : 2"),
        ] {
            let broken = ran.output.replacingOccurrences(of: good, with: bad)
            #expect(broken != ran.output)
            #expect(try findings("explain", broken) != "", "\(bad)")
        }
    }

    @Test("test --json, with faults")
    func test() throws {
        let ran = try Program.run([
            "test", "--json", "--faults", "--operation", "copy", "--operation", "cyclic", "--duration", "2", "--iterations",
            "1",
            "--seed", "7",
        ])
        #expect(ran.status == 0, "\(ran.errors)")
        #expect(try findings("test", ran.output) == "")
        try refusesMutations("test", ran.output, optional: "noticed engines")
        let document = try #require(try JSONSerialization.jsonObject(with: Data(ran.output.utf8)) as? [String: Any])
        #expect(
            document["repeat"] as? String
                == "dmactl test --seed 7 --operation copy --operation cyclic --iterations 1 --duration 2.0 --faults")
        #expect(document["passed"] as? Bool == true)
    }

    @Test("bench --sources is the number of sources of XOR and PQ, which it measures where no operation is named")
    func sources() throws {
        let quick = ["bench", "--json", "--engine", "cpu", "--size", "4KiB", "--seconds", "0.001", "--repeats", "1"]
        struct Result: Decodable {
            struct Plan: Decodable { var cases: [Case] }
            struct Case: Decodable { var settings: Settings }
            struct Settings: Decodable { var sources: Int }
            struct Row: Decodable { var point: Point }
            struct Point: Decodable { var operation: String }
            var plan: Plan
            var rows: [Row]
        }
        func result(_ options: [String]) throws -> Result {
            let ran = try Program.run(quick + options)
            #expect(ran.status == 0, "\(ran.errors)")
            return try JSONDecoder().decode(Result.self, from: Data(ran.output.utf8))
        }
        let named = try result(["--operation", "xor", "--sources", "2"])
        #expect(named.plan.cases.map(\.settings.sources) == [2])
        #expect(named.rows.contains { $0.point.operation == "xor" })
        let both = try result(["--sources", "7"])
        #expect(both.plan.cases.map(\.settings.sources) == [7])
        #expect(Set(both.rows.map(\.point.operation)).isSuperset(of: ["xor", "pq"]))
    }

    @Test("bench --json, with modes and a comparison")
    func bench() throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "dma-bench-\(UUID().uuidString).json")
        defer { try? FileManager.default.removeItem(at: file) }
        // Pieces of a foreground task that is as slow as under a sanitizer fail their rows.
        let modes = Machine.isSanitized ? [] : ["--mode", "burst", "--mode", "cycle-stealing:0.5"]
        let sweep =
            modes + [
                "--engine", "cpu", "--engine", "io_uring", "--operation", "copy", "--operation", "toPeripheral", "--size",
                "4KiB",
                "--seconds", "0.01", "--repeats", "2", "--directory", "/tmp",
                "--file-size", "1MiB",
                "--access", "random", "--direct",
            ]
        let first = try Program.run(["bench", "--json"] + sweep)
        #expect(first.status == 0, "\(first.errors)")
        #expect(try findings("bench-result", first.output) == "")
        try first.output.write(to: file, atomically: true, encoding: .utf8)
        let second = try Program.run(["bench", "--json", "--compare", file.path] + sweep)
        #expect(second.status == 0, "\(second.errors)")
        #expect(second.output.contains("\"comparison\""))
        #expect(try findings("bench-result", second.output) == "")
        // An earlier result can be shown without a measurement, and be read although it has a comparison in it.
        try second.output.write(to: file, atomically: true, encoding: .utf8)
        let shown = try Program.run(["bench", "--from", file.path])
        #expect(shown.status == 0 && shown.output.contains("4 KiB"), "\(shown.errors)")
        let leftOut = modes.isEmpty ? "left out: io_uring" : "left out: io_uring, 2 points: the engine has no copy"
        #expect(shown.output.contains("x call") && shown.output.contains(leftOut), "\(shown)")
    }

    @Test("bench --config: what the reader takes and refuses, the schema takes and refuses")
    func configuration() throws {
        #expect(try findings("bench-config", try Program.text("Examples/bench.yaml"), yaml: true) == "")
        let refused = [
            "version: 2\ncases: [{}]", "cases: [{}]", "version: 1", "version: 1\ncases: []", "version: 1\ncases: [{size: 64}]",
            "version: 1\ncases: [{sizes: 64KB5}]", "version: 1\ncases: [{sizes: [0]}]", "version: 1\ncases: [{depths: 40000}]",
            "version: 1\ncases: [{operations: move}]", "version: 1\ncases: [{modes: 'cycle-stealing:2'}]",
            "version: 1\ncases: [{waits: spin}]",
            "version: 1\ncases: [{cache: hot}]", "version: 1\ncases: [{skip: maybe}]", "version: 1\ncases: [{threads: [1, 1]}]",
            "version: 1\ncases: [{engines: []}]", "version: 1\ncases: [{nodes: {from: 1}}]",
            "version: 1\ncases: [{sizes: {from: 1, to: 2}}]", "version: 1\ncases: [{access: backwards}]",
            "version: 1\ncases: [{direct: 1}]", "version: 1\ncases: [{directory: ''}]",
            "version: 1\ncases: [{fileSize: [1GiB]}]",
            "version: 1\ncases: [{fileSize: 100}]", "version: 1\ncases: [{batch: 0}]",
            "version: 1\ncases: [{batch: {from: 1, to: 2}}]",
            "version: 1\ncases: [{memory: []}]",
        ]
        for text in refused {
            #expect(throws: ConfigurationError.self, "\(text)") { try BenchConfiguration.plan(text, file: "f") }
            #expect(try findings("bench-config", text, yaml: true) != "", "\(text)")
        }
        let taken = [
            "version: 1\ncases: [{}]",
            "version: 1\ndefaults: {repeats: 2, cache: cold}\ncases: [{sizes: 64}, {sizes: [1KiB, 2 MiB]}]",
            "version: 1\ncases: [{sizes: {from: 64, to: 1MiB, times: 2}, depths: {from: 1, to: 9, plus: 4}, modes: [burst, 'cycle-stealing:0.25', 'steal:1', demand]}]",
            "version: 1\ncases: [{nodes: {source: 0}, segments: {destination: 2}, processors: [0], engines: cpu, memory: 1GiB}]",
            "version: 1\ncases: [{operations: [fromPeripheral, toPeripheral], directory: /tmp, fileSize: 1GiB, access: random, direct: true}]",
            "version: 1\ndefaults: {batch: {from: 1, to: 32, times: 2}, fileSize: 8589934592}\ncases: [{memory: [10MiB, 8589934592]}]",
        ]
        for text in taken {
            #expect(throws: Never.self, "\(text)") { try BenchConfiguration.plan(text, file: "f") }
            #expect(try findings("bench-config", text, yaml: true) == "", "\(text)")
        }
    }
}
