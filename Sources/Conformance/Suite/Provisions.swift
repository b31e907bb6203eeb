// SPDX-License-Identifier: Apache-2.0

public import DMACore
public import DMAEngineKit

/// The far side of an engine's peripheral transfers, which the engine's author provides to the suite: a FIFO that is fed and
/// drained on each request line.
public protocol ConformancePeripheral: AnyObject {
    /// Request lines that may be used, at least one; with two, rule 2 can be checked.
    var lines: [UInt32] { get }
    /// The unit of a transfer's length. Bytes.
    var unit: Int { get }
    /// Makes the peripheral on `line` deliver these bytes, after those that it was fed before.
    func feed(_ bytes: [UInt8], line: UInt32)
    /// Returns everything that the peripheral on `line` has received since it was last drained.
    func drain(line: UInt32) -> [UInt8]
}

/// The far side of an engine's cyclic transfers: a clock that the suite advances, and the stream.
public protocol ConformanceStream: AnyObject {
    /// Advances the hardware by `count` bytes of the stream, and returns when that has happened.
    func advance(_ count: Int)
    /// Lets the hardware advance by up to `count` bytes on its own: at any time, also between two accesses of the engine. The
    /// rest may follow with a later ``advance(_:)`` or not at all. A stream without that ability advances at once.
    func release(_ count: Int)
    /// The captured data at a position of the stream, in bytes since the start.
    func captured(at offset: UInt64) -> UInt8
    /// Everything played since the start.
    var played: [UInt8] { get }
}

extension ConformanceStream {
    public func release(_ count: Int) { advance(count) }
}

/// Facts about an engine beyond the protocol: checks that need one of them are not applicable without it.
///
/// The closures are called on the suite's task, with the engine inside its channel, and may keep their results alive.
public struct ConformanceProvisions<E: Engine & ~Copyable> {
    /// Whether the engine's rings run on their own where there is no `stream`; otherwise rings are not checked then.
    public var ringsRunFreely = true
    /// The engines' configured peripheral, where it has positions: transfers with it are then planned, like those between
    /// memories, for every rule.
    public var storage: (any ConformanceStorage)?
    /// For operations with a peripheral, and for rule 2.
    public var peripheral: ((inout E) -> any ConformancePeripheral)?
    /// For cyclic operations.
    public var stream: ((inout E) -> any ConformanceStream)?
    /// Makes the next transaction of the engine fail with a status: for rule 13.
    public var failNext: ((inout E, TransactionStatus) -> Void)?
    /// The failures that `failNext` can bring about.
    public var failures: [TransactionStatus] = [.readFailed, .writeFailed, .failed]
    /// Ends the effect of `failNext`, on engines where it does not end with one transaction.
    public var recover: ((inout E) -> Void)?
    /// The engine's result for a descriptor's metadata: for rule 28.
    public var metadata: (([UInt8]) -> [UInt8])?
    /// How often an extension came too late and the chain was restarted: for rule 24.
    public var restarts: ((inout E) -> Int)?

    /// No provisions: the checks that need some are not applicable.
    public init() {}
}
