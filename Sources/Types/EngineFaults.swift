// SPDX-License-Identifier: Apache-2.0

/// What an engine did that no honest one does. Each was dropped or corrected; the counts show in `dmactl list`.
public struct EngineFaults: Equatable, Sendable {
    /// Tags that no slot has.
    public var unknownTag: UInt64 = 0
    /// Completions for a slot that has nothing in flight, or another generation: twice, or after termination.
    public var notInFlight: UInt64 = 0
    /// Completions ahead of an earlier transaction, from an engine that says it keeps the order.
    public var outOfOrder: UInt64 = 0
    /// Residues larger than the transaction; taken as the whole.
    public var badResidue: UInt64 = 0
    /// Statuses that are none, or not final; taken as failed.
    public var badStatus: UInt64 = 0
    /// Descriptors that the engine had no room for although its depth said so.
    public var refusedEnqueue: UInt64 = 0
    /// Times that the engine did not stop when it was told to.
    public var didNotQuiesce: UInt64 = 0
    /// Completions for transactions that were not issued yet.
    public var beforeIssue: UInt64 = 0

    /// None so far.
    public init() {}
    /// All kinds together.
    public var total: UInt64 {
        unknownTag &+ notInFlight &+ outOfOrder &+ badResidue &+ badStatus &+ refusedEnqueue &+ didNotQuiesce &+ beforeIssue
    }
}
