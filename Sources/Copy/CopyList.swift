// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// A list of files, as find(1) writes it: separated by zero bytes, or by newlines where there is none.
package enum CopyList {
    /// Bytes of a list at most.
    static let largest = 256 << 20

    /// The paths of a list, in its order; empty ones are left out. With zero bytes, names may contain newlines.
    package static func paths(_ bytes: [UInt8]) -> [String] {
        let separator: UInt8 = bytes.contains(0) ? 0 : UInt8(ascii: "\n")
        return bytes.split(separator: separator).map { String(decoding: $0, as: UTF8.self) }
    }

    /// Reads a list from a file, or from standard input for `-`.
    ///
    /// - Throws: `notFound`, `notPermitted`, `readFailed`; `badList` for one that is too long, or not text.
    package static func read(_ path: String) throws(CopyFailure) -> [String] {
        // SAFETY: the C function writes at most as many bytes as the buffer has, and says how many; those count as filled.
        let file = path == "-" ? OpenFile(0, path: "-", isOwned: false) : try OpenFile(path, O_RDONLY, for: "to read the list")
        var bytes: [UInt8] = []
        while true {
            var count: Int64 = 0
            let piece = unsafe [UInt8](unsafeUninitializedCapacity: 1 << 20) { buffer, filled in
                // The C function writes at most `count` bytes and says how many.
                if let base = buffer.baseAddress { count = unsafe cdma_read_some(file.descriptor, base, buffer.count) }
                filled = max(0, Int(count))
            }
            guard count >= 0 else { throw .reading(path, at: UInt64(bytes.count), errno: Int32(-count)) }
            if count == 0 { break }
            bytes += piece
            guard bytes.count <= largest else {
                throw CopyFailure(
                    .badList, path, asked: "a list of more than \(ByteSize.text(UInt64(largest)))", possible: "shorter ones",
                    cure: "split it: xargs -0 -n 100000")
            }
        }
        let paths = paths(bytes)
        if let bad = paths.first(where: { $0.unicodeScalars.contains("\u{fffd}") }) {
            throw CopyFailure(
                .badList, path, asked: "to copy \"\(CopyFailure.quoted(bad))\"", possible: "names that are UTF-8",
                cure: "rename it (convmv), or copy it by cp")
        }
        return paths
    }

    /// Where a file of the list goes below `folder`: under its own path, without what leads out of it. Makes the folders between.
    ///
    /// - Throws: `badList` for a path with `..`; `notFound` where `folder` is none; what keeps a folder from being made.
    package static func place(_ path: String, below folder: String) throws(CopyFailure) -> String {
        // SAFETY: the path ends with a zero and lives until the call returns.
        let (folders, name) = try parts(path, below: folder)
        var place = folder
        for part in folders {
            place = PathText.joined(place, part)
            let result = unsafe cdma_make_folder(place, 0o777)
            guard result == 0 || result == -EEXIST else { throw .opening(place, result, for: "a directory") }
        }
        return PathText.joined(place, name)
    }

    /// Where ``place(_:below:)`` would put a file, and makes nothing: for plans.
    ///
    /// - Returns: the path; and one to plan with. That is the first folder on the way that is missing, where one is: what will be made
    ///   there is of the same file system, and a plan asks for no more.
    /// - Throws: as ``place(_:below:)``.
    package static func planned(_ path: String, below folder: String) throws(CopyFailure) -> (path: String, standIn: String) {
        let (folders, name) = try parts(path, below: folder)
        var place = folder
        var missing: String?
        for part in folders {
            place = PathText.joined(place, part)
            if missing == nil, try FileFacts.at(place) == nil { missing = place }
        }
        place = PathText.joined(place, name)
        return (place, missing ?? place)
    }

    private static func parts(_ path: String, below folder: String) throws(CopyFailure) -> (
        folders: [String], name: String
    ) {
        var parts = PathText.parts(path).filter { $0 != "." }
        guard !parts.contains(".."), let name = parts.popLast() else {
            throw CopyFailure(
                .badList, path, asked: "to copy it below \(folder)", possible: "paths without ..",
                cure: "run find from the right place")
        }
        guard let facts = try FileFacts.at(folder), facts.kind == .directory else {
            throw CopyFailure(
                .notFound, folder, asked: "a directory for the files of the list", possible: "not this: there is none",
                cure: "mkdir -p it, or name another")
        }
        return (parts, name)
    }
}
