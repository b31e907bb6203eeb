// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMATypes

/// Where an engine's interrupts arrive: counted, and waking whoever waits, by blocking or by `await`.
///
/// Any thread may raise, wait and read. Raising with nobody waiting makes no system call and takes no lock.
@safe
public final class InterruptLine: Sendable {
    @safe
    private struct Waiter {
        let id: UInt64
        let continuation: UnsafeContinuation<Void, Never>
    }

    private struct State {
        /// Most lines have one waiter at most: it needs no array.
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

    /// A line that was never raised.
    public init() {
        // SAFETY: 64 bytes are allocated and cleared, and `deinit` alone frees them.
        unsafe words = .allocate(byteCount: 64, alignment: 64)
        unsafe words.initializeMemory(as: UInt8.self, repeating: 0, count: 64)
    }

    // SAFETY: nobody holds the line any more, so that no thread is in one of its functions.
    deinit { unsafe words.deallocate() }

    /// Interrupts so far.
    // SAFETY: the word lives as long as `self`, and is accessed by atomics alone. So for all of the three words, in each function
    // below.
    public var count: UInt64 { unsafe cdma_load_ordered64(counter) }

    /// One more interrupt.
    public func raise() {
        // SAFETY: the words live as long as `self` and are accessed by atomics alone. `raise` is the only one to resume the waiter
        // that it took out of the state under the lock.
        // The count first, then a look for waiters; a waiter enters itself first, then looks at the count. Both are sequentially
        // consistent, so that one of the two sees the other.
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

    /// Resumes the tasks that are suspended, though there was no interrupt: for an engine that learns that it has something to look at
    /// before it knows what. Whether there were any. Any thread may call it.
    package func nudge() -> Bool {
        // SAFETY: as in `raise`: what was taken out of the state under the lock is resumed by whoever took it, and by nobody else.
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

    /// Blocks until there were more interrupts than `seen`, or `deadline`. True where there were.
    public func wait(after seen: UInt64, until deadline: Deadline) -> Bool {
        // SAFETY: the words live as long as `self`; the kernel reads the futex, and compares it before it sleeps.
        unsafe cdma_fetch_add32(sleepers, 1)
        defer { unsafe cdma_fetch_add32(sleepers, .max) }
        while true {
            let now = count
            if now > seen { return true }
            let time = cdma_monotonic_nanoseconds()
            if time >= deadline.nanoseconds { return false }
            // A bounded sleep: a wake-up lost to anything at all costs a second, not a hang.
            unsafe cdma_futex_wait(
                futex, UInt32(truncatingIfNeeded: now), min(deadline.nanoseconds - time, 1_000_000_000))
        }
    }

    /// Suspends until there were more interrupts than `seen`, or the task is cancelled.
    public func wait(after seen: UInt64, isolation: isolated (any Actor)? = #isolation) async {
        let id = newWaiter()
        await withTaskCancellationHandler {
            // Captured, so that the wait is where the caller runs and not on the global executor.
            _ = isolation
            await wait(after: seen, as: id)
        } onCancel: {
            wake(id)
        }
    }

    /// A number for a task that will wait, perhaps many times.
    public func newWaiter() -> UInt64 {
        // SAFETY: the word lives as long as `self`, and is accessed by atomics alone.
        unsafe cdma_fetch_add64(words + 24, 1) &+ 1
    }

    /// Suspends waiter `id` until there were more interrupts than `seen`. A cancellation wakes it only where somebody calls `wake`.
    private func wait(after seen: UInt64, as id: UInt64) async {
        // SAFETY: the continuation goes to `suspend` alone, which resumes it exactly once.
        unsafe await withUnsafeContinuation { continuation in unsafe suspend(id, continuation, after: seen) }
    }

    /// Wakes waiter `id`, where it is suspended: for a cancellation handler.
    // SAFETY: `remove` gives the waiter to one caller alone, who so resumes it exactly once.
    public func wake(_ id: UInt64) { unsafe remove(id)?.continuation.resume() }

    /// Enters a suspended task, or resumes it where there is no more to wait for. Resumes it exactly once, now or later.
    ///
    /// Unsafe: the caller vouches that nobody else resumes `continuation`.
    @unsafe
    public func suspend(_ id: UInt64, _ continuation: UnsafeContinuation<Void, Never>, after seen: UInt64) {
        // SAFETY: the waiter is entered once, and resumed by whoever takes it out of the state, under the lock: once.
        let waiter = unsafe Waiter(id: id, continuation: continuation)
        state.withLock { state in
            if state.first == nil { state.first = waiter } else { state.others.append(waiter) }
        }
        unsafe cdma_fetch_add32(tasks, 1)
        if count > seen || Task.isCancelled { wake(id) }
    }

    /// Takes one waiter out: nil where somebody else has, who then resumes it.
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
