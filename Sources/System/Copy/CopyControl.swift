// SPDX-License-Identifier: Apache-2.0

public import DMACore
internal import Synchronization

/// The handle of a copy that runs: another thread reads its progress, and may ask it to stop.
///
/// Any thread may use it.
public final class CopyControl: Sendable {
    private let stop = Atomic<Bool>(false)
    private let state = Mutex(CopyProgress())

    /// For one copy.
    public init() {}

    /// Asks the copy to stop. It does so within a second, puts away what is unfinished, and throws `cancelled`.
    public func cancel() { stop.store(true, ordering: .relaxed) }

    /// Whether somebody asked for the end.
    public var isCancelled: Bool { stop.load(ordering: .relaxed) }

    /// How far it is.
    public var progress: CopyProgress { state.withLock { $0 } }

    func update(_ body: (inout CopyProgress) -> Void) { state.withLock { body(&$0) } }
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
    /// When the phase began.
    public var began = Deadline.now

    /// Nothing so far.
    public init() {}
}
