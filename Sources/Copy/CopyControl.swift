// SPDX-License-Identifier: Apache-2.0

public import DMACore
internal import Synchronization

/// The handle of a running copy, by which another thread reads its progress and can cancel it.
///
/// Any thread may use it.
public final class CopyControl: Sendable {
    private struct State {
        var progress = CopyProgress()
        /// When the watcher was last called.
        var told: Int64 = 0
    }

    private let stop = Atomic<Bool>(false)
    private let state = Locked(State())
    private let watcher: (@Sendable (CopyProgress) -> Void)?

    /// For one copy.
    ///
    /// - Parameter progress: called with the progress at the start of each phase, and at most ten times a second. On the thread of the
    ///   copy, which continues when it returns.
    public init(progress: (@Sendable (CopyProgress) -> Void)? = nil) { watcher = progress }

    /// Cancels the copy. It stops within a second, removes what is unfinished, and throws `cancelled`.
    public func cancel() { stop.store(true, ordering: .relaxed) }

    /// Whether ``cancel()`` has been called.
    public var isCancelled: Bool { stop.load(ordering: .relaxed) }

    /// The progress so far.
    public var progress: CopyProgress { state.withLock { $0.progress } }

    func update(_ body: (inout CopyProgress) -> Void) {
        let news = state.withLock { state -> CopyProgress? in
            let phase = state.progress.phase
            body(&state.progress)
            guard watcher != nil else { return nil }
            let now = CopyClock.now
            guard state.progress.phase != phase || now - state.told >= 100_000_000 else { return nil }
            state.told = now
            return state.progress
        }
        if let news { watcher?(news) }
    }
}

/// The progress of a copy at one moment.
public struct CopyProgress: Equatable, Sendable {
    /// What the copy is doing.
    public enum Phase: String, Sendable, Codable {
        /// Endpoints are opened and the plan is made.
        case planning
        /// What an interrupted copy wrote is read and compared.
        case checking
        /// Data is copied.
        case copying
        /// The copy waits until the medium has the data.
        case flushing
        /// What was written is read back.
        case verifying
        /// The copy has ended.
        case done
    }

    /// The current phase.
    public var phase = Phase.planning
    /// Bytes of the source that are at the target, holes counted; of the verification, bytes compared.
    public var bytes: UInt64 = 0
    /// Bytes of the source; nil where it has no size.
    public var total: UInt64?
    /// The part that is done, 0 to 1; nil where the source has no size.
    public var fraction: Double? { total.map { $0 == 0 ? 1 : min(Double(bytes) / Double($0), 1) } }
    /// When the phase started.
    public var began = Deadline.now

    /// Nothing so far.
    package init() {}
}
