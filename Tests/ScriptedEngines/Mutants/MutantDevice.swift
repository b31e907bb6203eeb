// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAEngineKit
import DMAThreads

/// The device behind a ``MutantEngine``: a thread that executes transactions in order, some bytes at a time, and reports them.
final class MutantDevice: Sendable {
    /// Large transfers use memory that outlives the engine, so that a device which continues does no damage.
    static var large: UInt64 { 65_536 }
    /// Bytes between two checks of the driver's state.
    private static var quantum: UInt64 { 16_384 }

    struct Entry: Sendable {
        var job: Job
        var line: Int
    }

    struct State {
        var jobs: [Entry] = []
        /// The thread's working state, outside the lock.
        var isBusy = false
        /// Incremented by each quiesce: results of a thread from before are dropped.
        var generation = 0
        var isPaused = false
        var isEnding = false
        var done: [Completion] = []
        var failures: [TransactionStatus] = []
        var incoming = [[UInt8]](repeating: [], count: 4)
        var outgoing = [[UInt8]](repeating: [], count: 4)
    }

    let state = Locked(State())
    let line = InterruptLine()
    private let work = InterruptLine()
    private let thread = Locked<NativeThread?>(nil)
    let faults: @Sendable (Fault) -> Bool

    init(_ faults: @escaping @Sendable (Fault) -> Bool) { self.faults = faults }

    /// Passes transactions to the device.
    func start(_ entries: [Entry]) {
        state.withLock { $0.jobs += entries }
        thread.withLock { thread in
            if thread == nil { thread = try? NativeThread { [self] in run() } }
        }
        work.raise()
    }

    /// Checks the state again.
    func kick() { work.raise() }

    func end() {
        state.withLock { $0.isEnding = true }
        work.raise()
        thread.withLock { $0.take() }?.join()
    }

    // MARK: The thread

    private func run() {
        while true {
            let seen = work.count
            let (entry, generation, isEnding) = state.withLock { state -> (Entry?, Int, Bool) in
                guard !state.isEnding, !state.isPaused || faults(.pauseRunsOn) else { return (nil, 0, state.isEnding) }
                guard let index = next(state.jobs) else { return (nil, 0, false) }
                let entry = state.jobs.remove(at: index)
                state.jobs.insert(entry, at: 0)
                state.isBusy = true
                return (entry, state.generation, false)
            }
            if isEnding { return }
            guard var entry else {
                _ = work.wait(after: seen, until: .after(milliseconds: 1000))
                continue
            }
            let isStarved = advance(&entry)
            let raises = state.withLock { state -> Bool in
                state.isBusy = false
                guard state.generation == generation, !state.jobs.isEmpty else { return false }
                guard entry.job.isOver || !state.failures.isEmpty else {
                    state.jobs[0] = entry
                    return false
                }
                state.jobs.removeFirst()
                return finish(entry, &state)
            }
            if raises { line.raise() }
            // A peripheral without data: until it is fed.
            if isStarved { _ = work.wait(after: seen, until: .after(nanoseconds: 1_000_000)) }
        }
    }

    /// The next one: the oldest.
    private func next(_ jobs: [Entry]) -> Int? {
        guard let first = jobs.first else { return nil }
        if faults(.ignoresFence), first.job.descriptor.flags.contains(.fence) {
            return jobs.indices.first { jobs[$0].job.descriptor.count < 64 } ?? 0
        }
        return 0
    }

    /// Executes part of one transaction. True where its peripheral had no data.
    private func advance(_ entry: inout Entry) -> Bool {
        guard entry.job.descriptor.kind == .peripheral else {
            if !entry.job.isOver { entry.job.step(Self.quantum) }
            return false
        }
        let before = entry.job.done
        state.withLock { state in
            if entry.job.descriptor.sourceCount > 0 {
                entry.job.send(Self.quantum, to: &state.outgoing[entry.line])
                if faults(.spoilsPeripheral), entry.job.isOver, let last = state.outgoing[entry.line].indices.last {
                    state.outgoing[entry.line][last] ^= 1
                }
            } else {
                entry.job.receive(Self.quantum, from: &state.incoming[entry.line])
            }
        }
        return entry.job.done == before && !entry.job.isOver
    }

    /// Reports a transaction. True where that raises an interrupt.
    private func finish(_ entry: Entry, _ state: inout State) -> Bool {
        let descriptor = entry.job.descriptor
        var completion = Completion(tag: entry.job.tag, value: value(entry.job))
        if let status = state.failures.first {
            state.failures.removeFirst()
            if !faults(.hidesFailure) {
                completion = Completion(
                    tag: entry.job.tag, status: status, residue: max(entry.job.residue, descriptor.count / 2, 1))
            }
        }
        if let metadata = unsafe descriptor.metadata, !faults(.ignoresMetadata) {
            // SAFETY: the area has 16 bytes or more and belongs to this descriptor until it is reported.
            for offset in 0..<16 {
                let byte = unsafe metadata.load(fromByteOffset: offset, as: UInt8.self)
                unsafe metadata.storeBytes(of: ~byte, toByteOffset: offset, as: UInt8.self)
            }
        }
        if faults(.wrongByte) || descriptor.kind == .xor && faults(.wrongXOR) || descriptor.kind == .pq && faults(.wrongParity)
        {
            poke(descriptor)
        }
        if descriptor.kind == .command, faults(.failsCommands) { completion.status = TransactionStatus.failed.rawValue }
        if faults(.badStatus) { completion.status = 200 }
        if descriptor.kind == .null, faults(.losesNull) { return false }
        if faults(.losesCompletion) || faults(.losesInCrowds) && state.jobs.count + state.done.count > 3 { return false }
        state.done.append(completion)
        if faults(.reportsTwice) { state.done.append(completion) }
        return !faults(.neverInterrupts) && (descriptor.flags.contains(.interrupt) || faults(.interruptsAlways))
    }

    private func value(_ job: Job) -> UInt64 {
        switch job.descriptor.kind {
        case .copyCRC32C where faults(.wrongCopyCRC): job.value ^ 0x100
        case .xorValidate where faults(.validatesXOR): 0
        case .pqValidate where faults(.confusesPAndQ): (job.value & 1) << 1 | job.value >> 1 & 1
        default: job.value
        }
    }

    /// Inverts one byte, in memory that the transaction still owns.
    private func poke(_ descriptor: Descriptor) {
        guard descriptor.count > 0 else { return }
        if unsafe descriptor.operands != nil {
            let segments = (0..<Int(descriptor.destinationCount)).map(descriptor.destinationSegment)
            if let segment = segments.first(where: { $0.count > 0 }) { flip(segment.address) }
        } else if descriptor.destination != 0 {
            flip(descriptor.destination + (descriptor.kind == .interleaved ? 0 : descriptor.count / 2))
        }
    }

    func flip(_ address: UInt64) {
        // SAFETY: callers name a byte of a destination that the channel has checked and still owns.
        guard let byte = unsafe UnsafeMutablePointer<UInt8>(bitPattern: UInt(address)) else { return }
        unsafe byte.pointee ^= 0x01
    }
}
