// SPDX-License-Identifier: Apache-2.0

internal import DMACPUEngine
internal import DMACore

/// How well an engine keeps to the share of the time that cycle stealing gives it.
public struct ModeRow: Hashable, Sendable, Codable {
    public let engine: String
    /// "burst", or "cycle stealing".
    public let mode: String
    /// What was asked: the share of the time at work; 1 in burst mode.
    public let askedShare: Double
    /// What came of it.
    public let measuredShare: Double
    public let bytesPerSecond: Double
    public let bytesVerified: UInt64
    public let bytesWrong: UInt64

    public var passed: Bool { bytesWrong == 0 }

    /// Copies for `duration` in the mode of `share`, and compares every byte of the last copy of each buffer.
    static func measure(
        _ engine: String, share: Double, seed: UInt64, duration: Int64, _ domain: Domain,
        _ make: () throws(DMAError) -> CPUEngine
    ) throws(DMAError) -> ModeRow {
        let count = 4 << 20
        let mode: TransferMode = share >= 1 ? .burst : .cycleStealing(share: share)
        let paced = try PacedEngine(try make(), mode: mode)
        var channel = try Channel(paced, domain: domain.id, of: Pair<MappedBuffer, MappedBuffer>.self)
        var source = try Buffer(count: count)
        source.withMutableBytes { bytes in
            for offset in stride(from: 0, to: count, by: 8) {
                bytes.storeBytes(of: word(seed, offset), toByteOffset: offset, as: UInt64.self)
            }
        }
        var cargo = Pair(
            try source.mapped(for: domain, direction: .toDevice),
            try Buffer(count: count).mapped(for: domain, direction: .fromDevice))
        let began = Deadline.now.nanoseconds
        let end = Deadline.after(nanoseconds: duration)
        var copies: UInt64 = 0
        var busy: Int64 = 0
        repeat {
            _ = try channel.submit(.copy(flags: .interrupt), cargo).get()
            let issued = Deadline.now.nanoseconds
            channel.issuePending()
            let limit = Deadline.after(milliseconds: 20_000)
            var back: Pair<MappedBuffer, MappedBuffer>?
            while Deadline.now < limit {
                if let finished = channel.next() {
                    guard finished.status == .complete else { throw DMAError(.engineFailed) }
                    back = finished.takeCargo()
                    break
                }
                // Where the mode says that it is not the engine's turn, the processor belongs to somebody else.
                _ = channel.wait(until: limit)
            }
            guard let returned = back.take() else { throw late(limit) }
            cargo = returned
            copies += 1
            busy += share >= 1 ? Deadline.now.nanoseconds - issued : 0
        } while Deadline.now < end
        let elapsed = max(Deadline.now.nanoseconds - began, 1)
        let duty = channel.withEngine { $0.totalDuty }
        let measured = share >= 1 ? Double(busy) / Double(elapsed) : Double(duty.busy) / Double(max(duty.elapsed, 1))
        let wrong = try cargo.second.withCPUAccess { bytes throws(DMAError) in
            var wrong: UInt64 = 0
            for offset in stride(from: 0, to: count, by: 8)
            where unsafe bytes.unsafeLoad(fromByteOffset: offset, as: UInt64.self) != word(seed, offset) {
                wrong += 8
            }
            return wrong
        }
        return ModeRow(
            engine: engine, mode: share >= 1 ? "burst" : "cycle stealing", askedShare: share, measuredShare: measured,
            bytesPerSecond: Double(copies) * Double(count) / (Double(elapsed) / 1e9), bytesVerified: UInt64(count),
            bytesWrong: wrong)
    }

    private static func word(_ seed: UInt64, _ offset: Int) -> UInt64 {
        (UInt64(offset) ^ seed) &* 0x9e37_79b9_7f4a_7c15
    }
}
