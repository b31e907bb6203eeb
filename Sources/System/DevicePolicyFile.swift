// SPDX-License-Identifier: Apache-2.0

public import DMACore
internal import Glibc

extension DevicePolicy {
    /// Reads a policy from a file, in the format of `init(parsing:)`.
    ///
    /// A file that others may write is refused: it must belong to root or to the user of this process, and be writable by
    /// neither its group nor others.
    ///
    /// - Throws: with line 0 where the file cannot be read or may be written by others; with the line of a syntax error.
    public init(contentsOf path: String) throws(Failure) {
        try self.init(parsing: DevicePolicyFile.bytes(path))
    }
}

private enum DevicePolicyFile {
    /// The file's bytes, up to one more than the maximum of a policy.
    static func bytes(_ path: String) throws(DevicePolicy.Failure) -> [UInt8] {
        // Opening a pipe would block; with O_NONBLOCK it opens at once and is then refused. SAFETY: the path is read to its
        // zero, and not kept.
        let file = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard file >= 0 else { throw refused("cannot be opened", errno) }
        defer { close(file) }
        var facts = stat()
        // SAFETY: the C function fills `facts`.
        guard unsafe fstat(file, &facts) == 0 else { throw refused("cannot be examined", errno) }
        guard facts.st_mode & S_IFMT == S_IFREG else {
            throw DevicePolicy.Failure(line: 0, "no regular file", cure: "name a file")
        }
        guard facts.st_uid == 0 || facts.st_uid == geteuid(), facts.st_mode & (S_IWGRP | S_IWOTH) == 0 else {
            throw DevicePolicy.Failure(
                line: 0, "another user may write it, and so decide which devices are trusted",
                cure: "chown it to root or to this user, and chmod go-w")
        }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        while bytes.count <= DevicePolicy.mostBytes {
            // SAFETY: the call writes at most the buffer's length, and returns how much of it.
            let count = unsafe piece.withUnsafeMutableBytes { unsafe read(file, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw refused("cannot be read", errno) }
            if count == 0 { break }
            bytes += piece.prefix(count)
        }
        return bytes
    }

    private static func refused(_ what: String, _ errno: Int32) -> DevicePolicy.Failure {
        DevicePolicy.Failure(line: 0, "\(what): \(DMAError.sentence(errno))", cure: "check the path and its permissions")
    }
}
