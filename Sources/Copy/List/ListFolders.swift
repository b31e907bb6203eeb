// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// The directories between the target directory of a list and its files: made when a file comes for them.
///
/// A new directory has mode 700 until all its files are copied. Then it gets the mode of the directory that it is a copy of, and with
/// ``CopyOptions/preserves`` its owner, attributes and times.
package final class ListFolders {
    private let folder: CopyPath
    private let preserves: Bool
    /// Those that are there.
    private var known: Set<CopyPath> = []
    /// Those that were made, from the outside to the inside.
    private var made: [(source: CopyPath, facts: FileFacts, target: CopyPath)] = []

    /// Below `folder`, which is there.
    package init(below folder: CopyPath, preserves: Bool) {
        self.folder = folder
        self.preserves = preserves
    }

    /// Where a file of the list goes: under its own path. Makes the directories between.
    ///
    /// - Throws: `badList` for a path with `..`; `notFound` where the target directory is none; what keeps a directory from being made.
    package func place(_ path: CopyPath) throws(CopyFailure) -> CopyPath {
        // SAFETY: the path ends with a zero and lives until the call returns.
        let (folders, name) = try CopyList.parts(path, below: folder)
        if known.insert(folder).inserted {
            do throws(CopyFailure) { try CopyList.checkFolder(folder) } catch {
                known.remove(folder)
                throw error
            }
        }
        var place = folder
        var source: CopyPath = path.isAbsolute ? "/" : "."
        for part in folders {
            place = place.joined(part)
            source = source.joined(part)
            guard !known.contains(place) else { continue }
            let result = unsafe cdma_make_folder(place.cString, 0o700)
            guard result == 0 || result == -EEXIST else { throw .opening(place.text, result, to: "make the directory") }
            known.insert(place)
            if result == 0, let facts = try FileFacts.at(source) { made.append((source, facts, place)) }
        }
        return place.joined(name)
    }

    /// The files are there: gives the directories that were made what theirs have.
    ///
    /// - Returns: what could not be given, of which directory.
    package func finish() -> [(path: CopyPath, note: String)] {
        var notes: [(path: CopyPath, note: String)] = []
        // From the inside to the outside: afterwards this process may not look in any more.
        for (source, facts, target) in made.reversed() {
            do throws(CopyFailure) {
                let file = try OpenFile(target, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, for: "give its attributes to")
                let from = preserves ? try OpenFile(source, O_RDONLY | O_DIRECTORY, for: "read the attributes of") : nil
                let attributes = Attributes(
                    source: (facts, from), existing: nil, preserves: preserves, keepsTimes: preserves)
                try attributes.give(to: file) { notes.append((target, $0)) }
                try file.close()
            } catch { notes.append((target, "\(error)")) }
        }
        made = []
        return notes
    }
}
