// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAUnits

/// A list of files, as find(1) writes it: separated by zero bytes, or by newlines where it has no zero bytes.
package enum CopyList {
    /// Bytes of a list at most.
    static let largest = 256 << 20

    /// The paths of a list, in its order, without empty ones. With zero bytes as separators, names may contain newlines.
    package static func paths(_ bytes: [UInt8]) -> [CopyPath] {
        let separator: UInt8 = bytes.contains(0) ? 0 : UInt8(ascii: "\n")
        return bytes.split(separator: separator).map { CopyPath(bytes: $0) }
    }

    /// Reads a list from a file, or from standard input for `-`.
    ///
    /// - Throws: `notFound`, `notPermitted`, `readFailed`; `badEndpoint` where standard input is closed; `badList` for one that is too long.
    package static func read(_ path: CopyPath) throws(CopyFailure) -> [CopyPath] {
        // SAFETY: the C function writes at most as many bytes as the buffer has, and says how many; those count as filled.
        let file = path == "-" ? OpenFile(0, path: "-", isOwned: false) : try OpenFile(path, O_RDONLY, for: "read the list")
        try file.checkIsOpen(toWrite: false)
        var bytes: [UInt8] = []
        while true {
            var count: Int64 = 0
            let piece = unsafe [UInt8](unsafeUninitializedCapacity: 1 << 20) { buffer, filled in
                // The C function writes at most `count` bytes and says how many.
                if let base = buffer.baseAddress { count = unsafe cdma_read_some(file.descriptor, base, buffer.count) }
                filled = max(0, Int(count))
            }
            guard count >= 0 else { throw .reading(path.text, at: UInt64(bytes.count), errno: Int32(-count)) }
            if count == 0 { break }
            bytes += piece
            guard bytes.count <= largest else {
                throw CopyFailure(
                    .badList, path.text, asked: "read the list", possible: "it has more than \(ByteSize.text(UInt64(largest)))",
                    cure: "Split it, as with xargs -0 -n 100000.")
            }
        }
        return paths(bytes)
    }

    /// Where a file of the list goes below `folder`: under its own path, without what leads out of it. Creates nothing: for plans.
    ///
    /// - Returns: the path, and one to plan with: the first missing folder, if any. What is created there will be on the same file system,
    ///   which is all that a plan needs.
    /// - Throws: `badList` for a path with `..`; `notFound` where `folder` is not a directory.
    package static func planned(
        _ path: CopyPath, below folder: CopyPath
    ) throws(CopyFailure) -> (path: CopyPath, standIn: CopyPath) {
        let (folders, name) = try parts(path, below: folder)
        try checkFolder(folder)
        var place = folder
        var missing: CopyPath?
        for part in folders {
            place = place.joined(part)
            if missing == nil, try FileFacts.at(place) == nil { missing = place }
        }
        place = place.joined(name)
        return (place, missing ?? place)
    }

    static func parts(_ path: CopyPath, below folder: CopyPath) throws(CopyFailure) -> (folders: [CopyPath], name: CopyPath) {
        var parts = path.parts().filter { $0 != "." }
        guard !parts.contains(".."), let name = parts.popLast() else {
            throw CopyFailure(
                .badList, path.text, asked: "copy", possible: "its path contains .., which leads out of \(folder)",
                cure: "Run find in the directory whose files are to be copied.")
        }
        return (parts, name)
    }

    static func checkFolder(_ folder: CopyPath) throws(CopyFailure) {
        guard let facts = try FileFacts.at(folder), facts.kind == .directory else {
            throw CopyFailure(
                .notFound, folder.text, asked: "copy files of a list to", possible: "it is not a directory",
                cure: "Create it with mkdir -p, or name another one.")
        }
    }

    /// Whether both paths lead to one file, as `a` and `./a` do.
    package static func isSameFile(_ one: CopyPath, _ other: CopyPath) throws(CopyFailure) -> Bool {
        if one == other { return true }
        guard let one = try FileFacts.at(one), let other = try FileFacts.at(other) else { return false }
        return one.isSameFile(other)
    }
}
