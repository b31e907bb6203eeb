// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAUnits

/// A target that is being written: under which name it is, and how it becomes what its own name stands for, or goes.
///
/// A replaced file is written as a ``PartFile`` of the same directory and renamed when it is whole and flushed: rename(2) is the
/// only call that exchanges a file at once.
final class OpenTarget {
    /// What is written; nil for what this process takes.
    let file: OpenFile?
    let name: String
    let publishing: CopyPlan.Publishing
    let facts: FileFacts?
    /// Where the source's first byte goes; of one that is appended to, where its end was.
    let base: UInt64
    let site: FileSite?
    /// Where it has its name; nil where no name is given.
    let directory: OpenFile?
    /// The journal of an interrupted copy whose part file this is.
    private(set) var journal: ResumeJournal?
    /// The name that the file has until it is published; nil while it has none.
    private var partName: CopyPath?
    /// What was found in the target's directory.
    let notes: [String]
    private var isPublished = false
    /// Whether its old bytes are gone, or some of them.
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

    // MARK: On the way

    /// Whether the kernel chooses each write's place, at the end of the file, so that there is one at a time.
    var isAppended: Bool { publishing == .append }

    /// The place for a byte of the source; -1 where it goes behind what was written before.
    func place(of position: UInt64) -> Int64 { isAppended ? -1 : Int64(clamping: base + position) }

    /// So many bytes of the source were appended, from its beginning.
    func hasAppended(_ bytes: UInt64) { if isAppended { appended = bytes } }

    /// From here on there is no way back to the old bytes of a file that is overwritten in place.
    func isAboutToBeOverwritten() { if publishing == .inPlace { isOverwritten = true } }

    /// Takes all old bytes away. False where the file system cannot.
    func empty() throws(CopyFailure) -> Bool {
        guard let file else { return true }
        isAboutToBeOverwritten()
        let result = cdma_truncate(file.descriptor, 0)
        if result == 0 { return true }
        guard OptionalStep.isRefusal(-result) else { throw .writing(name, errno: -result, when: "when it was emptied") }
        return try file.facts().size == 0
    }

    /// Keeps how far a copy that may be resumed has come.
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

    /// What was written becomes the target.
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

    /// Gives it its length and its attributes: then nothing is missing but its name.
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

    /// Reads what close(2) says while the old file still has its name.
    func checkClose() throws(CopyFailure) { try file?.checkClose() }

    /// Puts the new file in the place of the old one.
    func giveName(flushes: Bool, note: (String) -> Void) throws(CopyFailure) {
        // SAFETY: both names end with a zero and live until the call returns.
        guard publishing == .rename || publishing == .resume, let file, let directory, let site else {
            isPublished = true
            return
        }
        let hadName = partName != nil
        let partName = try namePart(file, site, directory)
        let result = unsafe cdma_rename(directory.descriptor, partName.cString, site.name.cString)
        guard result == 0 else { throw renameRefused(result) }
        isPublished = true
        if publishing == .resume {
            for left in ResumeJournal.remove(Self.journalName(site), in: directory) { note("left behind: \(left)") }
        }
        // What had no name need not be in a file system's log although it was flushed (btrfs).
        if flushes, !hadName { try file.flush() }
        if let links = site.existing?.links, links > 1 {
            note("the old file had \(links) names; the others still lead to the old bytes")
        }
    }

    /// Closes what was opened for it.
    func close() throws(CopyFailure) { try file?.close() }

    /// Makes it as long as what was copied: there may be a hole at the end, or old bytes behind it.
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
                .writeFailed, name, asked: "shorten", possible: "its file system cannot cut off what was behind the new end",
                cure: "remove the file first, or put a new one in its place", errno: -result)
        }
        // A hole at the end: its last byte is written.
        var zero: UInt8 = 0
        let written = unsafe cdma_write_all(file.descriptor, &zero, 1, Int64(clamping: length - 1))
        guard written == 1 else { throw .writing(name, at: length - 1, errno: Int32(-written)) }
    }

    /// The name to be renamed.
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
                possible: "it is on another file system than its directory, or something is mounted on it",
                cure: "overwrite the file itself", errno: -result, remedy: .overwriteInPlace)
        default:
            CopyFailure(
                .publishFailed, name, asked: "give the new file the name", possible: DMAError.sentence(-result),
                cure: "see who changes its directory", errno: -result)
        }
    }

    /// The copy failed: what was begun goes, and the old target stands. A part file that can be resumed stays.
    ///
    /// - Returns: what is left, for the message.
    @discardableResult
    func abandon(keepsPart: Bool) -> String? {
        guard !isPublished else { return nil }
        isPublished = true
        if isAppended { return cutBack() }
        if publishing == .inPlace {
            return isOverwritten ? "a mixture of old and new bytes: it was overwritten in place" : nil
        }
        if publishing == .resume, let file { cdma_unlock_file(file.descriptor) }
        guard let partName, let directory, let site else { return nil }
        if publishing == .resume, keepsPart { return "a part file, to be resumed: \(site.directory.joined(partName))" }
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
        let rest = "\(ByteSize.text(appended)) of the copy behind its old end at byte \(base)"
        guard cdma_lease(file.descriptor, true) == 0 else {
            return rest + ": another process has it open, and may have written to it"
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
    /// Names end at 255 bytes; the part's has an ending of its own.
    static func shortened(_ name: CopyPath) -> CopyPath {
        if name.bytes.count <= 200 { return name }
        return CopyPath(bytes: name.bytes.prefix(180) + "~\(String(CRC32C.of(name.bytes), radix: 16))".utf8)
    }

    static func hidden(_ name: CopyPath, _ ending: String) -> CopyPath {
        CopyPath(bytes: ".".utf8 + shortened(name).bytes + ".dmactl-\(ending)".utf8)
    }

    static func resumeName(_ site: FileSite) -> CopyPath { hidden(site.name, "part") }
    static func journalName(_ site: FileSite) -> CopyPath { hidden(site.name, "journal") }
}
