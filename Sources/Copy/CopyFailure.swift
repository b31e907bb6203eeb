// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMACore

/// Why a copy was refused or failed: which endpoint, what was asked of it, what is possible, and the cure.
///
/// `DMAError` is a trivial value with numbers alone; a copy fails at paths and with the kernel's words, so that it has an error of its
/// own, which carries the engine's where that is the cause. `code` is stable across releases: match on it, never on the text.
public struct CopyFailure: Error, Equatable, Sendable {
    /// What went wrong, as a stable identifier.
    public enum Code: String, Sendable, CaseIterable, Codable {
        // The request
        case badSize, badEndpoint, badOption, badPlan, badList
        // The endpoints
        case notFound, notPermitted, isDirectory, notSupported, sameFile, targetTooSmall, readOnly, notReplaceable, danglingLink
        // Devices
        case mounted, held, needsConfirmation
        // On the way
        case readFailed, writeFailed, noSpace, quotaExceeded, fileTooLarge, sourceShrank, brokenPipe, cancelled, flushFailed,
            engineFailed, noReflink, outOfMemory
        // Afterwards
        case verifyFailed, patternMismatch, publishFailed, badJournal, attributesLost
    }

    /// What went wrong.
    public let code: Code
    /// The path or endpoint at which it did.
    public let subject: String
    /// What was asked.
    public let asked: String
    /// What the file, the device or the kernel can do.
    public let possible: String
    /// What to change.
    public let cure: String
    /// The kernel's error number, or zero.
    public let errno: Int32
    /// The engine's error, where it is the cause.
    public let engine: DMAError?

    /// A failure at `subject`, in three parts of a sentence.
    package init(
        _ code: Code, _ subject: String, asked: String, possible: String, cure: String, errno: Int32 = 0,
        engine: DMAError? = nil
    ) {
        self.code = code
        self.subject = subject
        self.asked = asked
        self.possible = possible
        self.cure = cure
        self.errno = errno
        self.engine = engine
    }
}

extension CopyFailure: CustomStringConvertible {
    /// One line, whatever the path contains.
    public var description: String {
        let parts = [asked, possible, cure].map(Self.oneLine)
        var text = "\(Self.quoted(subject)): asked: \(parts[0]); possible: \(parts[1]); cure: \(parts[2])"
        if errno != 0 { text += " [\(DMAError.sentence(errno)), errno \(errno)]" }
        if let engine { text += " [\(engine.code)]" }
        return text
    }

    /// A path on one line: control characters and backslashes as `\n`, `\t`, `\xHH`.
    package static func quoted(_ path: String) -> String { oneLine(path.replacing("\\", with: "\\\\")) }

    /// A text that may have a path in it, on one line and without what moves a terminal's cursor: as ``quoted(_:)``, but for backslashes.
    package static func oneLine(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            default:
                if scalar.value < 32 || (127..<160).contains(scalar.value) {
                    result += "\\x" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
                } else {
                    result.unicodeScalars.append(scalar)
                }
            }
        }
        return result
    }
}

extension CopyFailure {
    /// A system call of the request or of the opening of an endpoint that the kernel refused; `result` is its negative errno.
    static func opening(_ path: String, _ result: Int32, for purpose: String) -> CopyFailure {
        switch -result {
        case ENOENT, ENOTDIR:
            return CopyFailure(
                .notFound, path, asked: purpose, possible: "no such file, or no such directory on the way to it",
                cure: "check the path; a directory is not created", errno: -result)
        case EACCES, EPERM:
            return CopyFailure(
                .notPermitted, path, asked: purpose, possible: "not for user \(cdma_effective_user())",
                cure: "see the permissions of the file and its directories (namei -l), or become another user", errno: -result)
        case EROFS:
            return CopyFailure(
                .readOnly, path, asked: purpose, possible: "reading: its file system is mounted read-only",
                cure: "mount -o remount,rw, or choose another target", errno: -result)
        case ENOSPC:
            return CopyFailure(
                .noSpace, path, asked: purpose, possible: "no room, or no inode, is left", cure: "see df and df -i",
                errno: -result)
        case EDQUOT:
            return CopyFailure(
                .quotaExceeded, path, asked: purpose, possible: "nothing more under the quota", cure: "see quota -s",
                errno: -result)
        case EBUSY:
            return CopyFailure(
                .held, path, asked: purpose, possible: "not while somebody else holds it exclusively",
                cure: "unmount it, or end who holds it (lsblk, fuser -v)", errno: -result)
        case ENXIO:
            return CopyFailure(
                .notSupported, path, asked: purpose, possible: "no: it is a socket's name, or a device that is not there",
                cure: "connect to a socket with a tool for it (socat) and pipe: … | dmactl copy - TARGET", errno: -result)
        case ENAMETOOLONG, ELOOP:
            return CopyFailure(
                .badEndpoint, path, asked: purpose, possible: "shorter names, and fewer symbolic links",
                cure: "change to a directory nearer by", errno: -result)
        default:
            return CopyFailure(
                .notSupported, path, asked: purpose, possible: "not that: the kernel refused", cure: "see errno",
                errno: -result)
        }
    }

    /// A read at `offset` that failed.
    static func reading(_ path: String, at offset: UInt64, errno: Int32, engine: DMAError? = nil) -> CopyFailure {
        CopyFailure(
            .readFailed, path, asked: "the bytes at offset \(offset)", possible: "not those: the read failed",
            cure: "see the kernel's log (dmesg); for a failing disk copy what can be read with ddrescue", errno: errno,
            engine: engine)
    }

    /// A write at `offset` that failed.
    static func writing(_ path: String, at offset: UInt64, errno: Int32, engine: DMAError? = nil) -> CopyFailure {
        let what = "to write at offset \(offset)"
        switch errno {
        case ENOSPC:
            return CopyFailure(
                .noSpace, path, asked: what, possible: "no room is left on its file system or device",
                cure: "make room (df), or choose another target", errno: errno, engine: engine)
        case EDQUOT:
            return CopyFailure(
                .quotaExceeded, path, asked: what, possible: "nothing more under the quota",
                cure: "see quota -s; remove files, or ask for more", errno: errno, engine: engine)
        case EFBIG:
            return CopyFailure(
                .fileTooLarge, path, asked: what,
                possible: "smaller files: the limit of this process (ulimit -f) or of the file system",
                cure: "raise the limit, or choose a file system that takes such files", errno: errno, engine: engine)
        case EPIPE, ECONNRESET:
            return CopyFailure(
                .brokenPipe, path, asked: what, possible: "nobody reads any more", cure: "none is needed", errno: errno,
                engine: engine)
        case EROFS: return opening(path, -errno, for: what)
        default:
            return CopyFailure(
                .writeFailed, path, asked: what, possible: "not that: the write failed", cure: "see the kernel's log (dmesg)",
                errno: errno, engine: engine)
        }
    }

    /// What an engine or its memory refused.
    static func engine(_ subject: String, _ error: DMAError, while purpose: String) -> CopyFailure {
        CopyFailure(
            error.code == .outOfMemory ? .outOfMemory : .engineFailed, subject, asked: purpose + ": " + error.request,
            possible: error.ability, cure: error.cure, errno: error.errno, engine: error)
    }

    /// Somebody asked for the end.
    static func cancelled(_ subject: String, after bytes: UInt64) -> CopyFailure {
        CopyFailure(
            .cancelled, subject, asked: "to stop", possible: "stopped after \(ByteSize.text(bytes))",
            cure: "run it again; with --resume it goes on where it stopped")
    }
}
