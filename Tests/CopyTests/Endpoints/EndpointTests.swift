// SPDX-License-Identifier: Apache-2.0

import DMAUnits
import Testing

@testable import DMACopy

@Suite("Endpoints and sizes, as they are written")
struct EndpointTests {
    @Test("what is no size is refused with its subject and a cure", arguments: ["", "-1", "1K", "1.0001KiB", "8EiB", "1 KiB "])
    func badSizes(text: String) {
        #expect { try ByteSize.parse(text, for: "--chunk") } throws: { error in
            guard let failure = error as? CopyFailure else { return false }
            return failure.code == .badSize && !failure.cure.isEmpty && failure.subject == "--chunk"
        }
    }

    @Test("every kind of endpoint, and back to text")
    func kinds() throws {
        let cases: [(String, Endpoint)] = [
            ("a/b c", .path("a/b c")), ("-", .standard), ("./-", .path("./-")), ("memory:1MiB", .memory(1 << 20)),
            ("pattern:42", .pattern(seed: 42, size: nil)), ("pattern:42:1KiB", .pattern(seed: 42, size: 1024)),
            ("null:", .null),
            ("zero:3", .zero(3)), ("host:file", .path("host:file")), ("./null:", .path("./null:")), ("a\nb", .path("a\nb")),
        ]
        for (text, endpoint) in cases {
            #expect(try Endpoint(text) == endpoint, "\(text)")
            #expect(try Endpoint(endpoint.description) == endpoint)
        }
    }

    @Test(
        "what is no endpoint is refused",
        arguments: ["", "memory:", "memory:x", "pattern:", "pattern:x", "pattern:1:", "null:x", "zero:", "a\0b"])
    func badEndpoints(text: String) {
        #expect(throws: CopyFailure.self) { try Endpoint(text) }
    }

    @Test("a failure is one line, whatever the path")
    func oneLine() {
        let failure = CopyFailure(.notFound, "a\nb\u{1b}[2J", asked: "x", possible: "y", cure: "z", errno: 2)
        #expect(!failure.description.contains("\n") && failure.description == "cannot x a\\nb\\x1b[2J: y. Z.")
        // Bytes that are no UTF-8, and marks that turn a line around.
        let other = CopyFailure(
            .notFound, CopyPath(bytes: [0x63, 0xe9]).text + "\u{202e}", asked: "x", possible: "y", cure: "")
        #expect(other.description == "cannot x c\\xe9\\u202e: y")
    }

    @Test("mountinfo: escapes are undone, and broken lines left out")
    func mounts() {
        let text = """
            36 35 98:0 /mnt1 /mnt/a\\040b\\012c rw,noatime master:1 - ext3 /dev/root\\134x rw
            broken
            1 2 x:y / / rw - a b
            37 35 8:1 / /m rw - ext4 /dev/sda1 rw
            38 35 8:2 / /n rw shared:1 tag:2 - ext4
            """
        let table = MountTable(parsing: text)
        #expect(table.mounts.count == 2)
        #expect(table.mounts.first?.point == "/mnt/a b\nc" && table.mounts.first?.source == "/dev/root\\x")
        #expect(table.isPoint("/m") && !table.isPoint("/n"))
        let states = MountTable(
            parsing:
                "1 2 8:1 / /r ro - ext4 /dev/a rw\n1 2 8:2 / /s rw,relatime - ext4 /dev/b ro\n3 4 8:3 / /t rw - ext4 /dev/c rw")
        #expect(states.mounts.map(\.isWritable) == [false, false, true])
        #expect(MountTable.unescape("\\04") == "\\04" && MountTable.unescape("\\999") == "\\999")
    }
}
