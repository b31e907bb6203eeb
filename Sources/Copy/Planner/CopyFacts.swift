// SPDX-License-Identifier: Apache-2.0

/// What the planner looks at: gathered once, so that a plan follows from this value alone and can be tested without a disk.
package struct CopyFacts: Equatable, Sendable {
    /// What is known of one end.
    package struct Side: Equatable, Sendable {
        /// The file's type; nil for what this process makes or takes.
        package var kind: FileKind?
        /// Bytes; nil where it has no size, or one that is not to be believed (/proc).
        package var size: UInt64?
        /// Bytes that are data, not holes, at most.
        package var data: UInt64?
        /// Whether it has holes, where the file system was asked; nil where `data` has to tell.
        package var hasHoles: Bool?
        /// Of the data, how much is in the page cache; nil where the kernel does not say.
        package var cachedBytes: UInt64?
        /// What direct I/O asks of positions and lengths; 0 where the file system has none.
        package var directAlignment: UInt32
        /// The file system or device it lives on, to compare.
        package var device: UInt64
        /// Which file system, by the magic number of statfs(2).
        package var fileSystem: UInt64
        /// Bytes that the device takes in one request; 0 where that is not known.
        package var largestRequest: UInt64

        /// An end that is no file.
        package init(
            kind: FileKind? = nil, size: UInt64? = nil, data: UInt64? = nil, cachedBytes: UInt64? = nil,
            directAlignment: UInt32 = 0, device: UInt64 = 0, fileSystem: UInt64 = 0, largestRequest: UInt64 = 0
        ) {
            self.kind = kind
            self.size = size
            self.data = data
            self.cachedBytes = cachedBytes
            self.directAlignment = directAlignment
            self.device = device
            self.fileSystem = fileSystem
            self.largestRequest = largestRequest
        }
    }

    /// Where bytes come from.
    package var source = Side()
    /// Where they go.
    package var target = Side()
    /// Memory that can be taken without anybody swapping. Bytes.
    package var freeMemory: UInt64 = 1 << 30
    /// Bytes that may still be locked in memory.
    package var lockable: UInt64 = 0
    /// The best engine for files that is there; nil for none.
    package var engine: String?
    /// The kernel's page. Bytes.
    package var page: UInt64 = 4096

    /// Nothing known.
    package init() {}

    /// Whether both are files of the same file system.
    var isSameFileSystem: Bool {
        source.kind == .regular && target.kind == .regular && source.device == target.device
    }

    /// Whether both are files that may lie on one file system. Each subvolume of btrfs has a device number of its own: there the kernel alone
    /// knows.
    var mayShareBlocks: Bool {
        source.kind == .regular && target.kind == .regular && source.fileSystem == target.fileSystem
    }

    /// How much of the source's data has to come from the medium: 0…1; 1 where nobody knows.
    var coldShare: Double {
        guard let cached = source.cachedBytes else { return 1 }
        let data = source.data ?? source.size ?? 0
        return data == 0 ? 0 : max(0, 1 - Double(cached) / Double(data))
    }
}
