// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMA
internal import DMACore
internal import DMAEngineKit
internal import DMAThreads

/// Reads ranges of a file on a thread of its own, some of them ahead of the thread that writes them.
///
/// A cached file is copied twice by the processor, into a buffer and out of it. Two threads do both at a time.
///
/// The two threads take turns with each slot: the caller fills in a range, this thread reads it, the caller takes the bytes. Which of them has a slot
/// follows from the numbers of ranges that were asked for, read and taken; its lock is never contended.
///
/// Thread rules: one thread calls ``ask(_:)``, ``withNext(until:_:)`` and ``stop()``.
final class ReadAhead: Sendable {
    /// One range, and what was read of it.
    private struct Slot: ~Copyable {
        var buffer: Buffer?
        var range: Range<UInt64> = 0..<0
        /// Bytes, or a negative errno.
        var result: Int64 = 0
        var crc: UInt32 = 0
    }

    private final class Place: Sendable {
        let slot: Locked<Slot>
        init(_ buffer: consuming Buffer) { slot = Locked(Slot(buffer: buffer)) }
    }

    /// What was read of a range.
    struct Piece {
        var range: Range<UInt64>
        /// Bytes that were read: fewer than the range has only at the end of the file.
        var count: Int
        /// Their CRC32C; 0 where none is computed.
        var crc: UInt32
    }

    private let file: OpenFile
    private let computesCRC: Bool
    private let places: [Place]
    /// Raised when ranges are asked for, and by ``stop()``.
    private let changed = InterruptLine()
    /// Counts the ranges that were read.
    private let read = InterruptLine()
    private let isStopped = Locked(false)
    /// Ranges that were asked for and taken, written by the calling thread alone.
    private let counts = Locked((asked: UInt64(0), taken: UInt64(0)))

    /// Starts the thread.
    ///
    /// - Parameters:
    ///   - depth: ranges that are read ahead.
    ///   - chunk: bytes of the longest range.
    init(_ file: OpenFile, depth: Int, chunk: Int, computesCRC: Bool) throws(DMAError) {
        self.file = file
        self.computesCRC = computesCRC
        var places: [Place] = []
        for _ in 0..<depth { places.append(Place(try Buffer(count: chunk, alignment: 4096))) }
        self.places = places
        // The thread holds the object until it ends, so that memory and descriptor outlive a read that hangs.
        _ = try NativeThread { [self] in readAll() }
    }

    /// How many more ranges to ask for: none until half of what is ahead has been taken, so that the reading thread, which is the faster one, is woken
    /// once for several ranges.
    var room: Int {
        let ahead = counts.withLock { Int($0.asked - $0.taken) }
        return ahead > places.count / 2 ? 0 : places.count - ahead
    }
    /// Whether a range was asked for and not taken.
    var isUnderWay: Bool { counts.withLock { $0.asked > $0.taken } }

    /// Asks for ranges of at most a chunk each, as many as there is room for.
    func ask(_ ranges: [Range<UInt64>]) {
        guard !ranges.isEmpty else { return }
        let first = counts.withLock { $0.asked }
        for (index, range) in ranges.enumerated() {
            places[Int((first + UInt64(index)) % UInt64(places.count))].slot.withLock { $0.range = range }
        }
        counts.withLock { $0.asked += UInt64(ranges.count) }
        changed.raise()
    }

    /// Waits for the next range, and passes what was read of it.
    ///
    /// - Returns: false where it was not read by `deadline`.
    /// - Throws: `readFailed`, and what `body` throws.
    func withNext(
        until deadline: Deadline, _ body: (Piece, RawSpan) throws(CopyFailure) -> Void
    ) throws(CopyFailure) -> Bool {
        let number = counts.withLock { $0.taken }
        guard read.wait(after: number, until: deadline) else { return false }
        let place = places[Int(number % UInt64(places.count))]
        // Taken out: the lock is not held while `body` writes.
        var slot = place.slot.withLock { slot in
            var taken = Slot(buffer: nil, range: slot.range, result: slot.result, crc: slot.crc)
            swap(&taken.buffer, &slot.buffer)
            return taken
        }
        defer {
            place.slot.withLock { swap(&$0.buffer, &slot.buffer) }
            counts.withLock { $0.taken += 1 }
        }
        guard slot.result >= 0 else {
            throw .reading(file.path, at: slot.range.lowerBound, errno: Int32(clamping: -slot.result))
        }
        guard let buffer = slot.buffer.take() else { return true }
        let piece = Piece(range: slot.range, count: Int(slot.result), crc: slot.crc)
        do throws(CopyFailure) { try Self.pass(piece, buffer, body) } catch {
            slot.buffer = consume buffer
            throw error
        }
        slot.buffer = consume buffer
        return true
    }

    private static func pass(
        _ piece: Piece, _ buffer: borrowing Buffer, _ body: (Piece, RawSpan) throws(CopyFailure) -> Void
    ) throws(CopyFailure) {
        try body(piece, buffer.bytes.extracting(0..<piece.count))
    }

    /// Tells the thread to end after the read that it is in, and does not wait for it.
    func stop() {
        isStopped.withLock { $0 = true }
        changed.raise()
    }

    // MARK: The thread

    private func readAll() {
        var number: UInt64 = 0
        while true {
            // Before the look at what it counts: a change after it ends the wait.
            let seen = changed.count
            if isStopped.withLock({ $0 }) { return }
            guard counts.withLock({ $0.asked > number }) else {
                // Woken by the next ranges or by the end; a bounded sleep each time.
                _ = changed.wait(after: seen, until: .after(milliseconds: 1000))
                continue
            }
            places[Int(number % UInt64(places.count))].slot.withLock { slot in readOne(&slot) }
            number += 1
            read.raise()
        }
    }

    private func readOne(_ slot: inout Slot) {
        guard var buffer = slot.buffer.take() else { return }
        let range = slot.range
        let file = file.descriptor
        // SAFETY: the call writes at most `count` bytes, which is no more than the buffer has.
        let count = min(buffer.count, Int(clamping: range.upperBound - range.lowerBound))
        let result = unsafe buffer.withUnsafeMutableBytes { bytes in
            unsafe bytes.baseAddress.map { unsafe cdma_read_all(file, $0, count, Int64(clamping: range.lowerBound)) } ?? 0
        }
        slot.result = result
        slot.crc = computesCRC && result > 0 ? CRC32C.of(buffer.bytes.extracting(0..<Int(result))) : 0
        slot.buffer = consume buffer
    }
}
