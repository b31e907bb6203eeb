// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// The file that keeps a rescue's map: read once at the start, and replaced whole each time the map is saved.
struct RescueMapFile {
    private let site: FileSite
    private let directory: OpenFile
    private let mode: UInt32
    /// The map that the file held; nil where there was none.
    let found: RescueMap?

    /// Opens the directory and reads the map, if there is one.
    ///
    /// - Parameter others: the source and the target, which are no place for a map.
    /// - Throws: `badJournal` for a file that is no map; what keeps it from being read.
    init(_ path: CopyPath, others: [FileFacts]) throws(CopyFailure) {
        try path.check()
        let facts = try FileFacts.at(path)
        site = try FileSite(facts == nil ? path : try RealPath.of(path), existing: facts)
        directory = try OpenFile(directory: site.directory)
        mode = facts?.mode ?? 0o666 & ~Attributes.userMask
        guard let facts else {
            found = nil
            return
        }
        if others.contains(where: { $0.isSameFile(facts) }) {
            throw CopyFailure(
                .sameFile, path.text, asked: "keep the map in", possible: "it is the source or the target of the rescue",
                cure: "Name another file for the map.")
        }
        guard facts.kind == .regular else {
            throw CopyFailure(
                .notSupported, path.text, asked: "keep the map in", possible: "it is not a regular file",
                cure: "Name a regular file for the map.")
        }
        let text = try Self.read(site.path)
        do throws(RescueMap.Flaw) { found = try RescueMap.parse(text) } catch {
            throw Self.refusal(
                path, "line \(error.line) is not part of a map: \(error.reason)",
                "Name the map of this rescue, or a file that does not exist yet.")
        }
    }

    static func refusal(_ path: CopyPath, _ reason: String, _ cure: String) -> CopyFailure {
        CopyFailure(.badJournal, path.text, asked: "use the map", possible: reason, cure: cure)
    }

    /// Puts a map in the place of the last one, flushed.
    ///
    /// - Throws: `writeFailed` and its kinds.
    func save(_ map: RescueMap, comments: [String]) throws(CopyFailure) {
        try WholeFile.replace(
            site.name, by: OpenTarget.hidden(site.name, "map-new"), with: map.text(comments: comments), mode: mode,
            in: directory, for: "write the map")
    }

    private static func read(_ path: CopyPath) throws(CopyFailure) -> [UInt8] {
        // SAFETY: the C function writes at most as many bytes as the buffer has, and says how many; those count as filled.
        let file = try OpenFile(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, for: "read the map")
        // One byte more than a map may have shows that there is too much.
        let most = UInt64(RescueMap.largestText) + 1
        let size = Int(min(try file.facts().size, most))
        var count: Int64 = 0
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: max(size, 1)) { buffer, filled in
            // The C function writes at most `count` bytes and says how many.
            if let base = buffer.baseAddress { count = unsafe cdma_read_all(file.descriptor, base, size, 0) }
            filled = max(0, Int(count))
        }
        guard count >= 0 else { throw .reading(path.text, at: 0, errno: Int32(-count)) }
        return bytes
    }
}
