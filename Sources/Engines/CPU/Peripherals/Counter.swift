// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// A number that several threads add to.
// SAFETY: the one word is reached by atomics alone.
@safe
final class Counter: @unchecked Sendable {
    // One word of its own, reached with atomic instructions alone.
    private let word: UnsafeMutablePointer<UInt64>

    init() {
        unsafe word = .allocate(capacity: 1)
        unsafe word.initialize(to: 0)
    }

    deinit { unsafe word.deallocate() }

    var value: UInt64 { unsafe cdma_load_acquire64(word) }
    func add(_ amount: UInt64) { unsafe cdma_fetch_add64(word, amount) }
}
