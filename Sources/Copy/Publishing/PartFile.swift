// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAUnits

/// The file that is written in the target's place until it is whole.
///
/// It has no name where the file system can do that (O_TMPFILE): whatever ends this process then, nothing of it is left. linkat(2) gives
/// a free name only, so that it gets one of its own for the moment before rename(2) puts it in the place of the old file. Elsewhere it
/// has that name from the beginning.
///
/// Who has such a file holds a lock on it, which ends with the process: one that is not locked is nobody's, and the next copy to the
/// same target removes it. The names are few, so that the next copy knows where to look.
struct PartFile {
    let file: OpenFile
    /// nil while it has none.
    let name: CopyPath?

    /// Names that are looked at; with more copies to one target at once than that, the others take random ones.
    private static let slots = 8

    static func name(_ stem: CopyPath, _ slot: String) -> CopyPath { OpenTarget.hidden(stem, "new-\(slot)") }

    private static func names(_ stem: CopyPath) -> some Sequence<CopyPath> {
        let known = (0..<slots).lazy.map { name(stem, String($0)) }
        let others = (0..<64).lazy.map { _ in name(stem, String(cdma_random() & 0xffff_ffff, radix: 16)) }
        return [AnySequence(known), AnySequence(others)].lazy.joined()
    }

    /// A new one.
    ///
    /// - Throws: the kernel's refusal, negative.
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
            // Before it was locked, it looked like nobody's: another copy may be about to remove it, or have done so.
            if cdma_lock_file(result) == -EWOULDBLOCK { continue }
            guard let facts = try? file.facts(), facts.links == 1 else { continue }
            (self.file, self.name) = (file, name)
            return
        }
        throw Refusal(result: -EEXIST)
    }

    /// Gives a file without a name one, for the moment before it is renamed.
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

    /// Removes what copies to this target left that were ended before they could.
    ///
    /// - Returns: what was removed, and what was not and why.
    static func clear(_ stem: CopyPath, in directory: OpenFile) -> [String] {
        (0..<slots).compactMap { clear(name(stem, String($0)), directory) }
    }

    private static func clear(_ name: CopyPath, _ directory: OpenFile) -> String? {
        // SAFETY: as above.
        guard let there = look(name, directory) else { return nil }
        let path = CopyFailure.quoted(directory.path + "/" + name.text)
        let stranger = "\(path) is in the way: whose it is, cannot be seen; remove it if no copy runs"
        guard there.kind == .regular else { return stranger }
        let result = unsafe cdma_open(directory.descriptor, name.cString, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0)
        // Renamed meanwhile.
        if result == -ENOENT { return nil }
        guard result >= 0 else { return stranger }
        let file = OpenFile(result, path: path)
        let lock = cdma_lock_file(file.descriptor)
        // Somebody's who is at work.
        if lock == -EWOULDBLOCK { return nil }
        // Whoever holds the lock of a file that has the name is the only one who may take the name away.
        guard let facts = try? file.facts(), let there = look(name, directory), there.isSameFile(facts) else { return nil }
        guard lock == 0, unsafe cdma_remove(directory.descriptor, name.cString) == 0 else {
            return "\(path) was left by a copy, and cannot be removed; remove it if none runs"
        }
        // An empty one may be somebody's who had not come to lock it, and takes another name: nothing to speak of.
        guard facts.size > 0 else { return nil }
        return "removed what an earlier copy had left when it was killed: \(path), \(ByteSize.text(facts.size))"
    }

    private static func look(_ name: CopyPath, _ directory: OpenFile) -> FileFacts? {
        // SAFETY: as above; the C function writes a local structure.
        var facts = cdma_storage_facts()
        return unsafe cdma_storage_look(directory.descriptor, name.cString, false, &facts) == 0 ? FileFacts(facts) : nil
    }
}
