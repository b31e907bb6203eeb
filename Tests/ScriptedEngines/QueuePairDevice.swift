// SPDX-License-Identifier: Apache-2.0

import CDMA
import DMACore
import DMAEngineKit

/// The device behind a ``QueuePairEngine``: takes commands from a ring, works on several at once, finishes them in an order
/// from its random generator, and posts entries with a phase bit.
@safe
final class QueuePairDevice: Sendable {
    /// Bytes of a command: tag, then the descriptor, aligned as its vector wants it.
    static var commandStride: Int { 192 }
    static var descriptorOffset: Int { 64 }
    /// Bytes of a completion: tag at 0, status at 4, residue at 8, value at 16, phase at 28.
    static var completionStride: Int { 32 }

    let entries: Int
    let line = InterruptLine()
    // Rings shared with the host. A command belongs to the device from the doorbell on, a completion to the host once its phase
    // has toggled; the two words order that. A careless host reads a completion before: its words are accessed by atomics only.
    nonisolated(unsafe) let commands: UnsafeMutableRawPointer
    nonisolated(unsafe) let completions: UnsafeMutableRawPointer
    nonisolated(unsafe) let doorbell: UnsafeMutableRawPointer

    /// A completion that is being written to its entry.
    struct Posting {
        var job: Job
        var status: TransactionStatus
        var residue: UInt64
        var entry: UInt32
        /// The words written so far; the phase is the last.
        var written = 0
    }

    struct State {
        var head: UInt32 = 0
        var posted: UInt32 = 0
        var running: [Job] = []
        /// Entries that are being written, one word at a time, oldest first.
        var posting: [Posting] = []
        var random: DeviceRandom
        var isDropping = false
        /// Statuses with which the next commands fail.
        var failures: [TransactionStatus] = []
    }
    private let state: Locked<State>

    init(entries: Int, seed: UInt64) {
        self.entries = entries
        state = Locked(State(random: DeviceRandom(seed: seed)))
        unsafe commands = .allocate(byteCount: entries * Self.commandStride, alignment: 64)
        unsafe completions = .allocate(byteCount: entries * Self.completionStride, alignment: 64)
        unsafe completions.initializeMemory(as: UInt8.self, repeating: 0, count: entries * Self.completionStride)
        unsafe doorbell = .allocate(byteCount: 64, alignment: 64)
        unsafe doorbell.initializeMemory(as: UInt8.self, repeating: 0, count: 64)
    }

    deinit {
        unsafe commands.deallocate()
        unsafe completions.deallocate()
        unsafe doorbell.deallocate()
    }

    /// Does part of the work. True while a command with the interrupt flag is unfinished.
    func step() -> Bool {
        state.withLock { state in
            writeWord(&state)
            fetch(&state)
            guard !state.running.isEmpty else { return !state.posting.isEmpty }
            if state.isDropping {
                // Some still complete: a termination races with completions.
                if state.random.below(4) != 0 { state.running.removeLast() } else { advance(&state, quantum: .max) }
            } else {
                advance(&state, quantum: UInt64(1 + state.random.below(4096)))
            }
            return !state.posting.isEmpty || state.running.contains { $0.descriptor.flags.contains(.interrupt) }
        }
    }

    private func fetch(_ state: inout State) {
        let tail = unsafe cdma_load_acquire32(doorbell)
        while state.head != tail, state.running.count < entries {
            // The doorbell's release store came after the command was written.
            let command = unsafe commands + Int(state.head % UInt32(entries)) * Self.commandStride
            let tag = unsafe command.load(as: UInt32.self)
            let descriptor = unsafe command.load(fromByteOffset: Self.descriptorOffset, as: Descriptor.self)
            state.head &+= 1
            if state.isDropping { continue }
            state.running.append(Job(descriptor, tag: tag))
            if state.random.below(3) == 0 { break }
        }
    }

    private func advance(_ state: inout State, quantum: UInt64) {
        let index = state.random.below(state.running.count)
        if let status = state.failures.first {
            state.failures.removeFirst()
            let job = state.running.remove(at: index)
            post(job, status, residue: job.residue, &state)
            return
        }
        state.running[index].step(quantum)
        guard state.running[index].isOver else { return }
        let job = state.running.remove(at: index)
        if let metadata = unsafe job.descriptor.metadata {
            // The area has 16 bytes or more and belongs to this descriptor until it is reported.
            for offset in 0..<QueuePairEngine.metadataCount {
                let byte = unsafe metadata.load(fromByteOffset: offset, as: UInt8.self)
                unsafe metadata.storeBytes(of: ~byte, toByteOffset: offset, as: UInt8.self)
            }
        }
        post(job, .complete, residue: 0, &state)
    }

    private func post(_ job: Job, _ status: TransactionStatus, residue: UInt64, _ state: inout State) {
        state.posting.append(Posting(job: job, status: status, residue: residue, entry: state.posted))
        state.posted &+= 1
    }

    /// The progress between two accesses of the driver: nothing, some words of an entry, or all of them.
    func tick() {
        state.withLock { state in
            for _ in 0..<state.random.below(7) { writeWord(&state) }
        }
    }

    private func writeWord(_ state: inout State) {
        guard var posting = state.posting.first else { return }
        // SAFETY: an entry of the ring, which the host has taken before it is written again: fewer commands are open than there are entries.
        let entry = unsafe completions + Int(posting.entry % UInt32(entries)) * Self.completionStride
        switch posting.written {
        case 0: unsafe cdma_store_release32(entry, posting.job.tag)
        case 1: unsafe cdma_store_release32(entry + 4, UInt32(posting.status.rawValue))
        case 2: unsafe cdma_store_relaxed64(entry + 8, posting.residue)
        case 3: unsafe cdma_store_relaxed64(entry + 16, posting.job.value)
        default:
            // Phase 1 on the first round: the ring begins with zeros.
            unsafe cdma_store_release32(entry + 28, 1 ^ (posting.entry / UInt32(entries)) & 1)
            state.posting.removeFirst()
            if posting.job.descriptor.flags.contains(.interrupt) { line.raise() }
            return
        }
        posting.written += 1
        state.posting[0] = posting
    }

    // MARK: Control

    func terminate() { state.withLock { $0.isDropping = true } }

    /// Finishes or drops everything. The host no longer rings the doorbell.
    func settle() {
        while true {
            _ = step()
            let isIdle = state.withLock { state in
                guard state.running.isEmpty, state.posting.isEmpty, unsafe state.head == cdma_load_acquire32(doorbell) else {
                    return false
                }
                state.isDropping = false
                return true
            }
            if isIdle { return }
        }
    }

    func residue(of tag: UInt32) -> UInt64? {
        state.withLock { state in
            state.running.first { $0.tag == tag }?.residue ?? state.posting.first { $0.job.tag == tag }?.residue
        }
    }

    func fail(_ status: TransactionStatus) { state.withLock { $0.failures.append(status) } }
}
