// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMATestSupport
import Foundation
import Testing

/// A directory that simulates a machine's root, with the kernel's files about memory.
private struct Root {
    let scratch: Scratch

    init(_ files: [String: String]) throws {
        scratch = try Scratch()
        for (path, text) in files {
            let folder = URL(filePath: scratch.at(path)).deletingLastPathComponent()
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try scratch.write(path, Array(text.utf8))
        }
    }

    var budget: MemoryBudget { MemoryBudget(below: scratch.path) }
}

private let mib: UInt64 = 1 << 20
private let machine = "MemTotal:       24000000 kB\nMemFree:         1000 kB\nMemAvailable:   8388608 kB\n"
private let unified = "25 1 0:24 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
private let single =
    "31 1 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n30 1 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"

@Suite("The memory budget")
struct MemoryBudgetTests {
    @Test("without a limit it is the machine's available memory, with its source")
    func machineAlone() throws {
        let budget = try Root(["proc/meminfo": machine]).budget
        #expect(budget == MemoryBudget(available: 8 << 30, source: "MemAvailable of /proc/meminfo"))
        // Kernels before 3.14 do not report the available memory.
        #expect(try Root(["proc/meminfo": "MemTotal: 9 kB\nMemFree: 1024 kB\n"]).budget.available == mib)
        #expect(try Root([:]).budget == MemoryBudget(available: .max, source: nil))
        let own = MemoryBudget.current
        #expect(own.available > 0 && own.available < 1 << 60 && own.source != nil)
    }

    @Test("cgroup v2: the lowest limit up to the root applies, less the memory in use that cannot be reclaimed")
    func unifiedHierarchy() throws {
        var files = [
            "proc/meminfo": machine, "proc/self/mountinfo": unified, "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "\(100 * mib)\n",
            "sys/fs/cgroup/a/memory.current": "\(70 * mib)\n",
            "sys/fs/cgroup/a/memory.stat": "anon 5\ninactive_file \(40 * mib)\nactive_file \(10 * mib)\nslab_reclaimable 0\n",
        ]
        #expect(
            try Root(files).budget == MemoryBudget(available: 80 * mib, source: "/sys/fs/cgroup/a/memory.max"))
        files["sys/fs/cgroup/a/b/memory.max"] = "\(48 * mib)"
        #expect(try Root(files).budget.available == 48 * mib)
        files["sys/fs/cgroup/a/b/memory.high"] = "\(16 * mib)"
        #expect(try Root(files).budget.source == "/sys/fs/cgroup/a/b/memory.high")
        // The use exceeds the limit: the rest is 0, not a large number.
        files["sys/fs/cgroup/a/b/memory.current"] = "\(90 * mib)"
        #expect(try Root(files).budget.available == 0)
        #expect(try Root(files).budget.sentence { "\($0) B" } == "0 B are available (/sys/fs/cgroup/a/b/memory.max)")
    }

    @Test("cgroup v1: the same for the memory controller, with other controllers mounted beside it")
    func singleHierarchy() throws {
        let files = [
            "proc/meminfo": machine, "proc/self/mountinfo": unified + single,
            "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/x/y\n0::/z\n",
            "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "\(64 * mib)\n",
            "sys/fs/cgroup/memory/x/memory.usage_in_bytes": "\(32 * mib)\n",
            "sys/fs/cgroup/memory/x/memory.stat": "cache 9\ntotal_inactive_file \(8 * mib)\ntotal_active_file 0\n",
            // No limit: the largest number of pages.
            "sys/fs/cgroup/memory/x/y/memory.limit_in_bytes": "9223372036854771712\n",
        ]
        #expect(
            try Root(files).budget
                == MemoryBudget(available: 40 * mib, source: "/sys/fs/cgroup/memory/x/memory.limit_in_bytes"))
    }

    @Test("a container sees its group as the root of the mount, or under the host's path")
    func container() throws {
        for (root, path) in [("/docker/1", "/docker/1/own"), ("/docker/1", "/elsewhere"), ("/", "/own"), ("/", "/../own")] {
            let files = [
                "proc/meminfo": machine, "proc/self/cgroup": "0::\(path)\n",
                "proc/self/mountinfo": "25 1 0:24 \(root) /sys/fs/my\\040group rw - cgroup2 cgroup2 rw\n",
                "sys/fs/my group/memory.max": "\(48 * mib)\n",
            ]
            #expect(try Root(files).budget.available == 48 * mib, "\(root) \(path)")
        }
    }

    @Test("malformed numbers set no limit, and nothing crashes")
    func hostile() throws {
        let path = "sys/fs/cgroup/memory.max"
        for text in [
            "", "\n", "-1\n", "+5\n", "12 MiB\n", "0x10\n", "99999999999999999999\n", "\u{0}\u{1}", "ma\u{301}x", "1e6",
        ] {
            let files = [
                "proc/meminfo": machine, "proc/self/mountinfo": unified, "proc/self/cgroup": "0::/\n", path: text,
                "sys/fs/cgroup/memory.current": text, "sys/fs/cgroup/memory.stat": "inactive_file \(text)\ninactive_file",
            ]
            #expect(try Root(files).budget.available == 8 << 30, "\(text)")
        }
        for text in ["", "MemAvailable:", "MemAvailable: -5 kB", "MemAvailable: 5 MB", "MemAvailable: 99999999999999999999 kB"]
        {
            #expect(try Root(["proc/meminfo": text]).budget.available == .max, "\(text)")
        }
        for group in ["0", "0:", "0::", "0::relative", "::/", "4:memory:/", String(repeating: "/x", count: 9000)] {
            for mount in [
                "", "-", "1 2 3 4 5 6 - cgroup2", "a b c d e f g h - cgroup cgroup memory", "1 1 0:1 / / rw - cgroup2 x y",
            ] {
                let files = ["proc/meminfo": machine, "proc/self/cgroup": group + "\n", "proc/self/mountinfo": mount + "\n"]
                #expect(try Root(files).budget.available == 8 << 30, "\(group.prefix(20)) \(mount)")
            }
        }
        // A sum beyond the range is limited to the total.
        let most = [
            "proc/meminfo": machine, "proc/self/mountinfo": unified, "proc/self/cgroup": "0::/\n", path: "\(mib)",
            "sys/fs/cgroup/memory.current": "\(UInt64.max)",
            "sys/fs/cgroup/memory.stat": "inactive_file \(UInt64.max)\nactive_file \(UInt64.max)\n",
        ]
        #expect(try Root(most).budget.available == mib)
    }
}
