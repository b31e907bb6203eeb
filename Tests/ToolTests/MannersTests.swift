// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Foundation
import Testing

@testable import DMATool

@Suite("Manners", .serialized)
struct MannersTests {
    static let commands = ["copy", "list", "test", "bench", "explain"]

    @Test("each command's help has examples and exit codes, and a text for every option")
    func help() throws {
        let tool = try Program.run(["--help"])
        #expect(tool.status == 0)
        for word in ["EXAMPLES", "EXIT CODES", "ENVIRONMENT", "NO_COLOR"] { #expect(tool.output.contains(word)) }
        for command in Self.commands {
            let ran = try Program.run([command, "--help"])
            #expect(ran.status == 0)
            #expect(ran.output.contains("EXAMPLES\n") && ran.output.contains("dmactl \(command)"))
            #expect(ran.output.contains("EXIT CODES\n") && ran.output.contains(" the command line "))
            let lines = ran.output.components(separatedBy: "\n")
            let options = lines.indices.filter { lines[$0].hasPrefix("  -") }
            #expect(options.count > 1)
            for place in options {
                // The text stands beside the option, or below it.
                let beside = lines[place].dropFirst(26)
                let below = lines[place + 1]
                #expect(!beside.isEmpty || below.hasPrefix(String(repeating: " ", count: 26)), "\(lines[place])")
            }
        }
    }

    @Test("what is wrong on the command line ends with 64, a file with 66 or 73, on standard error")
    func exitCodes() throws {
        let bad = FileManager.default.temporaryDirectory.appending(path: "dma-\(UUID().uuidString).yaml")
        defer { try? FileManager.default.removeItem(at: bad) }
        try "version: 1\ncases:\n  - sizes: none\n".write(to: bad, atomically: true, encoding: .utf8)
        let known: [([String], Int32, String)] = [
            (["nonsense"], 64, "nonsense"), (["test", "--seed", "x"], 64, "--seed"), (["bench", "--size", "1XB"], 64, "1XB"),
            (["bench", "--engine", "nobody"], 64, "there are cpu"), (["bench", "--json", "--csv"], 64, "one of them"),
            (["copy", "--chunk", "1.1B", "/etc/passwd", "/tmp/x"], 64, "no whole number of bytes"),
            (["test", "--transfer-size", "64K"], 64, "write 64KiB or 64kB"),
            (["test", "--engine", "nobody"], 64, "dmactl: no engine is called \"nobody\"; there are cpu"),
            (["test", "--channel", "cpu/0", "--engine", "cpu-threads"], 64, "which --engine leaves out"),
            (["test", "--engine", "io_uring", "--operation", "copy"], 64, "nothing to test"),
            (["test", "--test-buf-size", "1073741824", "--max-channels", "1024"], 64, "Cure: a smaller --test-buf-size"),
            (["bench", "--config", bad.path], 64, ":3:12: sizes is \"none\""),
            (["bench", "--config", "/nonexistent"], 66, "/nonexistent"),
            (["bench", "--compare", bad.path, "--seconds", "0.01"], 66, "no result of dmactl bench"),
            (["bench", "--compare", "/dev/zero"], 66, "/dev/zero: larger than 256 MiB"),
            (["bench", "--config", "/tmp"], 66, "/tmp: "),
            (["bench", "--access", "backwards"], 64, "there are sequential, random"),
            (["bench", "--file-size", "1"], 64, "--file-size 1: 4 KiB to 1024 GiB"),
            (["bench", "--from", "/tmp/x", "--direct"], 64, "--from"),
            (["bench", "--sources", "0"], 64, "--sources is 1 to 32"),
            (["bench", "--sources", "33"], 64, "--sources is 1 to 32"),
            (["bench", "--from", "/tmp/x", "--sources", "2"], 64, "--from"),
            (["bench", "--html", "/nonexistent/a.html"], 73, "/nonexistent/a.html"),
        ]
        for (arguments, status, says) in known {
            let ran = try Program.run(arguments)
            #expect(ran.status == status, "\(arguments): \(ran.errors)")
            #expect(ran.errors.contains(says), "\(arguments): \(ran.errors)")
            #expect(ran.output.isEmpty)
        }
    }

    @Test("what cannot be printed is no success", arguments: [["list", "--json"], ["--help"], ["manual"], quick])
    func fullOutput(_ arguments: [String]) throws {
        let ran = try Command.run(["sh", "-c", "exec \"$0\" \"$@\" > /dev/full", Program.dmactl] + arguments, limit: 120)
        #expect(ran.status == 73)
        #expect(ran.errors.contains("standard output"))
        let closed = try Command.run(["sh", "-c", "exec \"$0\" \"$@\" >&-", Program.dmactl] + arguments, limit: 120)
        #expect(closed.status == 73)
    }

    /// A test of one engine that takes next to no time.
    static let quick = ["test", "--engine", "cpu", "--operation", "fill", "--iterations", "1", "--duration", "0.1"]

    @Test("a time-out below 0 is none, in both spellings")
    func timeout() throws {
        for spelling in [["--timeout", "-1"], ["--timeout=-1"], ["--timeout", "-5"]] {
            let ran = try Program.run(Self.quick + spelling)
            #expect(ran.status == 0, "\(spelling): \(ran.errors)")
        }
    }

    @Test("an engine that cannot be tested is a failure with its reason, and the others are tested")
    func stopped() throws {
        let arguments = ["test", "--iterations", "1", "--duration", "0.2", "--operation", "fill", "--operation", "null"]
        let ran = try Program.run(arguments, environment: ["TMPDIR": "/nonexistent"])
        #expect(ran.status == 1)
        #expect(
            ran.output.contains("io_uring: could not be tried: no file in /nonexistent: No such file or directory. Cure: "))
        #expect(ran.output.contains("cpu-threads  fill") && ran.output.contains("FAILED"))
        #expect(ran.output.contains("to repeat: dmactl test --seed "))
        let tap = try Program.run(arguments + ["--tap"], environment: ["TMPDIR": "/nonexistent"])
        #expect(tap.status == 1 && tap.output.contains(" - io_uring can be tested\n"))
    }

    @Test("what the sanitizer finds is said, and a failing run is repeated with it")
    func sanitizer() throws {
        let arguments = ["test", "--engine", "cpu", "--iterations", "1", "--duration", "0.1"]
        let on = ["DMA_SANITIZE": "1", "TMPDIR": "/nonexistent"]
        // Rule 38 is checked by ending a pool whose blocks are leased. It is one of the last, to which a busy machine comes later.
        var found = false
        for duration in ["0.5", "5", "50"] where !found {
            let whole = try Program.run(Array(arguments.dropLast()) + [duration], environment: on)
            #expect(whole.status == 0, "\(whole.errors)")
            found = whole.errors.contains("dmactl: sanitizer: DMA-S22 poolInUse")
        }
        #expect(found, "no report of rule 38 in 50 s")
        let data = try Program.run(arguments + ["--operation", "copy"], environment: on)
        #expect(data.status == 0 && data.errors.isEmpty, "\(data.errors)")
        let failing = try Program.run(Self.quick + ["--engine", "io_uring"], environment: on)
        #expect(failing.status == 1 && failing.output.contains("to repeat: DMA_SANITIZE=1 dmactl test --seed "))
    }

    @Test("without verification nothing is compared, in no table")
    func noverify() throws {
        let ran = try Program.run(["test", "--engine", "cpu", "--duration", "0.5", "--noverify"])
        #expect(ran.status == 0 && ran.output.contains("cycle-stealing"))
        #expect(ran.output.contains("nothing verified, nothing failed"))
    }

    @Test(
        "colour on a terminal, none with NO_COLOR, none in a file",
        .enabled(if: Machine.has("/usr/bin/script"), Comment(rawValue: Machine.withoutScript)))
    func color() throws {
        func onTerminal(_ environment: String) throws -> String {
            try Command.run(
                [
                    "script", "-qec",
                    "env \(environment) \(Program.dmactl) test --operation fill --iterations 1 --duration 0.1",
                    "/dev/null",
                ], limit: 120
            ).output
        }
        #expect(try onTerminal("-u NO_COLOR TERM=xterm").contains("\u{1b}[32m"))
        #expect(try !onTerminal("NO_COLOR=1 TERM=xterm").contains("\u{1b}[32m"))
        #expect(try onTerminal("NO_COLOR= TERM=xterm").contains("\u{1b}[32m"))
        #expect(try !onTerminal("-u NO_COLOR TERM=dumb").contains("\u{1b}[32m"))
        let piped = try Command.run(
            [Program.dmactl, "test", "--operation", "fill", "--iterations", "1", "--duration", "0.1"],
            environment: ["TERM": "xterm"], limit: 120)
        #expect(!piped.output.contains("\u{1b}") && !piped.errors.contains("\u{1b}"))
    }

    private static let faults = ["test", "--iterations", "1", "--faults", "--duration"]

    @Test("tables keep to the width; what is left out is said", arguments: [40, 60, 80, 120])
    func width(_ columns: Int) throws {
        let ran = try Program.run(["list", "--verbose"], environment: ["COLUMNS": "\(columns)"])
        // The first table is what comes before the first empty line.
        let table = ran.output.components(separatedBy: "\n\n")[0].components(separatedBy: "\n")
        #expect((columns < 120) == table.contains { $0.hasPrefix("left out for want of room: ") })
        // On a busy machine a fifth of a second can end before a check has met its case, which is not a pass: then longer.
        var test = try Program.run(Self.faults + ["0.2"], environment: ["COLUMNS": "\(columns)"])
        for duration in ["2", "20"] where test.status == 1 && test.output.contains("not proved: never met") {
            test = try Program.run(Self.faults + [duration], environment: ["COLUMNS": "\(columns)"])
        }
        #expect(test.status == 0, "\(test.output) \(test.errors)")
        for line in ran.output.components(separatedBy: "\n") + test.output.components(separatedBy: "\n") {
            #expect(line.count <= columns, "\(line)")
        }
    }

    @Test(
        "help fits a terminal of 80 columns: columns are not broken, and paragraphs are filled",
        arguments: [[]] + commands.map { [$0] })
    func helpWidth(_ command: [String]) throws {
        let (usual, wide) = (
            try Program.run(command + ["--help"], environment: ["COLUMNS": "80"]).output,
            try Program.run(command + ["--help"], environment: ["COLUMNS": "300"]).output
        )
        // What stands in columns is not broken: each line of it is one in the wide text too.
        let lines = Set(usual.components(separatedBy: "\n"))
        let columns = wide.components(separatedBy: "USAGE:")[0].components(separatedBy: "\n").filter { $0.hasPrefix("  ") }
        #expect(columns.count > 4)
        for line in columns { #expect(lines.contains(line), "\(line)") }
        // A paragraph is one line of the wide text: a line's end in it would leave lines half empty in a narrow terminal.
        let paragraphs = wide.components(separatedBy: "USAGE:")[0].components(separatedBy: "\n\n")
            .filter {
                !$0.hasPrefix(" ") && $0.components(separatedBy: "\n").contains { line in line.contains { $0.isLowercase } }
            }
        for paragraph in paragraphs {
            let prose = paragraph.components(separatedBy: "\n").filter { !$0.hasPrefix(" ") }
            #expect(prose.count == 1 || prose[0].count > 250, "\(paragraph)")
        }
    }

    @Test("a table is cut as said")
    func table() {
        var table = Table(["name", "a", "b", ""], leading: 1, optional: ["b", "a"])
        table.add(["a long name", "1", "22", "ok"])
        #expect(table.text(width: nil) == "name         a   b\n-----------  -  --  --\na long name  1  22  ok")
        #expect(table.text(width: 19) == "name        a  b\n----------- - -- --\na long name 1 22 ok")
        #expect(table.text(width: 16) == "name        a\n----------- - --\na long name 1 ok\nleft out for\nwant of room: b")
        #expect(table.text(width: 10) == "name\n------- --\na long… ok\nleft out\nfor want\nof room:\nb, a")
        var two = Table(["engine", "what"], leading: 2)
        two.add(["a long name", "something longer"])
        #expect(two.text(width: 16) == "engine  what\n------- --------\na long… somethi…")
        #expect(two.text(width: 3) == "eng… what\n---- ----\na l… som…")
    }

    @Test("numbers as people read them")
    func figures() {
        #expect(Figures.bytes(1536) == "1.5 KiB")
        #expect(Figures.bytes(1 << 30) == "1 GiB")
        #expect(Figures.rate(2.5e9) == "2.50")
        #expect(Figures.nanoseconds(999) == "999")
        #expect(Figures.nanoseconds(1500) == "1.5 us")
        #expect(Figures.nanoseconds(250_000_000) == "250 ms")
        #expect(Figures.nanoseconds(999_499) == "999 us" && Figures.nanoseconds(999_500) == "1.0 ms")
        #expect(Figures.count(1_234_567) == "1.23 M")
        #expect(Figures.count(999_900) == "999.9 k" && Figures.count(999_999) == "1.00 M")
        #expect(Figures.decimal(-0.05, 1) == "-0.1")
        #expect(Figures.decimal(.nan, 1) == "-")
    }

    @Test(
        "the man pages are without a fault",
        .enabled(if: Machine.has("/usr/bin/mandoc"), "mandoc is not installed; run Scripts/setup --tests"))
    func manual() throws {
        for page in try ManualPage.all() {
            let file = FileManager.default.temporaryDirectory.appending(path: "\(page.name).1")
            defer { try? FileManager.default.removeItem(at: file) }
            try page.text.write(to: file, atomically: true, encoding: .utf8)
            let lint = try Command.run(["mandoc", "-T", "lint", "-W", "warning", file.path])
            #expect(lint.status == 0 && lint.output.isEmpty, "\(lint.output)")
            let shown = try Command.run(["mandoc", "-T", "ascii", file.path]).output
            for word in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "EXIT CODES", "SEE ALSO"] {
                let plain = shown.replacingOccurrences(of: ".\u{8}", with: "", options: .regularExpression)
                #expect(plain.contains(word), "\(page.name) has no \(word)")
            }
        }
        let pages = Dictionary(uniqueKeysWithValues: try ManualPage.all().map { ($0.name, $0.text) })
        #expect(pages["dmactl-bench"]?.contains("\n\\fBdmactl bench\\fR [\\fIOPTIONS\\fR]\n") ?? false)
        let copy = try #require(pages["dmactl-copy"])
        #expect(copy.contains("\n\\fBdmactl copy\\fR [\\fIOPTIONS\\fR] \\fISOURCE\\fR \\fITARGET\\fR\n.br\n"), "\(copy)")
        #expect(copy.contains("\n.PP\nA regular file") && copy.contains("\n.TP\n\\fISOURCE, TARGET\\fR\n"), "\(copy)")
        #expect(!copy.contains(".PP\n.SH") && !copy.contains(".PP\n.PP"))
    }

    @Test(
        "without /sys, without privileges",
        .enabled(
            if: Machine.canUnshare,
            Comment(rawValue: Machine.withoutUnshare)
        ))
    func container() throws {
        let ran = try Command.run(
            [
                "unshare", "-rm", "sh", "-c",
                "mount -t tmpfs none /sys && test -z \"$(ls /sys)\" && exec \(Program.dmactl) bench --engine cpu --size 4KiB --seconds 0.01 --repeats 1 && exec \(Program.dmactl) list",
            ],
            environment: ["NO_COLOR": "1", "COLUMNS": ""], limit: 120)
        #expect(ran.status == 0, "\(ran.errors)")
        #expect(ran.output.contains("4 KiB"))
        // What /sys would have said is not there.
        #expect(!ran.output.contains("L1d"))
        let test = try Command.run(
            [
                "unshare", "-rm", "sh", "-c",
                "mount -t tmpfs none /sys && exec \(Program.dmactl) test --operation copy --iterations 2 --duration 0.2",
            ], limit: 120)
        #expect(test.status == 0 && test.output.contains("every byte right"), "\(test.errors)")
        // A program learns its arguments without /proc, too; a sanitizer does not.
        if Machine.isSanitized { return }
        let lost = try Command.run([
            "unshare", "-rm", "sh", "-c", "mount -t tmpfs none /proc && exec \(Program.dmactl) copy --help",
        ])
        #expect(lost.status == 0 && lost.output.contains("--files-from"), "\(lost)")
    }

    @Test(
        "TAP is what prove reads",
        .enabled(if: Machine.has("/usr/bin/prove"), Comment(rawValue: Machine.withoutProve)))
    func tap() throws {
        let ran = try Program.run([
            "test", "--engine", "cpu", "--tap", "--operation", "copy", "--operation", "cyclic", "--duration", "0.5",
        ])
        #expect(ran.status == 0)
        let file = FileManager.default.temporaryDirectory.appending(path: "dma-\(UUID().uuidString).tap")
        defer { try? FileManager.default.removeItem(at: file) }
        try ran.output.write(to: file, atomically: true, encoding: .utf8)
        let proved = try Command.run(["prove", "-e", "cat", file.path])
        #expect(proved.status == 0 && proved.output.contains("Result: PASS"), "\(proved.output) \(proved.errors)")
        #expect(ran.output.contains("# SKIP"))
    }
}
