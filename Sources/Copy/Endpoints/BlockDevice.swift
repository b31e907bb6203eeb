// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// What must be known of a block device before it is overwritten, and its queue's own limits.
///
/// Source: Documentation/ABI/stable/sysfs-block.
enum BlockDevice {
    /// Refuses a device that is mounted, or that another block device stands on (RAID, LVM, dm-crypt); names who.
    ///
    /// Opening with O_EXCL is what really keeps others out; this says why before it fails.
    static func refuseIfInUse(_ path: CopyPath, _ facts: FileFacts) throws(CopyFailure) {
        if let (name, mount) = mounts(path, facts).first {
            let point = CopyFailure.quoted(mount.point.text)
            throw CopyFailure(
                .mounted, path.text, asked: "write", possible: "\(name) is mounted at \(point)", cure: "umount \(point)")
        }
        if let area = swapArea(facts) {
            throw CopyFailure(
                .held, path.text, asked: "write", possible: "the kernel swaps to it",
                cure: "swapoff \(CopyFailure.quoted(area.text))")
        }
        for holder in Folder.names("/sys/dev/block/" + number(facts.special) + "/holders") {
            throw CopyFailure(
                .held, path.text, asked: "write", possible: "\(holder) is built on it",
                cure: "stop \(holder) first: lsblk shows what it is")
        }
    }

    /// Where the device is mounted, or a partition of it, and by which name.
    static func mounts(_ path: CopyPath, _ facts: FileFacts) -> [(name: CopyPath, mount: MountTable.Mount)] {
        let table = MountTable.current
        return ([(facts.special, path)] + partitions(of: facts.special)).flatMap { special, name in
            table.mounts(of: special, path: name).map { (name, $0) }
        }
    }

    /// The failure of the exclusive opening itself.
    static func held(_ path: CopyPath) -> CopyFailure {
        CopyFailure(
            .held, path.text, asked: "write", possible: "another process holds the device open exclusively",
            cure: "see who (lsblk, fuser -v), and end it", errno: EBUSY)
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

/// The names in a folder of /sys or of files, bounded.
enum Folder {
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
