// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Foundation
import Testing

@Suite("dmactl copy, ended from outside", .serialized)
struct KillTests {
    private static let hasNameless =
        (try? Command.run([
            "python3", "-c", "import os, sys; os.open(sys.argv[1], os.O_TMPFILE | os.O_RDWR)",
            FileManager.default.temporaryDirectory.path,
        ]).status) == 0

    private static let hidesDescriptors =
        (try? Command.run(["unshare", "-rm", "sh", "-c", "mount -t tmpfs none /proc/$$/fd"]).status) == 0

    @Test("kill -9 at a random moment, 200 times: the old file or the new one, never a mixture")
    func killed() throws {
        let scratch = try Scratch()
        var random = Seeded("kill")
        let size = 300_000
        var old = random.bytes(size)
        try scratch.write("b", old)
        // How long a whole run takes here, so that the moments are spread over it; corrected on the way, for the machine is shared.
        try scratch.write("a", random.bytes(size))
        let whole = try Command.copy(scratch.at("a"), scratch.at("c"))
        #expect(whole.status == 0, "\(whole.errors)")
        var span = max(whole.seconds, 0.005) * 1.2
        var survived = 0
        var replaced = 0
        for round in 0..<200 {
            let new = random.bytes(size)
            try scratch.write("a", new)
            let way = [["--chunk", "4096"], ["--resume"], ["--engine", "io_uring", "--chunk", "8KiB"]][round % 3]
            let running = try Command.start([Command.dmactl, "copy", scratch.at("a"), scratch.at("b")] + way)
            usleep(UInt32(Double.random(in: 0...span, using: &random) * 1e6))
            running.signal(9)
            _ = running.wait(limit: 60)
            let found = try scratch.read("b")
            if found == old {
                survived += 1
                span = min(span * 1.05, 1)
            } else if found == new {
                replaced += 1
                span *= 0.95
                old = new
            } else {
                Issue.record("round \(round): a mixture of \(found.count) bytes")
                return
            }
        }
        print("kill -9: \(survived) times the old file, \(replaced) times the new one")
        #expect(survived + replaced == 200 && survived > 0)
        // What was left does not keep the next copies from their work, and goes with it.
        let plain = try Command.copy(scratch.at("a"), scratch.at("b"))
        #expect(plain.status == 0, "\(plain.errors)")
        let last = try Command.copy("--resume", scratch.at("a"), scratch.at("b"))
        #expect(last.status == 0, "\(last.errors)")
        #expect(try scratch.read("b") == scratch.read("a"))
        #expect(try scratch.names() == ["a", "b", "c"])
    }

    /// Starts a slow copy from a to b that sees no /proc/self/fd where `isBlind`, and kills it on the way.
    private func killed(_ scratch: Scratch, _ way: [String], isBlind: Bool = false) throws {
        let words = [Command.dmactl, "copy", "--rate", "1MB", "--chunk", "64KiB", scratch.at("a"), scratch.at("b")] + way
        let blind = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs none /proc/$$/fd && exec \"$@\"", "sh"]
        let running = try Command.start((isBlind ? blind : []) + words)
        #expect(running.listens(to: 2))
        // What it writes may have no name to be waited for: it is at work once it has a file there open beside its source.
        #expect(running.opens { $0.contains(scratch.path) && !$0.hasSuffix("/a") })
        usleep(100_000)
        #expect(running.isRunning)
        running.signal(9)
        #expect(running.wait(limit: 60).status == 137)
    }

    @Test(
        "kill -9 leaves nothing where files can be without a name",
        .enabled(if: Self.hasNameless, "no O_TMPFILE on the file system of temporary files; set TMPDIR to one that has it"),
        arguments: [[], ["--engine", "io_uring"], ["--verify"]])
    func nothingLeft(way: [String]) throws {
        let scratch = try Scratch()
        try Command.shell("head -c 20000000 /dev/urandom > a", folder: scratch.path)
        try scratch.write("b", Array("old".utf8))
        try killed(scratch, way)
        #expect(try scratch.names() == ["a", "b"])
        #expect(try scratch.read("b") == Array("old".utf8))
    }

    @Test(
        "where every file has a name, the next copy says what a killed one left, and removes it",
        .enabled(if: Self.hidesDescriptors, Comment(rawValue: Machine.withoutUnshare)))
    func leftovers() throws {
        let scratch = try Scratch()
        try Command.shell("head -c 20000000 /dev/urandom > a; echo old > b", folder: scratch.path)
        // Without /proc/self/fd there is no way to give a name to a file that has none.
        try killed(scratch, [], isBlind: true)
        #expect(try scratch.names() == [".b.dmactl-new-0", "a", "b"])
        // One that is at work is no leftover: its name is held, by the lock that it has.
        try scratch.write(".b.dmactl-new-1", [1])
        let other = try Command.start(["flock", "-F", scratch.at(".b.dmactl-new-1"), "sleep", "60"])
        let held = "until [ -e .b.dmactl-new-1 ] && ! flock -n .b.dmactl-new-1 true; do sleep 0.05; done"
        #expect(try Command.shell(held, folder: scratch.path).status == 0)
        let answer = try Command.copy(scratch.at("a"), scratch.at("b"))
        #expect(answer.status == 0 && answer.errors.split(separator: "\n").count == 1, "\(answer.errors)")
        #expect(
            answer.errors.contains("removed what an earlier copy left when it was killed: \(scratch.at(".b.dmactl-new-0"))")
        )
        #expect(try scratch.read("a") == scratch.read("b"))
        #expect(try scratch.names() == [".b.dmactl-new-1", "a", "b"])
        other.signal(9)
        _ = other.wait()
        let last = try Command.copy(scratch.at("a"), scratch.at("b"))
        #expect(last.status == 0 && last.errors.contains(".b.dmactl-new-1"), "\(last.errors)")
        #expect(try scratch.names() == ["a", "b"])
    }

    @Test("many copies to one target at once: all succeed, and nothing is left")
    func crowd() throws { try crowd(isBlind: false) }

    @Test(
        "the same where every file has a name",
        .enabled(if: Self.hidesDescriptors, Comment(rawValue: Machine.withoutUnshare)))
    func namedCrowd() throws { try crowd(isBlind: true) }

    private func crowd(isBlind: Bool) throws {
        let scratch = try Scratch()
        let answer = try Command.shell(
            """
            head -c 300000 /dev/urandom > a
            for round in 1 2 3; do all=; for i in {1..16}; do
                if \(isBlind); then unshare -rm sh -c 'mount -t tmpfs none /proc/$$/fd && exec "$@"' sh $D copy a b
                else $D copy a b; fi & all="$all $!"; done; for i in $all; do wait $i || echo failed; done; cmp a b; done
            """, folder: scratch.path)
        #expect(answer.status == 0 && answer.output.isEmpty && answer.errors.isEmpty, "\(answer)")
        #expect(try scratch.names() == ["a", "b"])
    }

    @Test("what is in the way of a part file, and is none, is left alone")
    func strangers() throws {
        let scratch = try Scratch()
        try scratch.write("a", [1, 2, 3])
        try Command.shell("mkdir .b.dmactl-new-0; ln -s a .b.dmactl-new-1; mkfifo .b.dmactl-new-2", folder: scratch.path)
        let answer = try Command.copy(scratch.at("a"), scratch.at("b"))
        #expect(
            answer.status == 0 && answer.errors.components(separatedBy: "has the name of a part file").count == 4,
            "\(answer.errors)")
        #expect(try scratch.read("b") == [1, 2, 3])
        #expect(try scratch.names() == [".b.dmactl-new-0", ".b.dmactl-new-1", ".b.dmactl-new-2", "a", "b"])
    }

    @Test("^C stops within a second, removes what was begun, and says how far it was", arguments: [2, 15])
    func interrupted(number: Int32) throws {
        for way in [[], ["--engine", "io_uring"]] {
            let scratch = try Scratch()
            try scratch.write("b", Array("old".utf8))
            try Command.shell("head -c 20000000 /dev/zero > a", folder: scratch.path)
            let isTimely = try Machine.isTimely(1) {
                let running = try Command.start(
                    [Command.dmactl, "copy", "--rate", "1MB", "--chunk", "64KiB", scratch.at("a"), scratch.at("b")] + way)
                #expect(running.listens(to: number))
                usleep(500_000)
                #expect(running.isRunning)
                let began = Date()
                running.signal(number)
                let answer = running.wait()
                let seconds = -began.timeIntervalSinceNow
                #expect(
                    answer.status == 128 + number && answer.errors.contains("stopped after"),
                    "\(answer.status) \(answer.errors)")
                #expect(try scratch.read("b") == Array("old".utf8))
                #expect(try scratch.names() == ["a", "b"])
                return seconds
            }
            #expect(isTimely)
        }
    }

    @Test("^C with --resume keeps the part, and the next run goes on behind it")
    func resumed() throws {
        let scratch = try Scratch()
        try Command.shell("$D copy pattern:3:4000000 a", folder: scratch.path)
        let running = try Command.start(
            [Command.dmactl, "copy", "--resume", "--rate", "400kB", "--chunk", "64KiB", scratch.at("a"), scratch.at("b")])
        #expect(running.listens(to: 2) && scratch.waits(until: ".b.dmactl-part", has: 256 << 10))
        running.signal(2)
        let answer = running.wait()
        #expect(
            answer.status == 130 && answer.errors.contains("a part file that can be resumed: ")
                && answer.errors.contains("(--resume)"), "\(answer.errors)")
        #expect(!scratch.exists("b") && scratch.exists(".b.dmactl-journal"))
        let again = try Command.copy("--resume", scratch.at("a"), scratch.at("b"))
        #expect(again.status == 0 && again.errors.contains("resumed after"), "\(again.errors)")
        #expect(try scratch.read("a") == scratch.read("b"))
        #expect(try scratch.names() == ["a", "b"])
    }

    @Test("SIGUSR1 asks how far it is; in a pipe nothing else is said")
    func asked() throws {
        let scratch = try Scratch()
        try Command.shell("head -c 4000000 /dev/zero > a", folder: scratch.path)
        let running = try Command.start([
            Command.dmactl, "copy", "--rate", "1MB", "--chunk", "64KiB", scratch.at("a"), scratch.at("b"),
        ])
        #expect(running.listens(to: 10))
        usleep(400_000)
        running.signal(10)
        let answer = running.wait()
        #expect(answer.status == 0)
        let lines = answer.errors.split(separator: "\n")
        #expect(
            lines.count == 1 && lines.first?.contains("copying, ") == true && lines.first?.contains("MiB") == true, "\(lines)")
    }

    @Test("a pipe that waits for its other end, or for bytes, is stopped too")
    func waiting() throws {
        let scratch = try Scratch()
        try Command.shell("mkfifo p; echo x > a", folder: scratch.path)
        for words in [[scratch.at("p"), scratch.at("b")], [scratch.at("a"), scratch.at("p")]] {
            let isTimely = try Machine.isTimely(1) {
                let running = try Command.start([Command.dmactl, "copy"] + words)
                #expect(running.listens(to: 2))
                usleep(200_000)
                let began = Date()
                running.signal(2)
                let answer = running.wait(limit: 60)
                let seconds = -began.timeIntervalSinceNow
                #expect(answer.status == 130, "\(answer)")
                return seconds
            }
            #expect(isTimely)
        }
    }

    @Test("before the copy and after it a signal ends the program as any other", .timeLimit(.minutes(2)))
    func unheard() throws {
        let scratch = try Scratch()
        try Command.shell("mkfifo list; mkdir t; echo x > a", folder: scratch.path)
        let reading = try Command.start([Command.dmactl, "copy", "--files-from", scratch.at("list"), scratch.at("t")])
        let name = "/proc/\(reading.identifier)/comm"
        for _ in 0..<5000 where (try? String(contentsOfFile: name, encoding: .utf8)) != "dmactl\n" { usleep(2000) }
        usleep(300_000)
        reading.signal(15)
        #expect(reading.wait(limit: 60).status == 143)
        // The answer goes to a pipe that is full already.
        let line = "mkfifo p; exec 3<>p; head -c 65536 /dev/zero >&3; exec \"$@\" >&3"
        let printing = try Command.start(
            ["bash", "-c", line, "bash", Command.dmactl, "copy", "--json", "a", "b"], folder: scratch.path)
        #expect(scratch.waits(until: "b", has: 2) && printing.isDeaf(to: 15))
        usleep(200_000)
        #expect(printing.isRunning)
        printing.signal(15)
        let answer = printing.wait(limit: 60)
        #expect(answer.status == 143, "\(answer)")
    }

    @Test("nohup is honoured: a copy outlives its terminal")
    func hangUp() throws {
        let scratch = try Scratch()
        try Command.shell("head -c 1000000 /dev/urandom > a", folder: scratch.path)
        let running = try Command.start([
            "nohup", Command.dmactl, "copy", "--rate", "1MB", "--chunk", "64KiB", scratch.at("a"), scratch.at("b"),
        ])
        #expect(running.listens(to: 10))
        running.signal(1)
        #expect(running.wait().status == 0)
        #expect(try scratch.read("a") == scratch.read("b"))
    }
}
