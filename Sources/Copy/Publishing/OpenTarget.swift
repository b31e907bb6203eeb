// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAUnits

/// A target that is being written: the name that it has meanwhile, and how it is published or removed.
///
/// A file that is replaced is written as a ``PartFile`` in the same directory and renamed when it is complete and flushed: rename(2) is the
/// only call that replaces a file atomically.
final class OpenTarget {
    /// The file that is written; nil where the target is in this process.
    let file: OpenFile?
    let name: String
    let publishing: CopyPlan.Publishing
    let facts: FileFacts?
    /// The offset of the source's first byte in the target; of a target that is appended to, its old end.
    let base: UInt64
    let site: FileSite?
    /// The directory of its name; nil where no name is given.
    let directory: OpenFile?
    /// The journal of an interrupted copy whose part file this is.
    private(set) var journal: ResumeJournal?
    /// The name that the file has until it is published; nil while it has none.
    private var partName: CopyPath?
    /// Notes about what was found in the target's directory.
    let notes: [String]
    private var isPublished = false
    /// Whether some of its old data may be overwritten.
    private var isOverwritten = false
    /// Bytes that were appended so far.
    private var appended: UInt64 = 0

    init(
        _ file: OpenFile?, name: String, _ publishing: CopyPlan.Publishing, facts: FileFacts?, base: UInt64 = 0,
        site: FileSite? = nil, directory: OpenFile? = nil, partName: CopyPath? = nil, journal: ResumeJournal? = nil,
        notes: [String] = []
    ) {
        self.file = file
        self.name = name
        self.publishing = publishing
        self.facts = facts
        self.base = base
        self.site = site
        self.directory = directory
        self.partName = partName
        self.journal = journal
        self.notes = notes
    }

    // MARK: During the copy

    /// Whether the kernel writes each chunk at the end of the file, so that only one may be in flight.
    var isAppended: Bool { publishing == .append }

    /// The offset for a byte of the source; -1 where it is written after the data that was written before.
    func place(of position: UInt64) -> Int64 { isAppended ? -1 : Int64(clamping: base + position) }

    /// Sets how many bytes of the source have been appended, from its start.
    func hasAppended(_ bytes: UInt64) { if isAppended { appended = bytes } }

    /// From here on the old data of a file that is overwritten in place cannot be restored.
    func isAboutToBeOverwritten() { if publishing == .inPlace { isOverwritten = true } }

    /// Removes all old data. False where the file system cannot.
    func empty() throws(CopyFailure) -> Bool {
        guard let file else { return true }
        isAboutToBeOverwritten()
        let result = cdma_truncate(file.descriptor, 0)
        if result == 0 { return true }
        guard OptionalStep.isRefusal(-result) else { throw .writing(name, errno: -result, when: "when it was emptied") }
        return try file.facts().size == 0
    }

    /// Saves the progress of a copy that can be resumed.
    func keepJournal(_ journal: ResumeJournal) throws(CopyFailure) {
        guard publishing == .resume, let site, let directory, let file else { return }
        let result = cdma_fdatasync(file.descriptor)
        guard result == 0 || OptionalStep.isRefusal(-result) else { throw .writing(name, at: journal.length, errno: -result) }
        try journal.write(Self.journalName(site), in: directory)
        self.journal = journal
    }

    /// Flushes what was written so far.
    func flush() throws(CopyFailure) { try file?.flush() }

    // MARK: The end

    /// Makes what was written the target.
    func publish(_ source: CopySource, end: UInt64, _ plan: CopyPlan, preserves: Bool, note: (String) -> Void)
        throws(CopyFailure)
    {
        try complete(source, end: end, preserves: preserves, note: note)
        if plan.flushes { try file?.flush() }
        try checkClose()
        try giveName(flushes: plan.flushes, note: note)
        if plan.flushes { try directory?.flush() }
        try close()
    }

    /// Sets its length and its attributes: then only its name is missing.
    func complete(_ source: CopySource, end: UInt64, preserves: Bool, note: (String) -> Void) throws(CopyFailure) {
        guard let file else { return }
        try setLength(end)
        let isFresh = publishing == .rename || publishing == .resume
        if isFresh || publishing == .inPlace && (preserves || site?.existing == nil) {
            var from: (facts: FileFacts, file: OpenFile?)?
            if let facts = source.facts, facts.kind == .regular, let file = source.file { from = (facts, file) }
            let existing = site.flatMap { site in site.existing.map { (facts: $0, path: site.path) } }
            try Attributes(source: from, existing: existing, preserves: preserves).give(to: file, note: note)
        } else if facts?.kind == .regular, publishing != .none {
            try Attributes.dropSetID(file, note: note)
        }
    }

    /// Reads the result of close(2) while the old file still has its name.
    func checkClose() throws(CopyFailure) { try file?.checkClose() }

    /// Renames the new file over the old one.
    func giveName(flushes: Bool, note: (String) -> Void) throws(CopyFailure) {
        // SAFETY: both names end with a zero and live until the call returns.
        guard publishing == .rename || publishing == .resume, let file, let directory, let site else {
            isPublished = true
            return
        }
        let hadName = partName != nil
        if !isLinked(file, site, directory) {
            let partName = try namePart(file, site, directory)
            let result = unsafe cdma_rename(directory.descriptor, partName.cString, site.name.cString)
            guard result == 0 else { throw renameRefused(result) }
        }
        isPublished = true
        if publishing == .resume {
            for left in ResumeJournal.remove(Self.journalName(site), in: directory) { note("not removed: \(left)") }
        }
        // A file without a name may not be in the log of the file system although it was flushed (btrfs).
        if flushes, !hadName { try file.flush() }
        if let links = site.existing?.links, links > 1 {
            note("the old file had \(links) names; the other names still lead to the old data")
        }
    }

    /// Closes the file.
    func close() throws(CopyFailure) { try file?.close() }

    /// Sets its length to that of the copy: the source may end with a hole, and the target may have been longer.
    func setLength(_ length: UInt64) throws(CopyFailure) {
        // SAFETY: the call reads the one byte of a local variable.
        guard let file, facts?.kind == .regular, publishing != .none, !isAppended else { return }
        let now = try file.facts().size
        guard now != length else { return }
        let result = cdma_truncate(file.descriptor, length)
        if result == 0 { return }
        guard OptionalStep.isRefusal(-result) else { throw .writing(name, errno: -result, when: "when its length was set") }
        guard now < length else {
            throw CopyFailure(
                .writeFailed, name, asked: "shorten",
                possible: "its file system cannot truncate the old data after the new end",
                cure: "Remove the file first, or replace it by a new one.", errno: -result)
        }
        // The source ends with a hole: the last byte of it is written.
        var zero: UInt8 = 0
        let written = unsafe cdma_write_all(file.descriptor, &zero, 1, Int64(clamping: length - 1))
        guard written == 1 else { throw .writing(name, at: length - 1, errno: Int32(-written)) }
    }

    /// Gives a file without a name that of the target, where no file has it: linkat(2) then does in one step what else takes a rename(2) as well.
    private func isLinked(_ file: OpenFile, _ site: FileSite, _ directory: OpenFile) -> Bool {
        // SAFETY: the name ends with a zero and lives until the call returns.
        guard partName == nil, site.existing == nil else { return false }
        return unsafe cdma_name_file(file.descriptor, directory.descriptor, site.name.cString) == 0
    }

    /// The name that is renamed.
    private func namePart(_ file: OpenFile, _ site: FileSite, _ directory: OpenFile) throws(CopyFailure) -> CopyPath {
        if let partName { return partName }
        do throws(PartFile.Refusal) {
            let name = try PartFile.giveName(file, Self.shortened(site.name), in: directory)
            partName = name
            return name
        } catch { throw renameRefused(error.result) }
    }

    private func renameRefused(_ result: Int32) -> CopyFailure {
        switch -result {
        case EXDEV, EBUSY:
            CopyFailure(
                .notReplaceable, name, asked: "replace",
                possible: "it is a mount point, or on another file system than its directory",
                cure: "Overwrite the file itself.", errno: -result, remedy: .overwriteInPlace)
        default:
            CopyFailure(
                .publishFailed, name, asked: "give the new file the name", possible: DMAError.sentence(-result),
                cure: "Check whether another process changes its directory.", errno: -result)
        }
    }

    /// After a failure: removes what was begun, and leaves the old target. A part file that can be resumed is kept.
    ///
    /// - Returns: what was not removed, for the message.
    @discardableResult
    func abandon(keepsPart: Bool) -> String? {
        guard !isPublished else { return nil }
        isPublished = true
        if isAppended { return cutBack() }
        if publishing == .inPlace {
            return isOverwritten ? "a mixture of old and new data: it was overwritten in place" : nil
        }
        if publishing == .resume, let file { cdma_unlock_file(file.descriptor) }
        guard let partName, let directory, let site else { return nil }
        if publishing == .resume, keepsPart { return "a part file that can be resumed: \(site.directory.joined(partName))" }
        let journals = publishing == .resume ? ResumeJournal.remove(Self.journalName(site), in: directory) : []
        let left = [remove(partName, directory)].compactMap { $0 } + journals
        return left.isEmpty ? nil : left.joined(separator: "; ")
    }

    private func remove(_ partName: CopyPath, _ directory: OpenFile) -> String? {
        // SAFETY: the name ends with a zero and lives until the call returns.
        let result = unsafe cdma_remove(directory.descriptor, partName.cString)
        guard result != 0, result != -ENOENT else { return nil }
        let size = (try? file?.facts().size).map { ", \(ByteSize.text($0))" } ?? ""
        return "\(directory.path)/\(partName)\(size), which cannot be removed: \(DMAError.sentence(-result))"
    }

    /// Truncates the target to its old length, if a write lease shows that no other process has the file open, and its size is the old length
    /// plus what this copy wrote.
    private func cutBack() -> String? {
        guard appended > 0, let file else { return nil }
        let rest = "\(ByteSize.text(appended)) of the copy after the old end at byte \(base)"
        guard cdma_lease(file.descriptor, true) == 0 else {
            return rest + ": another process has the file open, and may have written to it"
        }
        defer { _ = cdma_lease(file.descriptor, false) }
        guard let size = try? file.facts().size, size == base + appended else {
            return rest + ": other processes have written to it"
        }
        let result = cdma_truncate(file.descriptor, base)
        return result == 0 ? nil : rest + ": \(DMAError.sentence(-result))"
    }

    deinit { abandon(keepsPart: true) }
}

// MARK: Names

extension OpenTarget {
    /// Names have at most 255 bytes, and the part file's name is longer than the target's.
    static func shortened(_ name: CopyPath) -> CopyPath {
        if name.bytes.count <= 200 { return name }
        return CopyPath(bytes: name.bytes.prefix(180) + "~\(String(CRC32C.of(name.bytes), radix: 16))".utf8)
    }

    static func hidden(_ name: CopyPath, _ ending: String) -> CopyPath {
        CopyPath(bytes: ".".utf8 + shortened(name).bytes + ".dmactl-\(ending)".utf8)
    }

    /// Whether a name is one that ``hidden(_:_:)`` makes.
    static func isHidden(_ name: CopyPath) -> Bool {
        String(decoding: name.bytes, as: UTF8.self).contains(".dmactl-")
    }

    static func resumeName(_ site: FileSite) -> CopyPath { hidden(site.name, "part") }
    static func journalName(_ site: FileSite) -> CopyPath { hidden(site.name, "journal") }
}
