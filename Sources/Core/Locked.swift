// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// A value that one thread at a time may use: for the cold paths, where mappings are made and tasks wait.
///
/// On a lock of the C library's and not on Synchronization's Mutex, because the thread sanitizer knows the former and takes whatever
/// the latter guards for a race: with this one its reports mean something.
@safe
struct Locked<Value>: ~Copyable, @unchecked Sendable {
    // Both live at addresses of their own as long as this value, and `value` is touched between lock and unlock alone.
    private let lock: UnsafeMutableRawPointer
    private let value: UnsafeMutablePointer<Value>

    init(_ initial: sending Value) {
        unsafe lock = .allocate(byteCount: cdma_lock_size(), alignment: 16)
        unsafe cdma_lock_init(lock)
        unsafe value = .allocate(capacity: 1)
        unsafe value.initialize(to: initial)
    }

    deinit {
        unsafe value.deinitialize(count: 1)
        unsafe value.deallocate()
        unsafe cdma_lock_end(lock)
        unsafe lock.deallocate()
    }

    /// Runs `body` with the value. Not to be entered again from inside.
    func withLock<R: ~Copyable, Failure: Error>(_ body: (inout Value) throws(Failure) -> sending R) throws(Failure) -> sending R
    {
        unsafe cdma_lock_take(lock)
        defer { unsafe cdma_lock_give(lock) }
        return try unsafe body(&value.pointee)
    }
}
