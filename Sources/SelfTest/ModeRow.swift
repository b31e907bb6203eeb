// SPDX-License-Identifier: Apache-2.0

internal import DMAConformance
internal import DMACore
internal import DMAEngineKit

/// How well an engine keeps its share of the time in cycle-stealing mode.
package struct ModeRow: Hashable, Sendable, Codable {
    package let engine: String
    /// "burst", or "cycle stealing".
    package let mode: String
    /// The requested share of the time at work; 1 in burst mode.
    package let askedShare: Double
    /// The measured share: the median of the rounds, which another process running during one round does not change.
    package let measuredShare: Double
    package let bytesPerSecond: Double
    package let bytesVerified: UInt64
    package let bytesWrong: UInt64

    package var passed: Bool { bytesWrong == 0 }

    /// The size of one copy, and how many follow each other before they are compared: so many that the pause after the last
    /// turn, which is not measured, is a small part.
    private static var count: Int { 1 << 20 }
    private static var copies: Int { 16 }

    /// Copies for the test's duration in the mode of `share`, in rounds. After each, outside the measured time, every byte of
    /// every copy is compared, unless the test compares nothing, and its target is wiped for the next round. A stop ends it
    /// after a round: the row is then one of a shorter duration.
    static func measure<E: Engine & ~Copyable>(
        _ engine: String, share: Double, _ test: SelfTest, _ domain: Domain, _ make: () throws(DMAError) -> E
    ) throws(DMAError) -> ModeRow {
        let mode: TransferMode = share >= 1 ? .burst : .cycleStealing(share: share)
        var channel = try Channel(
            try PacedEngine(try make(), mode: mode), domain: domain, of: Pair<MappedBuffer, MappedBuffer>.self)
        var cargoes = FixedArray<Pair<MappedBuffer, MappedBuffer>>(capacity: copies)
        var finished = FixedArray<Pair<MappedBuffer, MappedBuffer>>(capacity: copies)
        for number in 0..<copies { _ = cargoes.append(try cargo(number, test.seed, domain)) }
        let end = Deadline.after(nanoseconds: test.duration)
        var (moved, verified, wrong) = (UInt64(0), UInt64(0), UInt64(0))
        var elapsed: Int64 = 0
        var shares: [Double] = []
        repeat {
            // The share's clock restarts, so that no round is charged for the preceding comparison.
            try channel.setMode(mode)
            let began = Deadline.now.nanoseconds
            var busy: Int64 = 0
            while let cargo = cargoes.popLast() {
                let issued = Deadline.now.nanoseconds
                _ = finished.append(try copy(cargo, &channel, test.patience))
                busy += Deadline.now.nanoseconds - issued
                moved += UInt64(count)
            }
            let spent = max(Deadline.now.nanoseconds - began, 1)
            elapsed += spent
            if share < 1 { busy = channel.withEngine { $0.totalDuty.busy } }
            shares.append(Double(busy) / Double(spent))
            // Last in, first out, twice: they are returned in the order in which they were made.
            for number in 0..<copies {
                guard var cargo = finished.popLast() else { break }
                if test.choice.verifies {
                    wrong += try judge(cargo, number, test.seed)
                    verified += UInt64(count)
                }
                try cargo.second.withMutableCPUAccess { bytes throws(DMAError) in
                    for offset in stride(from: 0, to: count, by: 8) {
                        bytes.storeBytes(of: 0, toByteOffset: offset, as: UInt64.self)
                    }
                }
                _ = cargoes.append(cargo)
            }
        } while Deadline.now < end && !test.stop.isStopped
        return ModeRow(
            engine: engine, mode: share >= 1 ? "burst" : "cycle-stealing", askedShare: share,
            measuredShare: shares.sorted()[shares.count / 2], bytesPerSecond: Double(moved) / (Double(elapsed) / 1e9),
            bytesVerified: verified, bytesWrong: wrong)
    }

    /// A source with unique contents, and an empty target.
    private static func cargo(
        _ number: Int, _ seed: UInt64, _ domain: Domain
    ) throws(DMAError) -> Pair<MappedBuffer, MappedBuffer> {
        var source = try Buffer(count: count)
        source.withMutableBytes { bytes in
            for offset in stride(from: 0, to: count, by: 8) {
                bytes.storeBytes(of: word(seed, number, offset), toByteOffset: offset, as: UInt64.self)
            }
        }
        return Pair(
            try source.mapped(for: domain, direction: .toDevice),
            try Buffer(count: count).mapped(for: domain, direction: .bidirectional))
    }

    /// One copy, until it ends.
    private static func copy<E: Engine & ~Copyable>(
        _ cargo: consuming Pair<MappedBuffer, MappedBuffer>,
        _ channel: inout Channel<PacedEngine<E>, Pair<MappedBuffer, MappedBuffer>>, _ patience: Int64
    ) throws(DMAError) -> Pair<MappedBuffer, MappedBuffer> {
        _ = try channel.submit(.copy(flags: .interrupt), cargo).get()
        channel.issuePending()
        let limit = Deadline.after(nanoseconds: patience)
        while Deadline.now < limit {
            if let finished = channel.next() {
                guard finished.status == .complete else { throw DMAError(.engineFailed) }
                return finished.takeCargo()
            }
            // While the mode pauses the engine, other threads can use the processor.
            _ = try channel.wait(until: limit)
        }
        throw late(limit)
    }

    /// The number of bytes of a copy that differ from its source.
    private static func judge(
        _ cargo: borrowing Pair<MappedBuffer, MappedBuffer>, _ number: Int, _ seed: UInt64
    ) throws(DMAError) -> UInt64 {
        try cargo.second.withCPUAccess { bytes throws(DMAError) in
            var wrong: UInt64 = 0
            for offset in stride(from: 0, to: count, by: 8)
            // SAFETY: every offset has a whole word behind it within the copy, whose length is a multiple of 8, and every pattern is an
            // integer.
            where unsafe bytes.unsafeLoad(fromByteOffset: offset, as: UInt64.self) != word(seed, number, offset) {
                wrong += 8
            }
            return wrong
        }
    }

    private static func word(_ seed: UInt64, _ number: Int, _ offset: Int) -> UInt64 {
        (UInt64(offset + number * count) ^ seed) &* 0x9e37_79b9_7f4a_7c15
    }
}
