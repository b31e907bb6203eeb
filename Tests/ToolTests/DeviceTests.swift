// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Foundation
import Testing

@Suite("dmactl copy and block devices", .serialized, .enabled(if: Machine.hasLoops, Comment(rawValue: Machine.withoutLoops)))
struct DeviceTests {
    @Test("written only when it is confirmed, whole, and read back")
    func written() throws {
        let scratch = try Scratch()
        let device = try scratch.loop(24 << 20)
        try Command.shell("$D copy pattern:8:20000001 a", folder: scratch.path)
        let asked = try Command.copy(scratch.at("a"), device)
        #expect(asked.status == 1 && asked.errors.contains("confirm (--yes)"), "\(asked)")
        #expect(try Command.shell("head -c 100 \(device) | tr -d '\\0' | wc -c").output == "0\n")
        for way in [[], ["--discard"]] {
            let answer = try Command.run([Command.dmactl, "copy", "--yes", "--verify", scratch.at("a"), device] + way)
            #expect(answer.status == 0, "\(answer)")
            #expect(
                try Command.shell("head -c 20000001 \(device) | cmp - a && echo same", folder: scratch.path).output == "same\n")
        }
        // And back, the whole device.
        #expect(try Command.copy(device, scratch.at("c")).status == 0)
        #expect(try Command.shell("cmp -n 20000001 a c && stat -c %s c", folder: scratch.path).output == "\(24 << 20)\n")
    }

    @Test("too small a device is refused before a byte is written")
    func small() throws {
        let scratch = try Scratch()
        let device = try scratch.loop(1 << 20)
        try scratch.write("a", [UInt8](repeating: 1, count: 1 << 20 + 1))
        let answer = try Command.copy("--yes", scratch.at("a"), device)
        #expect(answer.status == 1 && answer.errors.contains("the device has 1 MiB"), "\(answer)")
        #expect(try Command.shell("tr -d '\\0' < \(device) | wc -c").output == "0\n")
    }

    @Test("a device that is mounted or held by a process is refused by name")
    func held() throws {
        let scratch = try Scratch()
        try scratch.write("a", [1, 2, 3])
        let folder = try scratch.mounted("ext4", 16 << 20, "m", make: ["-q"])
        let device = try Command.shell("findmnt -n -o SOURCE \(folder)").output.trimmingCharacters(in: .whitespacesAndNewlines)
        let mounted = try Command.copy("--yes", scratch.at("a"), device)
        #expect(
            mounted.status == 1 && mounted.errors.contains("mounted at \(folder)") && mounted.errors.contains("umount"),
            "\(mounted)")
        let other = try scratch.loop(1 << 20, name: "other")
        let held = try Command.shell(
            """
            exec 3< <(exec python3 -c 'import os, time; f = os.open("\(other)", os.O_RDWR | os.O_EXCL); print(flush=True); time.sleep(60)')
            read -u 3; $D copy --yes a \(other); echo $?; kill $!
            """, folder: scratch.path)
        #expect(held.output.contains("1\n") && held.errors.contains("has opened the device exclusively"), "\(held)")
        let used = try scratch.loop(4 << 20, name: "swap")
        let swap = try Command.shell("mkswap \(used) >/dev/null && swapon \(used)")
        if swap.status == 0 {
            let answer = try Command.copy("--yes", scratch.at("a"), used)
            #expect(answer.status == 1 && answer.errors.contains("swapoff"), "\(answer)")
            try Command.run(["swapoff", used])
        }
    }

    @Test("a device is free again when the copy is over")
    func free() throws {
        let scratch = try Scratch()
        let device = try scratch.loop(20 << 20)
        try scratch.mounted("ext4", 20 << 20, "m", make: ["-q"])
        try Command.run(["umount", scratch.at("m")])
        for _ in 0..<5 {
            let answer = try Command.shell(
                "$D copy --yes m.disk \(device) && mount \(device) m && umount m && echo good", folder: scratch.path)
            #expect(answer.output == "good\n", "\(answer)")
        }
    }

    @Test(
        "blocks are shared on a file system that can",
        .enabled(
            if: Machine.has("mkfs.btrfs") || Machine.has("mkfs.xfs"),
            "neither mkfs.btrfs nor mkfs.xfs; run Scripts/setup --tests"))
    func reflink() throws {
        let scratch = try Scratch()
        for (kind, make) in [("btrfs", ["-q"]), ("xfs", ["-q"])] where Machine.has("mkfs." + kind) {
            try scratch.mounted(kind, 400 << 20, kind, make: make)
            let answer = try Command.shell(
                """
                cd \(kind); $D copy pattern:2:60MiB a; sync; $D copy --json a b > ../json; cmp a b
                python3 -c 'import json; r=json.load(open("../json"))["report"]; print(r["plan"]["path"], r["moved"], r["bytes"])'
                $D copy --reflink always a c && cmp a c; $D copy --reflink never --json a d > ../json; cmp a d
                python3 -c 'import json; r=json.load(open("../json"))["report"]; print(r["moved"])'
                """, folder: scratch.path)
            #expect(answer.output == "reflink 0 62914560\n62914560\n", "\(kind): \(answer)")
        }
        let refused = try Command.shell("echo x > a; $D copy --reflink always a b", folder: scratch.path)
        #expect(refused.status == 1 && refused.errors.contains("do not require shared blocks") && !scratch.exists("b"))
    }
}
