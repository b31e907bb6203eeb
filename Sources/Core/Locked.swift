// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// A value that one thread at a time may use: for the cold paths, where mappings are made and tasks wait.
///
/// A lock of our own words and not Synchronization's Mutex, because the thread sanitizer takes whatever the latter guards for a race:
/// with atomics that it sees, its reports mean something. And not the C library's, which costs a suspension ninety instructions.
/// Source: U. Drepper, "Futexes Are Tricky", the second mutex: 0 free, 1 taken, 2 taken and somebody may sleep.
// SAFETY: the value is touched by one thread at a time, the one that has set the word; both live at addresses of their own.
@safe
package struct Locked<Value>: ~Copyable, @unchecked Sendable {
    // Both live at addresses of their own as long as this value, and `value` is touched between take and give alone.
    private let word: UnsafeMutablePointer<UInt32>
    private let value: UnsafeMutablePointer<Value>

    package init(_ initial: sending Value) {
        unsafe word = .allocate(capacity: 1)
        unsafe word.initialize(to: 0)
        unsafe value = .allocate(capacity: 1)
        unsafe value.initialize(to: initial)
    }

    deinit {
        unsafe value.deinitialize(count: 1)
        unsafe value.deallocate()
        unsafe word.deallocate()
    }

    /// Runs `body` with the value. Not to be entered again from inside.
    @inline(__always)
    package func withLock<R: ~Copyable, Failure: Error>(
        _ body: (inout Value) throws(Failure) -> sending R
    ) throws(Failure) -> sending R {
        if unsafe !cdma_compare_exchange32(word, 0, 1) { takeSlowly() }
        defer { if unsafe cdma_exchange32(word, 0) == 2 { unsafe cdma_futex_wake(word, 1) } }
        return try unsafe body(&value.pointee)
    }

    @inline(never)
    private func takeSlowly() {
        // A bounded sleep: a wake-up lost to anything at all costs a second, not a hang.
        while unsafe cdma_exchange32(word, 2) != 0 { unsafe cdma_futex_wait(word, 2, 1_000_000_000) }
    }
}
