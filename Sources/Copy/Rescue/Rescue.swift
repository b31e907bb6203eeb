// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAUnits

extension Copier {
    /// Copies a file or device with bad sectors: first what can be read in large blocks, then sector by sector what is left.
    ///
    /// The target is written in place. Bytes that cannot be read stay what they are there: zero in a new file. The map says which they are,
    /// in the format of GNU ddrescue. A rescue that is stopped continues when it is run again with its map.
    ///
    /// - Parameters:
    ///   - source: a regular file or a block device, by its path.
    ///   - target: a regular file, there or not, or a block device, by its path.
    ///   - map: the file that keeps the map. It is read at the start where it exists, and saved every ten seconds, at the end, and when the
    ///     rescue is stopped; always after the target was flushed.
    ///   - retries: how often bad sectors are read again, 0 to 10000.
    ///   - options: ``CopyOptions/chunk``, ``CopyOptions/rate`` and ``CopyOptions/overwritesDevices`` are followed; others are refused.
    ///   - control: for progress, and for a stop.
    /// - Returns: what was read. ``RescueReport/isWhole`` says whether anything is missing.
    /// - Throws: ``CopyFailure``: `badOption` for an option that a rescue cannot follow, `badJournal` for a map of another source or
    ///   target, `cancelled`, and what keeps the target from being written.
    public func rescue(
        from source: Endpoint, to target: Endpoint, map: CopyPath, retries: Int = 0, _ options: CopyOptions = CopyOptions(),
        control: CopyControl = CopyControl()
    ) throws(CopyFailure) -> RescueReport {
        var rescue = try Rescue(source, target, map, retries, options)
        return try rescue.run(control)
    }

    /// How this rescue would be done, and why. Touches nothing.
    ///
    /// - Throws: what keeps the endpoints or the map from being used, as ``rescue(from:to:map:retries:_:control:)``.
    public func rescuePlan(
        from source: Endpoint, to target: Endpoint, map: CopyPath, retries: Int = 0, _ options: CopyOptions = CopyOptions()
    ) throws(CopyFailure) -> RescuePlan { try Rescue(source, target, map, retries, options).plan }
}

/// One rescue: what was found before it, and its run.
struct Rescue {
    let plan: RescuePlan
    private let source: CopySource
    private let file: OpenFile
    private let site: TargetSite
    private let mapFile: RescueMapFile
    private let options: CopyOptions
    private let comments: [String]
    private var notes: [String] = []

    /// Opens the source, reads the map, and looks at the target.
    init(
        _ source: Endpoint, _ target: Endpoint, _ path: CopyPath, _ retries: Int, _ options: CopyOptions
    ) throws(CopyFailure) {
        try Self.check(retries, options)
        for end in [source, target] where !end.isPath { throw Self.refuse(end.description, end == source) }
        self.options = options
        self.source = try CopySource(opening: source)
        guard let file = self.source.file, let facts = self.source.facts, facts.kind.hasPlaces else {
            throw Self.refuse(source.description, true)
        }
        guard let size = self.source.size else {
            throw CopyFailure(
                .notSupported, source.description, asked: "rescue",
                possible: "it is empty, or the kernel reports no size for it",
                cure: "Copy it without a map.")
        }
        self.file = file
        site = try TargetSite(target, source: self.source)
        try EndpointWishes(options: options).check(self.source, site)
        let existing: FileFacts?
        switch site {
        case .file(let site): existing = site.existing
        case .device(_, let facts): existing = facts
        case .local, .stream: throw Self.refuse(target.description, false)
        }
        mapFile = try RescueMapFile(path, others: [facts, existing].compactMap { $0 })
        try Self.check(mapFile.found, path, size, site)
        plan = RescuePlan(
            size: size, mapFile.found, alignment: CopyFacts.Side.directAlignment(file, facts, self.source.fileSystem),
            page: UInt64(cdma_page_size()), retries: retries, chunk: options.chunk)
        comments = ["Source: \(CopyFailure.quoted(source.description))", "Target: \(CopyFailure.quoted(target.description))"]
        if existing?.kind == .regular, mapFile.found == nil {
            notes.append("the target existed before: what cannot be read keeps the bytes that it has there")
        }
        notes += BlockDevice.notes(of: self.source)
    }

    /// Refuses what no rescue can follow.
    private static func check(_ retries: Int, _ options: CopyOptions) throws(CopyFailure) {
        try options.check()
        func refuse(_ option: String, _ reason: String, _ cure: String) -> CopyFailure {
            CopyFailure(.badOption, option, asked: "apply", possible: reason, cure: cure)
        }
        guard (0...RescuePlan.mostRetries).contains(retries) else {
            throw refuse("retries", "\(retries) is not from 0 to \(RescuePlan.mostRetries)", "Use 1 to 3 to begin with.")
        }
        let order = "a rescue reads with one request at a time, in an order of its own"
        let wishes: [(String, Bool, String)] = [
            ("mode", options.mode != nil, order), ("depth", options.depth != nil, order),
            ("engine", options.engine != nil, order),
            ("reflink", options.reflink == .always, "a rescue reads the source, and shares no blocks with it"),
            ("resume", options.treatment == .resume, "a rescue is continued by its map"),
            ("append", options.treatment == .append, "a rescue writes each byte to the position that it has in the source"),
            ("verifies", options.verifies, "a medium with bad sectors is not read twice"),
            ("preserves", options.preserves, "a rescue writes the bytes of a file alone"),
            ("discards", options.discards, "a rescue keeps the bytes that the target has"),
            ("flushes", !options.flushes, "a map must not give bytes as rescued that the target's medium does not have"),
        ]
        for (option, isWished, reason) in wishes where isWished { throw refuse(option, reason, "Leave it out.") }
    }

    private static func refuse(_ name: String, _ isSource: Bool) -> CopyFailure {
        CopyFailure(
            .notSupported, name, asked: isSource ? "rescue" : "rescue to",
            possible: "a rescue reads and writes at positions, which only files and block devices have",
            cure: "Name a regular file or a block device.")
    }

    /// A map of another source would have bytes left out that were never read.
    private static func check(
        _ map: RescueMap?, _ path: CopyPath, _ size: UInt64, _ site: TargetSite
    ) throws(CopyFailure) {
        guard let map else { return }
        guard map.size == size else {
            throw RescueMapFile.refusal(
                path, "it describes a source of \(map.size) bytes, and this one has \(size)",
                "Name the map of this source, or a file that does not exist yet.")
        }
        // A device that is too small is refused as such when it is opened.
        guard case .file(let file) = site, file.existing?.size ?? 0 < map.rescuedEnd else { return }
        let found = file.existing.map { "has \($0.size) bytes" } ?? "does not exist"
        throw RescueMapFile.refusal(
            path, "it gives bytes up to \(map.rescuedEnd) as rescued, and the target \(found)",
            "Name the target that this map belongs to, or remove the map to start again.")
    }

    // MARK: The run

    mutating func run(_ control: CopyControl) throws(CopyFailure) -> RescueReport {
        let (began, processor) = (CopyClock.now, CopyClock.processor)
        var map = mapFile.found ?? RescueMap(size: plan.size)
        control.update {
            $0.phase = .copying
            $0.bytes = map.bytes(.rescued)
            $0.total = plan.size
            $0.began = .now
        }
        let target = try open(control)
        if plan.source == .direct { readPastCache() } else { _ = cdma_advise_random(file.descriptor) }
        let files = try RescueFiles(source, file, target, plan, rate: options.rate, control)
        do throws(CopyFailure) { try mapFile.save(map, comments: comments) } catch {
            removeEmpty(target)
            throw error
        }
        var report = RescueReport(plan: plan, size: plan.size)
        let saver = RescueSaver(mapFile, comments, target, map, control)
        var run = RescueRun(
            files, map, RescueRun<RescueFiles>.Sizes(block: plan.block, sector: plan.sector, retries: plan.retries)
        ) { (map) throws(CopyFailure) in try saver.step(map) }
        do throws(CopyFailure) { try run.run() } catch {
            let failure = saver.closing(run.map, error)
            throw failure.with(notes: failure.notes + notes)
        }
        map = run.map
        control.update { $0.phase = .flushing }
        if map.isWhole { try giveAttributes(target) }
        try saver.save(map)
        try target.file?.checkClose()
        try target.close()
        report.rescued = map.bytes(.rescued)
        report.added = report.rescued - plan.rescued
        report.bad = map.size - report.rescued
        report.badAreas = map.missingAreas
        report.readErrors = run.errors
        if let note = run.medium.note { notes.append(note) }
        report.notes = notes
        report.copyNanoseconds = CopyClock.now - began
        report.processorNanoseconds = CopyClock.processor - processor
        control.update { $0.phase = .done }
        return report
    }

    /// Opens the target, and makes it at least as long as the source.
    private func open(_ control: CopyControl) throws(CopyFailure) -> OpenTarget {
        var plan = CopyPlan()
        plan.publishing = .none
        var folder: TargetFolder?
        if case .file(let site) = site {
            plan.publishing = .inPlace
            folder = try TargetFolder(site.directory)
        }
        let target = try OpenTarget.open(site, plan, options, size: self.plan.size, folder, control)
        guard let file = target.file, let facts = target.facts, facts.kind == .regular else { return target }
        guard cdma_lock_file(file.descriptor) != -EWOULDBLOCK else {
            throw CopyFailure(
                .held, target.name, asked: "write", possible: "another rescue or copy writes to it",
                cure: "Wait until it has ended.")
        }
        if isNew(target), let from = source.facts, from.kind == .regular {
            // Until the file is whole it is not readable for more users than the source.
            let result = cdma_change_mode(file.descriptor, from.mode & 0o777)
            guard result == 0 || OptionalStep.isRefusal(-result) else {
                throw .writing(target.name, errno: -result, when: "when its mode was set")
            }
        }
        guard facts.size < self.plan.size else { return target }
        let result = cdma_truncate(file.descriptor, self.plan.size)
        guard result == 0 else {
            removeEmpty(target)
            throw .writing(target.name, errno: -result, when: "when its length was set")
        }
        return target
    }

    /// Reads without the page cache, where the kernel takes that; else through it.
    private mutating func readPastCache() {
        let flags = cdma_status_flags(file.descriptor)
        guard flags < 0 || cdma_set_status_flags(file.descriptor, flags | CDMA_O_DIRECT) != 0 else { return }
        notes.append("read through the page cache: direct I/O was refused")
        _ = cdma_advise_random(file.descriptor)
    }

    private func isNew(_ target: OpenTarget) -> Bool { target.site != nil && target.site?.existing == nil }

    /// Takes away a file that this rescue made and brought nothing to.
    private func removeEmpty(_ target: OpenTarget) {
        // SAFETY: the name ends with a zero and lives until the call returns.
        guard isNew(target), let site = target.site, let folder = try? OpenFile(directory: site.directory) else { return }
        _ = unsafe cdma_remove(folder.descriptor, site.name.cString)
    }

    /// Mode and times of a file that is whole become the source's, as those of a copy.
    private mutating func giveAttributes(_ target: OpenTarget) throws(CopyFailure) {
        guard let to = target.file, target.facts?.kind == .regular, let facts = source.facts, facts.kind == .regular else {
            return
        }
        var told: [String] = []
        let existing = target.site.flatMap { site in site.existing.map { (facts: $0, path: site.path) } }
        try Attributes(source: (facts, file), existing: existing, preserves: false).give(to: to) { told.append($0) }
        notes += told
    }
}

/// Saves the map of a rescue that is under way: now and then, and where it ends.
///
/// Used by the thread of the rescue alone.
private final class RescueSaver {
    private let file: RescueMapFile
    private let comments: [String]
    private let target: OpenTarget
    private let control: CopyControl
    private var last = CopyClock.now
    /// How long it takes to save: a large map is saved less often. Nanoseconds.
    private var cost: Int64 = 0
    private var isBroken = false

    init(
        _ file: RescueMapFile, _ comments: [String], _ target: OpenTarget, _ map: RescueMap, _ control: CopyControl
    ) { (self.file, self.comments, self.target, self.control) = (file, comments, target, control) }

    /// After each request.
    func step(_ map: RescueMap) throws(CopyFailure) {
        control.update { $0.bytes = map.bytes(.rescued) }
        if control.isCancelled { throw cancelled(map) }
        guard map.count < RescueMap.mostAreas else {
            throw CopyFailure(
                .badJournal, target.name, asked: "continue the rescue to",
                possible: "the map has \(map.count) areas, which is the most that one may have",
                cure: "Replace the medium's controller or cable if reads fail at random, and run it again with the same map.")
        }
        if CopyClock.now - last > max(10_000_000_000, 20 * cost) { try save(map) }
    }

    private func cancelled(_ map: RescueMap) -> CopyFailure {
        CopyFailure(
            .cancelled, target.name, asked: "finish",
            possible: "stopped after \(ByteSize.text(map.bytes(.rescued))) of \(ByteSize.text(map.size))",
            cure: "Run it again with the same map to continue.")
    }

    /// Saves a map of what the target's medium has.
    func save(_ map: RescueMap) throws(CopyFailure) {
        let began = CopyClock.now
        do throws(CopyFailure) {
            if let file = target.file {
                let result = cdma_fdatasync(file.descriptor)
                guard result == 0 || OptionalStep.isRefusal(-result) else {
                    throw .writing(target.name, errno: -result, when: "when it was flushed")
                }
            }
            try file.save(map, comments: comments)
        } catch {
            isBroken = true
            throw error
        }
        last = CopyClock.now
        cost = last - began
    }

    /// What ended the rescue, after the map was saved; or with a note that it could not be.
    func closing(_ map: RescueMap, _ error: CopyFailure) -> CopyFailure {
        // Whatever noticed the cancellation, as the wait for the rate: the cure is the rescue's.
        var failure = error.code == .cancelled ? cancelled(map) : error
        if error.code == .noSpace, let file = target.file {
            failure = RoomText.explain(error, file, needs: map.size - map.bytes(.rescued))
        }
        let stale = "the map has the state of the last time that it could be saved"
        guard !isBroken else { return failure.with(notes: [stale]) }
        do throws(CopyFailure) { try save(map) } catch { return failure.with(notes: ["\(stale): \(error)"]) }
        return failure
    }
}
