// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

/// A descriptor that is closed once, when nobody uses it any more.
final class OpenFile: Sendable {
    let descriptor: Int32
    /// The name for messages.
    let path: String
    private let isOwned: Bool

    /// Takes over `descriptor`; one that is not owned is left open.
    init(_ descriptor: Int32, path: String, isOwned: Bool = true) {
        self.descriptor = descriptor
        self.path = path
        self.isOwned = isOwned
    }

    deinit { if isOwned { cdma_close(descriptor) } }

    /// Opens `path` below `directory`, or from the working directory.
    convenience init(
        _ path: String, _ flags: Int32, mode: UInt32 = 0, in directory: OpenFile? = nil, for purpose: String
    ) throws(CopyFailure) {
        // SAFETY: the path ends with a zero and lives until the call returns.
        let result = unsafe cdma_open(directory?.descriptor ?? AT_FDCWD, path, flags, mode)
        let name = directory.map { $0.path + "/" + path } ?? path
        guard result >= 0 else { throw .opening(name, result, for: purpose) }
        self.init(result, path: name)
    }

    /// What it is now.
    func facts() throws(CopyFailure) -> FileFacts {
        // SAFETY: the C function writes a local structure.
        var facts = cdma_storage_facts()
        let result = unsafe cdma_storage_look(descriptor, "", true, &facts)
        guard result == 0 else { throw .opening(path, result, for: "to look at it") }
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
            guard result == 0 else { throw .opening(path, result, for: "the size of the device") }
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
}
