// SPDX-License-Identifier: Apache-2.0

internal import DMACore

/// How an io_uring engine is set up.
public struct IOUringConfiguration: Equatable, Sendable {
    /// What carries the requests.
    public enum Path: UInt8, Hashable, Sendable, CaseIterable {
        /// The kernel's ring where it is to be had, threads otherwise.
        case automatic
        /// The kernel's ring or nothing.
        case ring
        /// Threads with preadv2 and pwritev2, as where io_uring is absent or forbidden.
        case threads
    }

    /// Which threads will use the engine, one at a time in any case.
    public enum Threading: UInt8, Hashable, Sendable, CaseIterable {
        /// Any, as the tasks of Swift do that move from one to another.
        case any
        /// The one that issues first, for the engine's whole life: the kernel then saves locks and wake-ups
        /// (`IORING_SETUP_SINGLE_ISSUER`, `IORING_SETUP_DEFER_TASKRUN`). From another thread nothing can be started, and the
        /// engine's memory is quarantined where it ends there with work in flight.
        case pinnedToThread
    }

    /// When memory that is mapped for the engine's registrar is registered with the ring.
    public enum Buffers: UInt8, Hashable, Sendable, CaseIterable {
        /// Never.
        case never
        /// When the engine meets a mapping for the second time: what is used once is not worth two system calls.
        case whenReused
        /// When the engine meets it first.
        case always
    }

    /// Transactions in flight; 1…32,768.
    public var depth: Int
    /// Files that can be attached at the same time; 1…4096.
    public var files: Int
    /// What carries the requests.
    public var path: Path
    /// Which threads will use the engine.
    public var threading: Threading
    /// Whether a thread of the kernel's takes what is issued, without a system call (`IORING_SETUP_SQPOLL`).
    public var submissionThread: Bool
    /// How long that thread looks for work before it sleeps. Milliseconds, 1…60,000.
    public var submissionIdle: Int
    /// Whether completions are polled for in the device's queue instead of waiting for its interrupt (`IORING_SETUP_IOPOLL`):
    /// for direct transfers on devices with poll queues alone.
    public var polledCompletions: Bool
    /// Whether the ring's entries have room for commands to NVMe namespaces; then each takes twice the memory.
    public var passthrough: Bool
    /// When memory is registered.
    public var buffers: Buffers
    /// Who knows what memory is mapped; nil where none is to be registered. Its domain is the channel's.
    public var registrar: IOUringRegistrar?
    /// Threads of the path `threads`; 1…256.
    public var workers: Int
    /// Sends of at least this many bytes to a socket go without a copy, where the kernel can (`IORING_OP_SEND_ZC`). Bytes.
    public var zeroCopyThreshold: Int

    /// The ring where there is one, from any thread.
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

    /// - Throws: `badConfiguration` for the first value that is out of its range.
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
