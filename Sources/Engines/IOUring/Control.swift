// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMACore
internal import SystemPackage

// Termination, pause, residue and waiting.

extension IOUringEngine {
    /// Counters of work and fallbacks.
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

    /// Drops queued requests that were not passed to the kernel. Also runs at the end of `quiesce`: a channel that keeps fences
    /// itself may have submitted transactions meanwhile.
    private mutating func dropQueued() {
        // SAFETY: an entry between `issued` and `tail` belongs to the engine; it names the slot for which it was made, and the
        // mask keeps that inside the table.
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

    /// Asks the carrier to cancel everything that can be cancelled.
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

    /// Asks the kernel to cancel one request.
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

    /// Takes completions until the carrier has no request, or the deadline. Transactions that they end wait to be reported.
    private mutating func drainCarrier(by deadline: Deadline) -> Bool {
        // SAFETY: the words are the carrier's ring, which the state keeps; they are accessed only by atomics.
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
            // The first cancellation does not find a request that was just being submitted.
            if now >= nextCancel {
                cancelAll()
                nextCancel = .after(milliseconds: 10)
            }
            sleep(min(deadline.nanoseconds - now.nanoseconds, 10_000_000))
        }
        return true
    }

    /// Whether the carrier has a request of this engine.
    var isBusy: Bool {
        // SAFETY: the loop counts over the numbers of slots, and there are a request and a transaction for each.
        let kept = state.held.count + state.unissued.count
        guard freeCount + kept + Int(tail &- issued) <= Int(slotMask) else { return false }
        guard detours.contains(.paused) else { return true }
        // During a pause, transactions that wait for their turn are idle too.
        return (0...Int(slotMask)).contains { slot in
            switch unsafe request(slot).pointee.state {
            case .free: false
            case .read, .write: !isQueued(slot)
            case .slowPath: unsafe transaction(slot).pointee.outstanding > 0
            }
        }
    }

    /// Whether a plain request follows the issued ones.
    private func isQueued(_ slot: Int) -> Bool {
        // SAFETY: an entry between `issued` and `tail` belongs to the engine.
        var index = issued
        while index != tail {
            if unsafe Int(truncatingIfNeeded: view.submission(index).pointee.user_data & slotMask) == slot { return true }
            index &+= 1
        }
        return false
    }

    /// Submits issued requests and sleeps until a completion, at most for the given time.
    private mutating func sleep(_ nanoseconds: Int64) {
        // SAFETY: as for `drainCarrier`: words of the ring.
        let waiting = issued &- (unsafe cdma_load_acquire32(view.submissionHead))
        let result = state.carrier.wait(waiting, nanoseconds: max(nanoseconds, 1))
        if waiting > 0, unsafe cdma_load_acquire32(view.submissionHead) == issued { detours.remove(.unsubmitted) }
        // Without a ring that can wait, this must not become a busy loop.
        if let errno = result.errno, errno != .timeout, errno != .interrupted {
            // Requests that the kernel refuses permanently have ended and are reported: nothing is left to wait for.
            if waiting > 0 { delay(result) } else { note(result) }
            if detours.contains(.reports) { return }
            loseIfStuck(errno)
            if detours.contains(.lost) { return }
            cdma_sleep_until(cdma_monotonic_nanoseconds() + min(nanoseconds, 1_000_000))
        } else {
            state.stuckSince = nil
        }
    }

    /// Lets running requests complete, or takes them back: within one second, or the pause fails.
    public mutating func pause() -> Bool {
        guard !detours.contains(.terminating) else { return false }
        if detours.contains(.paused) { return true }
        submitIssued()
        detours.insert(.paused)
        // Most requests complete in this time; those that wait for a stream are cancelled, and made again at the end of the
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
        // Of the queued requests, only those issued during the pause start (rule 5).
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
            // Dropped transactions left their residue there.
            case .free: found = count
            }
        }
        return found
    }

    /// Sleeps in the kernel until a completion, or the deadline; submits issued requests with the same call.
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

    /// Selects the file of later transactions that name none.
    ///
    /// - Throws: `noSuchPeripheral`; `badConfiguration` for a width, burst or priority, which files do not have.
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
