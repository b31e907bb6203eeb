// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAAccess
internal import DMAThreads
internal import DMATypes

/// A thread that waits for a device's events: its vectors, the kernel's request to give it up, and a fatal error of its link.
///
/// The kernel masks INTx alone. Masks and pending bits of messages are kept here: what arrives under a mask is kept as one, and is handed over when the
/// mask is taken away.
///
/// It runs from `init` until ``stop()``.
final class VFIOWatcher: Sendable {
    /// What is watched beside vectors.
    enum Notice: UInt64 {
        case request = 0x1_0000_0000
        case error = 0x1_0000_0001
        case wake = 0x1_0000_0002
    }

    private struct State {
        var isStopped = false
        var handler: InterruptHandler?
        /// The vectors' events, by their numbers.
        var events: [Int32] = []
        var masked: Set<Int> = []
        var masksAll = false
        /// Arrived while masked.
        var pending: Set<Int> = []
        /// To be handed over, since their mask was taken away.
        var due: Set<Int> = []
        var isCalling = false
        /// Takes the kernel's own mask of INTx away, when its handler has returned.
        var afterCall: (@Sendable () -> Void)?

        func isMasked(_ vector: Int) -> Bool { masksAll || masked.contains(vector) }
    }
    private final class Shared: Sendable {
        let locked = Locked(State())
        let epoll: Int32
        let wake: Int32
        init(_ epoll: Int32, _ wake: Int32) { (self.epoll, self.wake) = (epoll, wake) }
    }

    private let shared: Shared
    private let thread: NativeThread
    private static let tick: Int64 = 100_000_000

    /// - Parameters:
    ///   - notices: events that are watched from the start.
    ///   - noticed: called when one has happened.
    init(_ notices: [Notice: Int32], _ noticed: @escaping @Sendable (Notice) -> Void) throws(DMAError) {
        let epoll = cdma_epoll_make()
        guard epoll >= 0 else { throw DMAError(.engineFailed, errno: -epoll) }
        let wake = cdma_event_make(false)
        let shared = Shared(epoll, wake)
        self.shared = shared
        do throws(DMAError) {
            guard wake >= 0 else { throw DMAError(.engineFailed, errno: -wake) }
            for (notice, event) in notices.merging([.wake: wake], uniquingKeysWith: { first, _ in first }) {
                let added = cdma_epoll_add(epoll, event, notice.rawValue)
                guard added == 0 else { throw DMAError(.engineFailed, errno: -added) }
            }
            thread = try NativeThread { Self.run(shared, notices, noticed) }
        } catch {
            if wake >= 0 { _ = cdma_close(wake) }
            _ = cdma_close(epoll)
            throw error
        }
    }

    /// Hands vectors over from now on.
    ///
    /// - Parameter afterCall: called after the handler, where it was called for a vector that is not masked.
    func start(
        _ events: [Int32], _ handler: @escaping InterruptHandler, afterCall: (@Sendable () -> Void)?
    ) throws(DMAError) {
        shared.locked.withLock { state in
            state.events = events
            state.handler = handler
            state.afterCall = afterCall
            (state.masked, state.masksAll, state.pending, state.due) = ([], false, [], [])
        }
        for (vector, event) in events.enumerated() {
            let added = cdma_epoll_add(shared.epoll, event, UInt64(vector))
            guard added == 0 else {
                forget()
                throw DMAError(.engineFailed, errno: -added)
            }
        }
    }

    /// Hands no more vectors over: when this returns, the handler is not called any more, unless it is the caller.
    func forget() {
        let events = shared.locked.withLock { state -> [Int32] in
            defer { (state.events, state.handler, state.afterCall) = ([], nil, nil) }
            return state.events
        }
        for event in events { _ = cdma_epoll_remove(shared.epoll, event) }
        guard !thread.isCurrent else { return }
        while shared.locked.withLock({ $0.isCalling }) { cdma_sleep_until(cdma_monotonic_nanoseconds() + 20_000) }
    }

    /// Masks a vector, or all of them, or takes the mask away: one that has arrived meanwhile is handed over, once.
    func setMasked(_ isMasked: Bool, _ vector: Int?) {
        shared.locked.withLock { state in
            if let vector {
                if isMasked { state.masked.insert(vector) } else { state.masked.remove(vector) }
            } else {
                state.masksAll = isMasked
            }
            for vector in state.pending where !state.isMasked(vector) {
                state.pending.remove(vector)
                state.due.insert(vector)
            }
            if !state.due.isEmpty, !state.isStopped { _ = cdma_event_signal(shared.wake) }
        }
    }

    func isPending(_ vector: Int) -> Bool { shared.locked.withLock { $0.pending.contains(vector) } }

    /// Ends the thread, and waits for it unless this is called by it.
    func stop() {
        forget()
        let isFirst = shared.locked.withLock { state -> Bool in
            defer { state.isStopped = true }
            // The thread, which closes it, has not seen the end yet.
            if !state.isStopped { _ = cdma_event_signal(shared.wake) }
            return !state.isStopped
        }
        if isFirst, !thread.isCurrent { thread.join() }
    }

    // MARK: The thread

    private static func run(_ shared: Shared, _ notices: [Notice: Int32], _ noticed: @Sendable (Notice) -> Void) {
        var nextTick = Deadline.after(nanoseconds: tick)
        var tokens = [UInt64](repeating: 0, count: 64)
        while true {
            let pause = max(0, min(nextTick.nanoseconds - Deadline.now.nanoseconds, tick))
            // SAFETY: the C function writes as many words as the array has room for.
            let count = unsafe cdma_epoll_wait(shared.epoll, &tokens, Int32(tokens.count), pause)
            // An interrupted wait is one without events; another failure must not become a busy loop.
            if count < 0 { cdma_sleep_until(cdma_monotonic_nanoseconds() + 1_000_000) }
            let isTick = Deadline.now >= nextTick
            if isTick { nextTick = .after(nanoseconds: tick) }
            var fired: [Int] = []
            for token in tokens.prefix(Int(max(count, 0))) {
                guard let notice = Notice(rawValue: token) else {
                    fired.append(Int(truncatingIfNeeded: token))
                    continue
                }
                let event = notice == .wake ? shared.wake : notices[notice] ?? -1
                if cdma_event_clear(event) == 0, notice != .wake { noticed(notice) }
            }
            guard deliver(shared, fired, isTick: isTick) else { break }
        }
        _ = cdma_close(shared.wake)
        _ = cdma_close(shared.epoll)
    }

    /// Calls the handler for what has arrived. False where the watcher was stopped.
    private static func deliver(_ shared: Shared, _ fired: [Int], isTick: Bool) -> Bool {
        struct Call {
            let handler: InterruptHandler
            let causes: [InterruptCause]
            let afterCall: (@Sendable () -> Void)?
        }
        let (isStopped, call) = shared.locked.withLock { state -> (Bool, Call?) in
            guard !state.isStopped else { return (true, nil) }
            var vectors = state.due
            state.due = []
            for vector in fired where state.events.indices.contains(vector) {
                // Counts how often; what was forgotten meanwhile is not read.
                guard cdma_event_clear(state.events[vector]) == 0 else { continue }
                if state.isMasked(vector) { state.pending.insert(vector) } else { vectors.insert(vector) }
            }
            guard let handler = state.handler else { return (false, nil) }
            var causes = vectors.sorted().map(InterruptCause.vector)
            if isTick { causes.append(.tick) }
            guard !causes.isEmpty else { return (false, nil) }
            state.isCalling = true
            return (false, Call(handler: handler, causes: causes, afterCall: vectors.isEmpty ? nil : state.afterCall))
        }
        if let call {
            for cause in call.causes { call.handler(cause) }
            call.afterCall?()
            shared.locked.withLock { $0.isCalling = false }
        }
        return !isStopped
    }
}
