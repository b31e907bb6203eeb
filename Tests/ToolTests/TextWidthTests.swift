// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Foundation
import Testing

@testable import DMATool

@Suite("Columns of text", .serialized)
struct TextWidthTests {
    @Test("wide characters take two columns, marks and formats none, cut texts no more than asked")
    func columns() {
        for (text, columns) in [
            ("abc", 3), ("漢字", 4), ("ｆｕｌｌ", 8), ("e\u{301}", 1), ("한글", 4), ("\u{1112}\u{1161}\u{11ab}", 2), ("a\u{200b}b", 2),
            ("🙂", 2), ("", 0), ("é", 1), ("\u{ad}", 1), ("\t", 0),
        ] { #expect(TextWidth.columns(text) == columns, "\(text)") }
        let mixed = "a漢e\u{301}字z"
        for limit in 0...8 {
            let (begin, end) = (TextWidth.prefix(mixed, limit), TextWidth.suffix(mixed, limit))
            #expect(TextWidth.columns(begin) <= limit && mixed.hasPrefix(begin))
            #expect(TextWidth.columns(end) <= limit && (end.isEmpty || mixed.hasSuffix(end)))
        }
        #expect(TextWidth.prefix(mixed, 7) == mixed && TextWidth.suffix(mixed, 7) == mixed)
        #expect(TextWidth.prefix(mixed, -3) == "" && TextWidth.suffix("e\u{301}\u{301}", 0) == "")
    }

    @Test(
        "no character that Unicode calls wide is taken for a narrow one",
        .enabled(if: Machine.has("python3"), "python3 is not installed; run Scripts/setup --tests"))
    func everyWideOne() throws {
        let program = """
            import sys, unicodedata
            for value in range(0x110000):
                if unicodedata.east_asian_width(chr(value)) in "WF" and unicodedata.category(chr(value)) not in ("Mn", "Me", "Cf", "Cn"):
                    print(value)
            """
        let values = try Command.run(["python3", "-c", program]).output.split(separator: "\n").compactMap { UInt32($0) }
        #expect(values.count > 100_000)
        let narrow = values.compactMap(Unicode.Scalar.init).filter { TextWidth.columns($0) < 2 }
        #expect(narrow.isEmpty, "\(narrow.prefix(20).map { String($0.value, radix: 16) })")
    }

    @Test("control characters and those that change the text direction are shown as escapes")
    func visible() {
        #expect(TextWidth.visible("a\u{1b}[31m\u{9b}\u{7f}b") == "a\\u{1b}[31m\\u{9b}\\u{7f}b")
        #expect(TextWidth.visible("x\u{202e}y\u{2066}z\u{200f}\u{2028}") == "x\\u{202e}y\\u{2066}z\\u{200f}\\u{2028}")
        #expect(TextWidth.visible("漢字 é") == "漢字 é")
    }

    @Test("the columns of a table stay aligned for any content")
    func table() {
        var table = Table(["name", "a"], leading: 1)
        table.add(["漢字", "1"])
        table.add(["abcde", "22"])
        #expect(table.text(width: nil) == "name    a\n-----  --\n漢字    1\nabcde  22")
        for width in [7, 8] {
            for line in table.text(width: width).split(separator: "\n") { #expect(TextWidth.columns(line) <= width) }
        }
    }

    /// What a program writes to a terminal.
    private func screen(_ line: String, _ environment: String) throws -> String {
        let scratch = try Scratch()
        try scratch.write("漢字", [UInt8](repeating: 0, count: 2_000_000))
        return try Command.shell(
            "script -qec \"stty cols 60; env \(environment) $D \(line)\" /dev/null < /dev/null", folder: scratch.path
        ).output
    }

    @Test(
        "a terminal that is dumb, or has no name, gets no escape sequence, and a progress line all the same",
        .enabled(if: Machine.has("script"), Comment(rawValue: Machine.withoutScript)),
        arguments: ["TERM=dumb", "-u TERM", "TERM="])
    func dumb(_ environment: String) throws {
        for line in [
            "copy --rate 2MB --chunk 64KiB 漢字 t", "bench --engine cpu --size 64 --seconds 0.05 --repeats 2",
            "test --engine cpu --operation fill --iterations 1 --duration 0.2",
        ] {
            let shown = try screen(line, environment)
            #expect(!shown.contains("\u{1b}"), "\(line): \(shown)")
            #expect(shown.contains("\r"))
        }
        #expect(try screen("copy --rate 2MB --chunk 64KiB 漢字 t", "TERM=xterm").contains("\u{1b}[K"))
    }

    @Test(
        "no line is wider than the terminal, by the columns of wide characters, whatever the name is",
        .enabled(if: Machine.has("script"), Comment(rawValue: Machine.withoutScript)),
        arguments: [
            String(repeating: "漢", count: 60), String(repeating: "e\u{301}", count: 70),
            "a\u{202e}" + String(repeating: "字", count: 40),
        ])
    func wide(_ name: String) throws {
        let shown = try screen("copy --rate 2MB --chunk 64KiB 漢字 '\(name)'", "TERM=xterm")
        let lines = shown.replacing("\u{1b}[K", with: "").split(whereSeparator: { $0 == "\r" || $0 == "\n" || $0 == "\r\n" })
        let drawn = lines.filter { $0.contains(" left") }
        #expect(drawn.count >= 2, "\(shown)")
        for line in drawn { #expect(TextWidth.columns(line) <= 60 && !line.contains("\u{202e}"), "\(line)") }
    }
}
