// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import Synchronization

/// A descriptor that is closed once.
///
/// After writing, call ``checkClose()`` or ``close()`` for the result of close(2). The deinitializer closes it without one, for paths on which
/// another failure is reported.
final class OpenFile: Sendable {
    let descriptor: Int32
    /// The name for messages.
    let path: String
    private let isOpen: Atomic<Bool>

    /// Takes ownership of `descriptor`, unless `isOwned` is false.
    init(_ descriptor: Int32, path: String, isOwned: Bool = true) {
        self.descriptor = descriptor
        self.path = path
        isOpen = Atomic(isOwned)
    }

    deinit { if isOpen.load(ordering: .relaxed) { _ = cdma_close(descriptor) } }

    /// Opens `path` below `directory`, or from the working directory.
    ///
    /// - Parameter verb: the purpose, as it follows "cannot".
    convenience init(
        _ path: CopyPath, _ flags: Int32, mode: UInt32 = 0, in directory: OpenFile? = nil, for verb: String
    ) throws(CopyFailure) {
        // SAFETY: the path ends with a zero and lives until the call returns.
        let result = unsafe cdma_open(directory?.descriptor ?? AT_FDCWD, path.cString, flags, mode)
        let name = directory.map { $0.path + "/" + path.text } ?? path.text
        guard result >= 0 else { throw .opening(name, result, to: verb) }
        self.init(result, path: name)
    }

    /// Opens a directory whose names are to be changed. One that is writable but not readable is opened with O_PATH, and cannot be flushed.
    convenience init(directory path: CopyPath) throws(CopyFailure) {
        // SAFETY: as above.
        var result = unsafe cdma_open(AT_FDCWD, path.cString, O_RDONLY | O_DIRECTORY, 0)
        if result == -EACCES { result = unsafe cdma_open_path(path.cString) }
        guard result >= 0 else { throw .opening(path.text, result, to: "open the directory") }
        self.init(result, path: path.text)
    }

    /// Closes it.
    ///
    /// - Throws: the error of close(2), which may be the first report of lost data.
    func close() throws(CopyFailure) {
        guard isOpen.exchange(false, ordering: .acquiringAndReleasing) else { return }
        let result = cdma_close(descriptor)
        guard result == 0 else { throw .closing(path, errno: -result) }
    }

    /// Reports the result of close(2), and leaves the file open: before a new file replaces the old one, while its lock is still needed.
    func checkClose() throws(CopyFailure) {
        var result = cdma_close_copy(descriptor)
        while result == -EINTR { result = cdma_close_copy(descriptor) }
        guard result == 0 else { throw .closing(path, errno: -result) }
    }

    /// - Throws: where it is not open in this direction, as when the parent process closed standard input or output.
    func checkIsOpen(toWrite: Bool) throws(CopyFailure) {
        guard cdma_is_open_for(descriptor, toWrite) != 0 else { return }
        throw CopyFailure(
            toWrite ? .writeFailed : .readFailed, path, asked: toWrite ? "write to" : "read",
            possible: "it is closed, or open for the other direction",
            cure: toWrite ? "Open standard output, or name a file." : "Open standard input, or name a file.", errno: EBADF)
    }

    /// The current facts.
    func facts() throws(CopyFailure) -> FileFacts {
        // SAFETY: the C function writes a local structure.
        var facts = cdma_storage_facts()
        let result = unsafe cdma_storage_look(descriptor, "", true, &facts)
        guard result == 0 else { throw .opening(path, result, to: "examine") }
        return FileFacts(facts)
    }

    /// The size of a regular file or block device; nil of other files.
    func size(_ facts: FileFacts) throws(CopyFailure) -> UInt64? {
        // SAFETY: the C function writes a local variable.
        switch facts.kind {
        case .regular: return facts.size
        case .block:
            var bytes: UInt64 = 0
            let result = unsafe cdma_block_size(descriptor, &bytes)
            guard result == 0 else { throw .opening(path, result, to: "get the size of") }
            guard bytes > 0 else {
                throw CopyFailure(
                    .notSupported, path, asked: "open", possible: "the device has no medium: its size is 0",
                    cure: "Insert one, or attach a file to the loop device (losetup).")
            }
            return bytes
        default: return nil
        }
    }

    /// Clears O_NONBLOCK of an inherited stream, for which engines and calls would return EAGAIN.
    func makeBlocking() {
        let flags = cdma_status_flags(descriptor)
        if flags >= 0, flags & O_NONBLOCK != 0 { _ = cdma_set_status_flags(descriptor, flags & ~O_NONBLOCK) }
    }

    /// Waits until the file can be read or written, a tenth of a second at a time.
    ///
    /// - Throws: `cancelled`.
    func waitUntilReady(toWrite: Bool, _ control: CopyControl) throws(CopyFailure) {
        while true {
            if control.isCancelled { throw .cancelled(path, after: control.progress.bytes) }
            // A file that poll(2) does not support, or that has failed, is reported by the next call.
            if cdma_poll(descriptor, toWrite, 100) != 0 { return }
        }
    }

    /// Flushes it by fsync(2). False where fsync(2) is not supported: a stream, and some file systems.
    ///
    /// - Throws: `flushFailed`.
    @discardableResult
    func flush() throws(CopyFailure) -> Bool {
        let result = cdma_fsync(descriptor)
        if [EINVAL, EROFS, ENOSYS, EOPNOTSUPP, EBADF].contains(-result) { return false }
        try Self.check(path, flushed: result)
        return true
    }

    /// Flushes the whole file system that it is on. False where that is not supported.
    ///
    /// - Throws: `flushFailed`.
    func flushFileSystem() throws(CopyFailure) -> Bool {
        let result = cdma_syncfs(descriptor)
        if OptionalStep.isRefusal(-result) || result == -EBADF { return false }
        try Self.check(path, flushed: result)
        return true
    }

    /// Waits for writes to the medium that are in progress.
    ///
    /// - Throws: `flushFailed` where one failed.
    func checkWritten() throws(CopyFailure) {
        let result = cdma_written(descriptor)
        if [EINVAL, ENOSYS, EOPNOTSUPP, ESPIPE].contains(-result) { return }
        try Self.check(path, flushed: result)
    }

    private static func check(_ path: String, flushed result: Int32) throws(CopyFailure) {
        switch -result {
        case 0: return
        case ENOSPC, EDQUOT: throw .writing(path, errno: -result, when: "when it was flushed")
        default:
            throw CopyFailure(
                .flushFailed, path, asked: "flush", possible: DMAError.sentence(-result),
                cure: "See the kernel's log (dmesg); data that was written before may be lost.", errno: -result)
        }
    }
}
