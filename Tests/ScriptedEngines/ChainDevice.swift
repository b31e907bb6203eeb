// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAEngineKit

/// The layout of a ``ChainEngine``'s descriptor. 64 bytes, like IOAT's (drivers/dma/ioat/hw.h); the fields are this engine's
/// own.
enum ChainField {
    static let stride = 64
    /// The operation, with its flags above.
    static let control = 0
    static let tag = 4
    static let source = 8
    static let destination = 16
    static let count = 24
    /// Bus address of the next descriptor; 0 at the end of the chain.
    static let next = 32
    /// Fill pattern or CRC seed; the device writes the result here.
    static let value = 40
    /// Host address of the operand list, and the numbers of its segments (16 bits each) with the request line above.
    static let operands = 48
    static let counts = 56
}

/// The device behind a ``ChainEngine``: follows next pointers, one descriptor at a time, and writes the address of the last
/// completed one to a word in memory.
final class ChainDevice: Sendable {
    /// The low bits of the write-back word: IOAT's CHANSTS.
    static var active: UInt64 { 0 }
    static var idle: UInt64 { 1 }
    static var halted: UInt64 { 3 }

    /// Descriptors first, then one line for the write-back word.
    let memory: CoherentBuffer
    let entries: Int
    var writeBack: Int { entries * ChainField.stride }

    struct State {
        var job: Job?
        var current: UInt64 = 0
        /// The current descriptor's next pointer, read with the descriptor: a later extension is missed.
        var latchedNext: UInt64 = 0
        var line: UInt32 = 0
        var random: DeviceRandom
        var isPaused = false
        var isRunning = false
        var failures: [TransactionStatus] = []
        var failure: TransactionStatus?
        var incoming: [[UInt8]] = .init(repeating: [], count: 4)
        var outgoing: [[UInt8]] = .init(repeating: [], count: 4)
    }
    private let state: Locked<State>

    init(entries: Int, seed: UInt64, domain: Domain) throws(DMAError) {
        self.entries = entries
        state = Locked(State(random: DeviceRandom(seed: seed)))
        memory = try CoherentBuffer(count: entries * ChainField.stride + 64, domain: domain)
        try memory.store(ChainDevice.idle, at: entries * ChainField.stride)
    }

    /// The offset in the memory of a bus address.
    private func offset(_ address: UInt64) -> Int { Int(clamping: address &- memory.iova.rawValue) }

    /// Starts a chain: the address register and the start command.
    func start(at address: UInt64) {
        state.withLock { state in
            state.isRunning = true
            state.failure = nil
            state.current = address
            state.job = nil
            _ = try? memory.store(ChainDevice.active, at: writeBack)
        }
    }

    /// Does one step of the work.
    func step() {
        state.withLock { state in
            guard state.isRunning, !state.isPaused else { return }
            do throws(DMAError) {
                if state.job == nil { try fetch(&state) }
                try advance(&state)
            } catch {
                // A pointer outside the ring: the channel halts, as a real one does on a bad descriptor address.
                state.isRunning = false
                state.failure = .failed
                _ = try? memory.storeRelease(ChainDevice.halted, at: writeBack)
            }
        }
    }

    private func fetch(_ state: inout State) throws(DMAError) {
        let at = offset(state.current)
        let control = try memory.load(at: at + ChainField.control, as: UInt32.self)
        let counts = try memory.load(at: at + ChainField.counts, as: UInt64.self)
        guard let kind = OperationKind(rawValue: UInt8(truncatingIfNeeded: control)) else { throw DMAError(.engineFailed) }
        var descriptor = unsafe Descriptor(
            kind: kind, flags: DescriptorFlags(rawValue: UInt16(truncatingIfNeeded: control >> 16)),
            source: try memory.load(at: at + ChainField.source, as: UInt64.self),
            destination: try memory.load(at: at + ChainField.destination, as: UInt64.self),
            count: try memory.load(at: at + ChainField.count, as: UInt64.self),
            value: try memory.load(at: at + ChainField.value, as: UInt64.self))
        descriptor.sourceCount = UInt16(truncatingIfNeeded: counts)
        descriptor.destinationCount = UInt16(truncatingIfNeeded: counts >> 16)
        // The channel keeps the list until this descriptor is reported.
        unsafe descriptor.operands = UnsafePointer(
            bitPattern: UInt(try memory.load(at: at + ChainField.operands, as: UInt64.self)))
        state.line = UInt32(truncatingIfNeeded: counts >> 32)
        state.job = Job(descriptor, tag: try memory.load(at: at + ChainField.tag, as: UInt32.self))
        state.latchedNext = try memory.load(at: at + ChainField.next, as: UInt64.self)
    }

    private func advance(_ state: inout State) throws(DMAError) {
        guard var job = state.job else { return }
        if let status = state.failures.first {
            state.failures.removeFirst()
            state.failure = status
            state.isRunning = false
            // The address of the last completed one stays.
            let word = try memory.load(at: writeBack, as: UInt64.self)
            try memory.storeRelease(word | ChainDevice.halted, at: writeBack)
            return
        }
        let quantum = UInt64(1 + state.random.below(2048))
        if job.descriptor.kind == .peripheral {
            let line = Int(state.line) % state.incoming.count
            if job.descriptor.sourceCount > 0 {
                job.send(quantum, to: &state.outgoing[line])
            } else {
                job.receive(quantum, from: &state.incoming[line])
            }
        } else if !job.isOver {
            job.step(quantum)
        }
        state.job = job
        guard job.isOver else { return }
        let at = offset(state.current)
        try memory.store(job.value, at: at + ChainField.value)
        state.job = nil
        // The word is written last: its reader then finds the data and the value.
        let isLast = state.latchedNext == 0
        try memory.storeRelease(state.current | (isLast ? ChainDevice.idle : ChainDevice.active), at: writeBack)
        if isLast { state.isRunning = false } else { state.current = state.latchedNext }
    }

    // MARK: Control

    /// Drops everything. The device has finished its step when this returns.
    func reset() {
        state.withLock { state in
            state.isRunning = false
            state.isPaused = false
            state.job = nil
            state.failure = nil
            state.failures = []
            _ = try? memory.store(ChainDevice.idle, at: writeBack)
        }
    }

    /// Clears the descriptor at which the device halted.
    func clearFailure() { state.withLock { $0.failure = nil } }
    func setPaused(_ paused: Bool) { state.withLock { $0.isPaused = paused } }
    func fail(_ status: TransactionStatus) { state.withLock { $0.failures.append(status) } }
    /// The error of the descriptor at which the device halted, and its address.
    var failure: (TransactionStatus, UInt64)? {
        state.withLock { state in state.failure.map { ($0, state.current) } }
    }

    func feed(_ bytes: [UInt8], line: Int) { state.withLock { $0.incoming[line] += bytes } }
    func drain(line: Int) -> [UInt8] {
        state.withLock { state in
            defer { state.outgoing[line] = [] }
            return state.outgoing[line]
        }
    }
}
