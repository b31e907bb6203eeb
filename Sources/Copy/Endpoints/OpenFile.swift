// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import Synchronization

/// A descriptor that is closed once.
///
/// Who has written through it calls ``checkClose()`` or ``close()`` and reads what they say; the end of its life closes it on the ways of
/// failure alone, where there is another failure to report.
final class OpenFile: Sendable {
    let descriptor: Int32
    /// The name for messages.
    let path: String
    private let isOpen: Atomic<Bool>

    /// Takes over `descriptor`; one that is not owned is left open.
    init(_ descriptor: Int32, path: String, isOwned: Bool = true) {
        self.descriptor = descriptor
        self.path = path
        isOpen = Atomic(isOwned)
    }

    deinit { if isOpen.load(ordering: .relaxed) { _ = cdma_close(descriptor) } }

    /// Opens `path` below `directory`, or from the working directory.
    ///
    /// - Parameter verb: what it is opened for, as it follows "cannot".
    convenience init(
        _ path: CopyPath, _ flags: Int32, mode: UInt32 = 0, in directory: OpenFile? = nil, for verb: String
    ) throws(CopyFailure) {
        // SAFETY: the path ends with a zero and lives until the call returns.
        let result = unsafe cdma_open(directory?.descriptor ?? AT_FDCWD, path.cString, flags, mode)
        let name = directory.map { $0.path + "/" + path.text } ?? path.text
        guard result >= 0 else { throw .opening(name, result, to: verb) }
        self.init(result, path: name)
    }

    /// A directory whose names are to be changed. One that may be written and not read is opened without reading: it has nothing to flush then.
    convenience init(directory path: CopyPath) throws(CopyFailure) {
        // SAFETY: as above.
        var result = unsafe cdma_open(AT_FDCWD, path.cString, O_RDONLY | O_DIRECTORY, 0)
        if result == -EACCES { result = unsafe cdma_open_path(path.cString) }
        guard result >= 0 else { throw .opening(path.text, result, to: "open the directory") }
        self.init(result, path: path.text)
    }

    /// Closes it.
    ///
    /// - Throws: what close(2) says, which may be the first word on bytes that were lost.
    func close() throws(CopyFailure) {
        guard isOpen.exchange(false, ordering: .acquiringAndReleasing) else { return }
        let result = cdma_close(descriptor)
        guard result == 0 else { throw .closing(path, errno: -result) }
    }

    /// Says what close(2) says, and leaves it open: before a new file gets the name of the old one, while its lock is still needed.
    func checkClose() throws(CopyFailure) {
        var result = cdma_close_copy(descriptor)
        while result == -EINTR { result = cdma_close_copy(descriptor) }
        guard result == 0 else { throw .closing(path, errno: -result) }
    }

    /// - Throws: if it is not open in this direction: the parent process closed standard input or output.
    func checkIsOpen(toWrite: Bool) throws(CopyFailure) {
        guard cdma_is_open_for(descriptor, toWrite) != 0 else { return }
        throw CopyFailure(
            toWrite ? .writeFailed : .readFailed, path, asked: toWrite ? "write to" : "read",
            possible: "it is closed, or open for the other direction",
            cure: toWrite ? "open standard output, or name a file" : "open standard input, or name a file", errno: EBADF)
    }

    /// What it is now.
    func facts() throws(CopyFailure) -> FileFacts {
        // SAFETY: the C function writes a local structure.
        var facts = cdma_storage_facts()
        let result = unsafe cdma_storage_look(descriptor, "", true, &facts)
        guard result == 0 else { throw .opening(path, result, to: "look at") }
        return FileFacts(facts)
    }

    /// The size of a regular file or block device; nil of what has none.
    func size(_ facts: FileFacts) throws(CopyFailure) -> UInt64? {
        // SAFETY: the C function writes a local variable.
        switch facts.kind {
        case .regular: return facts.size
        case .block:
            var bytes: UInt64 = 0
            let result = unsafe cdma_block_size(descriptor, &bytes)
            guard result == 0 else { throw .opening(path, result, to: "learn the size of") }
            guard bytes > 0 else {
                throw CopyFailure(
                    .notSupported, path, asked: "open", possible: "the device has no medium: its size is 0",
                    cure: "put one in, or attach a file to the loop device (losetup)")
            }
            return bytes
        default: return nil
        }
    }

    /// Where a stream is inherited as non-blocking, engines and calls would see EAGAIN: the flag goes.
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
            // What poll(2) cannot watch, and what has failed, answers at the next call.
            if cdma_poll(descriptor, toWrite, 100) != 0 { return }
        }
    }

    /// Flushes it by fsync(2). False for what cannot be flushed: a stream, a directory or a file of a file system without the call.
    ///
    /// - Throws: `flushFailed`.
    @discardableResult
    func flush() throws(CopyFailure) -> Bool {
        let result = cdma_fsync(descriptor)
        if [EINVAL, EROFS, ENOSYS, EOPNOTSUPP, EBADF].contains(-result) { return false }
        try Self.check(path, flushed: result)
        return true
    }

    /// Flushes the whole file system that it lies on. False where that is not to be had.
    ///
    /// - Throws: `flushFailed`.
    func flushFileSystem() throws(CopyFailure) -> Bool {
        let result = cdma_syncfs(descriptor)
        if OptionalStep.isRefusal(-result) || result == -EBADF { return false }
        try Self.check(path, flushed: result)
        return true
    }

    /// Waits for the bytes that are on their way to the medium.
    ///
    /// - Throws: `flushFailed` where some did not arrive.
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
                cure: "see the kernel's log (dmesg): what was written before may be lost", errno: -result)
        }
    }
}
