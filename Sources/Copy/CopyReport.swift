// SPDX-License-Identifier: Apache-2.0

public import DMACore
internal import DMAEngineKit

/// What a copy did: figures, and which way it really went.
public struct CopyReport: Equatable, Sendable, Codable {
    /// The plan that was followed in the end, after what the file systems refused.
    public var plan: CopyPlan
    /// Bytes of the source that are at the target, holes counted.
    public var bytes: UInt64 = 0
    /// Of these, bytes that moved.
    public var moved: UInt64 = 0
    /// Of these, bytes in holes.
    public var holes: UInt64 = 0
    /// Bytes that an earlier copy had brought, compared and kept.
    public var resumed: UInt64 = 0
    /// Wall-clock nanoseconds of opening, planning, and making memory ready.
    public var setupNanoseconds: Int64 = 0
    /// Wall-clock nanoseconds of moving the bytes.
    public var copyNanoseconds: Int64 = 0
    /// Wall-clock nanoseconds of flushing and publishing.
    public var flushNanoseconds: Int64 = 0
    /// Wall-clock nanoseconds of reading back.
    public var verifyNanoseconds: Int64 = 0
    /// Processor time of the process meanwhile, all threads.
    public var processorNanoseconds: Int64 = 0
    /// CRC32C of all bytes, holes counted; nil where nobody counted.
    public var crc32c: UInt32?
    /// Whether the target was read back and found the same.
    public var verified = false
    /// What moved the bytes, in the engine's own words.
    public var engine = ""
    /// What the engine counted: bytes past the cache and through it, memory registered or refused.
    public var figures: [EngineFigure] = []
    /// What was other than planned, and why.
    public var notes: [String] = []

    /// Nothing done yet.
    package init(plan: CopyPlan) { self.plan = plan }

    /// Bytes a second over the copy and its flush.
    public var bytesPerSecond: Double { Double(bytes) / max(Double(copyNanoseconds + flushNanoseconds) / 1e9, 1e-9) }
}
