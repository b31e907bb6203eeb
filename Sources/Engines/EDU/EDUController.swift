// SPDX-License-Identifier: Apache-2.0

internal import DMAAccess
internal import DMAEDUSpecification
internal import DMAEngineKit
internal import DMAPCISpecification
internal import DMARegisters

/// The device with its queue: what the engine and the interrupt's handler share.
///
/// The handler goes on with the next transfer by itself, so that a client who waits for an interrupt is not needed for it. What takes time, as a restart,
/// is left to the engine's owner.
final class EDUController: Sendable {
    /// Which half of a copy is under way: into the device's buffer, or out of it.
    enum Phase { case idle, load, store }

    struct State: ~Copyable {
        let device: RunningDevice
        let registers: RegisterWindow
        let configuration: EDUConfiguration
        let hasInterrupts: Bool
        var queue: EDUQueue
        /// Completions to be taken, oldest first; never more than the depth.
        var completions: [Completion] = []
        var phase = Phase.idle
        /// Bytes of the transfer that runs, its command, and until when it must have ended.
        var piece: UInt64 = 0
        var command = EDUCommand(word: 0)
        var limit = Deadline.never
        /// How often it was seen to run.
        var looks = 0
        /// The job of the transfer that runs was dropped: its end starts no other half of it.
        var isOrphan = false
        /// Why the device has to be restarted; nil while it need not.
        var failure: EDUFailure?
        /// The bus master is off, and proved to be: the device reaches no memory.
        var isOff = false
        var isGone = false
        var figures = Figures()
    }

    struct Figures {
        var transfers: UInt64 = 0
        var interrupts: UInt64 = 0
        var lateInterrupts: UInt64 = 0
        /// Ends of transfers that a tick has found, and no interrupt.
        var lostInterrupts: UInt64 = 0
        var restarts: UInt64 = 0
        var failures: UInt64 = 0
    }

    let line = InterruptLine()
    let transport: any DeviceTransport
    private let state: Locked<State?>

    init(
        _ quiet: consuming QuietDevice, _ transport: any DeviceTransport, _ configuration: EDUConfiguration
    ) throws(AccessError) {
        self.transport = transport
        let registers = try quiet.window(EDU.registers, atLeast: EDU.command.offset + 8)
        let identification = registers.read(EDU.identification)
        guard identification.isEDU else {
            throw AccessError(
                .badConfiguration, device: quiet.name,
                "it identifies itself as 0x\(String(identification.word, radix: 16)); an EDU ends with 0xed",
                cure: "use this driver with QEMU's edu device")
        }
        // A device that does not compute is not there: the complement of two words that have no bit in common.
        for word: UInt32 in [0x1234_5678, 0xedcb_a987] {
            registers.write(word, to: EDU.liveness)
            let answer = registers.read(EDU.liveness)
            guard answer == ~word else {
                throw AccessError(
                    .badConfiguration, device: quiet.name,
                    "its liveness check answers 0x\(String(answer, radix: 16)) to 0x\(String(word, radix: 16))",
                    cure: "reset the machine")
            }
        }
        // Not every way can reset it: what a former owner has started ends before the bus master is on.
        let limit = Deadline.after(configuration.patience)
        while registers.read(EDU.command)[.isRunning] {
            guard Deadline.now < limit else {
                throw AccessError(
                    .notReady, device: quiet.name,
                    "a transfer of a former owner has not ended within \(configuration.patience)",
                    cure: "reset the machine")
            }
            quiet.pause(until: limit)
        }
        registers.write(EDUInterrupts(word: .max), to: EDU.interruptAcknowledge)
        quiet.configuration.clear(State.aborts, in: DeviceConfiguration.status)
        state = Locked(nil)
        let kinds = configuration.interrupts.filter { quiet.interruptCount($0) > 0 }
        if !kinds.isEmpty {
            try quiet.enableInterrupts(1, preferring: kinds) { [weak self] cause in self?.handle(cause) }
        }
        let delivers = !kinds.isEmpty && quiet.deliversInterrupts
        let running = try quiet.start()
        let fresh = State(
            device: running, registers: registers, configuration: configuration, hasInterrupts: delivers,
            queue: EDUQueue(depth: configuration.depth))
        install(fresh)
    }

    private func install(_ fresh: consuming sending State) {
        var fresh: State? = consume fresh
        state.withLock { state in swap(&state, &fresh) }
    }

    /// Gives the device back. The interrupt's handler is not called any more when this returns, unless this is called by it.
    func close() {
        // Taken out under the lock and ended outside of it: for a handler that waits for the lock, the end would wait.
        var own: State?
        state.withLock { state in swap(&state, &own) }
        _ = consume own
    }

    /// Looks for interrupts, where nothing hands them over. Outside of `with`: their handler takes the same lock.
    func look() { if !transport.deliversInterrupts { transport.look() } }

    /// Runs `body` with the device; what it is told where the device has not been started.
    func with<R: Sendable>(_ otherwise: R, _ body: (inout State, InterruptLine) -> R) -> R {
        state.withLock { state in
            guard var own = state.take() else { return otherwise }
            let result = body(&own, line)
            state = consume own
            return result
        }
    }

    private func handle(_ cause: InterruptCause) {
        with(()) { state, line in
            guard !state.isGone, !state.isOff, state.failure == nil else { return }
            let before = state.figures.transfers
            if case .vector = cause { state.figures.interrupts &+= 1 }
            state.progress(line)
            if state.figures.transfers != before, cause == .tick, state.command[.interrupts] {
                state.figures.lostInterrupts &+= 1
            }
            // What was raised and is not acknowledged keeps INTx where it is, so that no other edge comes.
            if case .vector = cause {
                let left = state.registers.read(EDU.interruptStatus)
                if left.word != 0, !left.isAllOnes {
                    state.figures.lateInterrupts &+= 1
                    state.registers.write(left, to: EDU.interruptAcknowledge)
                }
            }
        }
    }
}

extension EDUController.State {
    /// Looks at the transfer that runs, and goes on with what comes next. Waits for nothing.
    mutating func progress(_ line: InterruptLine) {
        guard failure == nil, !isGone, !isOff else { return }
        if phase == .idle { return startNext() }
        let seen = registers.read(EDU.command)
        if seen.isAllOnes { return fail(.noAnswer, line) }
        var running = command
        running[.isRunning] = true
        var ended = command
        ended[.isRunning] = false
        if seen.word == running.word {
            // Not by the clock alone: without a poll for a while, the time may be over although the transfer has ended.
            looks += 1
            if looks >= Self.leastLooks, Deadline.now >= limit { fail(.timeout, line) }
            return
        }
        guard seen.word == ended.word else { return fail(.badStatus, line) }
        figures.transfers &+= 1
        if command[.interrupts] {
            var reason = EDUInterrupts(word: 0)
            reason[.transfer] = true
            registers.write(reason, to: EDU.interruptAcknowledge)
        }
        if isOrphan {
            isOrphan = false
            startNext()
        } else if phase == .load {
            start(.store)
        } else {
            queue.first.done += piece
            let job = queue.first
            guard job.done >= job.count else { return start(.load) }
            end(job, line)
            // One that has not reached memory waits for the restart.
            if failure == nil { startNext() }
        }
    }

    private mutating func startNext() {
        phase = .idle
        guard queue.hasIssued else { return }
        start(.load)
    }

    /// Starts one half of the copy of the first job's next piece.
    private mutating func start(_ half: EDUController.Phase) {
        let job = queue.first
        piece = min(job.count - min(job.done, job.count), EDU.largestTransfer)
        let isLoad = half == .load
        command = EDUCommand(
            isLoad ? .memoryToDevice : .deviceToMemory, interrupts: hasInterrupts && queue.asksInterrupt)
        registers.write(isLoad ? job.source &+ job.done : EDU.buffer, to: EDU.source)
        registers.write(isLoad ? EDU.buffer : job.destination &+ job.done, to: EDU.destination)
        registers.write(piece, to: EDU.count)
        registers.write(command, to: EDU.command)
        phase = half
        limit = .after(configuration.patience)
        looks = 0
    }

    /// A transfer that is late was seen to run so often at least.
    private static var leastLooks: Int { 16 }

    /// The job has moved its bytes, as far as the device says. Whether it reached memory, only the status register tells.
    private mutating func end(_ job: EDUJob, _ line: InterruptLine) {
        let status = device.configuration.read(DeviceConfiguration.status)
        if status.isAllOnes { return fail(.noAnswer, line) }
        guard !status[.receivedMasterAbort], !status[.receivedTargetAbort] else { return fail(.aborted, line) }
        complete(Completion(tag: job.tag), job, line)
    }

    private mutating func complete(_ completion: Completion, _ job: EDUJob, _ line: InterruptLine) {
        queue.removeFirst()
        completions.append(completion)
        if job.asksInterrupt { line.raise() }
    }

    /// Nothing is started from here on until a caller that may wait has restarted the device.
    private mutating func fail(_ failure: EDUFailure, _ line: InterruptLine) {
        self.failure = failure
        figures.failures &+= 1
        // Wakes a waiting client, which restarts the device: one interrupt for each failure.
        line.raise()
    }

    // MARK: What takes time

    /// Restarts the device after a failure, and reports the job that failed.
    mutating func recover(_ line: InterruptLine) {
        guard let failure, !isGone else { return }
        let job = queue.first
        let wasRunning = phase != .idle && !isOrphan
        restart()
        guard !isGone else { return line.raise() }
        // The bus master was off meanwhile: the device reaches the job's memory no more.
        self.failure = nil
        phase = .idle
        isOrphan = false
        if wasRunning {
            let status: TransactionStatus = failure == .aborted ? .readFailed : .failed
            complete(
                Completion(
                    tag: job.tag, status: status, deviceStatus: failure.rawValue, residue: job.count - min(job.done, job.count)),
                job, line)
        }
        if isOff { failIssued(line) } else { startNext() }
    }

    /// The device could not be brought back, and its bus master is off: what was issued ends now, and does not wait for another attempt.
    mutating func failIssued(_ line: InterruptLine) {
        // Ends: each turn takes one of the queue's jobs out.
        while queue.hasIssued {
            let job = queue.first
            complete(
                Completion(
                    tag: job.tag, status: .failed, deviceStatus: EDUFailure.timeout.rawValue,
                    residue: job.count - min(job.done, job.count)),
                job, line)
        }
    }

    /// Bus master off, reset, proved idle, bus master on. Where that fails, the device is off, or gone.
    mutating func restart() {
        figures.restarts &+= 1
        let limit = Deadline.after(configuration.restartLimit)
        do throws(AccessError) {
            try device.restart(by: limit) {
                let command = registers.read(EDU.command)
                return !command.isAllOnes && !command[.isRunning]
            }
            isOff = false
            device.configuration.clear(Self.aborts, in: DeviceConfiguration.status)
        } catch {
            // Only a bus master that is seen to be off proves anything.
            isOff = device.isDead || device.switchOff()
            isGone = device.isDead || !isOff || error.code == .gone || error.code == .notReady
        }
    }

    fileprivate static var aborts: PCIStatus {
        var status = PCIStatus(word: 0)
        status[.receivedMasterAbort] = true
        status[.receivedTargetAbort] = true
        return status
    }

    /// Drops what is queued and what runs: that ends by itself, or is ended by who waits for it.
    mutating func drop() {
        queue.drop()
        isOrphan = phase != .idle
    }

    /// Whether the device is proved to reach no memory of what was dropped. Waits for nothing.
    mutating func isQuiet() -> Bool {
        drop()
        if phase != .idle, !device.isDead, !isOff {
            let seen = registers.read(EDU.command)
            guard !seen.isAllOnes, !seen[.isRunning] else { return false }
        }
        phase = .idle
        isOrphan = false
        failure = nil
        return true
    }

    /// For a device that does not end by itself: what cannot write any more has stopped. Whether that is proved.
    mutating func switchOff() -> Bool {
        guard !isGone, device.switchOff() else { return false }
        isOff = true
        phase = .idle
        isOrphan = false
        failure = nil
        return true
    }
}
