// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// Lets threads read a table without a lock while another thread replaces it: readers are counted, and a replaced table is kept
/// until no reader can use it.
///
/// There are two sets of counters; readers use the one that ``parity`` selects. A reader increments its counter, then loads the
/// root; a writer publishes the new root, then reads the counters. Both are sequentially consistent, so that at least one sees
/// the other (Tests/Litmus/reader-gate). A grace period is over when each counter of the inactive set was seen at zero, the
/// sets were exchanged, and each counter of the other set was seen at zero: then every earlier reader has left. New readers use
/// the set that the writer does not wait for, so that they do not delay it. Source: the kernel's sleepable RCU,
/// Documentation/RCU/whatisRCU.rst, reduced to one counter for entering and leaving, because a reader leaves by the counter
/// that it entered by.
// SAFETY: the words are this value's own, and are accessed only by atomics.
@safe
struct ReaderGate: ~Copyable, @unchecked Sendable {
    static let shards = 16
    private static let line = 128

    private let words: UnsafeMutableRawPointer

    init() {
        // SAFETY: just allocated and cleared, for the root's line and one for each shard; only `deinit` frees it.
        unsafe words = .allocate(byteCount: Self.line * (Self.shards + 1), alignment: Self.line)
        unsafe words.initializeMemory(as: UInt8.self, repeating: 0, count: Self.line * (Self.shards + 1))
    }

    // SAFETY: a noncopyable value ends once, and nothing borrows it then.
    deinit { unsafe words.deallocate() }

    // SAFETY: for each of these: the place lies inside the words, and is aligned for 64 bits.
    private var rootWord: UnsafeMutableRawPointer { unsafe words }
    private var parityWord: UnsafeMutableRawPointer { unsafe words + 8 }
    private func counter(_ shard: Int, _ parity: UInt64) -> UnsafeMutableRawPointer {
        unsafe words + (Self.line * (shard + 1) + 8 * Int(parity & 1))
    }

    /// Begins a read. Any thread; the result is passed to ``leave(_:)`` by the same or another thread.
    @inline(__always)
    func enter() -> Section {
        // SAFETY: the words live as long as `self`, and are accessed only by atomics.
        let parity = unsafe cdma_load_ordered64(parityWord)
        let counter = unsafe counter(cdma_thread_shard(Self.shards), parity)
        unsafe cdma_fetch_add64(counter, 1)
        return unsafe Section(counter: counter)
    }

    /// Ends a read: nothing reached through ``root`` is used afterwards.
    // SAFETY: as for `enter`; only this gate makes the counter's number.
    @inline(__always)
    func leave(_ section: consuming Section) { unsafe cdma_fetch_add64(section.counter, .max) }

    /// The root published last. For a reader between ``enter()`` and ``leave(_:)``, and for the writer.
    // SAFETY: as for `enter`.
    @inline(__always)
    var root: UInt { unsafe UInt(truncatingIfNeeded: cdma_load_ordered64(rootWord)) }

    /// Publishes `root` for readers that enter from here on. One writer at a time.
    func publish(_ root: UInt) {
        // SAFETY: as for `enter`.
        unsafe cdma_store_release64(rootWord, UInt64(root))
        cdma_full_barrier()
    }

    /// A reader that has entered.
    @safe
    struct Section: ~Copyable {
        fileprivate let counter: UnsafeMutableRawPointer
    }

    /// The writer's record of grace periods. One writer at a time.
    struct Grace {
        private enum Phase { case idle, before, after }

        /// The number of completed grace periods.
        private(set) var completed: UInt64 = 0
        private var wanted: UInt64 = 0
        private var phase = Phase.idle
        /// The first shard that was not seen at zero in this phase.
        private var shard = 0

        /// The grace period after which nothing that was just replaced is in use: one that begins after the new root was
        /// published.
        mutating func next() -> UInt64 {
            let stamp = completed + (phase == .idle ? 1 : 2)
            wanted = max(wanted, stamp)
            return stamp
        }

        /// Advances as far as possible without waiting.
        mutating func advance(_ gate: borrowing ReaderGate) {
            // Terminates: each iteration completes a phase, and `wanted` is at most two grace periods ahead.
            while completed < wanted {
                if phase == .idle { (phase, shard) = (.before, 0) }
                // SAFETY: the words live as long as the gate, and are accessed only by atomics.
                let parity = unsafe cdma_load_ordered64(gate.parityWord)
                while shard < ReaderGate.shards {
                    guard unsafe cdma_load_ordered64(gate.counter(shard, parity ^ 1)) == 0 else { return }
                    shard += 1
                }
                shard = 0
                if phase == .before {
                    unsafe cdma_store_release64(gate.parityWord, parity ^ 1)
                    cdma_full_barrier()
                    phase = .after
                } else {
                    completed += 1
                    phase = .idle
                }
            }
        }
    }
}
