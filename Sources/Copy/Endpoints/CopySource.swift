// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// A source that is open, with the facts about it.
struct CopySource {
    let endpoint: Endpoint
    /// nil where the data is in this process.
    let file: OpenFile?
    let facts: FileFacts?
    /// Bytes, as the file reported when it was opened; nil where it reports none. The copy of a file ends only when a read returns 0.
    let size: UInt64?
    /// The type of its file system, by the magic number of statfs(2); 0 where it is not known.
    let fileSystem: UInt64

    var name: String { endpoint.description }

    /// Whether it is read at positions; if not, in order and once.
    var hasPlaces: Bool { file == nil || facts?.kind.hasPlaces == true && size != nil }

    init(opening endpoint: Endpoint) throws(CopyFailure) {
        switch endpoint {
        case .path(let path):
            try path.check()
            try self.init(endpoint, try Self.open(path))
        case .standard:
            let file = OpenFile(0, path: "-", isOwned: false)
            try file.checkIsOpen(toWrite: false)
            try self.init(endpoint, file)
        case .descriptor(let number):
            let file = OpenFile(number, path: endpoint.description, isOwned: false)
            try file.checkIsOpen(toWrite: false)
            try self.init(endpoint, file)
        case .buffer(let buffer): self.init(endpoint, makes: UInt64(buffer.count))
        case .memory(let size), .zero(let size): self.init(endpoint, makes: size)
        case .pattern(_, .some(let size)): self.init(endpoint, makes: size)
        case .pattern(_, nil):
            throw CopyFailure(
                .badEndpoint, endpoint.description, asked: "read", possible: "the stream has no end",
                cure: "Add a size, as in \(endpoint):1GiB.")
        case .null:
            throw CopyFailure(
                .badEndpoint, "null:", asked: "read", possible: "it can only be written", cure: "Use zero:SIZE for zeros.")
        }
    }

    private init(_ endpoint: Endpoint, makes size: UInt64) {
        self.endpoint = endpoint
        file = nil
        facts = nil
        fileSystem = 0
        self.size = size
    }

    private init(_ endpoint: Endpoint, _ file: OpenFile) throws(CopyFailure) {
        self.endpoint = endpoint
        self.file = file
        let facts = try file.facts()
        self.facts = facts
        let fileSystem = Room(file)?.kind ?? 0
        self.fileSystem = fileSystem
        switch facts.kind {
        case .directory:
            throw CopyFailure(
                .isDirectory, file.path, asked: "copy", possible: "it is a directory",
                cure: "Copy a list of its files, as find \(CopyFailure.quoted(file.path)) -type f -print0 prints it.")
        case .regular:
            // Files in /proc and /sys report a size of 0, or of a page, whatever a read returns.
            let isGenerated = Self.generated.contains(fileSystem)
            // A descriptor of the caller may have an offset: the rest of the file is read from there, in order.
            let isBehind = !endpoint.isPath && cdma_seek(file.descriptor, 0, SEEK_CUR) != 0
            size = facts.size == 0 || isGenerated || isBehind ? nil : facts.size
        case .block: size = try file.size(facts)
        default: size = nil
        }
        if case .path = endpoint, !facts.kind.hasPlaces { file.makeBlocking() }
    }

    /// Determines the file type with O_PATH before it opens the file for reading. A FIFO is opened with O_NONBLOCK, because it may have no
    /// writer yet, and the copier waits for one in steps. Files and devices are opened without it: open(2) then waits until a lease is
    /// released, and fails for a drive without a medium.
    private static func open(_ path: CopyPath) throws(CopyFailure) -> OpenFile {
        // SAFETY: the path ends with a zero and lives until the call returns.
        let looked = unsafe cdma_open_path(path.cString)
        guard looked >= 0 else { throw .opening(path.text, looked, to: "read") }
        let place = OpenFile(looked, path: path.text)
        let facts = try place.facts()
        switch facts.kind {
        case .regular, .block, .directory:
            var result = cdma_open_again(looked, O_RDONLY | O_NOCTTY)
            // Without /proc, by its name: another file may have got it meanwhile.
            if result == -ENOENT { result = unsafe cdma_open(AT_FDCWD, path.cString, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0) }
            guard result >= 0 else { throw .opening(path.text, result, to: "read") }
            let file = OpenFile(result, path: path.text)
            file.makeBlocking()
            return file
        default:
            return try OpenFile(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, for: "read")
        }
    }

    /// Whether the file was written since it was opened.
    func wasWritten(_ now: FileFacts) -> Bool {
        guard let facts else { return false }
        return now.modified != facts.modified || now.changed != facts.changed || now.size < facts.size
    }

    /// proc, sysfs, debugfs, tracefs, cgroup2. Source: linux/magic.h.
    private static let generated: Set<UInt64> = [0x9fa0, 0x6265_6572, 0x6462_6720, 0x7472_6163, 0x6367_7270]
}

/// What statfs(2) says of the file system of an open file.
struct Room {
    let available: UInt64
    let kind: UInt64

    init?(_ file: OpenFile) {
        // SAFETY: the C function writes a local structure.
        var room = cdma_room()
        guard unsafe cdma_storage_room(file.descriptor, &room) == 0 else { return nil }
        available = room.available
        kind = room.kind
    }
}
