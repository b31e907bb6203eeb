// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Testing

@testable import DMACopy

@Suite("Paths are bytes")
struct CopyPathTests {
    @Test("any bytes become text and these bytes again; what is UTF-8 is that text")
    func roundTrip() {
        var random = Seeded("paths")
        var escaped = 0
        for _ in 0..<2000 {
            let bytes = random.bytes(Int.random(in: 0...20, using: &random)).map { $0 == 0 ? 1 : $0 }
            let path = CopyPath(bytes: bytes)
            #expect(CopyPath(escaped: path.text) == path, "\(bytes)")
            if path.text.contains("\0") { escaped += 1 }
        }
        #expect(escaped > 100)
        for text in ["a/b", "caf\u{e9}", "\u{fffd}x", "e\u{301}", "\u{1f600}"] {
            #expect(CopyPath(text).text == text && CopyPath(escaped: text) == CopyPath(text))
        }
        #expect(CopyPath(bytes: [0x63, 0xe9]).text == "c\0e9" && CopyPath(bytes: [0xe9]) != CopyPath("\u{e9}"))
    }

    @Test("names are parted by the byte of the slash, and joined by one")
    func names() {
        #expect(CopyPath("/a//b/").parts() == ["a", "b"] && CopyPath("a//b").parts(keepsEmpty: true) == ["a", "", "b"])
        #expect(CopyPath("a").joined("b") == "a/b" && CopyPath("/").joined("b") == "/b")
        #expect(CopyPath("/dev/x/y").isBelow("/dev") && CopyPath("/dev").isBelow("/dev"))
        #expect(!CopyPath("/device").isBelow("/dev") && !CopyPath("dev/x").isBelow("/dev"))
        // To Swift's strings a slash with a mark is another character.
        #expect(CopyPath("a/\u{301}b").parts().count == 2)
    }

    @Test("a path with a zero in it, or with nothing, is refused: the kernel would see another one")
    func hostile() {
        for path in [CopyPath("a\0b"), ""] {
            expectCode(.badEndpoint) { _ = try Copier().copy(from: .path(path), to: .null) }
            expectCode(.badEndpoint) { _ = try Copier().copy(from: .zero(1), to: .path(path)) }
        }
    }
}
