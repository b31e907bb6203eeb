// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// A value behind a lock: for the cold paths, where mappings are made and tasks wait.
///
/// The only kind of lock of the package. Synchronization's Mutex is not used, because the thread sanitizer reports races on
/// everything that it guards; it understands these atomics. The C library's mutex is not used, because it costs a suspension
/// ninety instructions. Source: U. Drepper, "Futexes Are Tricky", the second mutex: 0 free, 1 taken, 2 taken and a thread may
/// sleep.
// SAFETY: `value` is accessed only between taking and releasing the lock, so that sending or sharing this value shares nothing unguarded.
@safe
package struct Locked<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
    @usableFromInline package let word: UnsafeMutablePointer<UInt32>
    @usableFromInline package let value: UnsafeMutablePointer<Value>

    package init(_ initial: consuming sending Value) {
        // SAFETY: one allocation that only this value knows, with room for the value and, behind it, the word; initialized here
        // and freed in `deinit`. It occupies whole cache lines, so that two locks do not share one. A zero-sized value has an
        // address of its own as well: otherwise the thread sanitizer would take an access to it for one to the word.
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

    /// Runs `body` with the value while the lock is held. Not reentrant: `body` must not use this lock.
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
