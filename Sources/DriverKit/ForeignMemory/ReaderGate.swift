// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// What lets threads read a table without a lock while another thread replaces it: they are counted, and what was replaced is kept until
/// nobody can have seen it.
///
/// The counters stand in two sets, of which readers use the one that ``parity`` names. A reader counts itself, then loads the root; a
/// writer publishes the new root, then looks at the counters. Both are sequentially consistent, so that one of the two sees the other
/// (Tests/Litmus/reader-gate). Grace is over when each counter of the unused set was seen at zero, the sets were exchanged, and each of the
/// other set was: then every reader from before has left. New readers use the set that nobody waits for, so that they hold nothing up.
/// Source: the kernel's sleepable RCU, Documentation/RCU/whatisRCU.rst, reduced to one counter for entering and leaving, because a reader
/// leaves by the counter that it entered by.
// SAFETY: the words are this value's own, and are reached by atomics alone.
@safe
struct ReaderGate: ~Copyable, @unchecked Sendable {
    static let shards = 16
    private static let line = 128

    private let words: UnsafeMutableRawPointer

    init() {
        // SAFETY: just allocated and cleared, for the root's line and one for each shard; `deinit` alone frees it.
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

    /// A reader begins. Any thread; what is answered is given to ``leave(_:)`` by the same or another thread.
    @inline(__always)
    func enter() -> Section {
        // SAFETY: the words live as long as `self`, and are accessed by atomics alone.
        let parity = unsafe cdma_load_ordered64(parityWord)
        let counter = unsafe counter(cdma_thread_shard(Self.shards), parity)
        unsafe cdma_fetch_add64(counter, 1)
        return unsafe Section(counter: counter)
    }

    /// The reader is over, and uses nothing any more that it reached by ``root``.
    // SAFETY: as for `enter`; the counter is one of this gate's, by the type's making.
    @inline(__always)
    func leave(_ section: consuming Section) { unsafe cdma_fetch_add64(section.counter, .max) }

    /// What was published last. For a reader between ``enter()`` and ``leave(_:)``, and for the writer.
    // SAFETY: as for `enter`.
    @inline(__always)
    var root: UInt { unsafe UInt(truncatingIfNeeded: cdma_load_ordered64(rootWord)) }

    /// Readers that enter from here on find `root`. One writer at a time.
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

    /// The writer's account of graces. One writer at a time.
    struct Grace {
        private enum Phase { case idle, before, after }

        /// Graces that are over.
        private(set) var completed: UInt64 = 0
        private var wanted: UInt64 = 0
        private var phase = Phase.idle
        /// The first shard that was not seen at zero in this phase.
        private var shard = 0

        /// The grace after which nobody uses what was replaced just now: one that begins after the new root was published.
        mutating func next() -> UInt64 {
            let stamp = completed + (phase == .idle ? 1 : 2)
            wanted = max(wanted, stamp)
            return stamp
        }

        /// Goes on as far as it can without waiting.
        mutating func advance(_ gate: borrowing ReaderGate) {
            // Ends: each turn completes a phase, and `wanted` is at most two graces ahead.
            while completed < wanted {
                if phase == .idle { (phase, shard) = (.before, 0) }
                // SAFETY: the words live as long as the gate, and are accessed by atomics alone.
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
