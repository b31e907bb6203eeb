// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAUnits

// What an error number of the kernel means for a copy, and what to try.

extension CopyFailure {
    /// A system call for a path that the kernel refused before any data moved; `result` is its negative errno.
    static func opening(_ path: String, _ result: Int32, to verb: String) -> CopyFailure {
        func failure(_ code: Code, _ possible: String, _ cure: String) -> CopyFailure {
            CopyFailure(code, path, asked: verb, possible: possible, cure: cure, errno: -result)
        }
        switch -result {
        case ENOENT, ENOTDIR:
            return failure(.notFound, "no such file or directory", "Check the path; directories are not created.")
        case EACCES, EPERM:
            return failure(
                .notPermitted, "permission denied for user \(cdma_effective_user())",
                "Check the permissions of the file and of its directories (namei -l), or run as another user.")
        case EROFS:
            return failure(
                .readOnly, "its file system is mounted read-only",
                "Remount it with mount -o remount,rw, or choose another target.")
        case ENOSPC:
            return failure(
                .noSpace, "no space or no inode left", "Delete files (see df and df -i), or choose another file system.")
        case EDQUOT:
            return failure(.quotaExceeded, "the disk quota is used up", "Delete files, or raise the quota (see quota -s).")
        case EBUSY:
            return failure(
                .held, "it is mounted, or another process has opened it exclusively",
                "Unmount it, or stop the process that uses it (see lsblk and fuser -v).")
        case ENXIO, ENODEV:
            return failure(
                .notSupported, "it is the name of a socket, or of a device that does not exist",
                "Connect to a socket with a program such as socat, and copy from or to its pipe.")
        case ENOMEDIUM: return failure(.notSupported, "the drive has no medium", "Insert a medium.")
        case ENAMETOOLONG:
            return failure(
                .notFound, "the name is too long for the file system",
                "Choose a shorter name, or a directory with a shorter path.")
        case ELOOP:
            return failure(
                .notFound, "the path has too many symbolic links, or a loop of them", "Follow the links with namei.")
        case ETXTBSY:
            return failure(
                .held, "a running program is executed from this file", "Stop the program, or replace the file by a new one.")
        case EMFILE, ENFILE:
            return failure(.notSupported, "too many files are open", "Raise the limit of open files (ulimit -n).")
        default: return failure(.notSupported, DMAError.sentence(-result), "See errno(3), error number \(-result).")
        }
    }

    /// A read at `offset` that failed.
    static func reading(_ path: String, at offset: UInt64, errno: Int32, engine: DMAError? = nil) -> CopyFailure {
        let cure =
            switch errno {
            case EIO: "See the kernel's log (dmesg). Copy what can still be read by a rescue."
            case EBADF: "Open it for reading."
            default: "See the kernel's log (dmesg)."
            }
        return CopyFailure(
            .readFailed, path, asked: "read", possible: "\(DMAError.sentence(errno)) at offset \(offset)", cure: cure,
            errno: errno, engine: engine, remedy: errno == EIO ? .rescue : nil)
    }

    /// A write at `offset` that failed.
    static func writing(_ path: String, at offset: UInt64, errno: Int32, engine: DMAError? = nil) -> CopyFailure {
        writing(path, errno: errno, when: "at offset \(offset)", engine: engine)
    }

    /// An error of close(2), of a file that was written.
    static func closing(_ path: String, errno: Int32) -> CopyFailure { writing(path, errno: errno, when: "when it was closed") }

    /// A step of writing that failed; `when` says which, as it follows the error.
    static func writing(_ path: String, errno: Int32, when: String, engine: DMAError? = nil) -> CopyFailure {
        func failure(_ code: Code, _ possible: String, _ cure: String) -> CopyFailure {
            CopyFailure(code, path, asked: "write", possible: possible, cure: cure, errno: errno, engine: engine)
        }
        switch errno {
        case ENOSPC: return failure(.noSpace, "no space left", "Delete files (see df), or choose another target.")
        case EDQUOT:
            return failure(.quotaExceeded, "the disk quota is used up", "Delete files, or raise the quota (see quota -s).")
        case EFBIG:
            let limit = cdma_largest_file()
            guard limit < .max else {
                return failure(
                    .fileTooLarge, "the file system does not allow a file of this size", "Choose another file system.")
            }
            return failure(
                .fileTooLarge, "this process may write files of at most \(ByteSize.text(limit)) (ulimit -f)",
                "Raise that limit (ulimit -f unlimited).")
        case EPIPE, ECONNRESET: return failure(.brokenPipe, "the reader has closed the pipe", "")
        case EROFS, EBUSY, ETXTBSY: return opening(path, -errno, to: "write")
        default:
            return failure(.writeFailed, "\(DMAError.sentence(errno)) \(when)", "See the kernel's log (dmesg).")
        }
    }

    /// An error of an engine or of its memory; `verb` is what it was to do.
    static func engine(_ subject: String, _ error: DMAError, to verb: String) -> CopyFailure {
        CopyFailure(
            error.code == .outOfMemory ? .outOfMemory : .engineFailed, subject, asked: verb,
            possible: error.kernelText ?? error.message, cure: sentence(error.cure), errno: error.errno,
            engine: error)
    }

    /// The copy was cancelled.
    static func cancelled(_ subject: String, after bytes: UInt64) -> CopyFailure {
        CopyFailure(
            .cancelled, subject, asked: "finish", possible: "stopped after \(ByteSize.text(bytes))",
            cure: "Run it again so that it can be resumed.", remedy: .resume)
    }
}
