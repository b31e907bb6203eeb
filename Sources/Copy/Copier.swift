// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMA
internal import DMACore

/// Copies between endpoints: opens them, plans, moves the bytes, verifies, publishes.
///
/// Thread rules: a copy runs on the thread that asks for it, and returns when it is over; ``CopyControl`` is for the others.
public struct Copier: Sendable {
    private let system: DMASystem

    /// - Parameter system: whose engines may be used.
    public init(system: DMASystem = DMASystem()) { self.system = system }

    /// How this copy would be done, and why. Touches nothing.
    ///
    /// - Throws: what keeps the endpoints from being copied.
    public func plan(
        from source: Endpoint, to target: Endpoint, _ options: CopyOptions = CopyOptions()
    ) throws(CopyFailure) -> CopyPlan {
        try options.check()
        let opened = try CopySource(opening: source)
        return try plan(opened, try TargetSite(target, source: opened), options)
    }

    /// Copies, and says what was done.
    ///
    /// - Parameters:
    ///   - source: where bytes come from.
    ///   - target: where they go.
    ///   - options: what is wanted.
    ///   - given: how, where it was made before; checked against the endpoints. nil makes one.
    ///   - control: for progress, and for a stop.
    /// - Throws: ``CopyFailure``. Unless the target is a device or a stream, or is overwritten in place, it is then what it was.
    public func copy(
        from source: Endpoint, to target: Endpoint, _ options: CopyOptions = CopyOptions(), plan given: CopyPlan? = nil,
        control: CopyControl = CopyControl()
    ) throws(CopyFailure) -> CopyReport {
        try options.check()
        let began = CopyClock.now
        let processor = CopyClock.processor
        let opened = try CopySource(opening: source)
        let site = try TargetSite(target, source: opened)
        var plan = try self.plan(opened, site, options)
        if let given { plan = try Self.fit(given, to: plan, opened) }
        let open = try OpenTarget.open(site, plan, options, size: opened.size, control)
        let job = CopyJob(opened, open, target, plan, options, control)
        for note in open.notes { job.note(note) }
        do throws(CopyFailure) {
            try run(job, began)
        } catch {
            let left = open.abandon(keepsPart: error.code != .badJournal)
            guard let left else { throw error }
            throw CopyFailure(
                error.code, error.subject, asked: error.asked, possible: error.possible,
                cure: "\(error.cure); left behind: \(left)",
                errno: error.errno, engine: error.engine)
        }
        job.report.processorNanoseconds = CopyClock.processor - processor
        control.update { $0.phase = .done }
        return job.report
    }

    private func plan(_ source: CopySource, _ target: TargetSite, _ options: CopyOptions) throws(CopyFailure) -> CopyPlan {
        // Looking for engines takes longer than many a copy: only a plan that needs one has them looked for.
        var plan = try CopyPlanner.plan(try CopyFacts(source, target, engine: Self.anyEngine), options)
        guard plan.path == .engine else { return plan }
        guard plan.engine == Self.anyEngine else {
            plan.tell(system.engines.first { $0.offer.name == plan.engine }?.waiver)
            return plan
        }
        guard let engine else {
            throw CopyFailure(
                .notSupported, "--engine", asked: "an engine that reaches files", possible: "none here", cure: "see dmactl list"
            )
        }
        plan.engine = engine.offer.name
        plan.tell(engine.waiver)
        return plan
    }

    /// A plan from outside: within its ranges, and for endpoints like these.
    private static func fit(_ given: CopyPlan, to made: CopyPlan, _ source: CopySource) throws(CopyFailure) -> CopyPlan {
        try given.check()
        func refuse(_ field: String, _ value: String, _ possible: String) -> CopyFailure {
            CopyFailure(
                .badPlan, field, asked: value, possible: possible, cure: "make a plan for these endpoints with --explain --json"
            )
        }
        func isFile(_ access: CopyPlan.Access) -> Bool { access == .direct || access == .buffered }
        guard isFile(given.source) == isFile(made.source), isFile(given.source) || given.source == made.source else {
            throw refuse("source", given.source.rawValue, "\(made.source.rawValue) for this source")
        }
        guard isFile(given.target) == isFile(made.target), isFile(given.target) || given.target == made.target else {
            throw refuse("target", given.target.rawValue, "\(made.target.rawValue) for this target")
        }
        guard given.publishing == made.publishing else {
            throw refuse("publishing", given.publishing.rawValue, "\(made.publishing.rawValue) with these options")
        }
        guard
            given.path == .engine || given.path == made.path
                || isFile(given.source) && isFile(given.target) && given.path != .memory
        else { throw refuse("path", given.path.rawValue, "\(made.path.rawValue) or engine") }
        guard given.holes != .keep || made.holes == .keep || made.holes == .none && source.size != nil else {
            throw refuse("holes", given.holes.rawValue, "\(made.holes.rawValue) between these files")
        }
        return given
    }

    // MARK: The run

    private func run(_ job: CopyJob, _ began: Int64) throws(CopyFailure) {
        try prepare(job)
        // A pipe that nobody writes to yet looks as if it had ended.
        if let file = job.source.file, job.source.facts?.kind == .pipe { try file.waitUntilReady(toWrite: false, job.control) }
        job.enter(.copying, bytes: job.start, total: job.source.size)
        job.began = CopyClock.now
        try move(job)
        try checkSource(job)
        let moved = CopyClock.now
        job.report.setupNanoseconds = job.began - began
        job.report.copyNanoseconds = moved - job.began
        if job.plan.verifies {
            try job.target.flush()
            try verify(job)
            job.report.verifyNanoseconds = CopyClock.now - moved
        }
        let verified = CopyClock.now
        job.enter(.flushing, bytes: job.report.bytes, total: job.source.size)
        try job.checkCancelled(job.report.bytes)
        try job.target.publish(
            job.source, end: job.report.bytes, job.plan, preserves: job.options.preserves, note: { job.note($0) })
        job.report.flushNanoseconds = CopyClock.now - verified
    }

    /// Sizes, room, what an interrupted copy left, discards.
    private func prepare(_ job: CopyJob) throws(CopyFailure) {
        guard let file = job.target.file else { return }
        if job.target.facts?.kind == .block, job.options.discards { try discard(file, job) }
        guard job.target.facts?.kind == .regular, job.plan.publishing != .none else { return }
        if job.plan.publishing == .resume { try Resume(job: job).check() }
        if job.plan.publishing == .inPlace {
            let result = cdma_truncate(file.descriptor, 0)
            guard result == 0 else { throw .writing(job.target.name, at: 0, errno: -result) }
        }
        guard let size = job.source.size, job.plan.path != .reflink else { return }
        let (end, overflow) = job.target.base.addingReportingOverflow(size)
        guard !overflow, end <= UInt64(Int64.max) else { throw .writing(job.target.name, at: size, errno: EFBIG) }
        if job.plan.publishing != .append {
            let result = cdma_truncate(file.descriptor, end)
            guard result == 0 else { throw .writing(job.target.name, at: size, errno: -result) }
        }
        if job.plan.preallocates { try allocate(file, job, size) }
    }

    private func allocate(_ file: OpenFile, _ job: CopyJob, _ size: UInt64) throws(CopyFailure) {
        var place = job.start
        // A file in more pieces than that takes its room as it is written.
        for _ in 0..<4096 {
            try job.checkCancelled(0)
            var range = place..<size
            if let holes = job.holesOf {
                guard let data = try ExtentWalk.data(holes, from: place, to: size) else { return }
                range = data
            }
            guard !range.isEmpty else { return }
            let result = cdma_fallocate(file.descriptor, 0, job.target.base + range.lowerBound, UInt64(range.count))
            if result == -EOPNOTSUPP { return job.note("no room taken before: the file system cannot") }
            if result == -EINTR { continue }
            guard result == 0 else { throw .writing(job.target.name, at: range.lowerBound, errno: -result) }
            place = range.upperBound
        }
    }

    private func discard(_ file: OpenFile, _ job: CopyJob) throws(CopyFailure) {
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

    private func move(_ job: CopyJob) throws(CopyFailure) {
        if job.plan.path == .reflink {
            if try ReflinkPath(job: job).run() { return }
            job.fall(to: .inKernel, because: "blocks not shared: the file system does not, between these files")
            if let size = job.source.size, let file = job.target.file { _ = cdma_truncate(file.descriptor, size) }
        }
        if job.plan.path == .inKernel {
            if try InKernelPath(job: job).run() { return }
            job.fall(to: .readWrite, because: "not copied in the kernel: it does not, between these files")
        }
        if job.plan.path == .splice {
            if try SplicePath(job: job).run() { return }
            job.fall(
                to: .engine, engine: engine?.offer.name ?? "", because: "not spliced: the kernel does not, with these files")
        }
        switch job.plan.path {
        case .engine, .memory: try EnginePath(job: job, system: system).run()
        default: try ReadWritePath(job: job).run()
        }
    }

    /// Stands in a plan until it is known whether one is needed.
    private static let anyEngine = "any"

    /// The first engine that reaches files.
    private var engine: EngineListing? {
        system.engines.first { listing in
            listing.offer.absence == nil && listing.offer.capabilities.operations.contains(.peripheral)
                && listing.offer.capabilities.commands.contains(PeripheralCommandSet(.flush))
        }
    }

    /// A source that changed while it was copied: shorter is a failure, longer is said.
    private func checkSource(_ job: CopyJob) throws(CopyFailure) {
        guard let file = job.source.file, let before = job.source.facts, before.kind == .regular, let size = job.source.size
        else {
            return
        }
        let now = try file.facts()
        if now.size < size { throw ReadWritePath.shrank(job.source.name, now.size) }
        if now.size > size {
            job.note("the source grew from \(size) to \(now.size) bytes meanwhile: the first \(size) were copied")
        } else if now.modified != before.modified {
            job.note("the source was written meanwhile: the copy may hold old and new bytes")
        }
    }

    private func verify(_ job: CopyJob) throws(CopyFailure) {
        guard let file = job.target.file else { return }
        job.enter(.verifying, total: job.report.bytes)
        let back = ReadBack(file: file, name: job.target.name, control: job.control)
        back.forget()
        let base = job.target.base
        let expected: UInt32
        if let crc = job.report.crc32c {
            expected = crc
        } else if let from = job.source.file {
            expected = try ReadBack(file: from, name: job.source.name, control: job.control).crc(0, job.report.bytes)
        } else {
            return
        }
        let found = try readBack(job, file, back, base)
        guard found == expected else {
            throw CopyFailure(
                .verifyFailed, job.target.name, asked: "CRC32C \(String(expected, radix: 16)), as it was read from the source",
                possible: "the medium gives back \(String(found, radix: 16))",
                cure: "copy again; if it fails again, the device or its memory is damaged (dmesg, smartctl)")
        }
        job.report.crc32c = expected
        job.report.verified = true
    }

    /// With the engine where it wrote past the cache, so that the medium answers; else through the cache, which was emptied.
    private func readBack(_ job: CopyJob, _ file: OpenFile, _ back: ReadBack, _ base: UInt64) throws(CopyFailure) -> UInt32 {
        guard job.plan.path == .engine, job.plan.target == .direct else {
            return try back.crc(base, base + job.report.bytes)
        }
        var task = MoverTask(
            source: .zero, target: .null, sourceName: job.target.name, targetName: job.target.name, chunk: job.plan.chunk,
            depth: job.plan.depth)
        task.end = job.report.bytes
        task.holesOf = job.target.facts?.kind == .regular && base == 0 ? file : nil
        task.counts = true
        let end = EngineEnd<MoverSource>.file(file, isDirect: true, isStream: false, base: base)
        return try EngineRun(job.plan, system, job.control).run(from: end, to: .local(.null), task).moved.crc
    }
}
