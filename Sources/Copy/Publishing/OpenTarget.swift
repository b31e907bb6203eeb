// SPDX-License-Identifier: Apache-2.0

internal import CDMA

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
    /// Where the source's first byte goes.
    let base: UInt64
    /// The journal of an interrupted copy whose part file this is.
    private(set) var journal: ResumeJournal?
    private let site: FileSite?
    private let directory: OpenFile?
    /// The name that the file has until it is published; nil while it has none.
    private var partName: String?
    /// What was found in the target's directory.
    let notes: [String]
    private var isPublished = false

    private init(
        _ file: OpenFile?, name: String, _ publishing: CopyPlan.Publishing, facts: FileFacts?, base: UInt64 = 0,
        site: FileSite? = nil, directory: OpenFile? = nil, partName: String? = nil, journal: ResumeJournal? = nil,
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

    static func open(
        _ target: TargetSite, _ plan: CopyPlan, _ options: CopyOptions, size: UInt64?, _ control: CopyControl
    ) throws(CopyFailure) -> OpenTarget {
        switch target {
        case .local(let endpoint): return OpenTarget(nil, name: endpoint.description, .none, facts: nil)
        case .stream(let file, let path, let facts):
            if let file { return OpenTarget(file, name: path, .none, facts: facts) }
            return OpenTarget(try TargetSite.openStream(path, facts, control), name: path, .none, facts: facts)
        case .device(let path, let facts): return try openDevice(path, facts, options, size: size)
        case .file(let site):
            switch plan.publishing {
            case .rename: return try openTemporary(site)
            case .resume: return try openPart(site)
            case .inPlace, .append, .none: return try openItself(site, plan.publishing)
            }
        }
    }

    // MARK: Opening

    private static func openDevice(
        _ path: String, _ facts: FileFacts, _ options: CopyOptions, size: UInt64?
    ) throws(CopyFailure) -> OpenTarget {
        // SAFETY: the path ends with a zero and lives until the call returns.
        try BlockDevice.refuseIfInUse(path, facts)
        let looked = try OpenFile(path, O_RDONLY, for: "to look at the device")
        let room = try looked.size(facts) ?? 0
        if let size, size > room {
            throw CopyFailure(
                .targetTooSmall, path, asked: "to write \(size) bytes (\(ByteSize.text(size)))",
                possible: "\(room) bytes (\(ByteSize.text(room))): the device is smaller", cure: "choose a larger device")
        }
        guard options.overwritesDevices else {
            throw CopyFailure(
                .needsConfirmation, path, asked: "to overwrite a block device of \(ByteSize.text(room))",
                possible: "only when it is confirmed: everything on it is lost", cure: "make sure with lsblk, then add --yes")
        }
        let result = unsafe cdma_open(AT_FDCWD, path, O_RDWR | O_EXCL, 0)
        if result == -EBUSY { throw BlockDevice.held(path) }
        guard result >= 0 else { throw .opening(path, result, for: "to write the device") }
        return OpenTarget(OpenFile(result, path: path), name: path, .none, facts: facts)
    }

    private static func openTemporary(_ site: FileSite) throws(CopyFailure) -> OpenTarget {
        // SAFETY: as above; the C function writes a local structure.
        if site.existing != nil, MountTable.current.isPoint(site.path) {
            throw CopyFailure(
                .notReplaceable, site.path, asked: "to put a new file in its place",
                possible: "not in the place of a file that something is mounted on", cure: "overwrite it itself: --in-place")
        }
        let directory = try OpenFile(site.directory, O_RDONLY | O_DIRECTORY, for: "the target's directory")
        var notes = PartFile.clear(shortened(site.name), in: directory)
        var facts = cdma_storage_facts()
        if unsafe cdma_storage_look(directory.descriptor, resumeName(site), false, &facts) == 0 {
            let path = CopyFailure.quoted(site.directory + "/" + resumeName(site))
            notes.append("an interrupted copy is still there, which --resume would have gone on with: \(path)")
        }
        let part: PartFile
        do throws(PartFile.Refusal) {
            part = try PartFile(shortened(site.name), in: directory, path: site.path)
        } catch { throw besideRefused(site, error.result) }
        return OpenTarget(
            part.file, name: site.path, .rename, facts: try part.file.facts(), site: site, directory: directory,
            partName: part.name, notes: notes)
    }

    private static func besideRefused(_ site: FileSite, _ result: Int32) -> CopyFailure {
        let failure = CopyFailure.opening(site.path, result, for: "a new file beside it, to be renamed when it is whole")
        guard site.existing != nil, failure.code == .notPermitted else { return failure }
        return CopyFailure(
            failure.code, site.path, asked: failure.asked, possible: "no new file in its directory for this user",
            cure: "overwrite it itself: --in-place", errno: failure.errno)
    }

    private static func openPart(_ site: FileSite) throws(CopyFailure) -> OpenTarget {
        // SAFETY: as above.
        let directory = try OpenFile(site.directory, O_RDONLY | O_DIRECTORY, for: "the target's directory")
        let name = resumeName(site)
        let result = unsafe cdma_open(directory.descriptor, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600)
        guard result >= 0 else { throw besideRefused(site, result) }
        let file = OpenFile(result, path: site.path)
        let facts = try file.facts()
        // Somebody else may have laid it there: a link to a file of ours, or a file that others can write.
        guard facts.kind == .regular, facts.links == 1, facts.owner == cdma_effective_user() else {
            throw CopyFailure(
                .badJournal, site.directory + "/" + name, asked: "to go on with this part file",
                possible: "with one that is this user's own, and has one name", cure: "remove it")
        }
        guard cdma_lock_file(file.descriptor) == 0 else {
            throw CopyFailure(
                .held, site.path, asked: "to go on with an interrupted copy", possible: "not while another copy works on it",
                cure: "wait for it, or end it")
        }
        let journal = ResumeJournal.read(journalName(site), in: directory)
        return OpenTarget(
            file, name: site.path, .resume, facts: facts, site: site, directory: directory, partName: name, journal: journal)
    }

    private static func openItself(_ site: FileSite, _ publishing: CopyPlan.Publishing) throws(CopyFailure) -> OpenTarget {
        // SAFETY: as above.
        let purpose = publishing == .append ? "to write behind its end" : "to overwrite it"
        var result = unsafe cdma_open(AT_FDCWD, site.path, O_RDWR | O_CREAT | O_NOCTTY, 0o666)
        if result == -EACCES { result = unsafe cdma_open(AT_FDCWD, site.path, O_WRONLY | O_CREAT | O_NOCTTY, 0o666) }
        guard result >= 0 else { throw .opening(site.path, result, for: purpose) }
        let file = OpenFile(result, path: site.path)
        let facts = try file.facts()
        let base = publishing == .append ? facts.size : 0
        return OpenTarget(file, name: site.path, publishing, facts: facts, base: base, site: site)
    }

    /// Names end at 255 bytes; the part's has an ending of its own.
    private static func shortened(_ name: String) -> String {
        if name.utf8.count <= 200 { return name }
        let sum = CRC32C.of(name)
        return String(decoding: name.utf8.prefix(180), as: UTF8.self) + "~" + String(sum, radix: 16)
    }

    private static func resumeName(_ site: FileSite) -> String { ".\(shortened(site.name)).dmactl-part" }

    private static func journalName(_ site: FileSite) -> String { ".\(shortened(site.name)).dmactl-journal" }

    // MARK: The end

    /// Keeps how far a copy that may be resumed has come.
    func keepJournal(_ journal: ResumeJournal) throws(CopyFailure) {
        guard publishing == .resume, let site, let directory, let file else { return }
        let result = cdma_fdatasync(file.descriptor)
        guard result == 0 else { throw .writing(name, at: journal.length, errno: -result) }
        try journal.write(Self.journalName(site), in: directory)
        self.journal = journal
    }

    /// What was written becomes the target: attributes, flush, name, and the directory's flush.
    func publish(_ source: CopySource, end: UInt64, _ plan: CopyPlan, preserves: Bool, note: (String) -> Void)
        throws(CopyFailure)
    {
        // SAFETY: as above, of both names.
        guard let file else { return }
        if facts?.kind == .regular, publishing != .none, publishing != .append {
            let result = cdma_truncate(file.descriptor, base + end)
            guard result == 0 else { throw .writing(name, at: base + end, errno: -result) }
        }
        let isFresh = publishing == .rename || publishing == .resume
        if isFresh || publishing == .inPlace && (preserves || site?.existing == nil) {
            try Attributes.keep(source, existing: site?.existing, on: file, preserves: preserves, note: note)
        }
        if plan.flushes { try flush(file) }
        if publishing == .rename || publishing == .resume, let directory, let site {
            let hadName = partName != nil
            let partName = try namePart(file, site, directory)
            let result = unsafe cdma_rename(directory.descriptor, partName, site.name)
            guard result == 0 else { throw renameRefused(result) }
            isPublished = true
            if publishing == .resume { ResumeJournal.remove(Self.journalName(site), in: directory) }
            // What had no name need not be in a file system's log although it was flushed (btrfs).
            if plan.flushes, !hadName { try flush(file) }
            if plan.flushes { try flush(directory) }
            if let links = site.existing?.links, links > 1 {
                note("the old file had \(links) names; the others still lead to the old bytes")
            }
        }
        isPublished = true
    }

    /// The name to be renamed.
    private func namePart(_ file: OpenFile, _ site: FileSite, _ directory: OpenFile) throws(CopyFailure) -> String {
        if let partName { return partName }
        do throws(PartFile.Refusal) {
            let name = try PartFile.giveName(file, Self.shortened(site.name), in: directory)
            partName = name
            return name
        } catch { throw renameRefused(error.result) }
    }

    /// Flushes what was written so far.
    func flush() throws(CopyFailure) { if let file { try flush(file) } }

    private func flush(_ file: OpenFile) throws(CopyFailure) {
        let result = cdma_fsync(file.descriptor)
        // A stream, and some file systems' directories, have nothing to flush.
        guard result == 0 || result == -EINVAL || result == -EROFS else {
            throw CopyFailure(
                .flushFailed, file.path, asked: "that the medium has it", possible: "not that: the flush failed",
                cure: "see the kernel's log (dmesg); what was written before may be lost", errno: -result)
        }
    }

    private func renameRefused(_ result: Int32) -> CopyFailure {
        switch -result {
        case EXDEV, EBUSY:
            CopyFailure(
                .notReplaceable, name, asked: "to put a new file in its place",
                possible: "not there: it is on another file system than its directory, or something is mounted on it",
                cure: "overwrite it itself: --in-place", errno: -result)
        default:
            CopyFailure(
                .publishFailed, name, asked: "to give the new file its name", possible: "not that: the kernel refused",
                cure: "see errno; --in-place needs no new name", errno: -result)
        }
    }

    /// The copy failed: what was begun goes, and the old target stands. A part file that can be resumed stays.
    ///
    /// - Returns: what is left, for the message.
    @discardableResult
    func abandon(keepsPart: Bool) -> String? {
        // SAFETY: as above.
        guard !isPublished else { return nil }
        isPublished = true
        if publishing == .resume, let file { cdma_unlock_file(file.descriptor) }
        if publishing == .append, let file {
            return cdma_truncate(file.descriptor, base) == 0 ? nil : "a part behind the old end"
        }
        if publishing == .inPlace { return "a mixture of old and new bytes: it was overwritten in place" }
        guard let partName, let directory, let site else { return nil }
        if publishing == .resume, keepsPart { return "a part file, for --resume: \(site.directory)/\(partName)" }
        _ = unsafe cdma_remove(directory.descriptor, partName)
        if publishing == .resume { ResumeJournal.remove(Self.journalName(site), in: directory) }
        return nil
    }

    deinit { abandon(keepsPart: true) }
}
