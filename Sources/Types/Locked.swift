// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// A value that one thread at a time may use: for the cold paths, where mappings are made and tasks wait.
///
/// The one kind of lock of the package. Not Synchronization's Mutex, because the thread sanitizer takes whatever that guards for a race:
/// it sees these atomics, so its reports mean something. Not the C library's, which costs a suspension ninety instructions.
/// Source: U. Drepper, "Futexes Are Tricky", the second mutex: 0 free, 1 taken, 2 taken and a thread may sleep.
// SAFETY: `value` is accessed only between taking and releasing the lock, so that sending or sharing this value shares nothing unguarded.
@safe
package struct Locked<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
    @usableFromInline package let word: UnsafeMutablePointer<UInt32>
    @usableFromInline package let value: UnsafeMutablePointer<Value>

    package init(_ initial: consuming sending Value) {
        // SAFETY: one allocation that only this value knows, with room for the value and, behind it, the word; initialized here and freed
        // in `deinit`. It takes whole cache lines, so that two locks do not slow each other down. A value without a byte has a place of its own,
        // too: the thread sanitizer takes an access to it for one to the word.
        let offset = (max(MemoryLayout<Value>.size, 1) + 3) & ~3
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: (offset + 4 + 63) & ~63, alignment: max(64, MemoryLayout<Value>.alignment))
        unsafe value = memory.bindMemory(to: Value.self, capacity: 1)
        unsafe value.initialize(to: initial)
        unsafe word = (memory + offset).bindMemory(to: UInt32.self, capacity: 1)
        unsafe word.initialize(to: 0)
    }

    deinit {
        // SAFETY: a noncopyable value ends once, and nothing borrows it then.
        unsafe value.deinitialize(count: 1)
        unsafe UnsafeMutableRawPointer(value).deallocate()
    }

    /// Runs `body` with the value. Not reentrant: `body` must not call this lock again.
    @inlinable @inline(__always)
    package func withLock<R: ~Copyable, Failure: Error>(
        _ body: (inout Value) throws(Failure) -> sending R
    ) throws(Failure) -> sending R {
        // SAFETY: both pointers are valid as long as `self`; the lock makes the access to `value` exclusive.
        if unsafe !cdma_compare_exchange32(word, 0, 1) { takeSlowly() }
        defer { if unsafe cdma_exchange32(word, 0) == 2 { unsafe cdma_futex_wake(word, 1) } }
        return try unsafe body(&value.pointee)
    }

    @inline(never) @usableFromInline
    package func takeSlowly() {
        // A bounded sleep: a lost wake-up costs a second, not a hang.
        // SAFETY: `word` is valid as long as `self`, and is accessed by atomics alone.
        while unsafe cdma_exchange32(word, 2) != 0 { unsafe cdma_futex_wait(word, 2, 1_000_000_000) }
    }
}
