// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// What stands behind a descriptor: the file types of inode(7).
package enum FileKind: String, Sendable, Codable, CaseIterable {
    /// A file with places and a size.
    case regular
    /// A disk, a partition, a loop device.
    case block
    /// A terminal, /dev/zero, a tape.
    case character
    /// A pipe, with a name or without.
    case pipe
    /// A connected socket.
    case socket
    /// No endpoint of a copy.
    case directory
    /// Nothing that a copy knows.
    case other

    init(mode: UInt32) {
        self =
            switch mode & 0o170000 {
            case 0o100000: .regular
            case 0o060000: .block
            case 0o020000: .character
            case 0o010000: .pipe
            case 0o140000: .socket
            case 0o040000: .directory
            default: .other
            }
    }

    /// Whether bytes have places: what has none is read and written in order, once.
    package var hasPlaces: Bool { self == .regular || self == .block }
}

/// What a file is, as statx(2) says it at one moment.
struct FileFacts: Equatable, Sendable {
    var kind: FileKind
    var size: UInt64
    /// Bytes that it takes on its file system, which is less than its size where it has holes.
    var allocated: UInt64
    var device: UInt64
    var inode: UInt64
    /// Of a device's node, the device.
    var special: UInt64
    var mode: UInt32
    var owner: UInt32
    var group: UInt32
    var links: UInt32
    var accessed: FileTime
    var modified: FileTime
    var changed: FileTime
    /// What direct I/O asks of memory addresses, and of positions and lengths; 0 where the kernel does not say.
    var directMemoryAlignment: UInt32
    var directOffsetAlignment: UInt32
    /// Whether it may not be changed, renamed or removed: chattr +i.
    var isImmutable: Bool
    /// Whether it may only grow; a directory: only get names. chattr +a.
    var isAppendOnly: Bool

    init(_ facts: cdma_storage_facts) {
        kind = FileKind(mode: facts.mode)
        size = facts.size
        allocated = facts.blocks.multipliedReportingOverflow(by: 512).partialValue
        device = facts.device
        inode = facts.inode
        special = facts.special
        mode = facts.mode & 0o7777
        owner = facts.owner
        group = facts.group
        links = facts.links
        accessed = FileTime(seconds: facts.accessed_seconds, nanoseconds: facts.accessed_nanoseconds)
        modified = FileTime(seconds: facts.modified_seconds, nanoseconds: facts.modified_nanoseconds)
        changed = FileTime(seconds: facts.changed_seconds, nanoseconds: facts.changed_nanoseconds)
        directMemoryAlignment = facts.direct_memory_alignment
        directOffsetAlignment = facts.direct_offset_alignment
        isImmutable = facts.attributes & UInt64(CDMA_STATX_IMMUTABLE) != 0
        isAppendOnly = facts.attributes & UInt64(CDMA_STATX_APPEND) != 0
    }

    /// Whether both are one file, by whatever names.
    func isSameFile(_ other: FileFacts) -> Bool {
        if kind == .block, other.kind == .block { return special == other.special }
        return device == other.device && inode == other.inode
    }

    /// The file at a path, or nil where there is none.
    ///
    /// - Throws: what keeps the path from being looked at.
    static func at(_ path: CopyPath, follow: Bool = true) throws(CopyFailure) -> FileFacts? {
        // SAFETY: the path ends with a zero and lives until the call returns; the C function writes a local structure.
        var facts = cdma_storage_facts()
        let result = unsafe cdma_storage_look(AT_FDCWD, path.cString, follow, &facts)
        if result == -ENOENT { return nil }
        guard result == 0 else { throw .opening(path.text, result, to: "look at") }
        return FileFacts(facts)
    }
}

/// A moment of a file, as the file system keeps it.
struct FileTime: Equatable, Sendable {
    var seconds: Int64
    var nanoseconds: UInt32

    /// As a journal has it.
    var text: String { "\(seconds) \(nanoseconds)" }
}

extension FileTime {
    init?(_ seconds: Substring, _ nanoseconds: Substring) {
        guard let seconds = Int64(seconds), let nanoseconds = UInt32(nanoseconds) else { return nil }
        self.init(seconds: seconds, nanoseconds: nanoseconds)
    }
}
