// SPDX-License-Identifier: Apache-2.0

/// The memory that this process can still use before the OOM killer ends it or another process: the minimum of the machine's
/// available memory and the remaining limit of each control group above the process.
///
/// In a container MemAvailable of /proc/meminfo is the host's. The files are untrusted input: a malformed number or a missing
/// file sets no limit.
///
/// Source: Documentation/admin-guide/cgroup-v2.rst (memory.max, memory.high, memory.current, memory.stat);
/// Documentation/admin-guide/cgroup-v1/memory.rst; proc_pid_mountinfo(5).
package struct MemoryBudget: Equatable, Sendable {
    /// Bytes; `UInt64.max` where nothing is known.
    package let available: UInt64
    /// The file with the limit: a control group's, or /proc/meminfo; nil where nothing is known.
    package let source: String?

    /// A budget of that many bytes, for planning with limits other than the process's own.
    package init(available: UInt64, source: String?) {
        self.available = available
        self.source = source
    }

    /// The budget of this process now.
    package static var current: MemoryBudget { MemoryBudget(below: "") }

    /// The budget according to the files below `root`.
    package init(below root: String) {
        var budget = MemoryBudget(available: .max, source: nil)
        func limit(_ bytes: UInt64?, _ source: String) {
            if let bytes, bytes < budget.available { budget = MemoryBudget(available: bytes, source: source) }
        }
        let machine = Self.lines(root + "/proc/meminfo", 16_384)
        limit(Self.kilobytes("MemAvailable:", machine) ?? Self.kilobytes("MemFree:", machine), "MemAvailable of /proc/meminfo")
        for group in Self.groups(root) {
            for folder in group.folders {
                for name in group.limitNames {
                    limit(Self.left(below: root + folder + "/" + name, group, root + folder), folder + "/" + name)
                }
            }
        }
        self = budget
    }

    /// The available amount and its source: "48 MiB are available (/sys/fs/cgroup/memory.max)".
    package func sentence(_ text: (UInt64) -> String) -> String {
        "\(text(available)) are available" + (source.map { " (\($0))" } ?? "")
    }

    // MARK: Control groups

    /// A hierarchy of control groups with memory limits, and the groups of this process in it.
    private struct Group {
        /// From the process's own group up to the topmost visible one.
        let folders: [String]
        let isUnified: Bool
        var limitNames: [String] { isUnified ? ["memory.max", "memory.high"] : ["memory.limit_in_bytes"] }
        var usageName: String { isUnified ? "memory.current" : "memory.usage_in_bytes" }
        /// Memory that the kernel reclaims before it ends a process: file pages.
        var reclaimable: [String] {
            isUnified
                ? ["inactive_file ", "active_file ", "slab_reclaimable "] : ["total_inactive_file ", "total_active_file "]
        }
    }

    private static func groups(_ root: String) -> [Group] {
        let mounts = lines(root + "/proc/self/mountinfo", 1 << 20).compactMap(mount)
        // HIERARCHY:CONTROLLERS:PATH; the unified one has neither number nor controllers. A path may contain colons.
        return lines(root + "/proc/self/cgroup", 65_536).compactMap { line in
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3, parts[2].hasPrefix("/") else { return nil }
            let isUnified = parts[1].isEmpty
            guard isUnified || parts[1].split(separator: ",").contains("memory") else { return nil }
            guard let mount = mounts.last(where: { $0.isUnified == isUnified }) else { return nil }
            return Group(folders: folders(String(parts[2]), mount), isUnified: isUnified)
        }
    }

    /// The directories of a group and of those above it, as far as the mount shows them.
    private static func folders(_ path: String, _ mount: (point: String, root: String, isUnified: Bool)) -> [String] {
        var rest = path
        // In a container the mount's root is its own group; with a cgroup namespace the path is "/".
        if mount.root != "/" {
            rest = path == mount.root || path.hasPrefix(mount.root + "/") ? String(path.dropFirst(mount.root.count)) : ""
        }
        let parts = rest.split(separator: "/").filter { $0 != "." }
        // A group outside the namespace.
        guard parts.count <= 256, !parts.contains("..") else { return [mount.point] }
        return (0...parts.count).reversed().map { mount.point + parts.prefix($0).map { "/" + $0 }.joined() }
    }

    /// A line of mountinfo, if it is a mount of control groups with the memory controller.
    private static func mount(_ line: String) -> (point: String, root: String, isUnified: Bool)? {
        // ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAGS…] - TYPE SOURCE SUPEROPTIONS
        let fields = line.split(separator: " ")
        guard let dash = fields.firstIndex(of: "-"), dash >= 6, fields.count > dash + 3 else { return nil }
        let isUnified = fields[dash + 1] == "cgroup2"
        guard isUnified || fields[dash + 1] == "cgroup" && fields[dash + 3].split(separator: ",").contains("memory") else {
            return nil
        }
        return (unescaped(fields[4]), unescaped(fields[3]), isUnified)
    }

    /// The kernel escapes blanks and backslashes as a backslash and three octal digits.
    private static func unescaped(_ field: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(field.utf8)[...]
        while let byte = rest.popFirst() {
            let digits = rest.prefix(3)
            if byte == UInt8(ascii: "\\"), digits.count == 3, let value = number(digits, radix: 8), value < 256 {
                bytes.append(UInt8(truncatingIfNeeded: value))
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The remaining amount: the limit less the use that cannot be reclaimed. Nil without a limit.
    private static func left(below path: String, _ group: Group, _ folder: String) -> UInt64? {
        // No limit is "max", or the largest page count of a signed number.
        guard let limit = number(lines(path, 64).first), limit < 1 << 62 else { return nil }
        let used = number(lines(folder + "/" + group.usageName, 64).first) ?? 0
        let statistics = lines(folder + "/memory.stat", 65_536)
        var back: UInt64 = 0
        for name in group.reclaimable {
            for line in statistics where line.hasPrefix(name) {
                let (sum, isMore) = back.addingReportingOverflow(number(String(line.dropFirst(name.count))) ?? 0)
                back = isMore ? .max : sum
            }
        }
        let held = used > back ? used - back : 0
        return limit > held ? limit - held : 0
    }

    // MARK: Small files

    private static func kilobytes(_ name: String, _ lines: [String]) -> UInt64? {
        guard let line = lines.first(where: { $0.hasPrefix(name) }) else { return nil }
        let words = line.dropFirst(name.count).split(separator: " ")
        guard words.count == 2, words[1] == "kB", let value = number(String(words[0])), value < 1 << 50 else { return nil }
        return value << 10
    }

    /// An unsigned number; nil for any other text.
    private static func number(_ text: String?) -> UInt64? { text.flatMap { number($0.utf8, radix: 10) } }

    private static func number(_ digits: some Collection<UInt8>, radix: UInt64) -> UInt64? {
        if digits.isEmpty { return nil }
        var value: UInt64 = 0
        for digit in digits {
            let one = UInt64(digit &- UInt8(ascii: "0"))
            let (tens, isLong) = value.multipliedReportingOverflow(by: radix)
            let (sum, isMore) = tens.addingReportingOverflow(one)
            guard one < radix, !isLong, !isMore else { return nil }
            value = sum
        }
        return value
    }

    private static func lines(_ path: String, _ capacity: Int) -> [String] {
        guard let bytes = ProcessFile.read(path, capacity: capacity) else { return [] }
        return bytes.split(separator: UInt8(ascii: "\n")).map { String(decoding: $0, as: UTF8.self) }
    }
}
