// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// A source that is open and looked at.
struct CopySource {
    let endpoint: Endpoint
    /// nil for what this process makes.
    let file: OpenFile?
    let facts: FileFacts?
    /// Bytes; nil where there is no size to believe.
    let size: UInt64?

    var name: String { endpoint.description }

    /// Whether bytes are read by place; where not, in order and once.
    var hasPlaces: Bool { file == nil || facts?.kind.hasPlaces == true && size != nil }

    init(opening endpoint: Endpoint) throws(CopyFailure) {
        switch endpoint {
        case .path(let path):
            // Not blocking, so that a pipe that nobody writes to yet can be waited for in steps.
            let file = try OpenFile(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, for: "to read it")
            try self.init(endpoint, file)
        case .standard: try self.init(endpoint, OpenFile(0, path: "-", isOwned: false))
        case .descriptor(let number):
            try self.init(endpoint, OpenFile(number, path: endpoint.description, isOwned: false))
        case .memory(let size), .zero(let size): self.init(endpoint, makes: size)
        case .pattern(_, .some(let size)): self.init(endpoint, makes: size)
        case .pattern(_, nil):
            throw CopyFailure(
                .badEndpoint, endpoint.description, asked: "a stream without an end", possible: "one with a size, as a source",
                cure: "write \(endpoint):1GiB")
        case .null:
            throw CopyFailure(
                .badEndpoint, "null:", asked: "bytes from null:", possible: "it only takes them",
                cure: "use zero:SIZE for zeroes")
        }
    }

    private init(_ endpoint: Endpoint, makes size: UInt64) {
        self.endpoint = endpoint
        file = nil
        facts = nil
        self.size = size
    }

    private init(_ endpoint: Endpoint, _ file: OpenFile) throws(CopyFailure) {
        self.endpoint = endpoint
        self.file = file
        let facts = try file.facts()
        self.facts = facts
        switch facts.kind {
        case .directory:
            throw CopyFailure(
                .isDirectory, file.path, asked: "to copy a directory",
                possible: "single files: recursion is not this tool's job",
                cure: "find \(file.path) -type f -print0 | dmactl copy --files-from - TARGET")
        case .regular:
            // Files of /proc and /sys say 0, or a page, whatever a read gives.
            let isGenerated = Self.generated.contains(Room(file)?.kind ?? 0)
            // What others have opened may stand somewhere in its file: then the rest is read from there, in order.
            let isBehind = !endpoint.isPath && cdma_seek(file.descriptor, 0, SEEK_CUR) != 0
            size = facts.size == 0 || isGenerated || isBehind ? nil : facts.size
        case .block: size = try file.size(facts)
        default: size = nil
        }
        if case .path = endpoint, !facts.kind.hasPlaces { file.makeBlocking() }
    }

    /// Whether the file is what it was when it was opened.
    func isUnchanged() throws(CopyFailure) -> Bool {
        guard let file, let facts, facts.kind == .regular, size != nil else { return true }
        let now = try file.facts()
        return now.size == facts.size && now.modified == facts.modified
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
