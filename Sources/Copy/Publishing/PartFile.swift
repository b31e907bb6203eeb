// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAUnits

/// The file that is written instead of the target until it is complete.
///
/// It has no name where the file system supports that (O_TMPFILE): nothing of it is left then, however this process ends. linkat(2) does not
/// replace a file, so it gets a name of its own just before rename(2) replaces the old file. On other file systems it has that name from
/// the start.
///
/// The process that writes it holds a lock on it, which ends with the process: one that is not locked was left behind, and the next copy to
/// the same target removes it. There are few such names, so that the next copy can look at each.
struct PartFile {
    let file: OpenFile
    /// nil while it has no name.
    let name: CopyPath?

    /// How many names are tried first; more copies to one target at once use random names.
    private static let slots = 8

    static func name(_ stem: CopyPath, _ slot: String) -> CopyPath { OpenTarget.hidden(stem, "new-\(slot)") }

    private static func names(_ stem: CopyPath) -> some Sequence<CopyPath> {
        let known = (0..<slots).lazy.map { name(stem, String($0)) }
        let others = (0..<64).lazy.map { _ in name(stem, String(cdma_random() & 0xffff_ffff, radix: 16)) }
        return [AnySequence(known), AnySequence(others)].lazy.joined()
    }

    /// Creates one.
    ///
    /// - Throws: the kernel's error, negative.
    init(_ stem: CopyPath, in directory: OpenFile, path: String) throws(Refusal) {
        // SAFETY: the name ends with a zero and lives until the call returns.
        let unnamed = cdma_open_unnamed(directory.descriptor)
        if unnamed >= 0 {
            let file = OpenFile(unnamed, path: path)
            if cdma_can_name(unnamed) {
                _ = cdma_lock_file(unnamed)
                (self.file, name) = (file, nil)
                return
            }
        }
        for name in Self.names(stem) {
            let flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW
            let result = unsafe cdma_open(directory.descriptor, name.cString, flags, 0o600)
            if result == -EEXIST { continue }
            guard result >= 0 else { throw Refusal(result: result) }
            let file = OpenFile(result, path: path)
            // Until it was locked it looked left behind: another copy may be about to remove it, or have done so.
            if cdma_lock_file(result) == -EWOULDBLOCK { continue }
            guard let facts = try? file.facts(), facts.links == 1 else { continue }
            (self.file, self.name) = (file, name)
            return
        }
        throw Refusal(result: -EEXIST)
    }

    /// Gives a file without a name one, just before it is renamed.
    static func giveName(_ file: OpenFile, _ stem: CopyPath, in directory: OpenFile) throws(Refusal) -> CopyPath {
        // SAFETY: as above.
        for name in names(stem) {
            let result = unsafe cdma_name_file(file.descriptor, directory.descriptor, name.cString)
            if result == 0 { return name }
            guard result == -EEXIST else { throw Refusal(result: result) }
        }
        throw Refusal(result: -EEXIST)
    }

    struct Refusal: Error { let result: Int32 }

    /// Removes what killed copies to this target left behind.
    ///
    /// - Parameter known: the names in the directory that may be left behind; nil where it has not been read.
    /// - Returns: what was removed, and what was not and why.
    static func clear(_ stem: CopyPath, in directory: OpenFile, _ known: Set<CopyPath>?) -> [String] {
        if let known, known.isEmpty { return [] }
        return (0..<slots).compactMap { slot in
            let name = name(stem, String(slot))
            return known.map { $0.contains(name) } ?? true ? clear(name, directory) : nil
        }
    }

    private static func clear(_ name: CopyPath, _ directory: OpenFile) -> String? {
        // SAFETY: as above.
        guard let there = look(name, directory) else { return nil }
        let path = CopyFailure.quoted(directory.path + "/" + name.text)
        let stranger = "\(path) has the name of a part file, but cannot be opened as one; remove it if no copy is running"
        guard there.kind == .regular else { return stranger }
        let result = unsafe cdma_open(directory.descriptor, name.cString, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0)
        // It was renamed meanwhile.
        if result == -ENOENT { return nil }
        guard result >= 0 else { return stranger }
        let file = OpenFile(result, path: path)
        let lock = cdma_lock_file(file.descriptor)
        // Another copy is writing it.
        if lock == -EWOULDBLOCK { return nil }
        // Only the process that has locked the file which has the name may remove the name.
        guard let facts = try? file.facts(), let there = look(name, directory), there.isSameFile(facts) else { return nil }
        guard lock == 0, unsafe cdma_remove(directory.descriptor, name.cString) == 0 else {
            return "\(path) was left by a copy, and cannot be removed; remove it if no copy is running"
        }
        // An empty one may belong to a copy that had not locked it yet, and that now uses another name: not worth a note.
        guard facts.size > 0 else { return nil }
        return "removed what an earlier copy left when it was killed: \(path), \(ByteSize.text(facts.size))"
    }

    private static func look(_ name: CopyPath, _ directory: OpenFile) -> FileFacts? {
        // SAFETY: as above; the C function writes a local structure.
        var facts = cdma_storage_facts()
        return unsafe cdma_storage_look(directory.descriptor, name.cString, false, &facts) == 0 ? FileFacts(facts) : nil
    }
}
