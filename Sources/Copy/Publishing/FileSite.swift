// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// A regular file that is to be written: its directory, its name, and the file that has the name now.
struct FileSite {
    /// With every symbolic link followed, where the file exists.
    let path: CopyPath
    let directory: CopyPath
    let name: CopyPath
    let existing: FileFacts?

    init(_ path: CopyPath, existing: FileFacts?) throws(CopyFailure) {
        self.path = path
        self.existing = existing
        let place = path.bytes.lastIndex(of: UInt8(ascii: "/"))
        name = CopyPath(bytes: place.map { path.bytes[($0 + 1)...] } ?? path.bytes[...])
        let folder = CopyPath(bytes: path.bytes[..<(place ?? 0)])
        directory = folder.isEmpty ? (path.isAbsolute ? "/" : ".") : folder
        guard !name.isEmpty, !name.isDots else {
            throw CopyFailure(
                .badEndpoint, path.text, asked: "write", possible: "it does not end with a file name",
                cure: "Add the name of the file.")
        }
    }
}

// MARK: Checks before the first byte

extension FileSite {
    /// Finds out whether the file could not be written, or the complete copy could not get its name.
    ///
    /// - Parameter preserves: whether the owner is taken from the source.
    /// - Throws: `notPermitted`, `readOnly`, `notFound`, `notSupported`.
    func check(_ publishing: CopyPlan.Publishing, in place: TargetFolder, preserves: Bool) throws(CopyFailure) {
        if place.hasDevices { throw noDevice }
        let folder = place.facts
        let isReplaced = publishing == .rename || publishing == .resume
        if folder.isImmutable, isReplaced || existing == nil {
            throw refusal("its directory is immutable", "Run chattr -i \(CopyFailure.quoted(directory.text)).")
        }
        if folder.isAppendOnly, isReplaced {
            throw refusal(
                "its directory is append-only, so that no file can be renamed there",
                "Run chattr -a \(CopyFailure.quoted(directory.text)), or overwrite the file itself.", .overwriteInPlace)
        }
        guard let existing else { return }
        if existing.isImmutable { throw refusal("it is immutable", "Run chattr -i on it, or choose another target.") }
        if existing.isAppendOnly, publishing != .append {
            throw refusal("it is append-only", "Run chattr -a on it, or append to it.", .append)
        }
        guard isReplaced else { return }
        try checkWritable()
        let user = cdma_effective_user()
        if folder.mode & 0o1000 != 0, existing.owner != user, folder.owner != user, !Privileges.ignoresOwners {
            throw refusal(
                "it belongs to user \(existing.owner), and only its owner may replace it in a sticky directory",
                "Choose another target, or overwrite the file itself.", .overwriteInPlace)
        }
        if !preserves, existing.owner != user, !Privileges.givesFilesAway {
            throw refusal(
                "it belongs to user \(existing.owner), and a new file in its place would belong to user \(user)",
                "Choose another target, or overwrite the file itself.", .overwriteInPlace)
        }
    }

    /// Replacing a file by a new one needs only the permissions of the directory. Those of the old file are checked too, because its owner
    /// may have write-protected it.
    private func checkWritable() throws(CopyFailure) {
        // SAFETY: the path ends with a zero and lives until the call returns.
        let access = unsafe cdma_may_access(path.cString, W_OK)
        switch -access {
        case EACCES, EPERM:
            throw refusal(
                "it is write-protected for user \(cdma_effective_user())", "Run chmod u+w on it, or choose another target.")
        case EROFS: throw .opening(path.text, access, to: "write")
        default: return
        }
    }

    /// A file in /dev has a mistyped name, or that of a device that is not connected, and would be kept in memory.
    private var noDevice: CopyFailure {
        CopyFailure(
            existing == nil ? .notFound : .notSupported, path.text, asked: "write",
            possible: existing == nil
                ? "there is no such device, and no file is created in /dev" : "it is a file in /dev, not a device",
            cure: "List the devices with lsblk.")
    }

    private func refusal(_ possible: String, _ cure: String, _ remedy: CopyFailure.Remedy? = nil) -> CopyFailure {
        CopyFailure(.notPermitted, path.text, asked: "write", possible: possible, cure: cure, errno: EPERM, remedy: remedy)
    }
}

/// Privileges of this process beyond those of its user.
enum Privileges {
    /// Whether it may remove other users' files from sticky directories: CAP_FOWNER, capabilities(7).
    static var ignoresOwners: Bool { has(3) }
    /// Whether it may give files to other users: CAP_CHOWN.
    static var givesFilesAway: Bool { has(0) }

    private static func has(_ number: UInt64) -> Bool {
        guard let text = KernelText.read("/proc/self/status", atMost: 8192) else { return cdma_effective_user() == 0 }
        for line in text.split(separator: "\n") where line.hasPrefix("CapEff:") {
            let digits = line.dropFirst(7).filter { !$0.isWhitespace }
            return (UInt64(digits, radix: 16) ?? 0) & 1 << number != 0
        }
        return cdma_effective_user() == 0
    }
}
