// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// Checks of a block device before it is overwritten.
///
/// Source: Documentation/ABI/stable/sysfs-block.
enum BlockDevice {
    /// Refuses a device that is mounted, or that another block device is built on (RAID, LVM, dm-crypt), and names the user.
    ///
    /// Opening with O_EXCL is what excludes other users; this check gives the reason before it fails.
    static func refuseIfInUse(_ path: CopyPath, _ facts: FileFacts) throws(CopyFailure) {
        if let (name, mount) = mounts(path, facts).first {
            let point = CopyFailure.quoted(mount.point.text)
            throw CopyFailure(
                .mounted, path.text, asked: "write", possible: "\(name) is mounted at \(point)", cure: "Run umount \(point).")
        }
        if let area = swapArea(facts) {
            throw CopyFailure(
                .held, path.text, asked: "write", possible: "the kernel uses it as swap space",
                cure: "Run swapoff \(CopyFailure.quoted(area.text)).")
        }
        for holder in Folder.names("/sys/dev/block/" + number(facts.special) + "/holders") {
            throw CopyFailure(
                .held, path.text, asked: "write", possible: "\(holder) is built on it",
                cure: "Stop \(holder) first; lsblk shows what it is.")
        }
    }

    /// Where the device or a partition of it is mounted, and the name of that device.
    static func mounts(_ path: CopyPath, _ facts: FileFacts) -> [(name: CopyPath, mount: MountTable.Mount)] {
        let table = MountTable.current
        return ([(facts.special, path)] + partitions(of: facts.special)).flatMap { special, name in
            table.mounts(of: special, path: name).map { (name, $0) }
        }
    }

    /// Notes about a block device whose files may be written while it is read.
    static func notes(of source: CopySource) -> [String] {
        guard let facts = source.facts, facts.kind == .block else { return [] }
        var path = CopyPath(source.name)
        if case .path(let named) = source.endpoint { path = named }
        return mounts(path, facts).filter(\.mount.isWritable).map { name, mount in
            "\(name) is mounted at \(mount.point) and may be written during the copy, which lacks what is not on the device yet; "
                + "unmount it first, or remount it read-only"
        }
    }

    /// The failure of opening with O_EXCL.
    static func held(_ path: CopyPath) -> CopyFailure {
        CopyFailure(
            .held, path.text, asked: "write", possible: "another process has opened the device exclusively",
            cure: "Find the process (lsblk, fuser -v), and stop it.", errno: EBUSY)
    }

    static func number(_ special: UInt64) -> String { "\(special >> 32):\(special & 0xffff_ffff)" }

    /// The partitions of a whole disk.
    private static func partitions(of special: UInt64) -> [(UInt64, CopyPath)] {
        let folder = "/sys/dev/block/" + number(special)
        return Folder.names(folder).compactMap { name in
            guard KernelText.number(folder + "/" + name + "/partition") != nil,
                let text = KernelText.read(folder + "/" + name + "/dev", atMost: 64)
            else { return nil }
            let parts = text.split(whereSeparator: { $0 == ":" || $0 == "\n" })
            guard parts.count == 2, let major = UInt32(parts[0]), let minor = UInt32(parts[1]) else { return nil }
            return (cdma_device_number(major, minor), CopyPath("/dev/" + name))
        }
    }

    private static func swapArea(_ facts: FileFacts) -> CopyPath? {
        guard let text = KernelText.read("/proc/swaps", atMost: 65_536) else { return nil }
        for line in text.split(separator: "\n").dropFirst() {
            guard let field = line.split(whereSeparator: { $0 == " " || $0 == "\t" }).first else { continue }
            let area = MountTable.unescape(field)
            if let other = try? FileFacts.at(area), other.isSameFile(facts) { return area }
        }
        return nil
    }
}

/// The names in a directory, bounded.
enum Folder {
    /// The names that are wanted; nil where the directory cannot be read, or has more than a million names.
    static func names(_ path: CopyPath, where isWanted: (CopyPath) -> Bool) -> [CopyPath]? {
        // SAFETY: as below; of the name's array only the bytes before its zero are read.
        guard let directory = unsafe opendir(path.cString) else { return nil }
        defer { unsafe _ = closedir(directory) }
        var names: [CopyPath] = []
        for _ in 0..<1_000_000 {
            guard let entry = unsafe readdir(directory) else { return names }
            // Only the bytes before the zero are read.
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { unsafe CopyPath(bytes: $0.prefix { $0 != 0 }) }
            if isWanted(name) { names.append(name) }
        }
        return nil
    }

    static func names(_ path: String) -> [String] {
        // SAFETY: the directory is open until `closedir`, which runs once, at the end. The name is an array inside the entry, ended
        // by a zero, which lives until the next readdir.
        var names: [String] = []
        guard let directory = unsafe opendir(path) else { return [] }
        defer { unsafe _ = closedir(directory) }
        while names.count < 65_536, let entry = unsafe readdir(directory) {
            // The name is an array inside the entry, ended by a zero, which lives until the next readdir.
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }
}
