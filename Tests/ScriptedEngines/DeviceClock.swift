// SPDX-License-Identifier: Apache-2.0

import CDMA
import DMAEngineKit
import DMAThreads

/// A thread that drives a scripted device during waits for its interrupt; without it a device advances only with polls, and is
/// reproducible from its seed.
@safe
final class DeviceClock: Sendable {
    /// The thread's state; it outlives the clock until the thread has ended.
    @safe
    private final class Gear: Sendable {
        /// The number of kicks, and the stop flag: words that a futex and two threads share.
        nonisolated(unsafe) let words: UnsafeMutablePointer<UInt32>
        let tick: @Sendable () -> Bool

        init(_ tick: @escaping @Sendable () -> Bool) {
            self.tick = tick
            unsafe words = .allocate(capacity: 2)
            unsafe words.initialize(repeating: 0, count: 2)
        }

        deinit { unsafe words.deallocate() }

        func run() {
            while true {
                let kicks = unsafe cdma_load_acquire32(words)
                if unsafe cdma_load_acquire32(words + 1) != 0 { return }
                // With work left, a short sleep between ticks; without, a sleep until the next kick.
                let nap: Int64 = tick() ? 20_000 : 1_000_000_000
                unsafe cdma_futex_wait(words, kicks, nap)
            }
        }
    }

    private let gear: Gear
    private let thread = Locked<NativeThread?>(nil)

    /// - Parameter tick: does one step; true while there is more work that a waiter may need.
    init(tick: @escaping @Sendable () -> Bool) { gear = Gear(tick) }

    /// There is work: wakes the thread, or starts it.
    func kick() {
        unsafe cdma_fetch_add32(gear.words, 1)
        unsafe cdma_futex_wake(gear.words, 1)
        thread.withLock { thread in
            guard thread == nil else { return }
            let gear = gear
            thread = try? NativeThread { gear.run() }
        }
    }

    /// Ends the thread and waits for it.
    func stop() {
        unsafe cdma_store_release32(gear.words + 1, 1)
        unsafe cdma_fetch_add32(gear.words, 1)
        unsafe cdma_futex_wake(gear.words, 1)
        thread.withLock { $0.take() }?.join()
    }
}
