// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAEngineKit
internal import DMATypes

/// The loop of a watcher's thread, and the state that it shares with callers.
final class WatchLoop: Sendable {
    struct Source {
        let event: EventDescriptor
        let line: InterruptLine
        let hasMore: (@Sendable () -> Bool)?
    }

    private struct State {
        var sources: [UInt64: Source] = [:]
        /// Tokens of the events, by descriptor.
        var tokens: [Int32: UInt64] = [:]
        var next: UInt64 = 1
        /// The token of the source being handled; 0 for none.
        var current: UInt64 = 0
        var isStopping = false
    }

    /// The token of the event that ends the thread.
    private static let end: UInt64 = 0
    /// The longest sleep: normally only a signal ends one, but a lost signal must not cause a hang.
    private static let longest: Int64 = 60_000_000_000
    private static let pauses: ClosedRange<Int64> = 20_000...2_000_000

    private let epoll: Int32
    private let wake: EventDescriptor
    private let generation = cdma_fork_generation()
    private let state = Locked(State())

    init() throws(DMAError) {
        wake = try EventDescriptor()
        let made = cdma_epoll_make()
        guard made >= 0 else { throw DMAError(.kernelRefused, errno: -made) }
        let added = cdma_epoll_add(made, wake.descriptor, Self.end)
        guard added == 0 else {
            _ = cdma_close(made)
            throw DMAError(.kernelRefused, errno: -added)
        }
        epoll = made
    }

    // The thread keeps the loop alive while it runs, so it has ended.
    deinit { _ = cdma_close(epoll) }

    func add(_ source: Source) throws(DMAError) {
        guard cdma_fork_generation() == generation else { throw DMAError(.usedAfterFork) }
        try state.withLock { (state) throws(DMAError) in
            guard !state.isStopping else { throw DMAError(.terminating) }
            let token = state.next
            // Registered first: the thread may be woken before epoll_ctl(2) has returned, and then waits for the lock.
            let added = cdma_epoll_add(epoll, source.event.descriptor, token)
            guard added == 0 else { throw DMAError(.kernelRefused, errno: -added) }
            state.next += 1
            state.sources[token] = source
            state.tokens[source.event.descriptor] = token
        }
    }

    func remove(_ event: EventDescriptor, waits: Bool) {
        // Parent and child share the epoll set: it is not changed here.
        guard cdma_fork_generation() == generation else { return }
        let token = state.withLock { state -> UInt64? in
            guard let token = state.tokens.removeValue(forKey: event.descriptor) else { return nil }
            state.sources[token] = nil
            // It fails only for a descriptor that is not in the set.
            _ = cdma_epoll_remove(epoll, event.descriptor)
            return token
        }
        guard let token, waits else { return }
        // Terminates when the caller's `hasMore` returns: the thread does nothing else that waits between marking and unmarking
        // a source.
        while state.withLock({ $0.current == token }) { cdma_sleep_until(cdma_monotonic_nanoseconds() + 20_000) }
    }

    /// Asks the thread to end: false where there is none to wait for, or it was asked already.
    func stop() -> Bool {
        guard cdma_fork_generation() == generation else { return false }
        let isFirst = state.withLock { state in
            defer { state.isStopping = true }
            return !state.isStopping
        }
        // Signalling fails only for a closed event; the thread then ends at its next check.
        if isFirst { try? wake.signal() }
        return isFirst
    }

    /// Runs until it is stopped.
    func run() {
        var tokens = [UInt64](repeating: 0, count: 64)
        // Sources that were signalled and need another check, and the time until then.
        var looking: [UInt64: Int64] = [:]
        while true {
            let limit = looking.values.min() ?? Self.longest
            // SAFETY: the C function writes at most as many tokens as the array has.
            let count = unsafe cdma_epoll_wait(epoll, &tokens, Int32(tokens.count), limit)
            // Where waiting fails permanently, the thread must not spin.
            if count < 0, count != -EINTR { cdma_sleep_until(cdma_monotonic_nanoseconds() + Self.pauses.upperBound) }
            for token in tokens.prefix(Int(max(count, 0))) where token != Self.end {
                if signalled(token) { looking[token] = Self.pauses.lowerBound }
            }
            for (token, pause) in looking {
                looking[token] = isLooking(token) ? min(pause * 2, Self.pauses.upperBound) : nil
            }
            if state.withLock({ $0.isStopping }) { return }
        }
    }

    /// Runs `body` with a source, which is not removed meanwhile. Nil where it was removed.
    private func with<R: Sendable>(_ token: UInt64, _ body: (Source) -> R) -> R? {
        let source = state.withLock { state -> Source? in
            guard !state.isStopping, let source = state.sources[token] else { return nil }
            state.current = token
            return source
        }
        guard let source else { return nil }
        let result = body(source)
        state.withLock { $0.current = 0 }
        return result
    }

    /// Reads an event's signal. Returns whether the source must be checked.
    private func signalled(_ token: UInt64) -> Bool {
        with(token) { source in
            guard source.event.clear() else { return false }
            if source.hasMore != nil { return true }
            source.line.raise()
            return false
        } ?? false
    }

    /// Resumes the waiters. Returns whether there are none although there is something to take.
    private func isLooking(_ token: UInt64) -> Bool {
        with(token) { source in !source.line.nudge() && source.hasMore?() == true } ?? false
    }
}
