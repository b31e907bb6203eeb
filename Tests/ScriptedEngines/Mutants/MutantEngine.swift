// SPDX-License-Identifier: Apache-2.0

public import DMACore
public import DMAEngineKit

/// A correct engine with every feature that a suite tests, on its own thread and in order; and, with a ``Fault``, one with a
/// single fault. The suite's findings about the second and not about the first show what it detects.
public struct MutantEngine: ~Copyable, Engine {
    public var addressing: EngineAddressing { .cpu }
    private let device: MutantDevice
    private let faults: @Sendable (Fault) -> Bool
    private var ring = CyclicEngine()
    private var ringTag: UInt32?
    private var ringDescriptor: Descriptor?
    private let isFirst: Bool
    private var configuration = EngineConfiguration()
    private var waiting: [MutantDevice.Entry] = []
    /// Transactions that were enqueued and not reported.
    private var open: [UInt32: Descriptor] = [:]
    private var reported = 0
    private var firstTag: UInt32?
    private var idlePolls = 0
    private var residuesAsked = 0
    /// Reported when the channel believes that nothing is in flight.
    private var late: [Completion] = []
    private var writer: LateWriter?
    private let lateWriters: LateWriters
    /// The work in flight when the engine was stopped, until it is used or polled for long.
    private var stopped: [Descriptor] = []
    private var pollsSinceStop = 0

    /// - Parameters:
    ///   - isFirst: whether it is the first engine of its maker.
    ///   - lateWriters: the threads that write to memory of terminated transactions, also when the engine has ended. The maker stops them
    ///     before the memory is freed.
    ///   - faults: whether the engine has a fault at present.
    public init(isFirst: Bool = false, lateWriters: LateWriters, faults: @escaping @Sendable (Fault) -> Bool) {
        self.isFirst = isFirst
        self.lateWriters = lateWriters
        self.faults = faults
        device = MutantDevice(faults)
    }

    deinit {
        device.end()
        writer?.stop()
        // It outlives the engine, until the maker stops it.
        if !stopped.isEmpty { _ = lateWriters.start(stopped) }
    }

    public static var depth: Int { 16 }

    public var capabilities: Capabilities {
        var capabilities = Capabilities(
            name: "mutant", implementation: "scripted",
            operations: [
                .copy, .fill, .crc32c, .copyCRC32C, .xor, .xorValidate, .pq, .pqValidate, .scatterGather, .interleaved,
                .peripheral,
                .cyclic, .null, .command,
            ], depth: MutantEngine.depth)
        capabilities.commands = PeripheralCommandSet([.flush])
        capabilities.flags = [.interrupt, .fence, .continue, .disableP, .disableQ]
        if !(isFirst && faults(.changesCapabilities)) { capabilities.flags.insert(.reuse) }
        capabilities.maximumSources = 8
        capabilities.maximumSegments = 32
        capabilities.maximumCount = 1 << 24
        capabilities.residueGranularity = .burst
        capabilities.canPause = true
        capabilities.extendsWhileRunning = true
        capabilities.hasInterrupts = true
        capabilities.metadataCount = 16
        capabilities.priorities = 2
        return capabilities
    }

    public var interruptLine: InterruptLine? { device.line }
    /// The clock of the engine's rings.
    public var stream: CyclicDevice { ring.device }
    /// The FIFOs on the engine's request lines.
    public var peripheral: MutantPeripheral { MutantPeripheral(device) }
    /// The next transaction fails with `status`.
    public mutating func failNext(_ status: TransactionStatus) { device.state.withLock { $0.failures.append(status) } }

    // MARK: Submission

    @unsafe public mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        stopped = []
        if descriptor.kind == .cyclic {
            let result = unsafe ring.enqueue(descriptor, tag: tag)
            if result == .accepted { (ringTag, ringDescriptor) = (tag, descriptor) }
            return result
        }
        guard open.count < MutantEngine.depth - (faults(.shallow) ? 1 : 0) else { return .full }
        open[tag] = descriptor
        if firstTag == nil { firstTag = tag }
        let isBusy = device.state.withLock { !$0.jobs.isEmpty }
        if faults(.losesExtension), device.state.withLock({ $0.jobs.first.map { $0.job.descriptor.count >= 4096 } ?? false }) {
            return .accepted
        }
        waiting.append(
            MutantDevice.Entry(job: Job(bent(descriptor), tag: tag), line: Int(configuration.peripheral & 3)))
        if faults(.startsAtSubmit) || faults(.startsWhileBusy) && isBusy { issuePending() }
        return .accepted
    }

    private func bent(_ descriptor: Descriptor) -> Descriptor {
        var bent = descriptor
        if bent.kind == .fill, faults(.turnsPattern) { bent.value = bent.value >> 8 | bent.value << 56 }
        if bent.kind == .crc32c, faults(.ignoresSeed) { bent.value = 0 }
        if faults(.ignoresContinue) { bent.flags.remove(.continue) }
        // The bits of the template that say whether there are gaps.
        if bent.kind == .interleaved, faults(.ignoresSourceGap) { bent.detail[3] &= ~4 }
        if bent.kind == .interleaved, faults(.ignoresTargetGap) { bent.detail[3] &= ~8 }
        if bent.kind == .scatterGather, bent.sourceCount > 1, faults(.losesSegment) {
            bent.count -= bent.sourceSegment(Int(bent.sourceCount) - 1).count
        }
        return bent
    }

    public mutating func issuePending() {
        if ringTag != nil { ring.issuePending() }
        guard !waiting.isEmpty else { return }
        var entries = waiting
        waiting = []
        if faults(.configuresEarlier) {
            for index in entries.indices { entries[index].line = Int(configuration.peripheral & 3) }
        }
        device.start(entries)
    }

    // MARK: Completion

    public mutating func next() -> Completion? {
        if !stopped.isEmpty {
            pollsSinceStop += 1
            if pollsSinceStop > 64 { stopped = [] }
        }
        if ringTag != nil, let completion = ring.next() {
            if faults(.endsRing), completion.value > 8 { return Completion(tag: completion.tag) }
            if faults(.wrongCapture), let descriptor = ringDescriptor, descriptor.destination != 0, descriptor.value > 0 {
                let place = (completion.value - 1) * descriptor.value % descriptor.count
                device.flip(descriptor.destination + place)
            }
            return completion
        }
        if !late.isEmpty { return late.removeFirst() }
        let ready = device.state.withLock { state -> Completion? in
            if faults(.swapsCompletions), state.done.count == 1, !state.jobs.isEmpty { return nil }
            guard !state.done.isEmpty else { return nil }
            return state.done.remove(at: faults(.swapsCompletions) && state.done.count > 1 ? 1 : 0)
        }
        guard var completion = ready else {
            idlePolls += 1
            if faults(.reportsFirstAgain), reported == 1, open.isEmpty, idlePolls > 100, let tag = firstTag.take() {
                return Completion(tag: tag)
            }
            return nil
        }
        idlePolls = 0
        reported += 1
        open[completion.tag] = nil
        if faults(.forgetsRound), reported > 30 { completion.tag &-= UInt32(MutantEngine.depth) }
        return completion
    }

    public mutating func residue(of tag: UInt32) -> UInt64? {
        if tag == ringTag { return ring.residue(of: tag) }
        let (running, own) = device.state.withLock { state -> (UInt64?, UInt64?) in
            let own = state.jobs.first { $0.job.tag == tag }?.job.residue
            let isOver = state.done.contains { $0.tag == tag }
            return (state.jobs.first?.job.residue, own ?? (isOver ? 0 : nil))
        }
        if faults(.confusesResidues), let running { return running }
        let said = own ?? open[tag]?.count
        guard faults(.growsResidue), let said, let count = open[tag]?.count else { return said }
        // At most half, and then the whole again: also where the device does all of it between two queries.
        residuesAsked += 1
        return residuesAsked % 2 == 0 ? min(said, count / 2) : count
    }

    public mutating func wait(until deadline: Deadline) -> Bool {
        let seen = device.line.count
        if device.state.withLock({ !$0.done.isEmpty }) { return true }
        return device.line.wait(after: seen, until: deadline)
    }

    // MARK: Control

    public mutating func terminate() {
        ring.terminate()
        guard faults(.terminateWaits) else { return }
        while device.state.withLock({ !$0.jobs.isEmpty && !$0.isPaused }) {}
    }

    public mutating func quiesce(by deadline: Deadline) -> Bool {
        if ringTag != nil { _ = ring.quiesce(by: deadline) }
        ringTag = nil
        waiting = []
        let dropped = device.state.withLock { state in
            defer {
                state.generation += 1
                state.isPaused = false
                state.jobs = []
                state.failures = []
            }
            return state.jobs
        }
        // The thread drops its current work after a quantum.
        while device.state.withLock({ $0.isBusy }) { if Deadline.now >= deadline { return false } }
        let large = dropped.filter { $0.job.descriptor.count >= MutantDevice.large }
        if faults(.quiescesAtOnce), let first = large.first {
            // The writer of an earlier stop does not outlive the memory that it writes to.
            writer?.stop()
            writer = lateWriters.start(large.map(\.job.descriptor))
            late = [Completion(tag: first.job.tag)]
        }
        if faults(.completesTerminated), let entry = dropped.first { late = [Completion(tag: entry.job.tag)] }
        if faults(.outlivesChannel) { (stopped, pollsSinceStop) = (large.map(\.job.descriptor), 0) }
        let done = Set(device.state.withLock { $0.done.map(\.tag) })
        open = open.filter { done.contains($0.key) }
        return true
    }

    public mutating func pause() -> Bool {
        _ = ring.pause()
        device.state.withLock { $0.isPaused = true }
        while !faults(.pauseRunsOn), device.state.withLock({ $0.isBusy }) {}
        return true
    }

    public mutating func resume() -> Bool {
        _ = ring.resume()
        device.state.withLock { $0.isPaused = false }
        device.kick()
        return true
    }

    public mutating func configure(_ configuration: EngineConfiguration) throws(DMAError) {
        guard configuration.peripheral < 4 else {
            throw DMAError(.badConfiguration, asked: UInt64(configuration.peripheral), limit: 3)
        }
        self.configuration = configuration
    }

}

/// The FIFOs on a mutant's four request lines. Any thread may use it.
public final class MutantPeripheral: Sendable {
    private let device: MutantDevice
    init(_ device: MutantDevice) { self.device = device }
    public var lines: [UInt32] { [0, 1, 2, 3] }
    /// The unit of a transfer's length, in bytes.
    public var unit: Int { 4 }
    public func feed(_ bytes: [UInt8], line: UInt32) {
        device.state.withLock { $0.incoming[Int(line & 3)] += bytes }
        device.kick()
    }
    public func drain(line: UInt32) -> [UInt8] {
        device.state.withLock { state in
            defer { state.outgoing[Int(line & 3)] = [] }
            return state.outgoing[Int(line & 3)]
        }
    }
}
