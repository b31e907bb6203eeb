// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAUnits

extension OpenTarget {
    /// Opens the file that is written, after checking that it can become the target.
    ///
    /// - Parameter folder: the directory of a target that is a file.
    static func open(
        _ target: TargetSite, _ plan: CopyPlan, _ options: CopyOptions, size: UInt64?, _ folder: TargetFolder?,
        _ control: CopyControl
    ) throws(CopyFailure) -> OpenTarget {
        switch target {
        case .local(let endpoint): return OpenTarget(nil, name: endpoint.description, .none, facts: nil)
        case .stream(let file, let path, let facts):
            let open = if let file { file } else { try TargetSite.openStream(path, facts, control) }
            return OpenTarget(open, name: path.text, .none, facts: facts)
        case .device(let path, let facts): return try openDevice(path, facts, options, size: size)
        case .file(let site):
            let folder = if let folder { folder } else { try TargetFolder(site.directory) }
            try site.check(plan.publishing, in: folder, preserves: options.preserves)
            switch plan.publishing {
            case .rename: return try openTemporary(site, folder)
            case .resume: return try openPart(site, folder.file)
            case .append: return try openToAppend(site, control)
            case .inPlace, .none: return try openItself(site, plan.publishing)
            }
        }
    }

    private static func openDevice(
        _ path: CopyPath, _ facts: FileFacts, _ options: CopyOptions, size: UInt64?
    ) throws(CopyFailure) -> OpenTarget {
        // SAFETY: the path ends with a zero and lives until the call returns.
        try BlockDevice.refuseIfInUse(path, facts)
        let looked = try OpenFile(path, O_RDONLY, for: "look at")
        let room = try looked.size(facts) ?? 0
        if let size, size > room {
            throw CopyFailure(
                .targetTooSmall, path.text, asked: "write \(ByteSize.text(size)) to",
                possible: "the device has \(ByteSize.text(room)) (needs \(size) bytes, has \(room))",
                cure: "Use a larger device.")
        }
        guard options.overwritesDevices else {
            throw CopyFailure(
                .needsConfirmation, path.text, asked: "overwrite",
                possible: "it is a block device of \(ByteSize.text(room)), and all data on it would be lost",
                cure: "Check that it is the right one (lsblk), and confirm.", remedy: .confirmOverwriting)
        }
        let result = unsafe cdma_open(AT_FDCWD, path.cString, O_RDWR | O_EXCL, 0)
        if result == -EBUSY { throw BlockDevice.held(path) }
        guard result >= 0 else { throw .opening(path.text, result, to: "write") }
        let file = OpenFile(result, path: path.text)
        try TargetSite.refuseExchanged(file, facts)
        return OpenTarget(file, name: path.text, .none, facts: facts)
    }

    private static func openTemporary(_ site: FileSite, _ folder: TargetFolder) throws(CopyFailure) -> OpenTarget {
        // SAFETY: as above; the C function writes a local structure.
        if site.existing != nil, MountTable.current.isPoint(site.path) {
            throw CopyFailure(
                .notReplaceable, site.path.text, asked: "replace", possible: "it is a mount point",
                cure: "Overwrite the file itself.", remedy: .overwriteInPlace)
        }
        let directory = folder.file
        var notes = PartFile.clear(shortened(site.name), in: directory, folder.leftovers)
        var facts = cdma_storage_facts()
        if folder.leftovers.map({ $0.contains(resumeName(site)) }) ?? true,
            unsafe cdma_storage_look(directory.descriptor, resumeName(site).cString, false, &facts) == 0
        {
            let path = CopyFailure.quoted(site.directory.joined(resumeName(site)).text)
            notes.append("an interrupted copy, which could have been resumed, still exists: \(path)")
        }
        let part: PartFile
        do throws(PartFile.Refusal) {
            part = try PartFile(shortened(site.name), in: directory, path: site.path.text)
        } catch { throw besideRefused(site, error.result) }
        return OpenTarget(
            part.file, name: site.path.text, .rename, facts: try part.file.facts(), site: site, directory: directory,
            partName: part.name, notes: notes)
    }

    private static func besideRefused(_ site: FileSite, _ result: Int32) -> CopyFailure {
        let failure = CopyFailure.opening(site.path.text, result, to: "create a new file beside")
        guard failure.code == .notPermitted else { return failure }
        let possible = "user \(cdma_effective_user()) may not create files in its directory"
        guard site.existing != nil else { return failure.with(possible: possible, cure: "Choose another directory.") }
        return failure.with(possible: possible, cure: "Overwrite the file itself.", remedy: .overwriteInPlace)
    }

    private static func openPart(_ site: FileSite, _ directory: OpenFile) throws(CopyFailure) -> OpenTarget {
        // SAFETY: as above.
        let name = resumeName(site)
        let result = unsafe cdma_open(
            directory.descriptor, name.cString, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600)
        guard result >= 0 else { throw besideRefused(site, result) }
        let file = OpenFile(result, path: site.path.text)
        let facts = try file.facts()
        // Another user may have created it: as a link to a file of this user, or as a file that others can write.
        guard facts.kind == .regular, facts.links == 1, facts.owner == cdma_effective_user() else {
            throw CopyFailure(
                .badJournal, site.directory.joined(name).text, asked: "continue",
                possible: "it is another user's file, or has a second name", cure: "Remove it.")
        }
        guard cdma_lock_file(file.descriptor) != -EWOULDBLOCK else {
            throw CopyFailure(
                .held, site.path.text, asked: "continue the interrupted copy to", possible: "another copy is writing it",
                cure: "Wait for the other copy, or stop it.")
        }
        let journal = ResumeJournal.read(journalName(site), in: directory)
        return OpenTarget(
            file, name: site.path.text, .resume, facts: facts, site: site, directory: directory, partName: name,
            journal: journal)
    }

    private static func openItself(_ site: FileSite, _ publishing: CopyPlan.Publishing) throws(CopyFailure) -> OpenTarget {
        let file = try openToWrite(site, 0)
        return OpenTarget(file, name: site.path.text, publishing, facts: try file.facts(), site: site)
    }

    private static func openToWrite(_ site: FileSite, _ flags: Int32) throws(CopyFailure) -> OpenFile {
        // SAFETY: as above.
        // In a sticky directory the kernel refuses O_CREAT for an existing file of another user (fs.protected_regular).
        let flags = flags | O_NOCTTY | (site.existing == nil ? O_CREAT : 0)
        var result = unsafe cdma_open(AT_FDCWD, site.path.cString, O_RDWR | flags, 0o666)
        if result == -EACCES { result = unsafe cdma_open(AT_FDCWD, site.path.cString, O_WRONLY | flags, 0o666) }
        guard result >= 0 else { throw .opening(site.path.text, result, to: "write") }
        let file = OpenFile(result, path: site.path.text)
        if let existing = site.existing { try TargetSite.refuseExchanged(file, existing) }
        return file
    }

    /// Copies to one file append one after the other: each waits for the lock, and then reads the size. The target is opened with O_APPEND, so
    /// that each write goes to the current end of the file, also while other programs append.
    private static func openToAppend(_ site: FileSite, _ control: CopyControl) throws(CopyFailure) -> OpenTarget {
        let file = try openToWrite(site, O_APPEND)
        while cdma_lock_file(file.descriptor) == -EWOULDBLOCK {
            if control.isCancelled { throw .cancelled(site.path.text, after: 0) }
            cdma_sleep_until(CopyClock.after(milliseconds: 20))
        }
        let facts = try file.facts()
        // While this copy waited for the lock, another file may have got the name, as when a log is rotated.
        guard let named = try FileFacts.at(site.path) else {
            throw CopyFailure(
                .held, site.path.text, asked: "append to",
                possible: "it was removed or renamed while another copy had it locked",
                cure: "Run it again.")
        }
        try TargetSite.refuseExchanged(file, named)
        return OpenTarget(file, name: site.path.text, .append, facts: facts, base: facts.size, site: site)
    }
}
