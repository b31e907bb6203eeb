// SPDX-License-Identifier: Apache-2.0

public import DMACore
public import DMAEngineKit

/// The far side of an engine's peripheral transfers, as the maker of the engine gives it to the suite: a FIFO that is fed and
/// drained on
/// each request line.
public protocol ConformancePeripheral: AnyObject {
    /// Request lines that may be used, at least one; with two, rule 2 can be checked.
    var lines: [UInt32] { get }
    /// What a transfer's length is a multiple of. Bytes.
    var unit: Int { get }
    /// The peripheral on `line` will offer these bytes, behind those that it was fed before.
    func feed(_ bytes: [UInt8], line: UInt32)
    /// Everything that the peripheral on `line` has received and that was not drained yet.
    func drain(line: UInt32) -> [UInt8]
}

/// The far side of an engine's cyclic transfers: a clock that the suite moves, and the stream.
public protocol ConformanceStream: AnyObject {
    /// Moves the hardware on by `count` bytes of the stream, and returns when that has happened.
    func advance(_ count: Int)
    /// Lets the hardware move by up to `count` bytes by itself: at any time, also between two accesses of the engine. What has not moved yet
    /// comes with a later ``advance(_:)`` or not at all. A stream that cannot do that advances at once.
    func release(_ count: Int)
    /// What capture brings at a place of the stream, counted in bytes since the start.
    func captured(at offset: UInt64) -> UInt8
    /// Everything played since the start.
    var played: [UInt8] { get }
}

extension ConformanceStream {
    public func release(_ count: Int) { advance(count) }
}

/// What the suite needs to know of an engine beyond the protocol: each part opens checks that are not applicable without it.
///
/// The closures are called on the suite's task, with the engine inside its channel, and may keep what they return alive.
public struct ConformanceProvisions<E: Engine & ~Copyable> {
    /// Whether the engine's rings run by themselves where there is no `stream`; where not, rings are not checked.
    public var ringsRunFreely = true
    /// What the engines' configured peripheral is, where it has positions: then transfers with it are planned, like those between
    /// memories, for every rule.
    public var storage: (any ConformanceStorage)?
    /// For operations with a peripheral, and for rule 2.
    public var peripheral: ((inout E) -> any ConformancePeripheral)?
    /// For cyclic operations.
    public var stream: ((inout E) -> any ConformanceStream)?
    /// Makes the next transaction that the engine looks at fail with a status: for rule 13.
    public var failNext: ((inout E, TransactionStatus) -> Void)?
    /// The failures that `failNext` can bring about.
    public var failures: [TransactionStatus] = [.readFailed, .writeFailed, .failed]
    /// Ends what `failNext` brought about, on engines where that does not end by itself with one transaction.
    public var recover: ((inout E) -> Void)?
    /// What the engine makes of a descriptor's metadata: for rule 28.
    public var metadata: (([UInt8]) -> [UInt8])?
    /// How often an extension came too late and the chain was started again: for rule 24.
    public var restarts: ((inout E) -> Int)?

    /// Nothing: the checks that need more are not applicable.
    public init() {}
}
