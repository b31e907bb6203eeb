// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMATypes

/// Counts an engine's interrupts and wakes the threads and tasks that wait for them.
///
/// Any thread may raise, wait and read. Raising a line without waiters makes no system call and takes no lock.
@safe
public final class InterruptLine: Sendable {
    @safe
    private struct Waiter {
        let id: UInt64
        let continuation: UnsafeContinuation<Void, Never>
    }

    private struct State {
        /// Most lines have at most one waiter, which needs no array.
        var first: Waiter?
        var others: [Waiter] = []
    }

    // SAFETY: the pointer never changes. Words of this object's own, in raw memory because the kernel wants a stable address: the number
    // of interrupts, which is also the futex (its lower half); the threads asleep on it; the tasks suspended; the last waiter's number.
    // They are freed with the object, when no thread holds it any more.
    private nonisolated(unsafe) let words: UnsafeMutableRawPointer
    private let state = Locked(State())

    // SAFETY: for each of these: the words are 64 bytes that this object owns; each of the offsets is inside, and aligned for its
    // word.
    private var counter: UnsafeMutableRawPointer { unsafe words }
    private var sleepers: UnsafeMutableRawPointer { unsafe words + 8 }
    private var tasks: UnsafeMutableRawPointer { unsafe words + 16 }

    /// A line that has not been raised.
    public init() {
        // SAFETY: 64 bytes are allocated and cleared, and `deinit` alone frees them.
        unsafe words = .allocate(byteCount: 64, alignment: 64)
        unsafe words.initializeMemory(as: UInt8.self, repeating: 0, count: 64)
    }

    // SAFETY: no reference to the line is left, so that no thread is in one of its functions.
    deinit { unsafe words.deallocate() }

    /// The number of interrupts so far.
    // SAFETY: the word lives as long as `self`, and is accessed only by atomics. The same holds for all three words, in each
    // function below.
    public var count: UInt64 { unsafe cdma_load_ordered64(counter) }

    /// Counts one interrupt and wakes the waiters.
    public func raise() {
        // SAFETY: the words live as long as `self` and are accessed only by atomics. A waiter is removed from the state under
        // the lock, and only the caller that removed it resumes it. `raise` increments the count, then looks for waiters; a
        // waiter registers, then reads the count. Both are sequentially consistent, so that at least one sees the other.
        unsafe cdma_fetch_add64(counter, 1)
        if unsafe cdma_load_ordered32(sleepers) > 0 { unsafe cdma_futex_wake(futex, .max) }
        guard unsafe cdma_load_ordered32(tasks) > 0 else { return }
        let (first, hasOthers) = state.withLock { state in
            let first = state.first
            state.first = nil
            return (first, !state.others.isEmpty)
        }
        if let first {
            unsafe cdma_fetch_add32(tasks, .max)
            unsafe first.continuation.resume()
        }
        if hasOthers { resumeOthers() }
    }

    /// Resumes the suspended tasks without an interrupt: for an engine that learns that there is something to look at before it
    /// knows what. Returns whether any were suspended. Any thread may call it.
    package func nudge() -> Bool {
        // SAFETY: as in `raise`: the caller that removed the waiter from the state under the lock is the only one that resumes
        // it.
        guard unsafe cdma_load_ordered32(tasks) > 0 else { return false }
        let first = state.withLock { state in
            let first = state.first
            state.first = nil
            return first
        }
        if let first {
            unsafe cdma_fetch_add32(tasks, .max)
            unsafe first.continuation.resume()
        }
        resumeOthers()
        return first != nil
    }

    private func resumeOthers() {
        // SAFETY: as in `raise`.
        let others = state.withLock { state in
            let others = state.others
            state.others = []
            return others
        }
        unsafe cdma_fetch_add32(tasks, 0 &- UInt32(truncatingIfNeeded: others.count))
        for waiter in others { unsafe waiter.continuation.resume() }
    }

    /// Blocks until the count exceeds `seen`, or until `deadline`. Returns whether it does.
    public func wait(after seen: UInt64, until deadline: Deadline) -> Bool {
        // SAFETY: the words live as long as `self`; the kernel reads the futex, and compares it before it sleeps.
        unsafe cdma_fetch_add32(sleepers, 1)
        defer { unsafe cdma_fetch_add32(sleepers, .max) }
        while true {
            let now = count
            if now > seen { return true }
            let time = cdma_monotonic_nanoseconds()
            if time >= deadline.nanoseconds { return false }
            // A bounded sleep: a lost wake-up costs one second, not a hang.
            unsafe cdma_futex_wait(
                futex, UInt32(truncatingIfNeeded: now), min(deadline.nanoseconds - time, 1_000_000_000))
        }
    }

    /// Suspends until the count exceeds `seen`, or the task is cancelled.
    public func wait(after seen: UInt64, isolation: isolated (any Actor)? = #isolation) async {
        let id = newWaiter()
        await withTaskCancellationHandler {
            // Captured, so that the wait runs on the caller's executor and not on the global one.
            _ = isolation
            await wait(after: seen, as: id)
        } onCancel: {
            wake(id)
        }
    }

    /// A number that identifies a waiting task, for any number of waits.
    public func newWaiter() -> UInt64 {
        // SAFETY: the word lives as long as `self`, and is accessed by atomics alone.
        unsafe cdma_fetch_add64(words + 24, 1) &+ 1
    }

    /// Suspends waiter `id` until the count exceeds `seen`. Cancellation wakes it only where a cancellation handler calls
    /// `wake`.
    private func wait(after seen: UInt64, as id: UInt64) async {
        // SAFETY: the continuation goes to `suspend` alone, which resumes it exactly once.
        unsafe await withUnsafeContinuation { continuation in unsafe suspend(id, continuation, after: seen) }
    }

    /// Wakes waiter `id` if it is suspended: for a cancellation handler.
    // SAFETY: `remove` returns the waiter to one caller only, which resumes it exactly once.
    public func wake(_ id: UInt64) { unsafe remove(id)?.continuation.resume() }

    /// Registers a suspended task, or resumes it where the count has moved already. The task is resumed exactly once, now or
    /// later.
    ///
    /// Unsafe: the caller guarantees that no other code resumes `continuation`.
    @unsafe
    public func suspend(_ id: UInt64, _ continuation: UnsafeContinuation<Void, Never>, after seen: UInt64) {
        // SAFETY: the waiter is registered once, and resumed once, by the caller that removes it from the state under the lock.
        let waiter = unsafe Waiter(id: id, continuation: continuation)
        state.withLock { state in
            if state.first == nil { state.first = waiter } else { state.others.append(waiter) }
        }
        unsafe cdma_fetch_add32(tasks, 1)
        if count > seen || Task.isCancelled { wake(id) }
    }

    /// Removes one waiter; nil where another caller has removed it, and resumes it.
    private func remove(_ id: UInt64) -> Waiter? {
        // SAFETY: the word lives as long as `self`, and is accessed by atomics alone.
        let waiter = state.withLock { state -> Waiter? in
            if let first = state.first, first.id == id {
                state.first = nil
                return first
            }
            return state.others.firstIndex { $0.id == id }.map { state.others.remove(at: $0) }
        }
        if waiter != nil { unsafe cdma_fetch_add32(tasks, .max) }
        return waiter
    }

    /// The lower half of the counter.
    private var futex: UnsafeMutableRawPointer {
        // SAFETY: as for the three words above: inside the object's memory, and aligned for 32 bits.
        #if _endian(big)
            unsafe words + 4
        #else
            unsafe words
        #endif
    }
}
