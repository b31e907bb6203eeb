// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// A counter that several threads add to.
// SAFETY: the one word is accessed only by atomics.
@safe
final class Counter: @unchecked Sendable {
    // One word of its own, accessed only by atomic instructions.
    private let word: UnsafeMutablePointer<UInt64>

    init() {
        // SAFETY: just allocated, for one word; only `deinit` frees it.
        unsafe word = .allocate(capacity: 1)
        unsafe word.initialize(to: 0)
    }

    // SAFETY: the last reference is released.
    deinit { unsafe word.deallocate() }

    // SAFETY: for both: the word lives as long as `self`, and is accessed only by atomics.
    var value: UInt64 { unsafe cdma_load_acquire64(word) }
    func add(_ amount: UInt64) { unsafe cdma_fetch_add64(word, amount) }
}
