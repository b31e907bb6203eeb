// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

/// A ring of periods that a device runs round until it is stopped, together with the channel that drives it: ALSA's buffer,
/// `dmaengine_prep_dma_cyclic` (rule 22).
///
/// The ring owns its memory while it runs and lends one period at a time to a closure. After the closure it reads the device's
/// position again, as a seqlock does: the data is reported as intact or as overrun and counted, never silently mixed.
///
/// ```swift
/// var ring = try CyclicRing(channel, ring: buffer, period: 4096)
/// while try ring.wait(until: .after(milliseconds: 100)) {
///     switch try ring.withNextPeriod({ period in period.copy(into: &samples) }) {
///     case .intact, .empty: continue
///     case .overrun(let periods): print("\(periods) periods lost")
///     case .ended(let status): print("the device stopped: \(status)")
///     }
/// }
/// ```
///
/// One thread at a time uses it.
public struct CyclicRing<E: Engine & ~Copyable>: ~Copyable {
    private var channel: Channel<E, MappedBuffer>
    private var cursor: CyclicCursor

    /// Starts the device on a ring.
    ///
    /// - Parameters:
    ///   - channel: one with `cyclic`; nothing is in flight on it.
    ///   - ring: mapped for the channel's domain in one region; its direction is the transfer's. With `toDevice` the present
    ///     contents are played first.
    ///   - period: bytes; divides the ring's length.
    ///   - settings: the engine's own, applied before the start, for instance the format of a stream. Nil leaves them
    ///     unchanged.
    /// - Throws: as ``Channel/startCyclic(_:period:)`` and ``Channel/apply(_:)``.
    public init(
        _ channel: consuming Channel<E, MappedBuffer>, ring: consuming MappedBuffer, period: Int,
        settings: E.Settings? = nil
    ) throws(DMAError) {
        if let settings { try channel.apply(settings) }
        cursor = try channel.startCyclic(ring, period: period)
        self.channel = channel
    }

    private init(_ channel: consuming Channel<E, MappedBuffer>, _ cursor: consuming CyclicCursor) {
        self.channel = channel
        self.cursor = cursor
    }

    /// Bytes in a period.
    public var period: Int { cursor.period }
    /// Periods in the ring.
    public var periodsInRing: Int { cursor.periodsInRing }
    /// Whether the device writes to the ring (capture) or reads from it (playback).
    public var direction: Direction { cursor.direction }
    /// Periods that the client has passed, lost ones included.
    public var taken: UInt64 { cursor.taken }
    /// Periods that the device reached before or while the client accessed them: capture's overruns, playback's underruns.
    public var lost: UInt64 { cursor.lost }
    /// The state of the transaction: in progress, paused, or how it ended.
    public var status: TransactionStatus {
        mutating get throws(DMAError) { try channel.status(of: cursor.cookie) }
    }

    /// Periods that the device has completed since the start.
    public mutating func completed() throws(DMAError) -> UInt64 { try cursor.completed(on: &channel) }

    /// Bytes that the device has not yet moved in its current pass over the ring (rule 21).
    public mutating func residue() throws(DMAError) -> UInt64 { try cursor.residue(on: &channel) }

    /// Sleeps until the device has completed a period that the client has not passed, the transaction has ended, or `deadline`.
    ///
    /// - Returns: false at the deadline.
    /// - Throws: `deviceGone`.
    public mutating func wait(until deadline: Deadline) throws(DMAError) -> Bool {
        try cursor.wait(on: &channel, until: deadline)
    }

    /// Lends the oldest period that the device has finished, as ``CyclicCursor/withNextPeriod(on:_:)``.
    public mutating func withNextPeriod<R>(_ body: (inout PeriodView) -> R) throws(DMAError) -> PeriodOutcome<R> {
        try cursor.withNextPeriod(on: &channel, body)
    }

    /// Stops the device and returns channel and memory for further use.
    ///
    /// - Throws: `quiesceTimeout`; channel and memory are quarantined then.
    public consuming func stop(by deadline: Deadline = .after(milliseconds: 1000)) throws(DMAError) -> StoppedRing<E> {
        try channel.terminateSync(by: deadline)
        guard let finished = try channel.take(cursor.cookie) else { throw DMAError(.notCyclic) }
        return StoppedRing(channel: channel, memory: finished.takeCargo())
    }
}

/// The channel and memory of a stopped ring, from which another can be started.
public struct StoppedRing<E: Engine & ~Copyable>: ~Copyable {
    /// The channel; no transaction of the ring is in flight on it.
    public var channel: Channel<E, MappedBuffer>
    /// The ring's memory, with its contents.
    public var memory: MappedBuffer

    init(channel: consuming Channel<E, MappedBuffer>, memory: consuming MappedBuffer) {
        self.channel = channel
        self.memory = memory
    }

    /// Returns the memory alone; the channel ends.
    public consuming func takeMemory() -> MappedBuffer { memory }

    /// Starts the device again, on the same memory.
    ///
    /// - Throws: as ``CyclicRing/init(_:ring:period:settings:)``.
    public consuming func start(period: Int, settings: E.Settings? = nil) throws(DMAError) -> CyclicRing<E> {
        try CyclicRing(channel, ring: memory, period: period, settings: settings)
    }
}
