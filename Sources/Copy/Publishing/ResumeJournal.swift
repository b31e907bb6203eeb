// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

/// What an interrupted copy leaves beside its part file: the identity of its source, how much was copied, and the CRC32C of that.
///
/// A few lines of text. Every user who may write to the directory can write one, so it is trusted only after the part file has been read
/// and compared.
package struct ResumeJournal: Equatable {
    var device: UInt64
    var inode: UInt64
    var size: UInt64
    var modified: FileTime
    /// The source's status change time (ctime), which utimensat(2) cannot set, unlike `modified`.
    var changed: FileTime
    /// Of a block device, the number of its medium, where the kernel counts them; else 0.
    var medium: UInt64
    /// Bytes of the source, from its start, that are in the part file.
    var length: UInt64
    var crc: UInt32

    init?(of source: CopySource) {
        // SAFETY: the C function writes a local variable.
        guard let facts = source.facts, facts.kind.hasPlaces, let size = source.size, let file = source.file else { return nil }
        (device, inode, self.size, modified, changed) = (facts.device, facts.inode, size, facts.modified, facts.changed)
        var medium: UInt64 = 0
        // The times of a device node do not belong to the device.
        if facts.kind == .block {
            (device, inode) = (0, facts.special)
            _ = unsafe cdma_block_sequence(file.descriptor, &medium)
        }
        self.medium = medium
        length = 0
        crc = 0
    }

    /// Whether both describe the same source in the same state.
    func isOfSameSource(_ other: ResumeJournal) -> Bool {
        device == other.device && inode == other.inode && size == other.size && modified == other.modified
            && changed == other.changed && medium == other.medium
    }

    package var text: String {
        """
        dmactl-journal 2
        source \(device) \(inode) \(size) \(modified.text) \(changed.text) \(medium)
        length \(length)
        crc32c \(String(crc, radix: 16))
        end

        """
    }

    /// Reads a journal; nil for anything that is not a complete journal.
    package init?(_ text: String) {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard text.utf8.count <= 1024, lines.count == 6, lines[0] == "dmactl-journal 2", lines[4] == "end", lines[5].isEmpty
        else {
            return nil
        }
        let source = lines[1].split(separator: " ")
        let length = lines[2].split(separator: " ")
        let crc = lines[3].split(separator: " ")
        guard source.count == 9, source[0] == "source", length.count == 2, length[0] == "length", crc.count == 2,
            crc[0] == "crc32c", let device = UInt64(source[1]), let inode = UInt64(source[2]), let size = UInt64(source[3]),
            let modified = FileTime(source[4], source[5]), let changed = FileTime(source[6], source[7]),
            let medium = UInt64(source[8]), let place = UInt64(length[1]), let sum = UInt32(crc[1], radix: 16), place <= size
        else { return nil }
        (self.device, self.inode, self.size) = (device, inode, size)
        (self.modified, self.changed, self.medium) = (modified, changed, medium)
        self.length = place
        self.crc = sum
    }

    /// Replaces an older journal atomically.
    func write(_ name: CopyPath, in directory: OpenFile) throws(CopyFailure) {
        try WholeFile.replace(
            name, by: Self.fresh(name), with: Array(text.utf8), mode: 0o600, in: directory, for: "write the journal")
    }

    /// The name of a journal until it is complete.
    private static func fresh(_ name: CopyPath) -> CopyPath { CopyPath(bytes: name.bytes + "-new".utf8) }

    /// Removes a journal, and an incomplete one of a killed copy.
    ///
    /// - Returns: what was not removed, and why.
    @discardableResult
    static func remove(_ name: CopyPath, in directory: OpenFile) -> [String] {
        // SAFETY: the name ends with a zero and lives until the call returns.
        [name, fresh(name)].compactMap { name in
            let result = unsafe cdma_remove(directory.descriptor, name.cString)
            guard result != 0, result != -ENOENT else { return nil }
            return "\(directory.path)/\(name), which cannot be removed: \(DMAError.sentence(-result))"
        }
    }

    /// The journal with that name, if there is a complete one.
    static func read(_ name: CopyPath, in directory: OpenFile) -> ResumeJournal? {
        // SAFETY: the C function writes at most as many bytes as the buffer has, and says how many; those count as filled.
        guard let file = try? OpenFile(name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, in: directory, for: "read the journal") else {
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
