// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import Glibc

/// Who has a device's node open, as far as /proc tells: what a provider says when its device is busy.
///
/// ```swift
/// guard errno != EBUSY else { throw DeviceHolder.busy("/dev/vfio/12") }
/// ```
///
/// Source: proc_pid_fd(5); a process's descriptors are shown to those who may trace it (ptrace(2), "Ptrace access mode checking").
public enum DeviceHolder: Equatable, Sendable {
    /// This process has it open, and it is another one than the caller.
    case process(Int32)
    /// No other process has it open.
    case nobody
    /// None of the processes that show their descriptors has it open, and others do not show them or themselves, or there is no /proc.
    case unknown

    /// Looks for another process that has the file, or the device behind the node, at `path` open.
    ///
    /// Found are descriptors, not memory that was mapped by one that is closed. Blocks on nothing: what a descriptor leads to is asked for as
    /// the kernel remembers it. Takes about 2 µs for each open file of the machine, and 200 ms at most; what was not looked at by then is
    /// unknown.
    public static func of(_ path: String) -> DeviceHolder {
        let found = of(path, processes: "/proc", until: .after(milliseconds: 200))
        return found == .nobody && !seesAll ? .unknown : found
    }

    /// Whether /proc has every process of the machine: it is of the first PID namespace, and mounted without hidepid.
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

    /// `deviceBusy` with the process that holds the node at `path`, or 0 where /proc does not tell.
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
                // One that has ended meanwhile holds nothing.
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

    /// The names in a folder; nil, and `errno`, where it cannot be read.
    private static func entries(of folder: String) -> [String]? {
        // SAFETY: the path is read to its zero; the stream is closed once, at the end, and its entries' names are copied before the next call.
        guard let stream = unsafe opendir(folder) else { return nil }
        defer { unsafe _ = closedir(stream) }
        var names: [String] = []
        // More processes or descriptors than that no machine shows (pid_max, fs.nr_open).
        while names.count < 1 << 22, let entry = unsafe readdir(stream) {
            names.append(
                unsafe withUnsafePointer(to: &entry.pointee.d_name) { name in
                    unsafe name.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
                })
        }
        return names
    }

    /// What a path leads to: a device by its number, whichever node names it, and any other file by its place.
    private struct File: Equatable {
        private let kind: UInt16
        private let words: [UInt64]

        init?(_ path: String) {
            var facts = cdma_statx()
            // What is known without asking a file system that may not answer: AT_STATX_DONT_SYNC, AT_NO_AUTOMOUNT.
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
