// SPDX-License-Identifier: Apache-2.0

public import DMACore
internal import Synchronization

/// The handle of a copy that runs: another thread reads its progress, and may ask it to stop.
///
/// Any thread may use it.
public final class CopyControl: Sendable {
    private struct State {
        var progress = CopyProgress()
        /// When somebody was last told.
        var told: Int64 = 0
    }

    private let stop = Atomic<Bool>(false)
    private let state = Locked(State())
    private let watcher: (@Sendable (CopyProgress) -> Void)?

    /// For one copy.
    ///
    /// - Parameter progress: told how far the copy is: at the beginning of each phase, and ten times a second at most. On the copy's thread,
    ///   which goes on when it returns.
    public init(progress: (@Sendable (CopyProgress) -> Void)? = nil) { watcher = progress }

    /// Asks the copy to stop. It does so within a second, puts away what is unfinished, and throws `cancelled`.
    public func cancel() { stop.store(true, ordering: .relaxed) }

    /// Whether somebody asked for the end.
    public var isCancelled: Bool { stop.load(ordering: .relaxed) }

    /// How far it is.
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

/// How far a copy is, at one moment.
public struct CopyProgress: Equatable, Sendable {
    /// What the copy is at.
    public enum Phase: String, Sendable, Codable {
        /// Endpoints are opened and the plan is made.
        case planning
        /// What an interrupted copy left is read and compared.
        case checking
        /// Bytes move.
        case copying
        /// The medium is waited for.
        case flushing
        /// What was written is read back.
        case verifying
        /// Over.
        case done
    }

    /// What it is at.
    public var phase = Phase.planning
    /// Bytes of the source that are at the target, holes counted; of the verification, bytes compared.
    public var bytes: UInt64 = 0
    /// Of how many; nil where the source has no size.
    public var total: UInt64?
    /// Of the whole, 0 to 1; nil where the source has no size.
    public var fraction: Double? { total.map { $0 == 0 ? 1 : min(Double(bytes) / Double($0), 1) } }
    /// When the phase began.
    public var began = Deadline.now

    /// Nothing so far.
    package init() {}
}
