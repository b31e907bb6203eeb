// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAUnits
internal import Glibc

/// Why there is no file to measure with: a sentence that says what was asked, what is possible, and the cure.
struct FileRefusal: Error, Hashable {
    let text: String
}

/// A file that peripheral operations read or write. It has no name any more once it is open, and is gone with this value or with the
/// process, however either ends.
final class BenchFile: Sendable {
    /// Open for reading and writing, through the page cache.
    let descriptor: Int32
    let bytes: Int

    /// A file of `bytes` bytes in `directory`, all of them written: what is measured allocates nothing.
    ///
    /// - Parameter stop: where it comes, no file is made.
    init(in directory: String, bytes: Int, _ stop: StopRequest? = nil) throws(FileRefusal) {
        self.bytes = bytes
        descriptor = try BenchFile.open(in: directory)
        do throws(FileRefusal) {
            // A file in memory counts against a control group, and may be the end of the process.
            let budget = MemoryBudget.current
            if BenchFile.isInMemory(descriptor), budget.available / 2 < UInt64(bytes) {
                let there = budget.sentence { "\($0 >> 20) MiB" }
                throw FileRefusal(
                    text:
                        "\(directory) is in memory: a file of \(ByteSize.exact(bytes)) was asked for, \(there); choose a smaller file or a directory on a disk"
                )
            }
            let free = BenchFile.free(descriptor)
            guard free.map({ UInt64(bytes) <= $0 }) ?? true else { throw BenchFile.full(directory, bytes, free) }
            try fill(directory, stop)
        } catch {
            close(descriptor)
            throw error
        }
    }

    deinit { close(descriptor) }

    /// Where files go by default: TMPDIR, or /tmp.
    static var defaultDirectory: String {
        // SAFETY: the string of getenv is copied at once; no code of this process changes the environment.
        guard let text = unsafe getenv("TMPDIR").map({ unsafe String(cString: $0) }), !text.isEmpty else { return "/tmp" }
        return text
    }

    private static func open(in directory: String) throws(FileRefusal) -> Int32 {
        var refusal: Int32 = 0
        for _ in 0..<100 {
            let path = "\(directory)/dma-bench-\(UInt64.random(in: 0 ... .max))"
            // SAFETY: the path is a string of this function's; the C functions read it to its zero and keep no pointer. What strerror
            // answers is copied at once.
            let file = unsafe cdma_open(AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL, 0o600)
            if file >= 0 {
                unsafe unlink(path)
                return file
            }
            refusal = -file
            if refusal != EEXIST { break }
        }
        throw FileRefusal(
            text:
                "\(directory): no file can be made there: \(unsafe String(cString: strerror(refusal))); choose another directory"
        )
    }

    /// Bytes that this process may still write to the file's file system; nil where it is not known.
    private static func free(_ file: Int32) -> UInt64? {
        var facts = statvfs()
        // Some count nothing, as ramfs.
        // SAFETY: the C function fills `facts`, which is as large as it writes.
        guard unsafe fstatvfs(file, &facts) == 0, facts.f_blocks > 0 else { return nil }
        let (bytes, isMore) = UInt64(facts.f_bavail).multipliedReportingOverflow(by: UInt64(facts.f_frsize))
        return isMore ? .max : bytes
    }

    /// Whether a file's bytes are this machine's memory: tmpfs or ramfs (linux/magic.h).
    private static func isInMemory(_ file: Int32) -> Bool {
        var facts = statfs()
        // SAFETY: the C function fills `facts`, which is as large as it writes.
        guard unsafe fstatfs(file, &facts) == 0 else { return false }
        return [0x0102_1994, 0x8584_58f6].contains(UInt32(truncatingIfNeeded: facts.f_type))
    }

    private static func full(_ directory: String, _ bytes: Int, _ free: UInt64?) -> FileRefusal {
        let room = free.map { "\($0 >> 20) MiB are free" } ?? "there is no room"
        return FileRefusal(
            text:
                "\(directory): a file of \(ByteSize.exact(bytes)) was asked for, \(room); choose a smaller file or another directory"
        )
    }

    private func fill(_ directory: String, _ stop: StopRequest?) throws(FileRefusal) {
        var piece = [UInt8](repeating: 0, count: min(bytes, 1 << 20))
        var done = 0
        while done < bytes {
            guard !stop.isStopped else { throw FileRefusal(text: "\(directory): stopped") }
            let count = min(piece.count, bytes - done)
            // Eight-bit integers: any byte is one.
            var span = piece.mutableSpan
            // SAFETY: eight-bit integers have no pattern that is none, and `count` is at most the length of `piece`, which lives through
            // the call.
            var raw = unsafe span.mutableBytes
            FilePattern.fill(&raw, from: done)
            let written = unsafe piece.withUnsafeBytes { unsafe cdma_write_all(descriptor, $0.baseAddress, count, Int64(done)) }
            guard written == Int64(count) else { throw refusal(directory, Int32(clamping: -written)) }
            done += count
            // What is not yet on the medium would get there while something else is measured. In pieces: nothing stops a flush.
            guard done % (64 << 20) == 0 || done == bytes else { continue }
            let refused = cdma_file_sync(descriptor, true)
            guard refused == 0 else { throw refusal(directory, -refused) }
        }
    }

    private func refusal(_ directory: String, _ code: Int32) -> FileRefusal {
        if code == ENOSPC || code == EDQUOT || code == EFBIG {
            return BenchFile.full(directory, bytes, BenchFile.free(descriptor))
        }
        return FileRefusal(text: "\(directory): \(unsafe String(cString: strerror(code))); choose another directory")
    }
}

/// The files of one run: one to be read and one to be written for each directory and size, made when they are first asked for.
struct BenchFiles {
    private struct Key: Hashable {
        let directory: String
        let bytes: Int
        let isRead: Bool
    }

    private let stop: StopRequest?
    private var files: [Key: Result<BenchFile, FileRefusal>] = [:]

    init(_ stop: StopRequest?) { self.stop = stop }

    mutating func file(_ settings: BenchSettings, isRead: Bool) -> Result<BenchFile, FileRefusal> {
        let key = Key(directory: settings.directory ?? BenchFile.defaultDirectory, bytes: settings.fileSize, isRead: isRead)
        if let known = files[key] { return known }
        let made = Result { () throws(FileRefusal) in try BenchFile(in: key.directory, bytes: key.bytes, stop) }
        files[key] = made
        return made
    }
}
