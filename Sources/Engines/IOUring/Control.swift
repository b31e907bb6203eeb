// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMACore
internal import SystemPackage

// Termination, pause, residue, waiting: what an engine does beside moving bytes.

extension IOUringEngine {
    /// What was done, and where the engine had to fall back.
    public var statistics: IOUringStatistics {
        var statistics = state.statistics
        statistics.fixedRequests = fixedRequests
        if let counts = state.buffers?.counts {
            statistics.registeredBuffers = counts.registered
            statistics.refusedBuffers = counts.refused
        }
        return statistics
    }

    public mutating func terminate() {
        detours.insert(.terminating)
        dropQueued()
        cancelAll()
    }

    /// What was queued and is not with the kernel never gets there. Also at the end of `quiesce`: a channel that keeps fences
    /// itself may have let go of transactions meanwhile.
    private mutating func dropQueued() {
        // SAFETY: an entry between `issued` and `tail` is the engine's alone; it names the slot for which it was made, and the mask
        // keeps that inside the table.
        while tail != issued {
            tail &-= 1
            let name = unsafe view.submission(tail).pointee.user_data
            drop(Int(truncatingIfNeeded: name & slotMask))
        }
        for slot in state.unissued { drop(slot) }
        state.unissued.removeAll(keepingCapacity: true)
        detours.remove(.unissued)
        for slot in state.held { drop(slot) }
        state.held.removeAll(keepingCapacity: true)
        for slot in 0...Int(slotMask) where unsafe transaction(slot).pointee.state.isWaiting { drop(slot) }
        state.granted = 0
    }

    /// Asks the carrier to give up whatever can be given up.
    private mutating func cancelAll() {
        guard freeCount <= Int(slotMask) else { return }
        if let threads = state.threads {
            threads.cancel(true)
            return
        }
        var request = cdma_uring_sqe()
        request.opcode = Opcode.cancel
        request.fd = -1
        request.operation_flags = CancelFlags.all | CancelFlags.any
        request.user_data = Self.ownName
        pushOwn(request)
        let paused = detours.contains(.paused)
        detours.remove(.paused)
        submitIssued()
        if paused { detours.insert(.paused) }
    }

    /// Asks the kernel to give up one request.
    mutating func cancelRequest(_ name: UInt64, _ slot: Int) {
        var request = cdma_uring_sqe()
        request.opcode = Opcode.cancel
        request.fd = -1
        request.address = name << 16 | UInt64(slot)
        request.user_data = Self.ownName
        pushOwn(request)
        submitIssued()
    }

    public mutating func quiesce(by deadline: Deadline) -> Bool {
        dropQueued()
        guard drainCarrier(by: deadline) else { return false }
        dropQueued()
        state.threads?.cancel(false)
        detours.remove([.terminating, .paused])
        return true
    }

    /// Takes completions until no request is with the carrier, or the deadline. What they end waits to be reported.
    private mutating func drainCarrier(by deadline: Deadline) -> Bool {
        // SAFETY: the words are the carrier's ring, which the state holds; they are accessed by atomics alone.
        var nextCancel = Deadline.after(milliseconds: 10)
        while isBusy {
            while unsafe head != cdma_load_acquire32(view.completionTail) {
                if let completion = takeEntry() {
                    state.reports.append(completion)
                    detours.insert(.reports)
                }
            }
            guard isBusy else { break }
            let now = Deadline.now
            if now >= deadline { return false }
            // A request that was on its way to the kernel is not found by the first.
            if now >= nextCancel {
                cancelAll()
                nextCancel = .after(milliseconds: 10)
            }
            sleep(min(deadline.nanoseconds - now.nanoseconds, 10_000_000))
        }
        return true
    }

    /// Whether the carrier has a request of ours.
    var isBusy: Bool {
        // SAFETY: the loop counts over the numbers of slots, and there are a request and a transaction for each.
        let kept = state.held.count + state.unissued.count
        guard freeCount + kept + Int(tail &- issued) <= Int(slotMask) else { return false }
        guard detours.contains(.paused) else { return true }
        // In a pause those that wait for their turn are at rest too.
        return (0...Int(slotMask)).contains { slot in
            switch unsafe request(slot).pointee.state {
            case .free: false
            case .read, .write: !isQueued(slot)
            case .slowPath: unsafe transaction(slot).pointee.outstanding > 0
            }
        }
    }

    /// Whether a plain request stands behind those issued.
    private func isQueued(_ slot: Int) -> Bool {
        // SAFETY: an entry between `issued` and `tail` is the engine's alone.
        var index = issued
        while index != tail {
            if unsafe Int(truncatingIfNeeded: view.submission(index).pointee.user_data & slotMask) == slot { return true }
            index &+= 1
        }
        return false
    }

    /// Submits what there is and sleeps until a completion, at most so long.
    private mutating func sleep(_ nanoseconds: Int64) {
        // SAFETY: as for `drainCarrier`: words of the ring.
        let waiting = issued &- (unsafe cdma_load_acquire32(view.submissionHead))
        let result = state.carrier.wait(waiting, nanoseconds: max(nanoseconds, 1))
        if waiting > 0, unsafe cdma_load_acquire32(view.submissionHead) == issued { detours.remove(.unsubmitted) }
        // Without a ring that can wait, this must not become a loop that never sleeps.
        if let errno = result.errno, errno != .timeout, errno != .interrupted {
            // What was not taken for good is over, and reported: nothing is left to wait for.
            if waiting > 0 { delay(result) } else { note(result) }
            if detours.contains(.reports) { return }
            loseIfStuck(errno)
            if detours.contains(.lost) { return }
            cdma_sleep_until(cdma_monotonic_nanoseconds() + min(nanoseconds, 1_000_000))
        } else {
            state.stuckSince = nil
        }
    }

    /// Lets what runs come to its end, or gives it back to the engine: within a second, or the pause fails.
    public mutating func pause() -> Bool {
        guard !detours.contains(.terminating) else { return false }
        if detours.contains(.paused) { return true }
        submitIssued()
        detours.insert(.paused)
        // Most requests are over in this time; those that wait for a stream are cancelled, and made again at the end of the
        // pause.
        if drainCarrier(by: .after(milliseconds: 1000)) {
            state.threads?.cancel(false)
            return true
        }
        state.threads?.cancel(false)
        if !resume() { state.statistics.unexpectedEvents += 1 }
        return false
    }

    public mutating func resume() -> Bool {
        // SAFETY: as for `drainCarrier`: the entries before `issued` are written.
        guard detours.contains(.paused), !detours.contains(.terminating) else { return false }
        detours.remove(.paused)
        let held = state.held
        state.held.removeAll(keepingCapacity: true)
        // Of what is queued, only what was issued during the pause starts (rule 5).
        issued &+= min(state.granted, tail &- issued)
        state.granted = 0
        unsafe cdma_store_release32(view.submissionTail, issued)
        for slot in held { start(slot) }
        submitIssued()
        return true
    }

    public mutating func residue(of tag: UInt32) -> UInt64? {
        // SAFETY: the loop counts over the numbers of slots, and there are a request and a transaction for each.
        var found: UInt64?
        for slot in 0...Int(slotMask) where unsafe request(slot).pointee.tag == tag {
            let count = unsafe request(slot).pointee.count
            switch unsafe request(slot).pointee.state {
            case .slowPath: return count - (unsafe min(transaction(slot).pointee.done, count))
            case .read, .write: return count
            // What was dropped left its residue there.
            case .free: found = count
            }
        }
        return found
    }

    /// Sleeps in the kernel until a completion, or the deadline; submits on the way what was issued.
    public mutating func wait(until deadline: Deadline) -> Bool {
        // SAFETY: as for `drainCarrier`.
        while true {
            if detours.contains(.reports) { return true }
            if unsafe head != cdma_load_acquire32(view.completionTail) { return true }
            if detours.contains(.lost) { return false }
            let left = deadline.nanoseconds.subtractingReportingOverflow(Deadline.now.nanoseconds).partialValue
            if left <= 0 { return false }
            if freeCount > Int(slotMask), deadline == .never { return false }
            sleep(min(left, 1_000_000_000))
        }
    }

    /// Chooses the file of later transactions that name none.
    ///
    /// - Throws: `noSuchPeripheral`; `badConfiguration` for a width, burst or priority, which a file has not.
    public mutating func configure(_ configuration: EngineConfiguration) throws(DMAError) {
        guard UInt64(configuration.peripheral) < fileLimit, state.table.records[Int(configuration.peripheral)] != nil else {
            throw DMAError(.noSuchPeripheral, asked: UInt64(configuration.peripheral))
        }
        for value in [configuration.burst, configuration.priority] where value != 0 {
            throw DMAError(.badConfiguration, asked: UInt64(value), limit: 0)
        }
        guard configuration.width <= 1 else { throw DMAError(.badConfiguration, asked: UInt64(configuration.width), limit: 1) }
        chosen = UInt64(configuration.peripheral)
    }
}
