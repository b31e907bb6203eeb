// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Foundation
import Testing

/// Whether a message ends with a sentence that says what to try.
func endsWithCure(_ message: String) -> Bool { message.contains(/\. [A-Z][^\n]*\.\n/) }

/// Each on a real file system that the test makes: loop devices and tmpfs.
@Suite("dmactl copy and bad input: nothing lost", .serialized)
struct BadInputTests {
    private let old = Array("the old target".utf8)

    /// Refused or failed with a line that names the cure; the old target stands, and nothing is left beside it.
    private func expectFailure(
        _ answer: Command.Answer, _ words: String..., folder: Scratch, _ name: String = "", status: Int32 = 1,
        at location: SourceLocation = #_sourceLocation
    ) throws {
        #expect(answer.status == status, "\(answer)", sourceLocation: location)
        for word in words { #expect(answer.errors.contains(word), "\(word): \(answer.errors)", sourceLocation: location) }
        #expect(endsWithCure(answer.errors) && !answer.errors.contains("try: "), sourceLocation: location)
        #expect(answer.errors.split(separator: "\n").count == 1, "\(answer.errors)", sourceLocation: location)
        let place = name.isEmpty ? "" : name + "/"
        #expect(try folder.read(place + "b") == old, sourceLocation: location)
        let left = try folder.names(name).filter { $0.hasPrefix(".") }
        #expect(left.isEmpty, "\(left)", sourceLocation: location)
    }

    @Test(
        "a disk that is full to 99 %", .enabled(if: Machine.hasLoops, Comment(rawValue: Machine.withoutLoops)),
        arguments: [
            [], ["--engine", "io_uring"], ["--in-place"], ["--append"],
        ])
    func fullDisk(way: [String]) throws {
        let scratch = try Scratch()
        try scratch.mounted("ext4", 64 << 20, "fs", make: ["-q", "-m", "0"])
        try scratch.write("fs/b", old)
        try Command.shell(
            "dd if=/dev/zero of=fs/fill bs=64K 2>/dev/null; sync; truncate -s -600K fs/fill; sync", folder: scratch.path)
        try Command.shell("head -c 30000000 /dev/urandom > a", folder: scratch.path)
        let answer = try Command.run([Command.dmactl, "copy", scratch.at("a"), scratch.at("fs/b")] + way)
        if way.contains("--in-place") {
            // Room is taken before the old bytes go.
            try expectFailure(answer, "no space left", folder: scratch, "fs")
        } else {
            try expectFailure(answer, "cannot write", "no space left (needs 28.6 MiB, ", " free)", folder: scratch, "fs")
        }
    }

    @Test("no inode left, and a tmpfs at its limit", .enabled(if: Machine.canMount, Comment(rawValue: Machine.withoutMounts)))
    func limits() throws {
        let scratch = try Scratch()
        try scratch.write("a", [UInt8](repeating: 7, count: 3 << 20))
        for (name, options) in [("few", "size=64m,nr_inodes=3"), ("small", "size=1m")] {
            try scratch.tmpfs(name, options)
            try scratch.write(name + "/b", old)
            if name == "few" { try scratch.write("few/c", []) }
            for way in [[], ["--engine", "io_uring"]] {
                let answer = try Command.run([Command.dmactl, "copy", scratch.at("a"), scratch.at(name + "/b")] + way)
                try expectFailure(answer, "no space", folder: scratch, name)
            }
        }
    }

    /// This machine's kernel has no ext4 quota (CONFIG_QFMT_V2), so that btrfs and its quota groups answer: EDQUOT is the same.
    @Test(
        "a quota",
        .enabled(
            if: Machine.hasLoops && Machine.has("mkfs.btrfs"),
            "no loop device, or no mkfs.btrfs; run as root, after Scripts/setup --tests"))
    func quota() throws {
        let scratch = try Scratch()
        try scratch.mounted("btrfs", 200 << 20, "fs", make: ["-q"])
        try Command.shell("head -c 30000000 /dev/urandom > a", folder: scratch.path)
        try scratch.write("fs/b", old)
        let limit = try Command.shell("btrfs quota enable fs && sync && btrfs qgroup limit 4M fs", folder: scratch.path)
        try #require(limit.status == 0, "\(limit)")
        for way in [[], ["--engine", "io_uring"]] {
            let answer = try Command.run([Command.dmactl, "copy", scratch.at("a"), scratch.at("fs/b")] + way)
            try expectFailure(answer, "the disk quota is used up", folder: scratch, "fs")
        }
    }

    @Test("the limit of file sizes", arguments: [[], ["--engine", "io_uring"]])
    func fileSize(way: [String]) throws {
        let scratch = try Scratch()
        try scratch.write("b", old)
        try scratch.write("a", [UInt8](repeating: 7, count: 3 << 20))
        let answer = try Command.shell("ulimit -f 1024; $D copy a b \(way.joined(separator: " "))", folder: scratch.path)
        try expectFailure(answer, "files of at most 1 MiB (ulimit -f)", "ulimit -f unlimited", folder: scratch)
    }

    @Test("a target that is read-only", .enabled(if: Machine.canMount, Comment(rawValue: Machine.withoutMounts)))
    func readOnly() throws {
        let scratch = try Scratch()
        try scratch.write("a", [1, 2])
        try scratch.tmpfs("ro", "size=1m")
        try scratch.write("ro/b", old)
        try Command.run(["mount", "-o", "remount,ro", scratch.at("ro")])
        try expectFailure(try Command.copy(scratch.at("a"), scratch.at("ro/b")), "mounted read-only", folder: scratch, "ro")
        try expectFailure(
            try Command.copy("--in-place", scratch.at("a"), scratch.at("ro/b")), "mounted read-only", folder: scratch, "ro")
    }

    @Test(
        "a target that is a mount point of its own cannot be replaced, and --in-place is the cure",
        .enabled(if: Machine.canMount, Comment(rawValue: Machine.withoutMounts)))
    func mountPoint() throws {
        let scratch = try Scratch()
        try scratch.write("a", [1, 2, 3])
        try scratch.write("b", [9])
        try scratch.tmpfs("other", "size=1m")
        try scratch.write("other/x", old)
        try scratch.bind(scratch.at("other/x"), on: scratch.at("b"))
        try expectFailure(
            try Command.copy(scratch.at("a"), scratch.at("b")), "it is a mount point", "--in-place", folder: scratch)
        #expect(try Command.copy("--in-place", scratch.at("a"), scratch.at("b")).status == 0)
        #expect(try scratch.read("other/x") == [1, 2, 3])
    }

    @Test(
        "larger and smaller targets become what the source is",
        arguments: [[], ["--in-place"], ["--resume"], ["--engine", "io_uring"]])
    func sizes(way: [String]) throws {
        let scratch = try Scratch()
        let source = [UInt8](repeating: 5, count: 100_001)
        try scratch.write("a", source)
        for count in [0, 10, 100_000, 100_002, 900_000] {
            try scratch.write("b", [UInt8](repeating: 9, count: count))
            #expect(try Command.run([Command.dmactl, "copy", scratch.at("a"), scratch.at("b")] + way).status == 0)
            #expect(try scratch.read("b") == source)
        }
    }

    @Test("pipes with names, standard input and output, and files without a size")
    func streams() throws {
        let scratch = try Scratch()
        let answer = try Command.shell(
            """
            set -e; head -c 3000001 /dev/urandom > a; mkfifo p
            cat a > p & $D copy p b; cmp a b
            $D copy p c & cat a > p; wait; cmp a c
            $D copy a p & cat p > d; wait; cmp a d
            $D copy - e < a; cmp a e
            cat a | $D copy - f; cmp a f
            $D copy a - > g; cmp a g
            $D copy a - | cat > h; cmp a h
            cat a | $D copy - - | cat > i; cmp a i
            { echo first; $D copy a -; } > j; { echo first; cat a; } | cmp - j
            echo first > j; cat a | $D copy - - >> j; { echo first; cat a; } | cmp - j
            { dd bs=5 count=1 of=/dev/null 2>/dev/null; $D copy - k; } < a; tail -c +6 a | cmp - k
            for f in /proc/filesystems /proc/self/limits /proc/version; do $D copy $f m; [ -s m ]; done
            # Not every container has a /sys.
            f=/sys/kernel/mm/transparent_hugepage/enabled; if [ -e $f ]; then $D copy $f m; [ -s m ]; fi
            cat /proc/filesystems > n; $D copy /proc/filesystems m; cmp m n
            $D copy --engine io_uring /proc/filesystems m; cmp m n
            head -c 0 a > o; $D copy o q; [ -f q ] && [ ! -s q ]; $D copy --resume --verify o q
            $D copy /dev/null r; [ ! -s r ]
            echo fine
            """, folder: scratch.path)
        #expect(answer.output == "fine\n" && answer.status == 0, "\(answer)")
    }

    @Test("sockets, both ways")
    func sockets() throws {
        let scratch = try Scratch()
        let program = """
            import os, socket, subprocess, sys, threading
            data = os.urandom(3000001)
            for words in (["-", "b"], ["a", "-"]):
                ours, theirs = socket.socketpair()
                sends = words[0] == "-"
                child = subprocess.Popen([os.environ["D"], "copy"] + words, **{("stdin" if sends else "stdout"): theirs})
                theirs.close()
                if sends:
                    ours.sendall(data); ours.close()
                else:
                    got = b""
                    while True:
                        piece = ours.recv(65536)
                        if not piece: break
                        got += piece
                status = child.wait()
                if sends: os.rename("b", "a"); got = open("a", "rb").read()
                print(status, got == data)
            """
        try scratch.write("s.py", Array(program.utf8))
        let answer = try Command.run(["D=\(Command.dmactl)", "python3", "s.py"], folder: scratch.path)
        #expect(answer.output == "0 True\n0 True\n", "\(answer)")
    }

    @Test(
        "on a terminal one line is redrawn, as wide as the terminal, and the sum is said",
        .enabled(if: Machine.has("script"), Comment(rawValue: Machine.withoutScript)))
    func terminal() throws {
        let scratch = try Scratch()
        let answer = try Command.shell(
            """
            head -c 2000000 /dev/zero > a
            script -qec "stty cols 66; $D copy --rate 2MB --chunk 64KiB a $PWD/b" /dev/null < /dev/null
            """, folder: scratch.path)
        let lines = answer.output.split(separator: "\r").filter { $0.hasPrefix("\u{1b}[K") && $0.contains(" left") }
        #expect(answer.status == 0 && lines.count >= 2, "\(answer)")
        #expect(lines.allSatisfy { $0.dropFirst(3).count <= 65 && $0.contains("…") }, "\(lines)")
        #expect(
            answer.output.contains(" s of processor") && answer.output.contains("read and written")
                || answer.output.contains("copied in the kernel"))
    }

    @Test("a closed pipe ends the copy without a message, as cat ends")
    func brokenPipe() throws {
        let scratch = try Scratch()
        let answer = try Command.shell(
            """
            head -c 30000000 /dev/zero > a
            $D copy a - | head -c 1 > /dev/null; echo ${PIPESTATUS[0]}
            cat a | $D copy --mode burst --chunk 64KiB - - | head -c 1 > /dev/null; echo ${PIPESTATUS[1]}
            $D copy pattern:1:100MB - | head -c 1 > /dev/null; echo ${PIPESTATUS[0]}
            """, folder: scratch.path)
        #expect(answer.output == "141\n141\n141\n" && answer.errors.isEmpty, "\(answer)")
    }

    @Test("path names with newlines, by a list of find's, under their folders")
    func list() throws {
        let scratch = try Scratch()
        let answer = try Command.shell(
            """
            set -e; mkdir -p s/x t; printf 1 > $'s/a\\nb'; printf 2 > 's/x/c d'; printf 3 > s/-
            cd s; find . -type f -print0 | $D copy --files-from - ../t; cd ..
            diff -r s t && echo same
            $D copy $'s/a\\nb' $'u\\nv'; cmp $'s/a\\nb' $'u\\nv'
            printf 's/x/c d\\n\\nnope\\n' > list; $D copy --json --files-from list t > json || echo $?
            python3 -c 'import json; d=json.load(open("json")); print(d["version"],len(d["copied"]),len(d["failed"]))'
            printf '../x\\n' | $D copy --files-from - t || echo $?
            """, folder: scratch.path)
        #expect(answer.output == "same\n1\n1 1 1\n1\n", "\(answer)")
        #expect(answer.errors.contains("nope") && answer.errors.contains("leads out of t"), "\(answer.errors)")
        let directory = try Command.copy(scratch.at("s"), scratch.at("w"))
        #expect(directory.status == 1 && directory.errors.contains("-type f -print0"))
    }

    @Test(
        "64 KiB of memory that may be locked, as an ordinary user",
        .enabled(if: Machine.hasOthers, Comment(rawValue: Machine.withoutOthers)))
    func memlock() throws {
        let scratch = try Scratch()
        try Command.shell(
            "chmod 777 .; $D copy pattern:4:40MiB a; chmod 644 a; sync; echo 3 > /proc/sys/vm/drop_caches", folder: scratch.path
        )
        let (other, limits) = (try OtherUser(), ["--memlock=65536:65536"])
        let explained = try other.run(["copy", "--explain", scratch.at("a"), scratch.at("b")], limits: limits)
        #expect(explained.output.contains("RLIMIT_MEMLOCK leaves (64 KiB)"), "\(explained)")
        let answer = try other.run(
            ["copy", "--engine", "io_uring", "--verify", scratch.at("a"), scratch.at("b")], limits: limits)
        #expect(answer.status == 0 && answer.errors.isEmpty, "\(answer)")
        #expect(try Command.copy(scratch.at("b"), "pattern:4").status == 0)
    }

    @Test(
        "a limit of processes that leaves no thread is said, and nothing hangs",
        .enabled(if: Machine.hasOthers, Comment(rawValue: Machine.withoutOthers)),
        .enabled(if: !Machine.isSanitized, Comment(rawValue: Machine.sanitized)))
    func noThreads() throws {
        let other = try OtherUser()
        for words in [["test", "--engine", "cpu"], ["bench", "--engine", "cpu"]] {
            let answer = try other.run(words, limits: ["--nproc=1"])
            #expect(answer.status == 1 && answer.errors.contains("no thread can be started: Resource temp"), "\(answer)")
        }
        let copied = try other.run(["copy", "pattern:1:1MiB", "pattern:1"], limits: ["--nproc=1"])
        #expect(copied.status == 0, "\(copied)")
    }

    @Test(
        "no permission: to read, to write beside, to overwrite",
        .enabled(if: Machine.hasOthers, Comment(rawValue: Machine.withoutOthers)))
    func permissions() throws {
        let scratch = try Scratch()
        try scratch.write("a", [1])
        try scratch.write("b", old)
        try Command.shell("chmod 755 .; chmod 600 a; chmod 666 b; echo x > open; chmod 644 open", folder: scratch.path)
        let other = try OtherUser()
        try expectFailure(try other.run(["copy", scratch.at("a"), scratch.at("b")]), "user 65534", folder: scratch)
        try expectFailure(
            try other.run(["copy", scratch.at("open"), scratch.at("b")]), "overwrite the file itself (--in-place)",
            folder: scratch)
        #expect(try other.run(["copy", "--in-place", scratch.at("open"), scratch.at("b")]).status == 0)
        #expect(try scratch.read("b") == Array("x\n".utf8))
    }

    @Test("plans from files: followed, or refused by field; the command line too")
    func plans() throws {
        let scratch = try Scratch()
        let answer = try Command.shell(
            """
            head -c 300000 /dev/urandom > a
            $D copy --explain --json --engine io_uring --chunk 4KiB a b > plan; [ ! -e b ] && echo none
            $D copy --json --plan plan a b > report; cmp a b
            python3 -c 'import json; r=json.load(open("report")); p=r["report"]["plan"]; print(r["version"],p["chunk"],p["path"])'
            for bad in '' '{}' '[1' '{"version":2,"plan":{}}' "$(sed 's/4096/-1/' plan)" "$(sed 's/4096/1e99/' plan)" \
                "$(sed 's/"path" : "engine"/"path" : "fly"/' plan)" "$(sed 's/"rename"/"none"/' plan)"; do
                printf '%s' "$bad" > p; $D copy --plan p a c 2> err; echo -n "$? "; grep -c '[.] [A-Z]' err; done
            head -c 100000 /dev/zero | tr '\\0' '[' > p; $D copy --plan p a c 2> err; echo $?; rm p
            $D copy a 2>/dev/null; echo $?; $D copy --resume --append a c 2>/dev/null; echo $?; $D copy --mode fast a c 2>/dev/null; echo $?
            $D copy --chunk 4K a c 2>/dev/null; echo $?
            mkfifo p q; $D copy --explain p q | grep -c splice; $D copy --engine nope a c 2> err; echo $?; grep -c 'as --engine: there is no such engine. Use one of these: cpu, cpu-threads, io_uring.' err
            """, folder: scratch.path)
        #expect(
            answer.output == "none\n1 4096 engine\n" + String(repeating: "1 1\n", count: 8) + "1\n64\n64\n64\n64\n1\n64\n1\n",
            "\(answer)")
        #expect(!scratch.exists("c"))
    }

    @Test("an answer that cannot be printed is a failure; a failure that cannot be printed stays one")
    func unprintable() throws {
        let scratch = try Scratch()
        try scratch.write("a", [1])
        for words in ["a b", "--explain a b", "none b"] {
            let answer = try Command.shell("$D copy --json \(words) > /dev/full", folder: scratch.path)
            #expect(answer.status == 1 && answer.errors.contains("cannot print the result"), "\(words): \(answer)")
            if words.hasPrefix("none") { #expect(answer.errors.contains("no such file")) }
        }
    }

    @Test("what a path or a plan contains does not reach the terminal as it is, nor a second line")
    func controls() throws {
        let scratch = try Scratch()
        let answer = try Command.shell(
            """
            printf x > $'e\\nv\\x1b[2Jil'; $D copy $'e\\nv\\x1b[2Jil' $'e\\nv\\x1b[2Jil'
            printf x > a; $D copy --explain --json a b > plan
            sed 's/"staging" : "[a-z]*"/"staging" : "\\\\u001b[2J\\\\u009b2J\\\\nx"/' plan > p; $D copy --plan p a b
            sed 's/"depth" : "[^"]*"/"depth" : "\\\\u001b[2J\\\\u009b2J\\\\nx"/' plan > p; $D copy --explain --plan p a b
            """, folder: scratch.path)
        #expect(answer.errors.split(separator: "\n").count == 2, "\(answer.errors)")
        for text in [answer.errors, answer.output] {
            #expect(text.contains("\\x1b[2J"), "\(text)")
            #expect(!text.unicodeScalars.contains { $0.value < 32 && $0 != "\n" || (127..<160).contains($0.value) })
        }
        #expect(answer.output.split(separator: "\n").count == 18, "\(answer.output)")
    }

    @Test("two files of a list with one place: the second is refused, and nothing is lost")
    func onePlace() throws {
        let scratch = try Scratch()
        let answer = try Command.shell(
            """
            mkdir -p s t; echo 1 > s/a; echo 2 > /$PWD/s/b
            cp s/a first; mkdir -p .$PWD; echo 3 > .$PWD/x; echo 4 > x
            printf '%s\\n' s/a s/a ".$PWD/x" "$PWD/x" | $D copy --files-from - t; echo $?
            cat t/s/a "t$PWD/x"
            """, folder: scratch.path)
        #expect(answer.output == "1\n1\n3\n", "\(answer)")
        #expect(answer.errors.contains("of the same list") && answer.errors.contains("1 of 4 files"), "\(answer.errors)")
    }

    @Test("an option that would change nothing is refused")
    func idle() throws {
        let scratch = try Scratch()
        try scratch.write("a", [1])
        try scratch.write("plan", try Command.copy("--explain", "--json", scratch.at("a"), scratch.at("b")).bytes)
        let planned = ["--plan", scratch.at("plan"), scratch.at("a"), scratch.at("b")]
        for words in [
            ["--verify"], ["--mode", "burst"], ["--chunk", "4KiB"], ["--depth", "1"], ["--engine", "cpu"], ["--no-sync"],
        ] {
            let answer = try Command.run([Command.dmactl, "copy"] + words + planned)
            #expect(answer.status == 64 && answer.errors.contains("leave \(words[0]) out"), "\(answer)")
        }
        for mode in ["burst:0.2", "demand:1", "cycle-stealing:", "cycle-stealing:x", "steal:0.2"] {
            #expect(try Command.copy("--mode", mode, scratch.at("a"), scratch.at("b")).status == 64)
        }
        #expect(!scratch.exists("b"))
        #expect(try Command.run([Command.dmactl, "copy"] + planned).status == 0)
    }
}
