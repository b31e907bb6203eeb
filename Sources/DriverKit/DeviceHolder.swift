// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import Glibc

/// Which process has a device's node open, according to /proc: for a provider's error when its device is busy.
///
/// ```swift
/// guard errno != EBUSY else { throw DeviceHolder.busy("/dev/vfio/12") }
/// ```
///
/// Source: proc_pid_fd(5); a process's descriptors are visible to processes that may trace it (ptrace(2), "Ptrace access mode
/// checking").
public enum DeviceHolder: Equatable, Sendable {
    /// This process, which is not the caller, has it open.
    case process(Int32)
    /// No other process has it open.
    case nobody
    /// No visible process has it open, and some processes or their descriptors are not visible, or there is no /proc.
    case unknown

    /// Searches for another process that has the file, or the device behind the node, at `path` open.
    ///
    /// It finds descriptors, not memory that was mapped from a descriptor closed since. It does not block: descriptors are
    /// resolved from the kernel's cached information. Takes about 2 µs for each open file of the machine, and 200 ms at most;
    /// processes not examined by then count as invisible.
    public static func of(_ path: String) -> DeviceHolder {
        let found = of(path, processes: "/proc", until: .after(milliseconds: 200))
        return found == .nobody && !seesAll ? .unknown : found
    }

    /// Whether /proc shows every process of the machine: it belongs to the first PID namespace, and is mounted without hidepid.
    ///
    /// Source: include/linux/proc_ns.h (PROC_PID_INIT_INO); the kernel's Documentation/filesystems/proc.rst, "Mount options".
    private static var seesAll: Bool {
        var facts = cdma_statx()
        // SAFETY: the path is read to its zero; the C function fills `facts`.
        guard unsafe cdma_statx_file(AT_FDCWD, "/proc/self/ns/pid", 0, &facts) == 0, facts.inode == 0xefff_fffc else {
            return false
        }
        // SAFETY: as above.
        return unsafe cdma_statx_file(AT_FDCWD, "/proc/1", 0, &facts) == 0
    }

    /// `deviceBusy` with the process that holds the node at `path`, or 0 where /proc does not show it.
    public static func busy(_ path: String) -> DMAError {
        guard case .process(let number) = of(path) else { return DMAError(.deviceBusy) }
        return DMAError(.deviceBusy, asked: UInt64(clamping: number))
    }

    package static func of(_ path: String, processes: String, until limit: Deadline) -> DeviceHolder {
        guard let wanted = File(path) else { return .unknown }
        guard let names = entries(of: processes) else { return .unknown }
        var isWhole = true
        for name in names {
            guard let number = Int32(name), number > 0, number != getpid() else { continue }
            guard Deadline.now < limit else { return .unknown }
            let folder = "\(processes)/\(name)/fd"
            guard let open = entries(of: folder) else {
                // A process that has ended meanwhile holds nothing.
                if errno != ENOENT, errno != ESRCH { isWhole = false }
                continue
            }
            for descriptor in open where descriptor != "." && descriptor != ".." {
                guard Deadline.now < limit else { return .unknown }
                if File("\(folder)/\(descriptor)") == wanted { return .process(number) }
            }
        }
        return isWhole ? .nobody : .unknown
    }

    /// The names in a directory; nil, and `errno`, where it cannot be read.
    private static func entries(of folder: String) -> [String]? {
        // SAFETY: the path is read to its zero; the stream is closed once, at the end, and its entries' names are copied before the next call.
        guard let stream = unsafe opendir(folder) else { return nil }
        defer { unsafe _ = closedir(stream) }
        var names: [String] = []
        // A bound beyond the processes and descriptors of any machine (pid_max, fs.nr_open).
        while names.count < 1 << 22, let entry = unsafe readdir(stream) {
            names.append(
                unsafe withUnsafePointer(to: &entry.pointee.d_name) { name in
                    unsafe name.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
                })
        }
        return names
    }

    /// The identity of a path: for a device its number, whichever node names it; for any other file its device and inode.
    private struct File: Equatable {
        private let kind: UInt16
        private let words: [UInt64]

        init?(_ path: String) {
            var facts = cdma_statx()
            // Only cached attributes, without asking a file system that may not respond: AT_STATX_DONT_SYNC, AT_NO_AUTOMOUNT.
            // SAFETY: the path is read to its zero; the C function fills `facts`.
            guard !path.isEmpty, unsafe cdma_statx_file(AT_FDCWD, path, 0x4000 | 0x800, &facts) == 0 else { return nil }
            kind = facts.mode & UInt16(truncatingIfNeeded: Glibc.S_IFMT)
            words =
                kind == UInt16(truncatingIfNeeded: Glibc.S_IFCHR) || kind == UInt16(truncatingIfNeeded: Glibc.S_IFBLK)
                ? [UInt64(facts.special_major), UInt64(facts.special_minor)]
                : [UInt64(facts.device_major), UInt64(facts.device_minor), facts.inode]
        }
    }
}
