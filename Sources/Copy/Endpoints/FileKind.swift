// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// The type of an open file: those of inode(7).
package enum FileKind: String, Sendable, Codable, CaseIterable {
    /// A file with a size, which can be positioned.
    case regular
    /// A disk, a partition, a loop device.
    case block
    /// A terminal, /dev/zero, a tape.
    case character
    /// A pipe, named or not.
    case pipe
    /// A connected socket.
    case socket
    /// A directory, which is not an endpoint of a copy.
    case directory
    /// Anything else.
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

    /// Whether it can be read and written at positions; if not, in order and once.
    package var hasPlaces: Bool { self == .regular || self == .block }
}

/// The facts about a file that statx(2) reports, at one moment.
struct FileFacts: Equatable, Sendable {
    var kind: FileKind
    var size: UInt64
    /// Bytes that are allocated for it, fewer than its size where it has holes.
    var allocated: UInt64
    var device: UInt64
    var inode: UInt64
    /// Of a device node, the number of the device.
    var special: UInt64
    var mode: UInt32
    var owner: UInt32
    var group: UInt32
    var links: UInt32
    var accessed: FileTime
    var modified: FileTime
    var changed: FileTime
    /// What memory addresses, and positions and lengths, of direct I/O must be multiples of; 0 where the kernel does not report it.
    var directMemoryAlignment: UInt32
    var directOffsetAlignment: UInt32
    /// Whether it cannot be changed, renamed or removed: chattr +i.
    var isImmutable: Bool
    /// Whether it can only be appended to, or as a directory only get new names: chattr +a.
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

    /// Whether both describe the same file.
    func isSameFile(_ other: FileFacts) -> Bool {
        if kind == .block, other.kind == .block { return special == other.special }
        return device == other.device && inode == other.inode
    }

    /// The facts about the file at a path; nil where there is none.
    ///
    /// - Throws: the error of statx(2).
    static func at(_ path: CopyPath, follow: Bool = true) throws(CopyFailure) -> FileFacts? {
        // SAFETY: the path ends with a zero and lives until the call returns; the C function writes a local structure.
        var facts = cdma_storage_facts()
        let result = unsafe cdma_storage_look(AT_FDCWD, path.cString, follow, &facts)
        if result == -ENOENT { return nil }
        guard result == 0 else { throw .opening(path.text, result, to: "examine") }
        return FileFacts(facts)
    }
}

/// A time stamp of a file.
struct FileTime: Equatable, Sendable {
    var seconds: Int64
    var nanoseconds: UInt32

    /// As it is written in a journal.
    var text: String { "\(seconds) \(nanoseconds)" }
}

extension FileTime {
    init?(_ seconds: Substring, _ nanoseconds: Substring) {
        guard let seconds = Int64(seconds), let nanoseconds = UInt32(nanoseconds) else { return nil }
        self.init(seconds: seconds, nanoseconds: nanoseconds)
    }
}
