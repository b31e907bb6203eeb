// SPDX-License-Identifier: Apache-2.0

public import DMACore
public import DMAEDUEngine
internal import DMAEDUSpecification
public import DMATestSupport
public import DMATypes

/// A test has waited for longer than it may take.
public struct Late: Error {
    public init() {}
}

/// A channel of an EDU that copies between buffers.
public typealias EDUChannel = Channel<EDUEngine, Loan>

/// What came of a copy: its error, and the bytes of both buffers after they were unmapped.
public struct Copied: Sendable {
    public let error: DMAError?
    public let source: [UInt8]
    public let target: [UInt8]
    /// What they held before.
    public let image: [UInt8]
    public let before: [UInt8]
    public let wasBounced: Bool

    public var failure: EDUFailure? { error.flatMap { EDUFailure(rawValue: $0.deviceStatus) } }
    /// Whether every byte is where it belongs.
    public var isRight: Bool { error == nil && source == image && target == image }
    /// Whether nothing was written.
    public var isUntouched: Bool { source == image && target == before }
}

extension Channel where E == EDUEngine, C == Loan {
    /// Copies one random image over another.
    ///
    /// - Parameter foreign: memory that the domain was not asked for.
    public mutating func copy(
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
    public mutating func fill(_ bytes: [UInt8]) {
        var span = mutableBytes
        for (offset, byte) in bytes.enumerated() { try? span.store(byte, at: offset) }
    }
    public var contents: [UInt8] { (0..<count).map { (try? load(at: $0, as: UInt8.self)) ?? 0 } }
}
