// SPDX-License-Identifier: Apache-2.0

internal import DMACore

/// One copy in progress: what every path needs, and its report.
final class CopyJob {
    let source: CopySource
    let target: OpenTarget
    /// The target as the caller named it.
    let endpoint: Endpoint
    /// The plan, changed where a file system refused a step of it.
    private(set) var plan: CopyPlan
    /// The plan for a file system that does not share blocks.
    private let unshared: CopyPlan?
    let options: CopyOptions
    let session: CopySession
    let control: CopyControl
    /// Where the copy starts in the source: after what an interrupted copy wrote.
    var start: UInt64 = 0
    /// CRC32C of what precedes `start`.
    var startCRC: UInt32 = 0
    /// When the bytes began to move.
    var began = CopyClock.now
    var report: CopyReport
    /// Made once for the copy.
    private var local: MoverTarget?

    init(
        _ source: CopySource, _ target: OpenTarget, _ endpoint: Endpoint, _ plans: CopyPlans, _ options: CopyOptions,
        _ session: CopySession, _ control: CopyControl
    ) {
        self.endpoint = endpoint
        self.source = source
        self.target = target
        plan = plans.plan
        unshared = plans.unshared
        self.options = options
        self.session = session
        self.control = control
        report = CopyReport(plan: plans.plan)
    }

    /// Changes to another path because the planned one was refused; without a note where the result is the same.
    func fall(to path: CopyPlan.Path, engine: String = "", because reason: String?) {
        if let reason { note(reason) }
        plan.path = path
        plan.engine = engine
        if path != .inKernel { plan.chunk = CopyPlanner.cacheChunk }
        if path == .engine { plan.depth = 2 }
        report.plan = plan
    }

    /// Reads and writes in turn, because no thread or no memory could be had for reading ahead.
    func fallInTurn(because reason: String) {
        note(reason)
        plan.depth = 1
        report.plan = plan
    }

    /// Copies the bytes after the file system refused to share blocks. The user did not require sharing, so no note is printed.
    func copyUnshared() {
        guard let unshared else { return fall(to: .readWrite, because: nil) }
        plan = unshared
        report.plan = plan
    }

    /// Zeroes are written for the source's holes: the target still has other bytes there.
    func writeHoles() {
        plan.holes = .write
        report.plan = plan
    }

    func note(_ text: String) {
        if report.notes.count < 100, !report.notes.contains(text) { report.notes.append(text) }
    }

    /// Saves the progress of a copy that can be resumed.
    func keepJournal(_ place: UInt64, _ crc: UInt32) throws(CopyFailure) {
        guard var journal = ResumeJournal(of: source) else { return }
        journal.length = place
        journal.crc = crc
        try target.keepJournal(journal)
    }

    /// What receives the data in this process; nil where the target is a file.
    func localTarget() throws(CopyFailure) -> MoverTarget? {
        if let local { return local }
        switch endpoint {
        case .pattern(let seed, _): local = .pattern(PatternStream(seed: seed))
        case .buffer(let buffer): local = .memory(try MemoryEnd(buffer, name: target.name))
        case .memory(let size): local = .memory(try MemoryEnd(size, name: target.name))
        case .null, .zero: local = .null
        case .path, .standard, .descriptor: break
        }
        return local
    }

    /// The source's file, where its holes are kept.
    var holesOf: OpenFile? { plan.holes == .keep ? source.file : nil }

    /// - Throws: `cancelled` after ``CopyControl/cancel()``.
    func checkCancelled(_ bytes: UInt64) throws(CopyFailure) {
        if control.isCancelled { throw .cancelled(target.name, after: bytes) }
    }

    /// Reports what a path did: everything up to `end`, of which `moved` bytes were transferred.
    func done(end: UInt64, moved: UInt64, crc: UInt32?) {
        report.bytes = end
        report.moved = moved
        report.resumed = start
        report.holes = end - min(end, start + moved)
        report.crc32c = crc
    }

    /// More of the source was copied, after what was reported.
    func continued(by count: UInt64, crc: UInt32) {
        if let before = report.crc32c { report.crc32c = CRC32C.joining(before, crc, count: count) }
        report.bytes += count
        report.moved += count
    }

    /// Starts a phase, of which `bytes` are done already.
    func enter(_ phase: CopyProgress.Phase, bytes: UInt64 = 0, total: UInt64?) {
        control.update {
            $0.phase = phase
            $0.bytes = bytes
            $0.total = total
            $0.began = .now
        }
    }
}

/// A plan, and the one to follow if the file system refuses to share blocks, which only the attempt shows.
struct CopyPlans {
    var plan: CopyPlan
    var unshared: CopyPlan?
}
