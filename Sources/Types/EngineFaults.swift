// SPDX-License-Identifier: Apache-2.0

/// Protocol violations of an engine. Each one was dropped or corrected; `dmactl list` shows the counts.
public struct EngineFaults: Equatable, Sendable {
    /// Completions with a tag that no slot has.
    public var unknownTag: UInt64 = 0
    /// Completions for a slot with nothing in flight or of another generation: duplicates, or reports after termination.
    public var notInFlight: UInt64 = 0
    /// Completions ahead of an earlier transaction, from an engine that declares in-order completion.
    public var outOfOrder: UInt64 = 0
    /// Residues larger than the transaction; clamped to its length.
    public var badResidue: UInt64 = 0
    /// Statuses that are undefined or not final; taken as failed.
    public var badStatus: UInt64 = 0
    /// Descriptors that the engine had no room for although its declared depth promises it.
    public var refusedEnqueue: UInt64 = 0
    /// Times that the engine did not stop when told to.
    public var didNotQuiesce: UInt64 = 0
    /// Completions for transactions that were not issued.
    public var beforeIssue: UInt64 = 0

    /// No violation so far.
    public init() {}
    /// The sum over all kinds.
    public var total: UInt64 {
        unknownTag &+ notInFlight &+ outOfOrder &+ badResidue &+ badStatus &+ refusedEnqueue &+ didNotQuiesce &+ beforeIssue
    }
}
