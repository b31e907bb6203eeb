// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMAEngineKit

/// A client's position in one cyclic transaction of a channel (rule 22).
///
/// It holds no memory: the ring is the channel's until the transaction is taken, and each call finds it by its cookie. So a
/// channel that supports both directions runs a capture ring and a playback ring at the same time, with a cursor for each.
/// ``CyclicRing`` combines a cursor and its channel in one value.
///
/// One thread at a time uses it, together with its channel.
///
/// Source: Documentation/driver-api/dmaengine/client.rst; sound/core/pcm_lib.c for the roles of the two positions.
public struct CyclicCursor: ~Copyable, Sendable {
    /// Identifies the transaction on its channel.
    public let cookie: Cookie
    /// Bytes in a period.
    public let period: Int
    /// Periods in the ring.
    public let periodsInRing: Int
    /// Whether the device writes to the ring (capture) or reads from it (playback).
    public let direction: Direction
    /// Periods that the client has passed, lost ones included.
    public private(set) var taken: UInt64 = 0
    /// Periods that the device reached before or while the client accessed them: capture's overruns, playback's underruns.
    public private(set) var lost: UInt64 = 0
    private let channelIdentifier: UInt64

    init(_ cookie: Cookie, period: Int, periodsInRing: Int, direction: Direction, channel: UInt64) {
        self.cookie = cookie
        self.period = period
        self.periodsInRing = periodsInRing
        self.direction = direction
        channelIdentifier = channel
    }

    /// Lends the oldest period that the device has finished, in the order of the ring.
    ///
    /// For capture the body reads what the device wrote; for playback it writes what the device will read in the next pass.
    /// After the body the device's position is read again, as a seqlock does.
    /// - Parameters:
    ///   - channel: the one that the ring was started on.
    ///   - body: receives the period, and must not keep it.
    /// - Returns: `empty` where the device has finished none; `intact` with the body's result; `overrun` where the device
    ///   wrapped round and reached the period before or while the body ran: the data is unreliable, and the result is dropped;
    ///   `ended` where the transaction has ended and no finished period is left.
    /// - Throws: `staleCookie` after its completion was taken; `unknownCookie` on another channel.
    public mutating func withNextPeriod<E: Engine & ~Copyable, R>(
        on channel: inout Channel<E, MappedBuffer>, _ body: (inout PeriodView) -> R
    ) throws(DMAError) -> PeriodOutcome<R> {
        let before = try periods(channel: &channel)
        guard before > taken else {
            let status = try channel.status(of: cookie)
            return status.isFinal ? .ended(status) : .empty
        }
        let behind = before - taken
        // The device works in period `before` of the count, which is the ring's oldest one once it is a full pass ahead.
        if behind >= UInt64(periodsInRing) {
            let skipped = behind - UInt64(periodsInRing) + 1
            taken += skipped
            lost += skipped
            return .overrun(skipped)
        }
        let offset = Int(taken % UInt64(periodsInRing)) * period
        let index = taken
        let (period, direction) = (period, direction)
        // SAFETY: the ring is the cargo of a transaction that the channel owns while this runs, it has `period * periodsInRing`
        // bytes, and `offset` is the start of one of its periods. The view cannot leave `body`.
        let lent = try channel.withRing(of: cookie, bytes: period * periodsInRing) { entry, core -> R? in
            unsafe core.maintainCaches(of: entry, offset, period)
            defer { unsafe core.maintainCaches(of: entry, offset, period) }
            guard let ring = unsafe UnsafeMutableRawPointer(bitPattern: UInt(entry.deviceAddress)) else { return nil }
            var view = unsafe PeriodView(
                start: ring + offset, count: period, isWritable: direction == .toDevice, index: index)
            let result = body(&view)
            // The position is read again after the body's reads and after its writes (Tests/Litmus/position-lap).
            if direction == .toDevice { cdma_full_barrier() } else { cdma_read_barrier() }
            return result
        }
        guard let result = lent else { throw DMAError(.notCyclic) }
        let after = try periods(channel: &channel)
        taken += 1
        guard after - (taken - 1) < UInt64(periodsInRing) else {
            lost += 1
            return .overrun(1)
        }
        return .intact(result)
    }

    /// Periods that the device has completed since the start.
    ///
    /// - Throws: as ``withNextPeriod(on:_:)``.
    public borrowing func completed<E: Engine & ~Copyable>(
        on channel: inout Channel<E, MappedBuffer>
    ) throws(DMAError) -> UInt64 { try periods(channel: &channel) }

    /// Bytes that the device has not yet moved in its current pass over the ring (rule 21).
    ///
    /// - Throws: as ``withNextPeriod(on:_:)``.
    public borrowing func residue<E: Engine & ~Copyable>(
        on channel: inout Channel<E, MappedBuffer>
    ) throws(DMAError) -> UInt64 {
        _ = try periods(channel: &channel)
        return try channel.residue(of: cookie)
    }

    /// Sleeps until the device has completed a period that the client has not passed, the transaction has ended, or `deadline`.
    ///
    /// - Returns: false at the deadline.
    /// - Throws: as ``withNextPeriod(on:_:)``; `deviceGone`.
    public borrowing func wait<E: Engine & ~Copyable>(
        on channel: inout Channel<E, MappedBuffer>, until deadline: Deadline
    ) throws(DMAError) -> Bool {
        while try periods(channel: &channel) <= taken {
            if try channel.status(of: cookie).isFinal { return true }
            if Deadline.now >= deadline { return false }
            _ = try channel.wait(until: deadline)
        }
        return true
    }

    private borrowing func periods<E: Engine & ~Copyable>(
        channel: inout Channel<E, MappedBuffer>
    ) throws(DMAError) -> UInt64 {
        guard channel.identifier == channelIdentifier else { throw DMAError(.unknownCookie, asked: cookie.rawValue) }
        return try channel.periodCount(of: cookie)
    }
}

extension Channel where E: ~Copyable, C == MappedBuffer {
    /// Starts a cyclic transaction: the device runs round `ring` until the channel is terminated (rule 22).
    ///
    /// - Parameters:
    ///   - ring: mapped for the channel's domain in one region; its direction is the transfer's. With `toDevice` the present
    ///     contents are played first.
    ///   - period: bytes; divides the ring's length.
    /// - Throws: `badPeriod`, `notContiguous` where the mapping has several regions, `wrongDirection` for a bidirectional one,
    ///   and the refusals of `submit`. The ring is unmapped and freed then.
    public mutating func startCyclic(_ ring: consuming MappedBuffer, period: Int) throws(DMAError) -> CyclicCursor {
        guard ring.direction != .bidirectional else { throw DMAError(.wrongDirection) }
        guard ring.regionCount == 1 else {
            throw DMAError(.notContiguous, asked: UInt64(ring.count), limit: ring.region(at: 0).count)
        }
        guard period > 0, ring.count % period == 0 else {
            throw DMAError(.badPeriod, asked: UInt64(clamping: period), limit: UInt64(ring.count))
        }
        let direction = ring.direction
        let periods = ring.count / period
        let cookie = try submit(.cyclic(period: period, direction: direction), ring).get()
        issuePending()
        return CyclicCursor(
            cookie, period: period, periodsInRing: periods, direction: direction, channel: identifier)
    }

    /// Calls `body` with the memory of a cyclic transaction that the channel owns.
    mutating func withRing<R>(
        of cookie: Cookie, bytes: Int, _ body: (MappedEntry, DomainCore) -> R
    ) throws(DMAError) -> R {
        let slot = try find(cookie)
        // SAFETY: `find` returns the slot of a transaction whose completion was not taken: its cargo is there.
        let entry = unsafe table.cargo(slot).pointee.mapping.firstEntry
        guard entry.count == bytes else { throw DMAError(.notCyclic) }
        return body(entry, unsafe table.cargo(slot).pointee.mapping.core)
    }
}
