// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// A ring of periods that a device runs round until it is stopped: ALSA's buffer, `dmaengine_prep_dma_cyclic` (rule 22).
///
/// The ring owns its memory while it runs and lends one period at a time, inside a closure. After the closure it reads the device's
/// position again, as a seqlock does: what was seen is intact, or it was overrun and counted, never silently mixed.
///
/// One thread at a time uses it.
///
/// Source: Documentation/driver-api/dmaengine/client.rst; sound/core/pcm_lib.c for the roles of the two positions.
@safe
public struct CyclicRing<E: Engine & ~Copyable>: ~Copyable {
    private var channel: Channel<E, MappedBuffer>
    private let cookie: Cookie
    /// Where the CPU sees the ring. The buffer is the channel's until this value ends, so the memory outlives every use.
    private let base: UnsafeMutableRawPointer
    /// Bytes in a period.
    public let period: Int
    /// Periods in the ring.
    public let periodsInRing: Int
    /// Whether the device writes the ring (capture) or reads it (playback).
    public let direction: Direction
    /// Periods that the client has been through, lost ones included.
    public private(set) var taken: UInt64 = 0
    /// Periods that the device overwrote before, or while, the client had them: capture's overruns, playback's underruns.
    public private(set) var lost: UInt64 = 0

    /// Starts the device on a ring.
    ///
    /// - Parameters:
    ///   - channel: one with `cyclic`; nothing is in flight on it.
    ///   - ring: mapped for the channel's domain in one region; its direction is the transfer's. `toDevice` plays what it holds now.
    ///   - period: bytes; divides the ring's length.
    /// - Throws: `badPeriod`, `notContiguous` where the mapping has several regions, `wrongDirection` for a bidirectional one, and
    ///   what `submit` refuses.
    public init(
        _ channel: consuming Channel<E, MappedBuffer>, ring: consuming MappedBuffer, period: Int
    ) throws(DMAError) {
        guard ring.direction != .bidirectional else { throw DMAError(.wrongDirection) }
        guard ring.regionCount == 1 else {
            throw DMAError(.notContiguous, asked: UInt64(ring.count), limit: ring.region(at: 0).count)
        }
        guard period > 0, ring.count % period == 0 else {
            throw DMAError(.badPeriod, asked: UInt64(clamping: period), limit: UInt64(ring.count))
        }
        let direction = ring.direction
        let periods = ring.count / period
        let entry = ring.mapping.core.entries[0]
        let cookie = try channel.submit(.cyclic(period: UInt64(period), direction: direction), ring).get()
        channel.issuePending()
        unsafe self.init(
            running: channel, cookie: cookie, base: entry.deviceMemory.base + entry.deviceOffset, period: period,
            periodsInRing: periods, direction: direction)
    }

    private init(
        running channel: consuming Channel<E, MappedBuffer>, cookie: Cookie, base: UnsafeMutableRawPointer, period: Int,
        periodsInRing: Int, direction: Direction
    ) {
        self.channel = channel
        self.cookie = cookie
        unsafe self.base = base
        self.period = period
        self.periodsInRing = periodsInRing
        self.direction = direction
    }

    /// Periods that the device has completed since the start.
    public mutating func completed() -> UInt64 { channel.periodCount() }

    /// Bytes that the device has not yet moved of its present pass over the ring (rule 21).
    ///
    /// - Throws: `staleCookie` once the ring has ended.
    public mutating func residue() throws(DMAError) -> UInt64 { try channel.residue(of: cookie) }

    /// Sleeps until the device has completed a period that the client has not been through, or `deadline`.
    ///
    /// True where there is one.
    public mutating func wait(until deadline: Deadline) -> Bool {
        while channel.periodCount() <= taken {
            if Deadline.now >= deadline { return false }
            _ = channel.wait(until: deadline)
        }
        return true
    }

    /// Lends the oldest period that the device has finished with, in the order of the ring.
    ///
    /// For capture the body reads what the device wrote; for playback it writes what the device will read next time round.
    /// - Returns: `empty` where the device has finished none; `intact` with the body's result; `overrun` where the device came round
    ///   and reached the period before or while the body ran: what the body saw cannot be trusted, and the result is dropped.
    public mutating func withNextPeriod<R>(_ body: (inout PeriodView) -> R) -> PeriodOutcome<R> {
        let before = channel.periodCount()
        guard before > taken else { return .empty }
        let behind = before - taken
        // The device works in period `before` of the count, which is the ring's oldest one once it is a whole round ahead.
        if behind >= UInt64(periodsInRing) {
            let skipped = behind - UInt64(periodsInRing) + 1
            taken += skipped
            lost += skipped
            return .overrun(skipped)
        }
        let slot = Int(taken % UInt64(periodsInRing))
        var view = unsafe PeriodView(
            start: base + slot * period, count: period, isWritable: direction == .toDevice, index: taken)
        let result = body(&view)
        let after = channel.periodCount()
        taken += 1
        guard after - (taken - 1) < UInt64(periodsInRing) else {
            lost += 1
            return .overrun(1)
        }
        return .intact(result)
    }

    /// Stops the device, gives the memory back and ends the channel.
    ///
    /// - Throws: `quiesceTimeout`; the memory is quarantined then.
    public consuming func stop(by deadline: Deadline = .after(milliseconds: 1000)) throws(DMAError) -> MappedBuffer {
        try channel.terminateSync(by: deadline)
        guard let finished = try channel.take(cookie) else { throw DMAError(.notCyclic) }
        return finished.takeCargo()
    }
}

/// What came of a look at the next period.
@frozen
public enum PeriodOutcome<R> {
    /// The device has finished no further period.
    case empty
    /// The period was the client's alone while the body ran.
    case intact(R)
    /// The device was there too. So many periods were lost, and are counted.
    case overrun(UInt64)
}

extension PeriodOutcome: Sendable where R: Sendable {}
extension PeriodOutcome: Equatable where R: Equatable {}

/// One period of a ring, lent inside a closure. Bytes are copied out of it and into it: a device may be writing them, so that no span
/// over them would be sound.
@safe
public struct PeriodView: ~Copyable, ~Escapable {
    private let start: UnsafeMutableRawPointer
    /// Bytes.
    public let count: Int
    private let isWritable: Bool
    /// Which period since the start.
    public let index: UInt64

    @_lifetime(immortal)
    @unsafe
    init(start: UnsafeMutableRawPointer, count: Int, isWritable: Bool, index: UInt64) {
        unsafe self.start = start
        self.count = count
        self.isWritable = isWritable
        self.index = index
    }

    /// One byte, by a volatile read; nil outside the period.
    public subscript(offset: Int) -> UInt8? {
        guard offset >= 0, offset < count else { return nil }
        return unsafe cdma_volatile_load8(start + offset)
    }

    /// Copies the period, from `offset` on, into `target`. Returns how many bytes that were.
    public func copy(from offset: Int = 0, into target: inout MutableRawSpan) -> Int {
        guard offset >= 0, offset < count else { return 0 }
        let length = min(count - offset, target.byteCount)
        unsafe target.withUnsafeMutableBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            unsafe cdma_copy_volatile(base, start + offset, length)
        }
        return length
    }

    /// Copies `source` into the period, from `offset` on. Returns how many bytes that were: 0 for a ring that the device writes.
    public mutating func write(_ source: RawSpan, at offset: Int = 0) -> Int {
        guard isWritable, offset >= 0, offset < count else { return 0 }
        let length = min(count - offset, source.byteCount)
        unsafe source.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            unsafe cdma_copy_volatile(start + offset, base, length)
        }
        return length
    }
}
