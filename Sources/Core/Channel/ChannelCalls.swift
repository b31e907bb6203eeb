// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

// One call per operation on a channel of one's own: submits with the interrupt flag, issues and waits.

/// Each call returns or throws when the operation has ended, and the caller has the buffers back. No call waits for ever: at
/// the deadline, or when the task is cancelled, the channel is terminated and synchronized, together with everything else in
/// flight on it. Where the device does not stop even then, the call throws `quiesceTimeout`, and the buffers refuse every
/// access (`quarantined`) until it has stopped.
///
/// They throw the refusals of ``Channel/submit(_:_:)``; `cancelled`, `deadlinePassed`, `quiesceTimeout`, `deviceGone`;
/// `engineFailed`.
extension Channel where E: ~Copyable, C == Loan {
    /// Copies the whole of `source` to the beginning of `target`.
    ///
    /// - Throws: as all of these; `outOfRange` where the target is shorter.
    public mutating func copy(
        _ source: borrowing MappedBuffer, to target: inout MappedBuffer, by deadline: Deadline = .after(milliseconds: 60_000)
    ) async throws(DMAError) {
        let range = try source.rangeOfCopy(to: target)
        _ = try await run(LoanSteps(.copy, source.mapping.handle, target.mapping.handle, range: range), by: deadline)
    }

    /// Returns the CRC32C (Castagnoli, reflected) of the whole buffer, continuing from `seed`, the CRC of the preceding data.
    public mutating func crc32c(
        of source: borrowing MappedBuffer, seed: UInt32 = 0, by deadline: Deadline = .after(milliseconds: 60_000)
    ) async throws(DMAError) -> UInt32 {
        let steps = LoanSteps(.crc32c, source.mapping.handle, nil, range: source.wholeRange)
        return UInt32(truncatingIfNeeded: try await run(steps, from: UInt64(seed), by: deadline).value)
    }

    /// Returns the CRC32C of a chunk that is mapped for this channel's domain, continuing from `seed`.
    public mutating func crc32c(
        of chunk: FileChunk, seed: UInt32 = 0, by deadline: Deadline = .after(milliseconds: 60_000)
    ) async throws(DMAError) -> UInt32 {
        let steps = LoanSteps(.crc32c, chunk.handle, nil, range: 0..<UInt64(chunk.count))
        return UInt32(truncatingIfNeeded: try await run(steps, from: UInt64(seed), by: deadline).value)
    }

    /// Fills the whole buffer with a pattern of 8 bytes, least significant byte first.
    public mutating func fill(
        _ target: inout MappedBuffer, pattern: UInt64, by deadline: Deadline = .after(milliseconds: 60_000)
    ) async throws(DMAError) {
        _ = try await run(LoanSteps(.fill(pattern), nil, target.mapping.handle, range: target.wholeRange), by: deadline)
    }

    /// - Parameter value: the value from which the first step continues.
    /// - Returns: the result of the last step, and the number of bytes moved: fewer than requested at the end of a peripheral's
    ///   data.
    private mutating func run(
        _ steps: LoanSteps, from value: UInt64 = 0, by deadline: Deadline
    ) async throws(DMAError) -> (value: UInt64, moved: UInt64) {
        var steps = steps
        var (value, moved): (UInt64, UInt64) = (value, 0)
        while let operation = steps.next(after: value) {
            if Task.isCancelled { throw DMAError(.cancelled) }
            // Checked before any buffer is lent.
            if state == .paused { throw DMAError(.paused) }
            let cookie = try submit(operation, steps.loan()).get()
            let finished = try await finished(cookie, by: deadline)
            if let error = finished.error { throw error }
            value = finished.value
            moved += operation.length - finished.residue
            if finished.residue > 0 { break }
        }
        return (value, moved)
    }

    /// Waits for the end of a transaction. At the deadline, or when the task is cancelled, terminates and synchronizes the
    /// channel.
    private mutating func finished(_ cookie: Cookie, by deadline: Deadline) async throws(DMAError) -> Finished<C> {
        let reason: DMAError
        switch await outcome(of: cookie, by: deadline) {
        case .finished(let finished): return finished
        case .failed(let error): reason = error
        }
        guard reason.code == .cancelled || reason.code == .deadlinePassed else { throw reason }
        terminateAsync()
        try synchronize(by: .after(milliseconds: 1000))
        // It may have completed in the meantime.
        guard let finished = try take(cookie), finished.status != .aborted else { throw reason }
        return finished
    }
}

/// The result of a wait with a deadline.
enum WaitOutcome<C: Cargo & ~Copyable>: ~Copyable {
    case finished(Finished<C>)
    case failed(DMAError)
}

extension Channel where E: ~Copyable, C: ~Copyable {
    /// Waits for one transaction until a deadline. Issues what is queued. Checks at least every 100 ms whether the device is
    /// gone.
    mutating func outcome(
        of cookie: Cookie, by deadline: Deadline, isolation: isolated (any Actor)? = #isolation
    ) async -> WaitOutcome<C> {
        issuePending()
        let line = engine.interruptLine
        let waiter = line?.newWaiter() ?? 0
        var pace = PollPace(worksInPoll: engine.capabilities.worksInPoll)
        var timer: Task<Void, Never>?
        defer { timer?.cancel() }
        var found: Finished<C>?
        let failure: DMAError? = await withTaskCancellationHandler {
            _ = isolation
            while true {
                let seen = line?.count ?? 0
                do throws(DMAError) { found = try look(for: cookie) } catch { return error }
                if found != nil { return nil }
                if Task.isCancelled { return DMAError(.cancelled) }
                if let late = deadline.error(at: .now) { return late }
                // Only polls submit what a fence holds back.
                guard let line, !slowPaths.contains(.fence) else {
                    await pace.rest()
                    continue
                }
                if timer == nil { timer = Self.timer(line, waiter, deadline) }
                // SAFETY: no other code has the continuation, and the line resumes it exactly once, as in `finishedLater`.
                unsafe await withUnsafeContinuation { continuation in
                    unsafe line.suspend(waiter, continuation, after: seen)
                }
            }
        } onCancel: {
            line?.wake(waiter)
        }
        if let finished = found.take() { return .finished(finished) }
        return .failed(failure ?? DMAError(.staleCookie, asked: cookie.rawValue))
    }

    /// Wakes a waiter every 100 ms, and at the deadline, until it is cancelled.
    private static func timer(_ line: InterruptLine, _ waiter: UInt64, _ deadline: Deadline) -> Task<Void, Never> {
        Task.detached {
            while !Task.isCancelled {
                let left = Deadline.now.nanoseconds(until: deadline)
                try? await Task.sleep(nanoseconds: min(max(left, 100_000), 100_000_000))
                line.wake(waiter)
            }
        }
    }
}

extension Deadline {
    /// `deadlinePassed` if this deadline is in the past.
    func error(at now: Deadline) -> DMAError? {
        if now < self { return nil }
        return DMAError(
            .deadlinePassed, asked: UInt64(clamping: nanoseconds), limit: UInt64(clamping: now.nanoseconds))
    }
}
