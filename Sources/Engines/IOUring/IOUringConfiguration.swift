// SPDX-License-Identifier: Apache-2.0

internal import DMACore

/// The settings of an io_uring engine.
public struct IOUringConfiguration: Equatable, Sendable {
    /// The carrier of the requests.
    public enum Path: UInt8, Hashable, Sendable, CaseIterable {
        /// The kernel's ring if available, otherwise threads.
        case automatic
        /// The kernel's ring only.
        case ring
        /// Threads with preadv2 and pwritev2, as where io_uring is absent or forbidden.
        case threads
    }

    /// The threads that will use the engine, one at a time in any case.
    public enum Threading: UInt8, Hashable, Sendable, CaseIterable {
        /// Any thread, as with Swift tasks, which move between threads.
        case any
        /// Only the one that issues first, for the engine's whole life: the kernel then saves locks and wake-ups
        /// (`IORING_SETUP_SINGLE_ISSUER`, `IORING_SETUP_DEFER_TASKRUN`). Nothing can be started from another thread, and the
        /// engine's memory is quarantined if it ends there with work in flight.
        case pinnedToThread
    }

    /// When memory that is mapped for the engine's registrar is registered with the ring.
    public enum Buffers: UInt8, Hashable, Sendable, CaseIterable {
        /// Never.
        case never
        /// When the engine uses a mapping for the second time: memory used once is not worth two system calls.
        case whenReused
        /// When the engine first uses a mapping.
        case always
    }

    /// Transactions in flight; 1…32,768.
    public var depth: Int
    /// Files that can be attached at the same time; 1…4096.
    public var files: Int
    /// The carrier of the requests.
    public var path: Path
    /// The threads that will use the engine.
    public var threading: Threading
    /// Whether a kernel thread consumes submissions, without a system call (`IORING_SETUP_SQPOLL`).
    public var submissionThread: Bool
    /// How long that thread spins before it sleeps. Milliseconds, 1…60,000.
    public var submissionIdle: Int
    /// Whether completions are polled for in the device's queue instead of waiting for its interrupt (`IORING_SETUP_IOPOLL`):
    /// only for direct transfers on devices with poll queues.
    public var polledCompletions: Bool
    /// Whether the ring's entries have room for commands to NVMe namespaces, which doubles their size.
    public var passthrough: Bool
    /// When memory is registered.
    public var buffers: Buffers
    /// Tracks mapped memory; nil to register none. Its domain is the channel's.
    public var registrar: IOUringRegistrar?
    /// Threads of the path `threads`; 1…256.
    public var workers: Int
    /// Sends of at least this many bytes to a socket use zero-copy, where the kernel supports it (`IORING_OP_SEND_ZC`). Bytes.
    public var zeroCopyThreshold: Int

    /// The kernel's ring if available, from any thread.
    public init(depth: Int = 64, path: Path = .automatic) {
        self.depth = depth
        self.path = path
        files = 64
        threading = .any
        submissionThread = false
        submissionIdle = 100
        polledCompletions = false
        passthrough = false
        buffers = .whenReused
        registrar = nil
        workers = 4
        zeroCopyThreshold = 16 << 10
    }

    /// - Throws: `badConfiguration` for the first value that is out of range.
    func checked() throws(DMAError) -> IOUringConfiguration {
        func check(_ value: Int, _ range: ClosedRange<Int>) throws(DMAError) {
            guard range.contains(value) else {
                throw DMAError(.badConfiguration, asked: UInt64(clamping: value), limit: UInt64(range.upperBound))
            }
        }
        try check(depth, 1...32_768)
        try check(files, 1...4096)
        try check(submissionIdle, 1...60_000)
        try check(workers, 1...256)
        try check(zeroCopyThreshold, 0...Int.max)
        return self
    }
}
