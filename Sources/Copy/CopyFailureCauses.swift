// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAUnits

// What an error number means for a copy, and what to try.

extension CopyFailure {
    /// A system call of the request or of the opening of an endpoint that the kernel refused; `result` is its negative errno.
    static func opening(_ path: String, _ result: Int32, to verb: String) -> CopyFailure {
        func failure(_ code: Code, _ possible: String, _ cure: String) -> CopyFailure {
            CopyFailure(code, path, asked: verb, possible: possible, cure: cure, errno: -result)
        }
        switch -result {
        case ENOENT, ENOTDIR:
            return failure(.notFound, "no such file or directory", "check the path; directories are not made")
        case EACCES, EPERM:
            return failure(
                .notPermitted, "permission denied for user \(cdma_effective_user())",
                "see the permissions of the file and of its directories (namei -l), or become another user")
        case EROFS:
            return failure(
                .readOnly, "its file system is mounted read-only", "mount -o remount,rw, or choose another target")
        case ENOSPC: return failure(.noSpace, "no space, or no inode, is left", "make room (df, df -i)")
        case EDQUOT: return failure(.quotaExceeded, "the quota is used up", "remove files, or ask for more (quota -s)")
        case EBUSY:
            return failure(
                .held, "another process holds it open exclusively", "unmount it, or end who holds it (lsblk, fuser -v)")
        case ENXIO, ENODEV:
            return failure(
                .notSupported, "it is a socket's name, or a device that is not there",
                "connect to a socket with a tool for it (socat), and copy from or to its pipe")
        case ENOMEDIUM: return failure(.notSupported, "there is no medium in the drive", "put one in")
        case ENAMETOOLONG:
            return failure(
                .notFound, "the name is too long for its file system", "choose a shorter one, or a directory nearer by")
        case ELOOP:
            return failure(
                .notFound, "too many symbolic links on the way, or one that leads to itself", "see where they lead (namei)")
        case ETXTBSY:
            return failure(
                .held, "a running program is executed from this file", "end the program, or put a new file in its place instead"
            )
        case EMFILE, ENFILE:
            return failure(.notSupported, "too many files are open", "raise the limit of open files (ulimit -n)")
        default: return failure(.notSupported, DMAError.sentence(-result), "see errno(3), number \(-result)")
        }
    }

    /// A read at `offset` that failed.
    static func reading(_ path: String, at offset: UInt64, errno: Int32, engine: DMAError? = nil) -> CopyFailure {
        let cure =
            switch errno {
            case EIO: "see the kernel's log (dmesg); copy what can be read of a failing disk with ddrescue"
            case EBADF: "open it for reading"
            default: "see the kernel's log (dmesg)"
            }
        return CopyFailure(
            .readFailed, path, asked: "read", possible: "\(DMAError.sentence(errno)) at offset \(offset)", cure: cure,
            errno: errno, engine: engine)
    }

    /// A write at `offset` that failed.
    static func writing(_ path: String, at offset: UInt64, errno: Int32, engine: DMAError? = nil) -> CopyFailure {
        writing(path, errno: errno, when: "at offset \(offset)", engine: engine)
    }

    /// What close(2) said of a file that was written.
    static func closing(_ path: String, errno: Int32) -> CopyFailure { writing(path, errno: errno, when: "when it was closed") }

    /// A step of writing that failed.
    static func writing(_ path: String, errno: Int32, when: String, engine: DMAError? = nil) -> CopyFailure {
        func failure(_ code: Code, _ possible: String, _ cure: String) -> CopyFailure {
            CopyFailure(code, path, asked: "write", possible: possible, cure: cure, errno: errno, engine: engine)
        }
        switch errno {
        case ENOSPC: return failure(.noSpace, "no space left", "make room (df), or choose another target")
        case EDQUOT: return failure(.quotaExceeded, "the quota is used up", "remove files, or ask for more (quota -s)")
        case EFBIG:
            let limit = cdma_largest_file()
            guard limit < .max else {
                return failure(
                    .fileTooLarge, "its file system takes no file so large", "choose a file system that does")
            }
            return failure(
                .fileTooLarge, "this process may write files of \(ByteSize.text(limit)) (ulimit -f)",
                "raise that limit (ulimit -f unlimited)")
        case EPIPE, ECONNRESET: return failure(.brokenPipe, "the reader has closed the pipe", "")
        case EROFS, EBUSY, ETXTBSY: return opening(path, -errno, to: "write")
        default:
            return failure(.writeFailed, "\(DMAError.sentence(errno)) \(when)", "see the kernel's log (dmesg)")
        }
    }

    /// What an engine or its memory refused; `verb` is what it was to do.
    static func engine(_ subject: String, _ error: DMAError, to verb: String) -> CopyFailure {
        CopyFailure(
            error.code == .outOfMemory ? .outOfMemory : .engineFailed, subject, asked: verb,
            possible: error.kernelText ?? error.message, cure: error.cure, errno: error.errno,
            engine: error)
    }

    /// The copy was cancelled.
    static func cancelled(_ subject: String, after bytes: UInt64) -> CopyFailure {
        CopyFailure(
            .cancelled, subject, asked: "finish", possible: "stopped after \(ByteSize.text(bytes))",
            cure: "run it again, and let it be resumed",
            remedy: .resume)
    }
}
