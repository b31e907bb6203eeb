// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMACore
import DMAEDUEngine
import DMAEDUModel
import DMAEDUSpecification
import DMAInProcessAccess
import DMATestSupport
import Testing

/// An EDU of this process, and copies through a channel over it.
struct Rig {
    let model: EDUModel
    let device: InProcessDevice
    let recorder: Recorder?

    init(
        _ model: EDUModel = EDUModel(), pace: InProcessDevice.Pace = .stepped,
        addressing: InProcessDevice.Addressing = .translated(bits: 28), recorder: Recorder? = nil
    ) throws {
        self.model = model
        self.recorder = recorder
        device = try InProcessDevice(model, name: "edu model", addressing: addressing, pace: pace, recorder: recorder)
    }

    /// Waits that a test can afford, on a machine that does other things as well.
    static var configuration: EDUConfiguration {
        var configuration = EDUConfiguration()
        configuration.patience = .seconds(2)
        configuration.restartLimit = .seconds(2)
        return configuration
    }

    func engine(_ configuration: EDUConfiguration = Rig.configuration) throws(AccessError) -> EDUEngine {
        try EDUEngine(opening: device, configuration)
    }
}

struct Late: Error {}

typealias EDUChannel = Channel<EDUEngine, Loan>

/// What came of a copy: its error, and the bytes of both buffers after they were unmapped.
struct Copied {
    let error: DMAError?
    let source: [UInt8]
    let target: [UInt8]
    /// What they held before.
    let image: [UInt8]
    let before: [UInt8]
    let wasBounced: Bool

    var failure: EDUFailure? { error.flatMap { EDUFailure(rawValue: $0.deviceStatus) } }
    /// Whether every byte is where it belongs.
    var isRight: Bool { error == nil && source == image && target == image }
    /// Whether nothing was written.
    var isUntouched: Bool { source == image && target == before }
}

extension Channel where E == EDUEngine, C == Loan {
    /// Copies one random image over another.
    ///
    /// - Parameter foreign: memory that the domain was not asked for.
    mutating func copy(
        _ count: Int, _ random: inout Seeded, for domain: Domain, foreign: Bool = false, limit: Int64 = 60_000
    ) async throws -> Copied {
        // A byte that was not moved differs from what belongs there: in bit 7 where the target kept what it had, in bit 6 where the device's buffer
        // has kept the piece before.
        let image = random.bytes(count).enumerated().map { place, byte in
            byte & 0x3f | 0x80 | (UInt64(place) / EDU.largestTransfer % 2 == 1 ? 0x40 : 0)
        }
        let before = random.bytes(count).map { $0 & 0x7f }
        var source = try foreign ? Buffer(count: count) : Buffer(count: count, for: domain)
        var target = try foreign ? Buffer(count: count) : Buffer(count: count, for: domain)
        source.fill(image)
        target.fill(before)
        let from = try source.mapped(for: domain, direction: .toDevice)
        var to = try target.mapped(for: domain, direction: .bidirectional)
        var failure: DMAError?
        do throws(DMAError) { try await copy(from, to: &to, by: .after(milliseconds: limit)) } catch { failure = error }
        let bounced = from.wasBounced
        let first = try from.unmap()
        let second = try to.unmap()
        return Copied(
            error: failure, source: first.contents, target: second.contents, image: image, before: before,
            wasBounced: bounced)
    }
}

extension Buffer {
    mutating func fill(_ bytes: [UInt8]) {
        var span = mutableBytes
        for (offset, byte) in bytes.enumerated() { try? span.store(byte, at: offset) }
    }
    var contents: [UInt8] { (0..<count).map { (try? load(at: $0, as: UInt8.self)) ?? 0 } }
}
