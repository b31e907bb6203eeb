// SPDX-License-Identifier: Apache-2.0

internal import DMAUnits
internal import Glibc

/// What a result was measured on, and by what: as much as /proc, /sys and uname(2) say. What they do not say is nil.
package struct MachineFacts: Hashable, Sendable, Codable {
    package var processor: String?
    package var architecture: String
    /// Processors that are on, and those that this process may use.
    package var processors: Int
    package var processorsAllowed: Int
    /// "L1d 32 KiB, L2 1 MiB, L3 32 MiB", of the first processor.
    package var caches: String?
    /// Bytes of the last-level cache.
    package var lastLevelCache: Int?
    package var memory: Int?
    /// The frequency governor of the first processor.
    package var governor: String?
    package var isVirtual: Bool
    package var kernel: String
    /// "Swift 6.3.1, release".
    package var compiler: String
    package var isOptimized: Bool
    /// Of the working copy that the program was built in, where it can be found.
    package var revision: String?

    /// Reads them.
    package init() {
        var name = utsname()
        // SAFETY: the C function fills `name`, which is as large as it writes.
        unsafe uname(&name)
        architecture = MachineFacts.string(of: name.machine)
        kernel = MachineFacts.string(of: name.sysname) + " " + MachineFacts.string(of: name.release)
        let information = SmallFile.text("/proc/cpuinfo") ?? ""
        processor =
            MachineFacts.field("model name", information)
            ?? MachineFacts.field("CPU part", information).map { "CPU part \($0)" }
        isVirtual = MachineFacts.field("flags", information)?.split(separator: " ").contains("hypervisor") ?? false
        processors = max(sysconf(Int32(_SC_NPROCESSORS_ONLN)), 1)
        processorsAllowed = max(Processors.allowed.count, 1)
        memory = MachineFacts.field("MemTotal", SmallFile.text("/proc/meminfo") ?? "").flatMap { text in
            text.split(separator: " ").first.flatMap { Int($0) }.map { $0 << 10 }
        }
        let levels = MachineFacts.cacheLevels
        caches = levels.isEmpty ? nil : levels.map { "\($0.name) \(ByteSize.exact($0.bytes))" }.joined(separator: ", ")
        lastLevelCache = levels.last?.bytes
        governor = SmallFile.line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
        isOptimized = MachineFacts.isOptimizedBuild
        compiler = "Swift \(MachineFacts.compilerVersion), \(isOptimized ? "release" : "debug")"
        revision = SourceRevision.ofExecutable
    }

    private static var isOptimizedBuild: Bool {
        #if DEBUG
            false
        #else
            true
        #endif
    }

    /// The language has a question for each version and none for the version.
    private static var compilerVersion: String {
        #if compiler(>=6.5)
            "6.5 or later"
        #elseif compiler(>=6.4)
            "6.4"
        #elseif compiler(>=6.3.2)
            "6.3.2 or later"
        #elseif compiler(>=6.3.1)
            "6.3.1"
        #elseif compiler(>=6.3)
            "6.3"
        #else
            "6.2"
        #endif
    }

    /// The value of the first line "key : value".
    private static func field(_ key: String, _ text: String) -> String? {
        for line in text.split(separator: "\n") where line.hasPrefix(key) {
            guard let colon = line.firstIndex(of: ":") else { continue }
            guard SmallFile.trimmed(line[..<colon]) == key else { continue }
            return SmallFile.trimmed(line[line.index(after: colon)...])
        }
        return nil
    }

    /// Data and unified caches, from the first level to the last: Documentation/ABI/testing/sysfs-devices-system-cpu.
    private static var cacheLevels: [(name: String, bytes: Int)] {
        var levels: [(name: String, bytes: Int)] = []
        for index in 0..<8 {
            let folder = "/sys/devices/system/cpu/cpu0/cache/index\(index)/"
            guard let level = SmallFile.line(folder + "level"), let type = SmallFile.line(folder + "type"),
                type != "Instruction",
                let size = SmallFile.line(folder + "size"), size.hasSuffix("K"), let kilobytes = Int(size.dropLast())
            else { continue }
            levels.append((name: "L\(level)" + (type == "Data" ? "d" : ""), bytes: kilobytes << 10))
        }
        return levels
    }

    private static func string<Field>(of field: Field) -> String {
        // SAFETY: a field of utsname is an array of bytes, read up to its zero or its end.
        unsafe withUnsafeBytes(of: field) { unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}

/// Which commit the program was built from: the HEAD of the working copy that the executable lies in.
enum SourceRevision {
    static var ofExecutable: String? {
        var bytes = [UInt8](repeating: 0, count: 4096)
        // SAFETY: the C function writes at most the buffer's length, and says how much of it.
        let count = unsafe bytes.withUnsafeMutableBytes { buffer in
            guard let base = buffer.baseAddress else { return 0 }
            return unsafe readlink("/proc/self/exe", base.assumingMemoryBound(to: CChar.self), buffer.count)
        }
        guard count > 0 else { return nil }
        return above(String(decoding: bytes[..<count], as: UTF8.self))
    }

    /// The revision of the first working copy on the way from `path` to the root.
    static func above(_ path: String) -> String? {
        var folder = path[...]
        while let slash = folder.lastIndex(of: "/") {
            folder = folder[..<slash]
            let git = folder + "/.git"
            // In a linked working tree .git is a file that names the folder (gitrepository-layout(5)).
            if let line = SmallFile.line(String(git)), line.hasPrefix("gitdir: ") {
                return head(of: String(line.dropFirst(8)))
            }
            if SmallFile.line(git + "/HEAD") != nil { return head(of: String(git)) }
        }
        return nil
    }

    private static func head(of folder: String) -> String? {
        guard let head = SmallFile.line(folder + "/HEAD") else { return nil }
        guard head.hasPrefix("ref: ") else { return head }
        let name = String(head.dropFirst(5))
        let common = SmallFile.line(folder + "/commondir").map { $0.hasPrefix("/") ? $0 : folder + "/" + $0 } ?? folder
        if let revision = SmallFile.line(common + "/" + name) { return revision }
        for line in (SmallFile.text(common + "/packed-refs") ?? "").split(separator: "\n") where line.hasSuffix(" " + name) {
            return line.split(separator: " ").first.map(String.init)
        }
        return nil
    }
}
