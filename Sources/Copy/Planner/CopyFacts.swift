// SPDX-License-Identifier: Apache-2.0

/// The input of the planner: collected once, so that a plan depends on this value alone and can be tested without a disk.
package struct CopyFacts: Equatable, Sendable {
    /// The facts about one end.
    package struct Side: Equatable, Sendable {
        /// The file's type; nil for data of this process.
        package var kind: FileKind?
        /// Bytes; nil where it has no size, or a meaningless one (/proc).
        package var size: UInt64?
        /// Upper bound of the bytes that are data, not holes.
        package var data: UInt64?
        /// Whether it has holes, by lseek(2); nil where only `data` tells.
        package var hasHoles: Bool?
        /// Bytes of the data that are in the page cache; nil where the kernel does not report it.
        package var cachedBytes: UInt64?
        /// What positions and lengths of direct I/O must be multiples of; 0 where it is not supported.
        package var directAlignment: UInt32
        /// The number of its file system or device, to compare.
        package var device: UInt64
        /// The type of its file system, by the magic number of statfs(2).
        package var fileSystem: UInt64
        /// Bytes that the device accepts in one request; 0 where it is not known.
        package var largestRequest: UInt64

        /// An end that is not a file.
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

    /// Where the data comes from.
    package var source = Side()
    /// Where it goes.
    package var target = Side()
    /// Memory that can be allocated without swapping. Bytes.
    package var freeMemory: UInt64 = 1 << 30
    /// Bytes that may still be locked in memory.
    package var lockable: UInt64 = 0
    /// The best available engine for files; nil for none.
    package var engine: String?
    /// Processors that this process may run on.
    package var processors = 1
    /// The kernel's page. Bytes.
    package var page: UInt64 = 4096

    /// No facts.
    package init() {}

    /// Whether both are files of the same file system.
    var isSameFileSystem: Bool {
        source.kind == .regular && target.kind == .regular && source.device == target.device
    }

    /// Whether both are files that may be on one file system. Each subvolume of btrfs has a device number of its own, so only the attempt shows
    /// it there.
    var mayShareBlocks: Bool {
        source.kind == .regular && target.kind == .regular && source.fileSystem == target.fileSystem
    }

    /// The share of the source's data that must be read from the medium: 0…1; 1 where it is not known.
    var coldShare: Double {
        guard let cached = source.cachedBytes else { return 1 }
        let data = source.data ?? source.size ?? 0
        return data == 0 ? 0 : max(0, 1 - Double(cached) / Double(data))
    }
}
