// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Foundation
import Testing

@Suite("dmactl test and bench, stopped by a signal", .serialized)
struct StopTests {
    /// No process waits for the end of these.
    static let test = ["test", "--duration", "86400", "--seed", "\(Seeded.seed)"]
    static let bench = ["bench", "--seconds", "3600"]

    private func start(_ words: [String], before: [String] = []) throws -> Command.Running {
        try Command.start(before + [Program.dmactl] + words, environment: ["NO_COLOR": "1", "COLUMNS": ""])
    }

    /// Stops a program at some moment of its work. How long that took, and what it said.
    private func stop(_ words: [String], _ number: Int32, after delay: Double = 0) throws -> (seconds: Double, Command.Answer) {
        let running = try start(words)
        #expect(running.listens(to: number))
        // Whatever it has got to by then.
        usleep(UInt32(delay * 1e6))
        let began = Date()
        running.signal(number)
        let answer = running.wait()
        #expect(answer.status == 128 + number && !answer.isKilled, "\(answer.status) \(answer.errors)")
        return (-began.timeIntervalSinceNow, answer)
    }

    @Test("the first signal: what there is, a line that says so, and 128 with the signal", arguments: [Int32(2), 15, 1])
    func first(_ number: Int32) throws {
        let name = [1: "SIGHUP", 2: "SIGINT", 15: "SIGTERM"][number, default: ""]
        var random = Seeded("stop \(number)")
        let timelyTest = try Machine.isTimely(2) {
            let (seconds, answer) = try stop(Self.test, number, after: Double.random(in: 0...1, using: &random))
            #expect(answer.errors.hasPrefix("dmactl: stopped by \(name) after "), "\(answer.errors)")
            #expect(answer.errors.split(separator: "\n").count == 1 && answer.errors.contains(" checks of the contract and "))
            #expect(answer.output.contains("\ncontract") && answer.output.contains("io_uring not tested to the end; seed "))
            // Nothing has failed.
            #expect(!answer.output.contains("to repeat") && !answer.output.contains("FAILED"), "\(answer.output)")
            return seconds
        }
        #expect(timelyTest)
        let timelyBench = try Machine.isTimely(1) {
            let (seconds, answer) = try stop(Self.bench, number, after: Double.random(in: 0...1, using: &random))
            #expect(answer.errors.hasPrefix("dmactl: stopped by \(name) after 0 of "), "\(answer.errors)")
            #expect(answer.errors.split(separator: "\n").count == 1)
            #expect(answer.output.contains("warning: stopped after 0 of ") && answer.output.contains("left out: memcpy, "))
            return seconds
        }
        #expect(timelyBench)
    }

    @Test(
        "two signals: the end at once, by the second, and nothing is printed",
        arguments: [test, bench, ["copy", "pattern:7:1000GB", "null:"]]
    )
    func second(_ words: [String]) throws {
        let running = try start(words)
        #expect(running.listens(to: 2) && running.listens(to: 15))
        // Both are there when it goes on, in whichever order it hears of them.
        running.signal(SIGSTOP)
        running.signal(2)
        running.signal(15)
        running.signal(SIGCONT)
        let answer = running.wait()
        #expect(answer.isKilled && [130, 143].contains(answer.status), "\(answer)")
        #expect(answer.output.isEmpty && answer.errors.isEmpty, "\(answer)")
    }

    @Test(
        "nohup is honoured", arguments: [MannersTests.quick, ["bench", "--engine", "cpu", "--size", "64", "--seconds", "0.1"]])
    func hangUp(_ words: [String]) throws {
        let running = try start(words, before: ["nohup"])
        #expect(running.listens(to: 2))
        running.signal(1)
        let answer = running.wait()
        #expect(answer.status == 0 && !answer.errors.contains("stopped"), "\(answer.errors)")
    }

    /// Whether a thread of the process is in write(2) to standard output.
    private func prints(_ identifier: Int32) -> Bool {
        let threads = "/proc/\(identifier)/task"
        for thread in (try? FileManager.default.contentsOfDirectory(atPath: threads)) ?? [] {
            let call = (try? String(contentsOfFile: "\(threads)/\(thread)/syscall", encoding: .utf8)) ?? ""
            #if arch(arm64)
                if call.hasPrefix("64 0x1 ") { return true }
            #else
                if call.hasPrefix("1 0x1 ") { return true }
            #endif
        }
        return false
    }

    @Test("while the answer is printed, a signal ends the program as any other", arguments: [test, bench])
    func printing(_ words: [String]) throws {
        let scratch = try Scratch()
        // A full pipe that no process reads.
        let line = "mkfifo p; exec 3<>p; head -c 65536 /dev/zero >&3; exec \"$0\" \"$@\" >&3"
        let running = try Command.start(["sh", "-c", line, Program.dmactl] + words, folder: scratch.path)
        // The shell before it may hear signals too.
        let end = Date() + 60
        let name = "/proc/\(running.identifier)/comm"
        while (try? String(contentsOfFile: name, encoding: .utf8)) != "dmactl\n", Date() < end { usleep(2000) }
        #expect(running.listens(to: 2))
        running.signal(2)
        while !prints(running.identifier), Date() < end { usleep(2000) }
        #expect(prints(running.identifier))
        running.signal(15)
        let answer = running.wait()
        #expect(answer.status == 143 && answer.isKilled && answer.errors.contains("stopped by SIGINT"), "\(answer)")
    }

    // MARK: What there is

    /// A sweep of minutes on a terminal, as far as its standard error goes, stopped after its third measurement or later.
    private func sweep(_ scratch: Scratch, _ words: [String]) throws -> (screen: String, Command.Answer) {
        let line =
            "echo $$ > pid; exec \(Program.dmactl) bench --engine cpu --size 64 --size 4KiB --repeats 1000 \(words.joined(separator: " ")) > out"
        try Data(line.utf8).write(to: URL(filePath: scratch.at("line")))
        // Of an earlier sweep.
        for name in ["screen", "pid", "out"] { try? FileManager.default.removeItem(atPath: scratch.at(name)) }
        let running = try Command.start(["script", "-qefc", "sh line", "screen"], folder: scratch.path)
        func screen() -> String { String(decoding: (try? FileBytes.read(scratch.at("screen"))) ?? [], as: UTF8.self) }
        let end = Date() + 60
        while !screen().contains("3/4000 "), Date() < end { usleep(2000) }
        let text = try String(contentsOfFile: scratch.at("pid"), encoding: .utf8)
        let identifier = try #require(Int32(text.trimmingCharacters(in: .whitespacesAndNewlines)))
        kill(identifier, SIGINT)
        let answer = running.wait()
        #expect(answer.status == 130, "\(screen())")
        return (screen(), answer)
    }

    @Test(
        "a sweep in each form: rows with what was measured, and how much that is",
        .enabled(if: Machine.has("script"), Comment(rawValue: Machine.withoutScript)),
        .enabled(if: hasValidator, withoutValidator))
    func forms() throws {
        let scratch = try Scratch()
        let (screen, _) = try sweep(scratch, ["--json", "--html", "report.html"])
        #expect(screen.contains("\r\u{1b}[Kstopping by SIGINT; a second one ends at once"))
        let said = try #require(screen.components(separatedBy: "dmactl: stopped by SIGINT after ").last)
        let made = try #require(said.components(separatedBy: " of 4000 measurements").first.flatMap { Int($0) })
        let text = try String(contentsOfFile: scratch.at("out"), encoding: .utf8)
        let document = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        #expect((document["warnings"] as? [String])?.first == "stopped after \(made) of 4000 measurements")
        let rows = try #require(document["rows"] as? [[String: Any]])
        let counts = rows.compactMap { ($0["bytesPerSecond"] as? [Double])?.count }
        #expect(made >= 3 && counts.reduce(0, +) == made && counts.count >= 3)
        let html = try String(contentsOfFile: scratch.at("report.html"), encoding: .utf8)
        #expect(html.contains("stopped after \(made) of 4000 measurements") && html.contains("</html>"))
        // It is taken back, alone and beside itself.
        let shown = try Program.run(["bench", "--from", scratch.at("out"), "--compare", scratch.at("out")])
        #expect(shown.status == 0, "\(shown.errors)")
        #expect(shown.output.contains("warning: stopped after \(made) of 4000") && shown.output.contains("then: stopped after"))
        #expect(try SchemaTests().findings("bench-result", text) == "")
        _ = try sweep(scratch, ["--csv"])
        let lines = try String(contentsOfFile: scratch.at("out"), encoding: .utf8).components(separatedBy: "\r\n")
        #expect(lines.first?.hasPrefix("case,engine,") == true && lines.count >= 5 && lines.last == "")
        // A stop before anything was measured, beside a whole run's rows.
        try scratch.write(
            "whole", try Program.run(["bench", "--engine", "cpu", "--size", "64", "--seconds", "0.01", "--json"]).bytes)
        let (_, none) = try stop(
            Self.bench + ["--compare", scratch.at("whole"), "--fail-on-slower", "--html", scratch.at("none")], 2)
        #expect(none.output.contains("gone: cpu copy 64 B"), "\(none.output)")
        #expect(try String(contentsOfFile: scratch.at("none"), encoding: .utf8).contains("</html>"))
    }

    @Test(
        "a test in TAP and in JSON",
        .enabled(if: hasValidator, withoutValidator))
    func documents() throws {
        let (_, tap) = try stop(Self.test + ["--tap", "--engine", "cpu"], 2, after: 0.2)
        let lines = tap.output.split(separator: "\n")
        #expect(lines.first == "TAP version 13" && lines.last == "Bail out! stopped: cpu not tested to the end")
        #expect(!tap.output.contains("\nnot ok") && tap.output.contains(" # SKIP the run was stopped"), "\(tap.output)")
        #expect(lines.contains { $0 == "1..\(lines.count { $0.hasPrefix("ok ") })" })
        let (_, json) = try stop(Self.test + ["--json"], 15, after: 0.2)
        #expect(try SchemaTests().findings("test", json.output) == "")
        let document = try #require(try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
        #expect(document["passed"] as? Bool == false)
        let stopped = (document["report"] as? [String: Any])?["stopped"] as? [String: Any]
        #expect((stopped?["engines"] as? [String])?.contains("io_uring") == true)
        let broken = json.output.replacingOccurrences(of: "\"engines\"", with: "\"engine\"")
        #expect(try SchemaTests().findings("test", broken).contains("stopped"))
    }

    @Test(
        "prove takes a stopped test for no success",
        .enabled(if: Machine.has("prove"), Comment(rawValue: Machine.withoutProve)))
    func prove() throws {
        let scratch = try Scratch()
        let (_, tap) = try stop(Self.test + ["--tap", "--engine", "cpu"], 2)
        try scratch.write("t", tap.bytes)
        let ran = try Command.run(["prove", "-e", "cat", scratch.at("t")])
        #expect(ran.status != 0 && (ran.output + ran.errors).contains("stopped: cpu not tested to the end"), "\(ran)")
    }
}
