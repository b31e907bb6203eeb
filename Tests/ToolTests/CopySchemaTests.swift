// SPDX-License-Identifier: Apache-2.0

import DMACopy
import DMAEngineKit
import DMATestSupport
import Foundation
import Testing

@Suite(
    "Schemas of dmactl copy", .serialized,
    .enabled(if: hasValidator, withoutValidator))
struct CopySchemaTests {
    /// The output fits the schema, and as this definition of it: `oneOf` alone would let a failure pass for a copy.
    private func expect(
        _ answer: Command.Answer, _ status: Int32, as kind: String, at location: SourceLocation = #_sourceLocation
    ) throws -> [String: Any] {
        #expect(answer.status == status, "\(answer)", sourceLocation: location)
        #expect(try SchemaTests().findings("copy", answer.output) == "", "\(answer.output)", sourceLocation: location)
        let found = try JSONSerialization.jsonObject(with: Data(answer.bytes)) as? [String: Any]
        let document = try #require(found, sourceLocation: location)
        #expect(document["version"] as? Int == 1 && document[kind] != nil, "\(answer.output)", sourceLocation: location)
        return document
    }

    @Test("a copy, with and without what may be absent, and one that was resumed")
    func copied() throws {
        let scratch = try Scratch()
        try Command.shell("$D copy pattern:3:4000000 a", folder: scratch.path)
        let plain = try Command.copy("--json", scratch.at("a"), scratch.at("b"))
        let first = try #require(try expect(plain, 0, as: "report")["report"] as? [String: Any])
        #expect(first["bytes"] as? Int == 4_000_000 && first["crc32c"] == nil)
        let verified = try Command.copy("--json", "--verify", "--engine", "io_uring", scratch.at("a"), scratch.at("b"))
        let second = try #require(try expect(verified, 0, as: "report")["report"] as? [String: Any])
        #expect(
            second["verified"] as? Bool == true && second["crc32c"] != nil && (second["figures"] as? [Any])?.isEmpty == false)
        // The validator can say no: to a field that is not there, and to one too many.
        #expect(try SchemaTests().findings("copy", plain.output.replacing("\"moved\"", with: "\"other\"")) != "")
        #expect(
            try SchemaTests().findings("copy", plain.output.replacing("\"source\" : \"/", with: "\"x\": 1, \"source\" : \"/"))
                != "")

        let running = try Command.start([
            Command.dmactl, "copy", "--json", "--resume", "--rate", "400kB", "--chunk", "64KiB", scratch.at("a"),
            scratch.at("c"),
        ])
        #expect(running.listens(to: 2) && scratch.waits(until: ".c.dmactl-part", has: 256 << 10))
        running.signal(2)
        let stopped = try #require(try expect(running.wait(), 130, as: "failure")["failure"] as? [String: Any])
        #expect(stopped["code"] as? String == "cancelled" && stopped["phase"] as? String == "copying")
        #expect(try #require(stopped["bytes"] as? Int) > 0)
        let again = try expect(try Command.copy("--json", "--resume", scratch.at("a"), scratch.at("c")), 0, as: "report")
        #expect(try #require((again["report"] as? [String: Any])?["resumed"] as? Int) > 0)
    }

    @Test("a plan, which can be followed; and what fails, of either")
    func planned() throws {
        let scratch = try Scratch()
        try scratch.write("a", [1, 2, 3])
        let explained = try Command.copy("--explain", "--json", scratch.at("a"), scratch.at("b"))
        _ = try expect(explained, 0, as: "plan")
        try scratch.write("plan", explained.bytes)
        #expect(!scratch.exists("b"))
        _ = try expect(
            try Command.copy("--json", "--plan", scratch.at("plan"), scratch.at("a"), scratch.at("b")), 0, as: "report")
        for words in [[], ["--explain"]] {
            let answer = try Command.run([Command.dmactl, "copy", "--json"] + words + [scratch.at("none"), scratch.at("c")])
            let failure = try #require(try expect(answer, 1, as: "failure")["failure"] as? [String: Any])
            #expect(failure["code"] as? String == "notFound" && failure["errno"] as? Int == 2)
            #expect(endsWithCure(answer.errors))
        }
        // One that the command line alone is to blame for.
        let nowhere = try Command.copy("--json", "--engine", "nope", scratch.at("a"), scratch.at("c"))
        let failure = try #require(try expect(nowhere, 64, as: "failure")["failure"] as? [String: Any])
        #expect(failure["code"] as? String == "badOption" && failure["subject"] as? String == "--engine")
    }

    @Test("the files of a list, copied and planned, some of them not; a plan makes no folder")
    func list() throws {
        let scratch = try Scratch()
        try Command.shell(
            "mkdir -p s/x t; echo 1 > s/a; echo 2 > s/x/b; printf 's/a\\ns/x/b\\nnone\\n' > list", folder: scratch.path)
        let words = ["copy", "--json", "--files-from", "list", "t"]
        let explained = try expect(
            try Command.run([Command.dmactl] + words + ["--explain"], folder: scratch.path), 1, as: "plans")
        let plans = try #require(explained["plans"] as? [[String: Any]])
        #expect(plans.compactMap { $0["target"] as? String } == ["t/s/a", "t/s/x/b"])
        #expect((explained["failed"] as? [Any])?.count == 1)
        #expect(try scratch.names("t").isEmpty)
        let copied = try expect(try Command.run([Command.dmactl] + words, folder: scratch.path), 1, as: "copied")
        #expect((copied["copied"] as? [Any])?.count == 2 && (copied["failed"] as? [Any])?.count == 1)
        #expect(try scratch.read("t/s/x/b") == Array("2\n".utf8))
        _ = try expect(
            try Command.run([Command.dmactl, "copy", "--json", "--files-from", "nothing", "t"], folder: scratch.path), 1,
            as: "failure")
    }

    @Test("every field is described, nothing else may stand there, and the codes are those of the library")
    func complete() throws {
        let text = try Program.text("Schemas/copy.schema.json")
        let schema = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        var fields = 0
        func walk(_ value: Any, _ place: String) {
            guard let object = value as? [String: Any] else {
                for (number, element) in (value as? [Any] ?? []).enumerated() { walk(element, "\(place)[\(number)]") }
                return
            }
            if let properties = object["properties"] as? [String: Any] {
                #expect(object["additionalProperties"] as? Bool == false, "\(place)")
                for (name, field) in properties {
                    fields += 1
                    #expect((field as? [String: Any])?["description"] is String, "\(place).\(name)")
                }
            }
            for (name, element) in object { walk(element, "\(place).\(name)") }
        }
        walk(schema, "$")
        #expect(fields > 50)
        let failure = (schema["$defs"] as? [String: Any])?["failure"] as? [String: Any]
        let code = (failure?["properties"] as? [String: Any])?["code"] as? [String: Any]
        #expect(code?["enum"] as? [String] == CopyFailure.Code.allCases.map(\.rawValue))
    }
}
