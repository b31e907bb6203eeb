// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Foundation
import Testing

/// What `dmactl copy` is started with: names byte for byte, descriptors that are closed, options that do not fit.
@Suite("How dmactl copy is called", .serialized)
struct CopyNamesTests {
    @Test("names are copied byte for byte: as a source, as a target, in a list; JSON and messages say which bytes")
    func bytes() throws {
        let scratch = try Scratch()
        let answer = try Command.shell(
            """
            set -e; mkdir out list; n=$(printf 'caf\\351'); r=$(printf '\\357\\277\\275x')
            echo one > one; echo two > two; echo data > "$n"; echo r > "$r"
            $D copy one "out/$n"; $D copy two out/$(printf 'caf\\350'); $D copy "$n" copied; cmp "$n" copied
            ls out | wc -l; cat "out/$n"; $D copy "$n" out; cmp "$n" "out/$n"
            printf '%s\\0' one "$n" "$r" | $D copy --files-from - list; cmp "$n" "list/$n"; cmp "$r" "list/$r"; ls list | wc -l
            mkdir "$n.d"; $D copy --files-from <(printf '%s\\0' one) "$n.d"; cmp one "$n.d/one"
            $D copy --json "$n" "$n.json" > json
            python3 -c 'import json; d = json.load(open("json")); print(ascii(d["source"]), ascii(d["target"]))'
            $D copy "$n.none" x || echo $?
            $D copy "--$n" x y || echo $?
            """, folder: scratch.path)
        #expect(answer.output == "2\none\n3\n'caf\\x00e9' 'caf\\x00e9.json'\n1\n64\n", "\(answer)")
        #expect(
            answer.errors.contains("cannot read caf\\xe9.none: no such file") && !answer.errors.contains("\0"),
            "\(answer.errors)")
        #expect(answer.errors.contains("--caf\\xe9"), "\(answer.errors)")
    }

    @Test("a closed standard input or output is an error at once, and no file gets its number", .timeLimit(.minutes(1)))
    func closed() throws {
        let scratch = try Scratch()
        try scratch.write("s", Array("s\n".utf8))
        try scratch.write("old", Array("old\n".utf8))
        let lines = [
            "copy - t <&-", "copy - old <&-", "copy --in-place - old <&-", "copy s - >&-", "copy --files-from - . <&-",
            "copy - - <&- >&-",
        ]
        for line in lines {
            let answer = try Command.shell("timeout -s KILL 20 $D \(line)", folder: scratch.path)
            #expect(
                answer.status == 1 && answer.errors.contains("it is closed, or open for the other direction"),
                "\(line): \(answer)")
        }
        #expect(try scratch.names() == ["old", "s"] && scratch.read("old") == Array("old\n".utf8))
        // A copy between files does not need the standard descriptors.
        let answer = try Command.shell("$D copy s t <&- >&- 2>&-; echo $?; cmp s t", folder: scratch.path)
        #expect(answer.output == "0\n", "\(answer)")
        // And nothing that is printed lands in a file.
        _ = try Command.shell("$D copy none t2 2>&-; $D copy --json s t3 >&-; $D list >&-", folder: scratch.path)
        #expect(try scratch.read("t3") == Array("s\n".utf8) && !scratch.exists("t2"))
    }

    @Test("options that nothing could follow, and names of none, are wrong command lines")
    func codes() throws {
        let scratch = try Scratch()
        try scratch.write("a", [1])
        try Command.run(["mkfifo", scratch.at("p")])
        let wrong = [
            ["--engine", "foo", "a", "b"], ["--engine", "cpu", "a", "b"], ["--mode", "demand", "a", "b"],
            ["--mode", "cycle-stealing:2", "a", "b"], ["--chunk", "1", "a", "b"], ["--depth", "0", "a", "b"],
            ["--rate", "0", "a", "b"], ["--yes", "a", "b"], ["--discard", "a", "b"], ["--append", "a", "p"],
            ["--resume", "a", "null:"],
            ["--verify", "a", "null:"], ["--preserve", "zero:1", "b"], ["null:", "b"], ["a", "zero:1"], ["a", "memory:x"],
            ["", "b"],
            ["--yes", "--files-from", "list", "."], ["--engine", "foo", "--files-from", "list", "."],
        ]
        try scratch.write("list", Array("a\n".utf8))
        for words in wrong {
            let answer = try Command.run([Command.dmactl, "copy"] + words, folder: scratch.path)
            #expect(answer.status == 64 && answer.output.isEmpty && !answer.errors.isEmpty, "\(words): \(answer)")
            #expect(!answer.errors.contains("asked: "), "\(answer.errors)")
        }
        let engine = try Command.copy("--engine", "foo", "a", "b", folder: scratch.path)
        #expect(
            engine.errors
                == "dmactl: cannot use \"foo\" as --engine: there is no such engine. Use one of these: cpu, cpu-threads, io_uring.\n",
            "\(engine)")
        #expect(try scratch.names() == ["a", "list", "p"])
    }

    @Test("a file of a list by two names is copied once; a directory in a file's place is not written into")
    func twice() throws {
        let scratch = try Scratch()
        let answer = try Command.shell(
            """
            mkdir -p d t/d; echo 1 > d/f; printf 'd/f\\n./d/f\\n' | $D copy --files-from - t; echo $?; cat t/d/f
            mkdir t/e; echo 2 > e; printf 'e\\n' | $D copy --files-from - t; echo $?; ls t/e
            """, folder: scratch.path)
        #expect(answer.output == "0\n1\n1\n", "\(answer)")
        #expect(answer.errors.contains("cannot write t/e: it is a directory"), "\(answer.errors)")
    }

    @Test("links that lead to themselves, names that are too long, a program that runs: each has its own cure")
    func messages() throws {
        let scratch = try Scratch()
        let answer = try Command.shell(
            """
            echo 1 > a; ln -s loop loop; cp /bin/sleep prog; ./prog 20 & sleep 0.1
            $D copy loop b; $D copy a loop; $D copy a $(printf 'x%.0s' {1..300}); $D copy --in-place a prog; $D copy a prog; kill %1
            """, folder: scratch.path)
        let lines = answer.errors.split(separator: "\n").map(String.init)
        for (line, words) in zip(lines, ["symbolic links", "symbolic links", "too long", "a running program is executed"]) {
            #expect(line.contains(words) && endsWithCure("\(line)\n"), "\(line)")
        }
        #expect(lines.count == 4, "\(answer)")
        #expect(try scratch.read("prog") == Array("1\n".utf8))
    }

    @Test(
        "write protection of another's, and of one's own file, is not taken off",
        .enabled(if: Machine.hasOthers, Comment(rawValue: Machine.withoutOthers)))
    func protected() throws {
        let scratch = try Scratch()
        try Command.shell(
            """
            chmod 777 .; echo new > s; echo precious > t; chmod 444 t; chown 65534 s t
            mkdir -m 1777 sticky; echo hers > sticky/h; chmod 666 sticky/h
            """, folder: scratch.path)
        let other = try OtherUser()
        for words in [[], ["--resume"], ["--in-place"], ["--preserve"]] {
            let answer = try other.run(["copy"] + words + [scratch.at("s"), scratch.at("t")])
            #expect(answer.status == 1 && answer.errors.contains("for user 65534"), "\(answer)")
            #expect(try scratch.read("t") == Array("precious\n".utf8))
        }
        let sticky = try other.run(["copy", scratch.at("s"), scratch.at("sticky/h")])
        #expect(
            sticky.status == 1 && sticky.errors.contains("in a sticky directory") && sticky.errors.contains("(--in-place)"),
            "\(sticky)")
        let itself = try other.run(["copy", "--in-place", scratch.at("s"), scratch.at("sticky/h")])
        #expect(itself.status == 0, "\(itself)")
        #expect(try scratch.read("sticky/h") == Array("new\n".utf8))
    }

    @Test(
        "a device that is mounted is copied with a word on that; one without a medium is none, and a full one is full",
        .enabled(if: Machine.hasLoops, Comment(rawValue: Machine.withoutLoops)))
    func devices() throws {
        let scratch = try Scratch()
        let folder = try scratch.mounted("ext4", 16 << 20, "m", make: ["-q"])
        let device = try Command.shell("findmnt -n -o SOURCE \(folder)").output.trimmingCharacters(in: .whitespacesAndNewlines)
        let mounted = try Command.copy(device, scratch.at("image"))
        #expect(mounted.status == 0 && mounted.errors.contains("is mounted at \(folder) and may be written"), "\(mounted)")
        try Command.run(["mount", "-o", "remount,ro", folder])
        #expect(try Command.copy(device, scratch.at("image")).errors.isEmpty)
        let small = try scratch.loop(1 << 20, name: "small")
        let full = try Command.shell("head -c 2000000 /dev/zero | $D copy --yes - \(small)", folder: scratch.path)
        #expect(
            full.status == 1 && full.errors.contains("the end of the device is reached") && !full.errors.contains("df"),
            "\(full)")
        // A loop device that has no file.
        let free = try Command.shell("losetup -f").output.trimmingCharacters(in: .whitespacesAndNewlines)
        let empty = try Command.copy(free, scratch.at("empty"))
        #expect(empty.status == 1 && empty.errors.contains("its size is 0") && !scratch.exists("empty"), "\(empty)")
    }

    @Test(
        "blocks are shared between subvolumes; a file system that shares none says nothing",
        .enabled(
            if: Machine.hasLoops && Machine.has("mkfs.btrfs"),
            "no loop device, or no mkfs.btrfs; run as root, after Scripts/setup --tests"))
    func sharing() throws {
        let scratch = try Scratch()
        try scratch.mounted("btrfs", 200 << 20, "b", make: ["-q"])
        let answer = try Command.shell(
            """
            btrfs -q subvolume create b/x; btrfs -q subvolume create b/y; head -c 5000000 /dev/urandom > b/x/f
            $D copy --json b/x/f b/y/f; cmp b/x/f b/y/f
            """, folder: scratch.path)
        #expect(answer.output.contains("\"path\" : \"reflink\"") && answer.errors.isEmpty, "\(answer)")
        // Two file systems of a kind: refused by the kernel, and copied by another way without a word.
        try scratch.mounted("btrfs", 200 << 20, "c", make: ["-q"])
        let apart = try Command.shell("$D copy --json b/x/f c/f; cmp b/x/f c/f", folder: scratch.path)
        #expect(!apart.output.contains("\"path\" : \"reflink\"") && apart.errors.isEmpty && apart.status == 0, "\(apart)")
    }

    @Test(
        "holes stay holes where room is taken behind the end",
        .enabled(if: Machine.hasLoops, Comment(rawValue: Machine.withoutLoops)))
    func holes() throws {
        let scratch = try Scratch()
        try scratch.mounted("ext4", 200 << 20, "m", make: ["-q"])
        let answer = try Command.shell(
            """
            head -c 1M /dev/urandom > m/s; truncate -s 50M m/s; fallocate -n -o 50M -l 60M m/s || exit 1
            $D copy m/s m/t; cmp m/s m/t; stat -c %b m/t
            """, folder: scratch.path)
        let blocks = try #require(Int(answer.output.trimmingCharacters(in: .whitespacesAndNewlines)), "\(answer)")
        #expect(blocks < 5000 && answer.errors.isEmpty, "\(answer)")
    }

    @Test("who holds a lease on the source is waited for")
    func lease() throws {
        let scratch = try Scratch()
        try scratch.write("s", [1, 2, 3])
        let answer = try Command.shell(
            """
            exec 3< <(exec python3 -c '
            import fcntl, os, signal, time
            file = os.open("s", os.O_RDWR)
            signal.signal(signal.SIGIO, lambda *_: (time.sleep(0.2), fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)))
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK); print(flush=True); time.sleep(5)')
            read -u 3; $D copy s t; echo $?; cmp s t; kill $!
            """, folder: scratch.path)
        #expect(answer.output == "0\n" && answer.errors.isEmpty, "\(answer)")
    }
}
