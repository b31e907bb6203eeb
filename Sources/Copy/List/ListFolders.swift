// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// The directories between the target directory of a list and its files: created when a file needs them.
///
/// A new directory has mode 700 until all its files are copied. Then it gets the mode of the directory that it is a copy of, and with
/// ``CopyOptions/preserves`` its owner, attributes and times.
package final class ListFolders {
    private let folder: CopyPath
    private let preserves: Bool
    /// Directories that exist.
    private var known: Set<CopyPath> = []
    /// Directories that were created, outer ones first.
    private var made: [(source: CopyPath, facts: FileFacts, target: CopyPath)] = []

    /// Below `folder`, which exists.
    package init(below folder: CopyPath, preserves: Bool) {
        self.folder = folder
        self.preserves = preserves
    }

    /// Where a file of the list goes: under its own path. Creates the directories between.
    ///
    /// - Throws: `badList` for a path with `..`; `notFound` where the target directory does not exist; why a directory cannot be created.
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
            guard result == 0 || result == -EEXIST else { throw .opening(place.text, result, to: "create the directory") }
            known.insert(place)
            if result == 0, let facts = try FileFacts.at(source) { made.append((source, facts, place)) }
        }
        return place.joined(name)
    }

    /// Whether directories were created.
    package var hasCreated: Bool { !made.isEmpty }

    /// After all files have been copied: gives the created directories the attributes of their sources.
    ///
    /// - Returns: what could not be set, by directory.
    package func finish() -> [(path: CopyPath, note: String)] {
        var notes: [(path: CopyPath, note: String)] = []
        // Inner ones first: afterwards this process may not be allowed to enter the outer one.
        for (source, facts, target) in made.reversed() {
            do throws(CopyFailure) {
                let file = try OpenFile(target, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, for: "set the attributes of")
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
