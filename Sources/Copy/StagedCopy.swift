// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMA
internal import DMACore

/// One copy in two steps: its bytes are brought to where they are not seen yet; then they become the target.
///
/// A single copy takes them one after the other. Of a list the first is taken for many files, before the medium is waited for once.
struct StagedCopy {
    let job: CopyJob
    private let copier: Copier
    /// When it began: on the wall, and of the processor's time.
    private let began = CopyClock.now
    private let processor = CopyClock.processor
    /// When its bytes were there.
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
        noteMounts()
    }

    var report: CopyReport { job.report }

    /// Whether it is one of many small ones, which wait for the medium together.
    var mayWait: Bool {
        let plan = job.plan
        return plan.publishing == .rename && plan.flushes && !plan.verifies && job.report.bytes < CopyPlanner.worthDirect
    }

    /// The file system that it goes to.
    var fileSystem: UInt64 { job.target.facts?.device ?? 0 }

    // MARK: The steps

    /// Brings the bytes.
    mutating func move() throws(CopyFailure) {
        do throws(CopyFailure) { try moveBytes() } catch { throw abandoned(error) }
    }

    /// Verifies where that is asked for, and makes the bytes the target.
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

    /// The first part of ``publish()`` for one of many: everything but the name, and no flush of its own.
    func complete() throws(CopyFailure) {
        do throws(CopyFailure) {
            try job.target.complete(
                job.source, end: job.report.bytes, preserves: job.options.preserves, note: { job.note($0) })
            try job.target.checkClose()
        } catch { throw abandoned(error) }
    }

    /// The second part, after the file system was flushed.
    func giveName() throws(CopyFailure) {
        do throws(CopyFailure) {
            try job.target.file?.checkWritten()
            try job.checkCancelled(job.report.bytes)
            try job.target.giveName(flushes: false, note: { job.note($0) })
            finish(flushedSince: moved)
        } catch { throw abandoned(error) }
    }

    /// The last part, after that was flushed.
    func close() throws(CopyFailure) { try job.target.close() }

    private func finish(flushedSince moment: Int64) {
        job.report.flushNanoseconds = CopyClock.now - moment
        job.report.processorNanoseconds = CopyClock.processor - processor
        job.control.update { $0.phase = .done }
    }

    /// Puts away what was begun, and says what was noted so far and what is left.
    func abandoned(_ error: CopyFailure) -> CopyFailure {
        let left = job.target.abandon(keepsPart: error.code != .badJournal)
        var failure = error
        if error.code == .noSpace { failure = RoomText(job).explain(error) }
        return failure.with(notes: failure.notes + job.report.notes + (left.map { ["left behind: \($0)"] } ?? []))
    }

    // MARK: Moving

    private mutating func moveBytes() throws(CopyFailure) {
        try prepare()
        // Reading a FIFO without a writer returns 0, as at the end.
        if let file = job.source.file, job.source.facts?.kind == .pipe { try file.waitUntilReady(toWrite: false, job.control) }
        job.enter(.copying, bytes: job.start, total: job.source.size)
        job.began = CopyClock.now
        try followPath()
        try SourceEnd(job: job).reach()
        moved = CopyClock.now
        job.report.setupNanoseconds = job.began - began
        job.report.copyNanoseconds = moved - job.began
    }

    /// Sizes, room, what an interrupted copy left, discards.
    private func prepare() throws(CopyFailure) {
        guard let file = job.target.file else { return }
        if job.target.facts?.kind == .block, job.options.discards { try discard(file) }
        guard job.target.facts?.kind == .regular, job.plan.publishing != .none else { return }
        if job.plan.publishing == .resume { try Resume(job: job).check() }
        if job.plan.publishing == .inPlace { try prepareInPlace(file) }
        try TargetRoom(job: job).take()
    }

    /// The old bytes go when nothing is left that could be found out without that: the source can be read, and there is room.
    private func prepareInPlace(_ file: OpenFile) throws(CopyFailure) {
        // SAFETY: the call writes at most the one byte of a local variable.
        if job.source.hasPlaces, let from = job.source.file {
            var byte: UInt8 = 0
            let read = unsafe cdma_read_all(from.descriptor, &byte, 1, 0)
            guard read >= 0 else { throw .reading(job.source.name, at: 0, errno: Int32(-read)) }
        }
        // What is left out must not keep old bytes. Where none is left out, they go one after the other.
        if job.plan.holes == .keep, !(try job.target.empty()) { job.writeHoles() }
    }

    private func discard(_ file: OpenFile) throws(CopyFailure) {
        guard let facts = job.target.facts, let size = try file.size(facts) else { return }
        var place: UInt64 = 0
        while place < size {
            try job.checkCancelled(0)
            let count = min(1 << 30, size - place)
            let result = cdma_block_discard(file.descriptor, place, count)
            if result == -EOPNOTSUPP { return job.note("not discarded: the device does not know how") }
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
            job.fall(to: .readWrite, because: "not copied in the kernel: it does not, between these files")
        }
        if job.plan.path == .splice {
            if try SplicePath(job: job).run() { return }
            job.fall(
                to: .engine, engine: copier.engine?.offer.name ?? "",
                because: "not spliced: the kernel does not, with these files")
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

    // MARK: What is said

    /// A device whose files may be written while it is read.
    private func noteMounts() {
        guard let facts = job.source.facts, facts.kind == .block else { return }
        var path = CopyPath(job.source.name)
        if case .path(let named) = job.source.endpoint { path = named }
        for (name, mount) in BlockDevice.mounts(path, facts) where mount.isWritable {
            job.note(
                "\(name) is mounted at \(mount.point) and may be written meanwhile: what is not on the device yet is not in the copy; "
                    + "unmount it first, or remount it read-only")
        }
    }
}
