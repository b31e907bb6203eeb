// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// What an interrupted copy leaves beside its part file: of which source it is, how far it came, and the CRC32C up to there.
///
/// A few lines of text. Whoever can write to the directory can write one, so that nothing of it is believed before the part file was
/// read and compared.
package struct ResumeJournal: Equatable {
    var device: UInt64
    var inode: UInt64
    var size: UInt64
    var modified: FileTime
    /// Bytes of the source, from its beginning, that are in the part file.
    var length: UInt64
    var crc: UInt32

    init?(of source: CopySource) {
        guard let facts = source.facts, facts.kind.hasPlaces, let size = source.size else { return nil }
        (device, inode, self.size, modified) = (facts.device, facts.inode, size, facts.modified)
        length = 0
        crc = 0
    }

    /// Whether both are of one source in one state.
    func isOfSameSource(_ other: ResumeJournal) -> Bool {
        device == other.device && inode == other.inode && size == other.size && modified == other.modified
    }

    package var text: String {
        """
        dmactl-journal 1
        source \(device) \(inode) \(size) \(modified.seconds) \(modified.nanoseconds)
        length \(length)
        crc32c \(String(crc, radix: 16))
        end

        """
    }

    /// Reads a journal; nil for anything that is none, or not whole.
    package init?(_ text: String) {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard text.utf8.count <= 1024, lines.count == 6, lines[0] == "dmactl-journal 1", lines[4] == "end", lines[5].isEmpty
        else {
            return nil
        }
        let source = lines[1].split(separator: " ")
        let length = lines[2].split(separator: " ")
        let crc = lines[3].split(separator: " ")
        guard source.count == 6, source[0] == "source", length.count == 2, length[0] == "length", crc.count == 2,
            crc[0] == "crc32c", let device = UInt64(source[1]), let inode = UInt64(source[2]), let size = UInt64(source[3]),
            let seconds = Int64(source[4]), let nanoseconds = UInt32(source[5]), let place = UInt64(length[1]),
            let sum = UInt32(crc[1], radix: 16), place <= size
        else { return nil }
        (self.device, self.inode, self.size) = (device, inode, size)
        modified = FileTime(seconds: seconds, nanoseconds: nanoseconds)
        self.length = place
        self.crc = sum
    }

    /// Puts the journal in the place of an older one, whole or not at all.
    func write(_ name: String, in directory: OpenFile) throws(CopyFailure) {
        // SAFETY: the array goes with its own count, and it and the names live until the calls return.
        let fresh = Self.fresh(name)
        let file = try OpenFile(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode: 0o600, in: directory, for: "a journal")
        let bytes = Array(text.utf8)
        let written = unsafe cdma_write_all(file.descriptor, bytes, bytes.count, 0)
        guard written == Int64(bytes.count) else { throw .writing(file.path, at: 0, errno: Int32(-written)) }
        let flushed = cdma_fdatasync(file.descriptor)
        let renamed = unsafe flushed == 0 ? cdma_rename(directory.descriptor, fresh, name) : flushed
        guard renamed == 0 else { throw .writing(file.path, at: 0, errno: -renamed) }
    }

    /// What a journal is called before it is whole.
    private static func fresh(_ name: String) -> String { name + "-new" }

    /// Removes a journal, and one that a copy was killed over.
    static func remove(_ name: String, in directory: OpenFile) {
        // SAFETY: the name ends with a zero and lives until the call returns.
        for name in [name, fresh(name)] { _ = unsafe cdma_remove(directory.descriptor, name) }
    }

    /// The journal of that name, if there is a readable one.
    static func read(_ name: String, in directory: OpenFile) -> ResumeJournal? {
        // SAFETY: the C function writes at most as many bytes as the buffer has, and says how many; those count as filled.
        guard let file = try? OpenFile(name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, in: directory, for: "the journal") else {
            return nil
        }
        var length: Int64 = 0
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: 2048) { buffer, filled in
            // The C function writes at most `count` bytes and says how many.
            if let base = buffer.baseAddress { length = unsafe cdma_read_all(file.descriptor, base, buffer.count, 0) }
            filled = max(0, Int(length))
        }
        return length < 0 ? nil : ResumeJournal(String(decoding: bytes, as: UTF8.self))
    }
}
