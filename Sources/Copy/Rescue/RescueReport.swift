// SPDX-License-Identifier: Apache-2.0

/// What a rescue did, and what is still missing at the target.
public struct RescueReport: Equatable, Sendable, Codable {
    /// How the source was read.
    public var plan: RescuePlan
    /// Bytes of the source.
    public var size: UInt64
    /// Bytes that are at the target, by this rescue and earlier ones.
    public var rescued: UInt64 = 0
    /// Of these, bytes that this rescue brought.
    public var added: UInt64 = 0
    /// Bytes that could not be read.
    public var bad: UInt64 = 0
    /// How many areas without a gap the bytes that could not be read are.
    public var badAreas = 0
    /// Read requests that failed.
    public var readErrors: UInt64 = 0
    /// Wall-clock nanoseconds of reading and writing.
    public var copyNanoseconds: Int64 = 0
    /// Processor time of the process meanwhile, all threads.
    public var processorNanoseconds: Int64 = 0
    /// What was other than planned, and why.
    public var notes: [String] = []

    /// Whether the target has every byte of the source.
    public var isWhole: Bool { rescued == size }
    /// Bytes a second of what this rescue brought.
    public var bytesPerSecond: Double { Double(added) / max(Double(copyNanoseconds) / 1e9, 1e-9) }
}
