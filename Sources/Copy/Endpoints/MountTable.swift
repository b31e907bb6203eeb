// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// The mounts in the mount namespace of this process: /proc/self/mountinfo. Lines that cannot be parsed are skipped.
///
/// Source: Documentation/filesystems/proc.rst, section 3.5; proc_pid_mountinfo(5).
package struct MountTable: Sendable {
    package struct Mount: Equatable, Sendable {
        /// The device number, as in ``FileFacts/device`` and ``FileFacts/special``.
        let device: UInt64
        let point: CopyPath
        let fileSystem: String
        let source: CopyPath
        /// Whether its files may be written.
        let isWritable: Bool
    }

    package let mounts: [Mount]

    /// The table of this process; empty where /proc is not mounted.
    static var current: MountTable { MountTable(parsing: KernelText.read("/proc/self/mountinfo", atMost: 4 << 20) ?? "") }

    package init(parsing text: String) {
        var mounts: [Mount] = []
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: " ", omittingEmptySubsequences: false)
            guard fields.count >= 9, let dash = fields[6...].firstIndex(of: "-"), dash + 2 < fields.count else { continue }
            let numbers = fields[2].split(separator: ":")
            guard numbers.count == 2, let major = UInt32(numbers[0]), let minor = UInt32(numbers[1]) else { continue }
            mounts.append(
                Mount(
                    device: cdma_device_number(major, minor), point: Self.unescape(fields[4]),
                    fileSystem: String(fields[dash + 1]), source: Self.unescape(fields[dash + 2]),
                    isWritable: Self.isWritable(fields[5]) && (dash + 3 >= fields.count || Self.isWritable(fields[dash + 3]))))
        }
        self.mounts = mounts
    }

    /// Options are separated by commas; `ro` or `rw` is one of them.
    private static func isWritable(_ options: Substring) -> Bool { !options.split(separator: ",").contains("ro") }

    /// Where the block device `special` is mounted.
    func mounts(of special: UInt64, path: CopyPath) -> [Mount] {
        mounts.filter { $0.device == special || $0.source == path }
    }

    /// Whether this path is a mount point; a file can be one too.
    func isPoint(_ path: CopyPath) -> Bool { mounts.contains { $0.point == path } }

    /// The kernel writes space, tab, newline and backslash as `\` and three octal digits.
    static func unescape(_ field: Substring) -> CopyPath {
        var bytes: [UInt8] = []
        let source = Array(field.utf8)
        var index = 0
        while index < source.count {
            if source[index] == UInt8(ascii: "\\"), index + 3 < source.count {
                let digits = source[(index + 1)...(index + 3)]
                if digits.allSatisfy({ $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "7") }) {
                    let value = digits.reduce(0) { $0 * 8 + Int($1 - UInt8(ascii: "0")) }
                    bytes.append(UInt8(truncatingIfNeeded: value))
                    index += 4
                    continue
                }
            }
            bytes.append(source[index])
            index += 1
        }
        return CopyPath(bytes: bytes)
    }
}

/// Small files in /proc and /sys, as text.
enum KernelText {
    static func read(_ path: String, atMost capacity: Int) -> String? {
        // SAFETY: the C function writes at most the capacity that it is told, and says how many bytes it wrote; those count as
        // filled.
        var failed = false
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: capacity) { buffer, filled in
            // The C function writes at most `capacity` bytes and says how many it wrote.
            let count = unsafe cdma_read_file(path, buffer.baseAddress, buffer.count)
            failed = count < 0
            filled = failed ? 0 : Int(count)
        }
        return failed ? nil : String(decoding: bytes, as: UTF8.self)
    }

    /// The number that a file starts with.
    static func number(_ path: String) -> UInt64? {
        guard let text = read(path, atMost: 4096) else { return nil }
        return UInt64(text.prefix { $0 >= "0" && $0 <= "9" })
    }
}
