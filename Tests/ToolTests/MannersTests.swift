// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import dmactl

@Suite("Manners", .serialized)
struct MannersTests {
    static let commands = ["copy", "list", "test", "bench"]

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
            for line in ran.output.components(separatedBy: "\n") where line.hasPrefix("  --") {
                // The text stands beside the option, or below it.
                #expect(line.count > 26 || line.contains("  "), "\(line)")
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
            (["bench", "--engine", "nobody"], 64, "there are cpu"), (["bench", "--json", "--csv"], 64, "not both"),
            (["bench", "--config", bad.path], 64, ":3:12: sizes is \"none\""),
            (["bench", "--config", "/nonexistent"], 66, "/nonexistent"),
            (["bench", "--compare", bad.path, "--seconds", "0.01"], 66, "no result of dmactl bench"),
            (["bench", "--compare", "/dev/zero"], 66, "/dev/zero: larger than 256 MiB"),
            (["bench", "--config", "/tmp"], 66, "/tmp: "),
            (["bench", "--access", "backwards"], 64, "there are sequential, random"),
            (["bench", "--file-size", "1"], 64, "--file-size 1: 4 KiB to 1024 GiB"),
            (["bench", "--from", "/tmp/x", "--direct"], 64, "--from"),
            (["bench", "--html", "/nonexistent/a.html"], 73, "/nonexistent/a.html"),
        ]
        for (arguments, status, says) in known {
            let ran = try Program.run(arguments)
            #expect(ran.status == status, "\(arguments): \(ran.errors)")
            #expect(ran.errors.contains(says), "\(arguments): \(ran.errors)")
            #expect(ran.output.isEmpty)
        }
    }

    @Test(
        "colour on a terminal, none with NO_COLOR, none in a file",
        .enabled(if: Program.has("/usr/bin/script"), "script(1) is not installed; Debian: apt-get install bsdutils"))
    func color() throws {
        func onTerminal(_ environment: String) throws -> String {
            try Ran(
                "/usr/bin/script",
                [
                    "-qec", "env \(environment) \(Program.dmactl) test --operation fill --iterations 1 --duration 0.1",
                    "/dev/null",
                ]
            ).output
        }
        #expect(try onTerminal("-u NO_COLOR TERM=xterm").contains("\u{1b}[32m"))
        #expect(try !onTerminal("NO_COLOR=1 TERM=xterm").contains("\u{1b}[32m"))
        #expect(try onTerminal("NO_COLOR= TERM=xterm").contains("\u{1b}[32m"))
        #expect(try !onTerminal("-u NO_COLOR TERM=dumb").contains("\u{1b}[32m"))
        let piped = try Ran(
            Program.dmactl, ["test", "--operation", "fill", "--iterations", "1", "--duration", "0.1"],
            environment: ["TERM": "xterm"])
        #expect(!piped.output.contains("\u{1b}") && !piped.errors.contains("\u{1b}"))
    }

    @Test("tables keep to the width; what is left out is said", arguments: [40, 60, 80, 120])
    func width(_ columns: Int) throws {
        let ran = try Program.run(["list"], environment: ["COLUMNS": "\(columns)"])
        // The table is what comes before the first empty line.
        let table = ran.output.components(separatedBy: "\n\n")[0].components(separatedBy: "\n")
        for line in table where !line.hasPrefix("left out") { #expect(line.count <= columns, "\(line)") }
        #expect((columns < 120) == table.contains { $0.hasPrefix("left out for want of room: ") })
    }

    @Test("a table is cut as said")
    func table() {
        var table = Table(["name", "a", "b", ""], leading: 1, optional: ["b", "a"])
        table.add(["a long name", "1", "22", "ok"])
        #expect(table.text(width: nil) == "name         a   b\n-----------  -  --  --\na long name  1  22  ok")
        #expect(table.text(width: 19) == "name        a  b\n----------- - -- --\na long name 1 22 ok")
        #expect(table.text(width: 16) == "name        a\n----------- - --\na long name 1 ok\nleft out for want of room: b")
        #expect(table.text(width: 10) == "name\n------- --\na long… ok\nleft out for want of room: b, a")
    }

    @Test("numbers as people read them")
    func figures() {
        #expect(Figures.bytes(1536) == "1.5 KiB")
        #expect(Figures.bytes(1 << 30) == "1 GiB")
        #expect(Figures.rate(2.5e9) == "2.50")
        #expect(Figures.nanoseconds(999) == "999")
        #expect(Figures.nanoseconds(1500) == "1.5 us")
        #expect(Figures.nanoseconds(250_000_000) == "250 ms")
        #expect(Figures.count(1_234_567) == "1.23 M")
        #expect(Figures.decimal(-0.05, 1) == "-0.1")
        #expect(Figures.decimal(.nan, 1) == "-")
    }

    @Test("the shells read the completions")
    func completions() throws {
        var read = 0
        for (shell, arguments) in [("bash", ["-n"]), ("zsh", ["-n"]), ("fish", ["-n"])] {
            let script = try Program.run(["--generate-completion-script", shell])
            #expect(script.status == 0)
            for word in ["bench", "list", "test", "max-channels"] { #expect(script.output.contains(word), "\(shell)") }
            guard Program.has("/usr/bin/\(shell)") || Program.has("/bin/\(shell)") else { continue }
            let path = Program.has("/usr/bin/\(shell)") ? "/usr/bin/\(shell)" : "/bin/\(shell)"
            let file = FileManager.default.temporaryDirectory.appending(path: "dma-\(UUID().uuidString)")
            defer { try? FileManager.default.removeItem(at: file) }
            try script.output.write(to: file, atomically: true, encoding: .utf8)
            let ran = try Ran(path, arguments + [file.path])
            #expect(ran.status == 0 && ran.errors.isEmpty, "\(shell): \(ran.errors)")
            read += 1
        }
        print("completions read by \(read) of 3 shells")
        #expect(read >= 1)
    }

    @Test(
        "the man pages are without a fault",
        .enabled(if: Program.has("/usr/bin/mandoc"), "mandoc is not installed; run Scripts/setup --tests"))
    func manual() throws {
        for page in try ManualPage.all() {
            let file = FileManager.default.temporaryDirectory.appending(path: "\(page.name).1")
            defer { try? FileManager.default.removeItem(at: file) }
            try page.text.write(to: file, atomically: true, encoding: .utf8)
            let lint = try Ran("/usr/bin/mandoc", ["-T", "lint", "-W", "warning", file.path])
            #expect(lint.status == 0 && lint.output.isEmpty, "\(lint.output)")
            let shown = try Ran("/usr/bin/mandoc", ["-T", "ascii", file.path]).output
            for word in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "EXIT CODES", "SEE ALSO"] {
                let plain = shown.replacingOccurrences(of: ".\u{8}", with: "", options: .regularExpression)
                #expect(plain.contains(word), "\(page.name) has no \(word)")
            }
        }
        #expect(try ManualPage.all().map(\.name).contains("dmactl-bench"))
    }

    @Test(
        "without /sys, without privileges",
        .enabled(
            if: Program.canUnshare,
            "unshare(1) may make no user and mount namespace; run as root, or allow user namespaces (kernel.unprivileged_userns_clone=1)"
        ))
    func container() throws {
        let ran = try Ran(
            "/usr/bin/unshare",
            [
                "-rm", "sh", "-c",
                "mount -t tmpfs none /sys && test -z \"$(ls /sys)\" && exec \(Program.dmactl) bench --engine cpu --size 4KiB --seconds 0.01 --repeats 1 && exec \(Program.dmactl) list",
            ],
            environment: ["NO_COLOR": "1", "COLUMNS": ""])
        #expect(ran.status == 0, "\(ran.errors)")
        #expect(ran.output.contains("4 KiB"))
        // What /sys would have said is not there.
        #expect(!ran.output.contains("L1d"))
        let test = try Ran(
            "/usr/bin/unshare",
            [
                "-rm", "sh", "-c",
                "mount -t tmpfs none /sys && exec \(Program.dmactl) test --operation copy --iterations 2 --duration 0.2",
            ])
        #expect(test.status == 0 && test.output.contains("every byte right"), "\(test.errors)")
    }

    @Test(
        "TAP is what prove reads",
        .enabled(if: Program.has("/usr/bin/prove"), "prove(1) is not installed; Debian: apt-get install perl"))
    func tap() throws {
        let ran = try Program.run([
            "test", "--engine", "cpu", "--tap", "--operation", "copy", "--operation", "cyclic", "--duration", "0.5",
        ])
        #expect(ran.status == 0)
        let file = FileManager.default.temporaryDirectory.appending(path: "dma-\(UUID().uuidString).tap")
        defer { try? FileManager.default.removeItem(at: file) }
        // Perl's reader knows versions up to 13, of which 14 is a superset.
        let older = ran.output.replacingOccurrences(of: "TAP version 14", with: "TAP version 13")
        try older.write(to: file, atomically: true, encoding: .utf8)
        let proved = try Ran("/usr/bin/prove", ["-e", "cat", file.path])
        #expect(proved.status == 0 && proved.output.contains("Result: PASS"), "\(proved.output) \(proved.errors)")
        #expect(ran.output.contains("# SKIP"))
    }
}
