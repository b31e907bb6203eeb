// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMA
internal import DMACore
internal import DMAEngineKit
internal import DMAUnits

/// A channel of an engine, with transfers in flight.
struct EnginePath {
    let job: CopyJob
    let system: DMASystem

    func run() throws(CopyFailure) {
        // SAFETY: the call writes at most the one byte of a local variable.
        let plan = job.plan
        if job.source.hasPlaces, let from = job.source.file, let size = job.source.size, size > 0 {
            // A file that ends before its reported size is copied by single reads (SourceEnd): after a short read, io_uring's retry may read the
            // same place of a FUSE file again (seen on Linux 6.18).
            var byte: UInt8 = 0
            let last = unsafe cdma_read_all(from.descriptor, &byte, 1, Int64(clamping: size - 1))
            if last == 0 { return job.done(end: job.start, moved: 0, crc: plan.checksums ? job.startCRC : nil) }
        }
        var task = MoverTask(
            source: .zero, target: .null, sourceName: job.source.name, targetName: job.target.name, chunk: plan.chunk,
            depth: plan.depth)
        task.start = job.start
        task.end = job.source.size
        task.holesOf = job.holesOf
        task.counts = plan.checksums
        task.crc = job.startCRC
        task.rate = job.options.rate
        task.isDemand = plan.mode == .demand
        let job = job
        let ends = (try Self.source(job), try Self.target(job))
        job.began = CopyClock.now
        let result = try EngineRun(plan, system, job.control).run(
            from: ends.0, to: ends.1, task
        ) { (done, crc) throws(CopyFailure) in
            if plan.publishing == .resume { try job.keepJournal(done, crc) }
            job.target.hasAppended(done)
        }
        job.report.engine = result.engine
        for note in result.notes { job.note(note) }
        job.report.figures = result.moved.figures
        func count(_ name: String) -> UInt64 { result.moved.figures.first { $0.name == name }?.value ?? 0 }
        if plan.registered, count("refusedBuffers") > 0 { job.note("memory was not registered: the kernel refused to lock it") }
        if count("directRefusals") > 0 { job.note("buffered I/O was used: the file system refused direct I/O") }
        job.done(end: result.moved.end, moved: result.moved.moved, crc: plan.checksums ? result.moved.crc : nil)
    }

    private static func source(_ job: CopyJob) throws(CopyFailure) -> EngineEnd<MoverSource> {
        switch job.source.endpoint {
        case .pattern(let seed, _): return .local(.pattern(PatternStream(seed: seed)))
        case .zero, .null: return .local(.zero)
        case .buffer(let buffer): return .local(.memory(try MemoryEnd(buffer, name: job.source.name)))
        case .memory(let size): return .local(.memory(try MemoryEnd(size, name: job.source.name)))
        case .path, .standard, .descriptor:
            guard let file = job.source.file else { return .local(.zero) }
            return .file(file, isDirect: job.plan.source == .direct, isStream: !job.source.hasPlaces, base: 0)
        }
    }

    private static func target(_ job: CopyJob) throws(CopyFailure) -> EngineEnd<MoverTarget> {
        try job.localTarget().map { .local($0) }
            ?? .file(
                job.target.file, isDirect: job.plan.target == .direct, isStream: job.plan.target == .stream,
                inOrder: job.target.isAppended, base: job.target.base)
    }
}

/// One end of a mover, before it is attached to an engine.
enum EngineEnd<Local> {
    case local(Local)
    case file(OpenFile?, isDirect: Bool, isStream: Bool, inOrder: Bool = false, base: UInt64)
}

/// Opens a channel as the plan says, and runs a mover on it.
struct EngineRun {
    struct Result {
        var moved: MoverResult
        var engine: String
        var notes: [String]
    }

    private let plan: CopyPlan
    private let system: DMASystem
    private let control: CopyControl

    init(_ plan: CopyPlan, _ system: DMASystem, _ control: CopyControl) {
        self.plan = plan
        self.system = system
        self.control = control
    }

    func run(
        from source: EngineEnd<MoverSource>, to target: EngineEnd<MoverTarget>, _ task: MoverTask,
        checkpoint: ((UInt64, UInt32) throws(CopyFailure) -> Void)? = nil
    ) throws(CopyFailure) -> Result {
        var request = ChannelRequest(plan.path == .memory ? .copy : .peripheral)
        if plan.path == .engine { request.name = plan.engine }
        let granted: GrantedEngine
        do throws(DMAError) { granted = try system.grantEngine(request) } catch {
            throw .engine(plan.engine, error, to: "open a channel of")
        }
        // Memory that is mapped for the engine's domain is registered with the engine; memory of another domain is not.
        let domain = plan.registered || plan.path == .memory ? granted.domain : Domain(name: "unregistered")
        let info = granted.info
        let notes = granted.waiver.map { ["\(info.engine): \($0)"] } ?? []
        let engine = granted.takeEngine()
        guard plan.mode == .cycleStealing else {
            let channel: Channel<AnyEngine, CopyChunk>
            do throws(DMAError) { channel = try Channel(engine, domain: domain) } catch { throw refused(error) }
            return try run(channel, domain, info, notes, source, target, task, checkpoint)
        }
        let channel: Channel<PacedEngine<AnyEngine>, CopyChunk>
        do throws(DMAError) {
            let quantum = min(plan.chunk, 262_144)
            let paced = try PacedEngine(engine, mode: .cycleStealing(share: plan.share), quantum: quantum)
            channel = try Channel(paced, domain: domain)
        } catch { throw refused(error) }
        return try run(channel, domain, info, notes, source, target, task, checkpoint)
    }

    private func refused(_ error: DMAError) -> CopyFailure { .engine(plan.engine, error, to: "open a channel of") }

    private func run<E: Engine & ~Copyable>(
        _ channel: consuming Channel<E, CopyChunk>, _ domain: Domain, _ info: ChannelInfo, _ told: [String],
        _ source: EngineEnd<MoverSource>, _ target: EngineEnd<MoverTarget>, _ task: MoverTask,
        _ checkpoint: ((UInt64, UInt32) throws(CopyFailure) -> Void)?
    ) throws(CopyFailure) -> Result {
        var task = task
        var notes = told
        let depth = min(task.depth, info.capabilities.depth)
        if depth < task.depth {
            notes.append("\(depth) transfers in flight instead of \(task.depth): the engine supports no more")
        }
        task.depth = depth
        switch source {
        case .local(let end): task.source = end
        case .file(let file, let isDirect, let isStream, _, let base):
            let number = try attach(file, to: &channel, task.sourceName, isDirect, endsShort: isStream && task.isDemand)
            task.source = isStream ? .stream(number: number) : .file(number: number, base: base)
        }
        switch target {
        case .local(let end): task.target = end
        case .file(let file, let isDirect, let isStream, let inOrder, let base):
            let number = try attach(file, to: &channel, task.targetName, isDirect, endsShort: false)
            task.target = isStream ? .stream(number: number) : .file(number: number, base: base, inOrder: inOrder)
        }
        let pool: Pool
        do throws(DMAError) {
            // Whole pages, so that direct I/O finds every block aligned.
            let size = (Int(task.chunk) + 4095) & ~4095
            let buffer = try Buffer(
                count: size * depth, alignment: 4096, backing: .pages(transparentHuge: true),
                policy: AllocationPolicy(prefault: size * depth <= 64 << 20))
            pool = try Pool(try buffer.mapped(for: domain, direction: .bidirectional), blockSize: size, alignment: 4096)
        } catch { throw .engine(task.targetName, error, to: "allocate \(depth) blocks of \(ByteSize.text(task.chunk)) for") }
        var mover = Mover(channel, pool: pool, task, control, checkpoint: checkpoint)
        let moved = try mover.run()
        let words = info.capabilities.implementation
        return Result(moved: moved, engine: words.isEmpty ? info.engine : "\(info.engine): \(words)", notes: notes)
    }

    private func attach<E: Engine & ~Copyable>(
        _ file: OpenFile?, to channel: inout Channel<E, CopyChunk>, _ name: String, _ isDirect: Bool, endsShort: Bool
    ) throws(CopyFailure) -> UInt32 {
        guard let file else {
            throw CopyFailure(.badEndpoint, name, asked: "open", possible: "it is not a file", cure: "Name a file.")
        }
        do throws(DMAError) {
            return try channel.attach(
                PeripheralFile(file.descriptor, cache: isDirect ? .direct : .buffered, endsShort: endsShort))
        } catch { throw .engine(name, error, to: "attach") }
    }
}
