// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

/// What an interrupted copy leaves beside its part file: of which source it is, how far it came, and the CRC32C up to there.
///
/// A few lines of text. Whoever can write to the directory can write one, so that nothing of it is believed before the part file was
/// read and compared.
package struct ResumeJournal: Equatable {
    var device: UInt64
    var inode: UInt64
    var size: UInt64
    var modified: FileTime
    /// The source's status change time (ctime), which utimensat(2) cannot set, unlike `modified`.
    var changed: FileTime
    /// Of a block device, which medium is in it, where the kernel counts them; else 0.
    var medium: UInt64
    /// Bytes of the source, from its beginning, that are in the part file.
    var length: UInt64
    var crc: UInt32

    init?(of source: CopySource) {
        // SAFETY: the C function writes a local variable.
        guard let facts = source.facts, facts.kind.hasPlaces, let size = source.size, let file = source.file else { return nil }
        (device, inode, self.size, modified, changed) = (facts.device, facts.inode, size, facts.modified, facts.changed)
        var medium: UInt64 = 0
        // Of a device's node the times say nothing of the device.
        if facts.kind == .block {
            (device, inode) = (0, facts.special)
            _ = unsafe cdma_block_sequence(file.descriptor, &medium)
        }
        self.medium = medium
        length = 0
        crc = 0
    }

    /// Whether both are of one source in one state.
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

    /// Reads a journal; nil for anything that is none, or not whole.
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

    /// Puts the journal in the place of an older one, whole or not at all.
    func write(_ name: CopyPath, in directory: OpenFile) throws(CopyFailure) {
        // SAFETY: the array goes with its own count, and it and the names live until the calls return.
        let fresh = Self.fresh(name)
        let file = try OpenFile(
            fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode: 0o600, in: directory, for: "write the journal")
        let bytes = Array(text.utf8)
        let written = unsafe cdma_write_all(file.descriptor, bytes, bytes.count, 0)
        guard written == Int64(bytes.count) else { throw .writing(file.path, at: 0, errno: Int32(-written)) }
        try file.flush()
        try file.close()
        let renamed = unsafe cdma_rename(directory.descriptor, fresh.cString, name.cString)
        guard renamed == 0 else { throw .writing(file.path, errno: -renamed, when: "when it was renamed") }
        try directory.flush()
    }

    /// What a journal is called before it is whole.
    private static func fresh(_ name: CopyPath) -> CopyPath { CopyPath(bytes: name.bytes + "-new".utf8) }

    /// Removes a journal, and one that a copy was killed over.
    ///
    /// - Returns: what is left, and why.
    @discardableResult
    static func remove(_ name: CopyPath, in directory: OpenFile) -> [String] {
        // SAFETY: the name ends with a zero and lives until the call returns.
        [name, fresh(name)].compactMap { name in
            let result = unsafe cdma_remove(directory.descriptor, name.cString)
            guard result != 0, result != -ENOENT else { return nil }
            return "\(directory.path)/\(name), which cannot be removed: \(DMAError.sentence(-result))"
        }
    }

    /// The journal of that name, if there is a readable one.
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
