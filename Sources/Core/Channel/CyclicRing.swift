// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

/// A ring of periods that a device runs round until it is stopped, and the channel that drives it: ALSA's buffer,
/// `dmaengine_prep_dma_cyclic` (rule 22).
///
/// The ring owns its memory while it runs and lends one period at a time, inside a closure. After the closure it reads the device's
/// position again, as a seqlock does: what was seen is intact, or it was overrun and counted, never silently mixed.
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
    ///   - ring: mapped for the channel's domain in one region; its direction is the transfer's. `toDevice` plays what it holds now.
    ///   - period: bytes; divides the ring's length.
    ///   - settings: the engine's own, applied before: the format of a stream, for instance. Nil leaves them as they are.
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
    /// Whether the device writes the ring (capture) or reads it (playback).
    public var direction: Direction { cursor.direction }
    /// Periods that the client has been through, lost ones included.
    public var taken: UInt64 { cursor.taken }
    /// Periods that the device overwrote before, or while, the client had them: capture's overruns, playback's underruns.
    public var lost: UInt64 { cursor.lost }
    /// How the transaction stands: in progress, paused, or how it ended.
    public var status: TransactionStatus {
        mutating get throws(DMAError) { try channel.status(of: cursor.cookie) }
    }

    /// Periods that the device has completed since the start.
    public mutating func completed() throws(DMAError) -> UInt64 { try cursor.completed(on: &channel) }

    /// Bytes that the device has not yet moved of its present pass over the ring (rule 21).
    public mutating func residue() throws(DMAError) -> UInt64 { try cursor.residue(on: &channel) }

    /// Sleeps until the device has completed a period that the client has not been through, the transaction has ended, or `deadline`.
    ///
    /// - Returns: false at the deadline.
    /// - Throws: `deviceGone`.
    public mutating func wait(until deadline: Deadline) throws(DMAError) -> Bool {
        try cursor.wait(on: &channel, until: deadline)
    }

    /// Lends the oldest period that the device has finished with, as ``CyclicCursor/withNextPeriod(on:_:)``.
    public mutating func withNextPeriod<R>(_ body: (inout PeriodView) -> R) throws(DMAError) -> PeriodOutcome<R> {
        try cursor.withNextPeriod(on: &channel, body)
    }

    /// Stops the device and gives channel and memory back, so that both can be used again.
    ///
    /// - Throws: `quiesceTimeout`; channel and memory are quarantined then.
    public consuming func stop(by deadline: Deadline = .after(milliseconds: 1000)) throws(DMAError) -> StoppedRing<E> {
        try channel.terminateSync(by: deadline)
        guard let finished = try channel.take(cursor.cookie) else { throw DMAError(.notCyclic) }
        return StoppedRing(channel: channel, memory: finished.takeCargo())
    }
}

/// What a stopped ring leaves: start the next one with it.
public struct StoppedRing<E: Engine & ~Copyable>: ~Copyable {
    /// The channel; nothing of the ring is in flight on it.
    public var channel: Channel<E, MappedBuffer>
    /// The ring's memory, with its contents.
    public var memory: MappedBuffer

    init(channel: consuming Channel<E, MappedBuffer>, memory: consuming MappedBuffer) {
        self.channel = channel
        self.memory = memory
    }

    /// The memory alone; the channel ends.
    public consuming func takeMemory() -> MappedBuffer { memory }

    /// Starts the device again, on the same memory.
    ///
    /// - Throws: as ``CyclicRing/init(_:ring:period:settings:)``.
    public consuming func start(period: Int, settings: E.Settings? = nil) throws(DMAError) -> CyclicRing<E> {
        try CyclicRing(channel, ring: memory, period: period, settings: settings)
    }
}
