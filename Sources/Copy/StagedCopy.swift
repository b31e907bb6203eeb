// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMA
internal import DMACore

/// One copy in two steps: the data is written where no other process sees it yet; then it becomes the target.
///
/// A single copy takes both steps at once. For a list, the first step is taken for many files before the medium is flushed once.
struct StagedCopy {
    let job: CopyJob
    private let copier: Copier
    /// When it started: monotonic time, and processor time of the process.
    private let began = CopyClock.now
    private let processor = CopyClock.processor
    /// When its data had been written.
    private var moved: Int64 = 0

    /// Opens both ends and plans.
    init(
        _ copier: Copier, from source: Endpoint, to target: Endpoint, _ options: CopyOptions, plan given: CopyPlan?,
        _ session: CopySession, _ control: CopyControl, isExact: Bool = false
    ) throws(CopyFailure) {
        try options.check()
        self.copier = copier
        let opened = try CopySource(opening: source)
        let site = try TargetSite(target, source: opened, isExact: isExact)
        var folder: TargetFolder?
        if case .file(let place) = site { folder = try session.folder(place.directory) }
        var plans = try copier.plans(opened, site, folder, options)
        if let given { plans = CopyPlans(plan: try Copier.fit(given, to: plans.plan, opened), unshared: plans.unshared) }
        let open = try OpenTarget.open(site, plans.plan, options, size: opened.size, folder, control)
        job = CopyJob(opened, open, target, plans, options, session, control)
        for note in open.notes { job.note(note) }
        for note in BlockDevice.notes(of: opened) { job.note(note) }
    }

    var report: CopyReport { job.report }

    /// Whether it may be flushed together with other small files.
    var mayWait: Bool {
        let plan = job.plan
        return plan.publishing == .rename && plan.flushes && !plan.verifies && job.report.bytes < CopyPlanner.worthDirect
    }

    /// The file system of the target, by its device number.
    var fileSystem: UInt64 { job.target.facts?.device ?? 0 }

    // MARK: The steps

    /// Writes the data.
    mutating func move() throws(CopyFailure) {
        do throws(CopyFailure) { try moveBytes() } catch { throw abandoned(error) }
    }

    /// Verifies where that is requested, and makes the new data the target.
    mutating func publish() throws(CopyFailure) {
        do throws(CopyFailure) {
            try job.target.setLength(job.report.bytes)
            try verify()
            let verified = CopyClock.now
            job.enter(.flushing, bytes: job.report.bytes, total: job.source.size)
            try job.checkCancelled(job.report.bytes)
            try job.target.publish(
                job.source, end: job.report.bytes, job.plan, preserves: job.options.preserves, note: { job.note($0) })
            finish(flushedSince: verified)
        } catch { throw abandoned(error) }
    }

    /// The first part of ``publish()`` for one file of many: everything but the name, and no flush of its own.
    func complete() throws(CopyFailure) {
        do throws(CopyFailure) {
            try job.target.complete(
                job.source, end: job.report.bytes, preserves: job.options.preserves, note: { job.note($0) })
            try job.target.checkClose()
        } catch { throw abandoned(error) }
    }

    /// The second part, after the file system has been flushed.
    func giveName() throws(CopyFailure) {
        do throws(CopyFailure) {
            try job.target.file?.checkWritten()
            try job.checkCancelled(job.report.bytes)
            try job.target.giveName(flushes: false, note: { job.note($0) })
            finish(flushedSince: moved)
        } catch { throw abandoned(error) }
    }

    /// The last part, after the names have been flushed.
    func close() throws(CopyFailure) { try job.target.close() }

    private func finish(flushedSince moment: Int64) {
        job.report.flushNanoseconds = CopyClock.now - moment
        job.report.processorNanoseconds = CopyClock.processor - processor
        job.control.update { $0.phase = .done }
    }

    /// Removes what was begun, and adds to the failure what was noted so far and what could not be removed.
    func abandoned(_ error: CopyFailure) -> CopyFailure {
        let left = job.target.abandon(keepsPart: error.code != .badJournal)
        var failure = error
        if error.code == .noSpace { failure = RoomText(job).explain(error) }
        return failure.with(notes: failure.notes + job.report.notes + (left.map { ["left behind: \($0)"] } ?? []))
    }

    // MARK: Moving

    private mutating func moveBytes() throws(CopyFailure) {
        try prepare()
        // Reading a FIFO without a writer returns 0, like the end of the data.
        if let file = job.source.file, job.source.facts?.kind == .pipe { try file.waitUntilReady(toWrite: false, job.control) }
        job.enter(.copying, bytes: job.start, total: job.source.size)
        job.began = CopyClock.now
        try followPath()
        try SourceEnd(job: job).reach()
        moved = CopyClock.now
        job.report.setupNanoseconds = job.began - began
        job.report.copyNanoseconds = moved - job.began
    }

    /// Discards a device, checks what an interrupted copy wrote, and sets the length of the target.
    private func prepare() throws(CopyFailure) {
        guard let file = job.target.file else { return }
        if job.target.facts?.kind == .block, job.options.discards { try discard(file) }
        guard job.target.facts?.kind == .regular, job.plan.publishing != .none else { return }
        if job.plan.publishing == .resume { try Resume(job: job).check() }
        if job.plan.publishing == .inPlace { try prepareInPlace(file) }
        try TargetRoom(job: job).take()
    }

    /// The old data is removed only after everything else that can fail has been tried: the source can be read, and there is space.
    private func prepareInPlace(_ file: OpenFile) throws(CopyFailure) {
        // SAFETY: the call writes at most the one byte of a local variable.
        if job.source.hasPlaces, let from = job.source.file {
            var byte: UInt8 = 0
            let read = unsafe cdma_read_all(from.descriptor, &byte, 1, 0)
            guard read >= 0 else { throw .reading(job.source.name, at: 0, errno: Int32(-read)) }
        }
        // A hole must not keep old data. Where there are no holes, all old data is overwritten.
        if job.plan.holes == .keep, !(try job.target.empty()) { job.writeHoles() }
    }

    private func discard(_ file: OpenFile) throws(CopyFailure) {
        guard let facts = job.target.facts, let size = try file.size(facts) else { return }
        var place: UInt64 = 0
        while place < size {
            try job.checkCancelled(0)
            let count = min(1 << 30, size - place)
            let result = cdma_block_discard(file.descriptor, place, count)
            if result == -EOPNOTSUPP { return job.note("not discarded: the device does not support it") }
            guard result == 0 else { throw .writing(job.target.name, at: place, errno: -result) }
            place += count
        }
    }

    private func followPath() throws(CopyFailure) {
        if job.plan.path == .reflink {
            if try ReflinkPath(job: job).run() { return }
            job.copyUnshared()
            try TargetRoom(job: job).take()
        }
        job.target.isAboutToBeOverwritten()
        if job.plan.path == .inKernel {
            if try InKernelPath(job: job).run() { return }
            job.fall(to: .readWrite, because: "not copied in the kernel: copy_file_range(2) does not support these files")
        }
        if job.plan.path == .splice {
            if try SplicePath(job: job).run() { return }
            job.fall(
                to: .engine, engine: copier.engine?.offer.name ?? "",
                because: "not spliced: splice(2) does not support these files")
        }
        switch job.plan.path {
        case .engine, .memory: try EnginePath(job: job, system: copier.system).run()
        default: try ReadWritePath(job: job).run()
        }
    }

    // MARK: Verifying

    private func verify() throws(CopyFailure) {
        guard job.plan.verifies else { return }
        let began = CopyClock.now
        try job.target.flush()
        try Verification(job: job, system: copier.system).run()
        job.report.verifyNanoseconds = CopyClock.now - began
    }
}
