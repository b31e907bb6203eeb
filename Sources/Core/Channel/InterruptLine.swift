// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import Synchronization

/// Where an engine's interrupts arrive: counted, and waking whoever waits, by blocking or by `await`.
///
/// Any thread may raise, wait and read. Raising with nobody waiting makes no system call.
@safe
public final class InterruptLine: Sendable {
    private struct State {
        var count: UInt64 = 0
        var waiters: [(id: UInt64, continuation: CheckedContinuation<Void, Never>)] = []
        var nextWaiter: UInt64 = 1
        var cancelled: [UInt64] = []
    }

    private let state = Mutex(State())
    // Two words of this object's own: the futex, which changes with each interrupt, and the number of threads asleep on it.
    // Raw memory, because the kernel wants a stable address; freed when nobody can hold the line any more.
    private nonisolated(unsafe) let words: UnsafeMutablePointer<UInt32>

    public init() {
        unsafe words = .allocate(capacity: 2)
        unsafe words.initialize(repeating: 0, count: 2)
    }

    deinit { unsafe words.deallocate() }

    /// Interrupts so far.
    public var count: UInt64 { state.withLock { $0.count } }

    /// One more interrupt.
    public func raise() {
        let waiters = state.withLock { state in
            state.count &+= 1
            let waiters = state.waiters
            state.waiters.removeAll()
            return waiters
        }
        unsafe cdma_fetch_add32(words, 1)
        if unsafe cdma_fetch_add32(words + 1, 0) > 0 {
            unsafe cdma_futex_wake(words, .max)
        }
        for waiter in waiters { waiter.continuation.resume() }
    }

    /// Blocks until there were more interrupts than `seen`, or `deadline`. True where there were.
    public func wait(after seen: UInt64, until deadline: Deadline) -> Bool {
        unsafe cdma_fetch_add32(words + 1, 1)
        defer { unsafe cdma_fetch_add32(words + 1, .max) }
        while true {
            let ticket = unsafe cdma_load_acquire32(words)
            if count > seen { return true }
            let now = cdma_monotonic_nanoseconds()
            if now >= deadline.nanoseconds { return false }
            // A bounded sleep: a wake-up lost to anything at all costs a second, not a hang.
            unsafe cdma_futex_wait(words, ticket, min(deadline.nanoseconds - now, 1_000_000_000))
        }
    }

    /// Suspends until there were more interrupts than `seen`, or the task is cancelled.
    public func wait(after seen: UInt64) async {
        let id = state.withLock { state in
            let id = state.nextWaiter
            state.nextWaiter &+= 1
            return id
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let go = state.withLock { state in
                    if let index = state.cancelled.firstIndex(of: id) {
                        state.cancelled.remove(at: index)
                        return true
                    }
                    if state.count > seen { return true }
                    state.waiters.append((id, continuation))
                    return false
                }
                if go { continuation.resume() }
            }
        } onCancel: {
            let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
                if let index = state.waiters.firstIndex(where: { $0.id == id }) {
                    return state.waiters.remove(at: index).continuation
                }
                state.cancelled.append(id)
                return nil
            }
            waiter?.resume()
        }
        state.withLock { state in state.cancelled.removeAll { $0 == id } }
    }
}
