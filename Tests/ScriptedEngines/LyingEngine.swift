// SPDX-License-Identifier: Apache-2.0

public import DMACore
public import DMAEngineKit

/// The false reports of a ``LyingEngine``.
public enum Lie: String, CaseIterable, Sendable {
    /// None: it is correct.
    case none
    /// Each report is duplicated.
    case repeats
    /// Tags of long-ended transactions are reported again.
    case echoes
    /// Unassigned tags, some one bit away from those in flight.
    case guesses
    /// Tags with more bits than it declares.
    case longTags
    /// Periods of transactions that are not cyclic.
    case periods
    /// A residue beyond the length.
    case hugeResidue
    /// An undefined status.
    case badStatus
    /// An end that is not final: in progress.
    case unfinished
    /// Reported as ended before it is done, and then left undone.
    case early
    /// Reported as ended before it was issued.
    case beforeIssue
    /// Reported as ended after it reported that it had stopped.
    case afterTermination
    /// No room, although its declared depth promises it.
    case refuses
    /// Does not stop.
    case neverStops
    /// Reports nothing.
    case neverCompletes
    /// The last first, though it declares in-order completion.
    case reverses
    /// Other capabilities at each call.
    case changesCapabilities
    /// A seeded mixture of those after which it can continue.
    case mixture
}

/// An engine that moves the requested bytes, as far as the ``MemoryOracle`` permits, and reports falsely.
///
/// Only its reports are false: it does not access the memory of a transaction that it has reported with a tag in flight.
public struct LyingEngine: ~Copyable, Engine {
    private let lie: Lie
    private let oracle: MemoryOracle
    private var random: DeviceRandom
    private var queued: [Job] = []
    private var running: [Job] = []
    private var reports: [Completion] = []
    private var history: [UInt32] = []
    private var terminated: [Job] = []
    private var asked = 0

    private static let tagBits = 16

    public init(_ lie: Lie, _ oracle: MemoryOracle, seed: UInt64) {
        self.lie = lie
        self.oracle = oracle
        random = DeviceRandom(seed: seed)
    }

    public var capabilities: Capabilities {
        var capabilities = Capabilities(
            name: "lying", implementation: lie.rawValue, operations: [.copy, .fill, .xor, .scatterGather, .null], depth: 8)
        capabilities.tagBits = Self.tagBits
        capabilities.canPause = true
        capabilities.maximumSources = 4
        capabilities.maximumSegments = 8
        capabilities.residueGranularity = .burst
        if lie == .changesCapabilities, asked > 0 {
            capabilities.depth = .max
            capabilities.alignment = 0
            capabilities.maximumSegments = .min
            capabilities.tagBits = -1
        }
        return capabilities
    }

    public var addressing: EngineAddressing { .cpu }

    @unsafe
    public mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        asked += 1
        if tells(.refuses), random.below(3) == 0 { return random.below(2) == 0 ? .full : .refused(DMAError(.engineFailed)) }
        queued.append(Job(descriptor, tag: tag))
        if tells(.beforeIssue) { reports.append(Completion(tag: Self.reported(tag))) }
        return .accepted
    }

    public mutating func issuePending() {
        running += queued
        queued.removeAll()
    }

    public mutating func next() -> Completion? {
        if !reports.isEmpty { return tell(reports.removeFirst()) }
        if let lie = nextLie() { return tell(lie) }
        guard lie != .neverCompletes, !running.isEmpty else { return nil }
        let index = tells(.reverses) ? running.count - 1 : 0
        // Part of the work for each poll, so that it can be stopped, paused or queried in the middle.
        if running[index].residue > 0 {
            work(index, 1 << UInt64(random.below(13)))
            if running[index].residue > 0 { return nil }
        }
        return tell(honest(running[index]))
    }

    /// A report of an ended transaction, correct except for this lie.
    private mutating func honest(_ job: Job) -> Completion {
        var completion = Completion(tag: Self.reported(job.tag), value: job.value)
        if tells(.hugeResidue) { completion.residue = .max }
        if tells(.badStatus) { completion.status = 200 }
        if tells(.unfinished) { completion.status = TransactionStatus.inProgress.rawValue }
        if tells(.repeats) { reports.append(completion) }
        if tells(.longTags) {
            reports.append(completion)
            completion.tag |= 1 << 20
        }
        return completion
    }

    /// A false report, now and then.
    private mutating func nextLie() -> Completion? {
        guard random.below(3) == 0 else { return nil }
        if tells(.echoes), !history.isEmpty { return Completion(tag: history[random.below(history.count)]) }
        if tells(.afterTermination), let job = terminated.last { return Completion(tag: Self.reported(job.tag)) }
        guard !running.isEmpty else {
            return tells(.guesses) ? Completion(tag: UInt32(random.below(1 << Self.tagBits))) : nil
        }
        let open = Self.reported(running[random.below(running.count)].tag)
        if tells(.guesses) { return Completion(tag: open ^ 1 << UInt32(random.below(Self.tagBits))) }
        if tells(.periods) { return Completion(tag: open, isPeriod: true, value: .max) }
        if tells(.early) { return Completion(tag: open) }
        return nil
    }

    /// Whether the engine tells this lie now.
    private mutating func tells(_ other: Lie) -> Bool { lie == other || lie == .mixture && random.below(4) == 0 }

    /// Reports it, and no longer accesses what it reports as ended.
    private mutating func tell(_ completion: Completion) -> Completion {
        guard !completion.isPeriod else { return completion }
        if let index = running.firstIndex(where: { Self.reported($0.tag) == completion.tag }) {
            if running[index].residue > 0 { skip(running[index].descriptor) }
            running.remove(at: index)
        }
        // Reported before it was issued. A wrapper that delays the report may pass it on after the issue, where the channel
        // accepts it: the job is kept, to be reported again, and moves nothing.
        for index in queued.indices where Self.reported(queued[index].tag) == completion.tag {
            skip(queued[index].descriptor)
            queued[index] = Job(unsafe Descriptor(kind: .null), tag: queued[index].tag)
        }
        for job in terminated where Self.reported(job.tag) == completion.tag && job.residue > 0 { skip(job.descriptor) }
        terminated.removeAll { Self.reported($0.tag) == completion.tag }
        history.append(completion.tag)
        if history.count > 64 { history.removeFirst(32) }
        return completion
    }

    private func skip(_ descriptor: Descriptor) {
        for access in Self.accesses(descriptor) where access.writes { oracle.skip(access.segment.address) }
    }

    private static func reported(_ tag: UInt32) -> UInt32 { tag & ((1 << UInt32(tagBits)) &- 1) }

    /// Moves some bytes, if all memory of the descriptor is in flight.
    private mutating func work(_ index: Int, _ bytes: UInt64) {
        let before = running[index].done
        let isPermitted = Self.accesses(running[index].descriptor).reduce(true) { permitted, access in
            oracle.permits(access.segment.address, access.segment.count, writes: access.writes) && permitted
        }
        // It skips memory that it may not access, and counts it as done.
        guard isPermitted else {
            running[index] = Job(unsafe Descriptor(kind: .null), tag: running[index].tag)
            return
        }
        running[index].step(bytes)
        oracle.move(running[index].done - before)
    }

    private static func accesses(_ descriptor: Descriptor) -> [(segment: Segment, writes: Bool)] {
        switch descriptor.kind {
        case .scatterGather, .xor:
            (0..<Int(descriptor.sourceCount)).map { (descriptor.sourceSegment($0), false) }
                + (0..<Int(descriptor.destinationCount)).map { (descriptor.destinationSegment($0), true) }
        case .fill: [(Segment(address: descriptor.destination, count: descriptor.count), true)]
        default:
            [
                (Segment(address: descriptor.source, count: descriptor.count), false),
                (Segment(address: descriptor.destination, count: descriptor.count), true),
            ]
        }
    }

    public mutating func terminate() {
        terminated += queued + running
        if terminated.count > 64 { terminated.removeFirst(terminated.count - 64) }
        queued.removeAll()
    }

    public mutating func quiesce(by deadline: Deadline) -> Bool {
        if lie == .neverStops { return running.isEmpty }
        queued.removeAll()
        running.removeAll()
        return true
    }

    public mutating func pause() -> Bool { !tells(.refuses) }
    public mutating func resume() -> Bool { !tells(.refuses) }
    public mutating func residue(of tag: UInt32) -> UInt64? {
        if tells(.hugeResidue) { return .max }
        return (running + queued).first { $0.tag == tag }?.residue
    }
    // Only polls move bytes: no sleep would end.
    public mutating func wait(until deadline: Deadline) -> Bool { true }
}
