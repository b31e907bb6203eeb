// SPDX-License-Identifier: Apache-2.0

public import DMACore
internal import DMAEngineKit

/// What a copy did: figures, and the path that it took.
public struct CopyReport: Equatable, Sendable, Codable {
    /// The plan that was followed, after the changes that file systems made necessary.
    public var plan: CopyPlan
    /// Bytes of the source that are at the target, holes counted.
    public var bytes: UInt64 = 0
    /// Of these, bytes that were transferred.
    public var moved: UInt64 = 0
    /// Of these, bytes in holes.
    public var holes: UInt64 = 0
    /// Bytes that an interrupted copy had written, which were compared and kept.
    public var resumed: UInt64 = 0
    /// Wall-clock nanoseconds of opening, planning, and allocating memory.
    public var setupNanoseconds: Int64 = 0
    /// Wall-clock nanoseconds of transferring the data.
    public var copyNanoseconds: Int64 = 0
    /// Wall-clock nanoseconds of flushing and publishing.
    public var flushNanoseconds: Int64 = 0
    /// Wall-clock nanoseconds of reading back.
    public var verifyNanoseconds: Int64 = 0
    /// Processor time of the process meanwhile, all threads.
    public var processorNanoseconds: Int64 = 0
    /// CRC32C of all bytes, holes counted; nil where it was not computed.
    public var crc32c: UInt32?
    /// Whether the target was read back and is equal to the source.
    public var verified = false
    /// The engine that transferred the data, and its implementation.
    public var engine = ""
    /// The engine's counters: bytes by direct and buffered I/O, memory that was registered or refused.
    public var figures: [EngineFigure] = []
    /// What differed from the plan, and why.
    public var notes: [String] = []

    /// Of a copy that has done nothing yet.
    package init(plan: CopyPlan) { self.plan = plan }

    /// Bytes a second over the copy and its flush.
    public var bytesPerSecond: Double { Double(bytes) / max(Double(copyNanoseconds + flushNanoseconds) / 1e9, 1e-9) }
}
