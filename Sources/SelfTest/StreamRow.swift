// SPDX-License-Identifier: Apache-2.0

internal import DMACPUEngine
internal import DMACore

/// A ring of periods that an engine runs against a peripheral: capture, where the wire delivers numbered bytes and the client
/// reads each period, and playback, where the client writes each period and the wire collects it.
package struct StreamRow: Hashable, Sendable, Codable {
    package let engine: String
    /// "capture" or "playback".
    package let direction: String
    package let periods: Int
    package let periodBytes: Int
    package let bytesVerified: UInt64
    package let bytesWrong: UInt64
    /// Periods that the client missed.
    package let lost: UInt64

    package var passed: Bool { bytesWrong == 0 && lost == 0 && bytesVerified > 0 }

    private static var period: Int { 1024 }
    private static var periodsInRing: Int { 8 }
    private static var rounds: Int { 64 }

    /// The stream's contents at a position, in bytes since its start.
    private static func byte(_ offset: Int) -> UInt8 { UInt8(truncatingIfNeeded: offset &* 31 &+ offset >> 8) }

    private static func image(_ start: Int) -> [UInt8] { (0..<period).map { byte(start + $0) } }

    /// Captures through the ring eight times over, no faster than the wire delivers bytes.
    static func capture(
        _ engine: String, _ peripheral: FIFOPeripheral, _ domain: Domain, _ patience: Int64,
        _ make: () throws(DMAError) -> CPUEngine
    ) throws(DMAError) -> StreamRow {
        empty(peripheral)
        let memory = try Buffer(count: period * periodsInRing).mapped(for: domain, direction: .fromDevice)
        let channel = try Channel(try make(), domain: domain, of: MappedBuffer.self)
        var ring = try CyclicRing(channel, ring: memory, period: period)
        var wrong: UInt64 = 0
        var verified: UInt64 = 0
        for round in 0..<rounds {
            let sent = image(round * period)
            var delivered = 0
            let limit = Deadline.after(nanoseconds: patience)
            while delivered < sent.count {
                // SAFETY: the span does not leave the closure that the array lends its bytes to.
                delivered += unsafe sent[delivered...].withUnsafeBytes {
                    unsafe peripheral.deliver(RawSpan(_unsafeBytes: $0), keepsRest: true)
                }
                // An engine that works inside polls advances when it is polled.
                _ = try ring.completed()
                guard Deadline.now < limit else { throw late(limit) }
            }
            guard try ring.wait(until: limit) else { throw late(limit) }
            let outcome = try ring.withNextPeriod { view -> UInt64 in
                let index = Int(view.index)
                return (0..<period).reduce(0) { $0 + (view[$1] == byte(index * period + $1) ? 0 : 1) }
            }
            if case .intact(let found) = outcome {
                wrong += found
                verified += UInt64(period)
            }
        }
        let lost = ring.lost
        _ = try ring.stop()
        return StreamRow(
            engine: engine, direction: "capture", periods: rounds, periodBytes: period, bytesVerified: verified,
            bytesWrong: wrong, lost: lost)
    }

    /// Plays through the ring eight times over, no faster than the wire takes bytes.
    static func playback(
        _ engine: String, _ peripheral: FIFOPeripheral, _ domain: Domain, _ patience: Int64,
        _ make: () throws(DMAError) -> CPUEngine
    ) throws(DMAError) -> StreamRow {
        empty(peripheral)
        var buffer = try Buffer(count: period * periodsInRing)
        buffer.withMutableBytes { bytes in
            for offset in 0..<(period * periodsInRing) {
                bytes.storeBytes(of: byte(offset), toByteOffset: offset, as: UInt8.self)
            }
        }
        let memory = try buffer.mapped(for: domain, direction: .toDevice)
        let channel = try Channel(try make(), domain: domain, of: MappedBuffer.self)
        var ring = try CyclicRing(channel, ring: memory, period: period)
        var played: [UInt8] = []
        var written = periodsInRing
        while played.count < rounds * period {
            // The FIFO holds half a period, so that the engine is never further ahead of the wire than that.
            let limit = Deadline.after(nanoseconds: patience)
            let target = min(played.count + period, rounds * period)
            while played.count < target {
                let piece = take(peripheral, atMost: target - played.count)
                played += piece
                if piece.isEmpty {
                    guard Deadline.now < limit else { throw late(limit) }
                    _ = try ring.completed()
                }
            }
            while try ring.taken < ring.completed(), ring.taken + UInt64(periodsInRing) > UInt64(written) || written < rounds {
                let next = image(written * period)
                let outcome = try ring.withNextPeriod { view in
                    // SAFETY: the span does not leave the closure that the array lends its bytes to.
                    unsafe next.withUnsafeBytes { unsafe view.write(RawSpan(_unsafeBytes: $0)) }
                }
                guard case .intact = outcome else { break }
                written += 1
            }
        }
        let lost = ring.lost
        _ = try ring.stop()
        let wrong = played.indices.reduce(UInt64(0)) { $0 + (played[$1] == byte($1) ? 0 : 1) }
        return StreamRow(
            engine: engine, direction: "playback", periods: rounds, periodBytes: period, bytesVerified: UInt64(played.count),
            bytesWrong: wrong, lost: lost)
    }
}

/// Something did not happen by `limit`: with both times, on the monotonic clock.
func late(_ limit: Deadline) -> DMAError {
    DMAError(
        .deadlinePassed, asked: UInt64(clamping: limit.nanoseconds), limit: UInt64(clamping: Deadline.now.nanoseconds))
}
