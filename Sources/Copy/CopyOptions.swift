// SPDX-License-Identifier: Apache-2.0

internal import DMAUnits

/// How a copy takes its turns on the processor and the disk, before a channel is there.
public enum CopyMode: String, Sendable, Codable, CaseIterable {
    /// As fast as it goes.
    case burst
    /// A quantum, then a rest, so that it is at work for a share of the time.
    case cycleStealing = "cycle-stealing"
    /// What comes is passed on at once, as much as the other side takes: for pipes, sockets and terminals.
    case demand
}

/// When blocks are shared with the source instead of copied.
public enum ReflinkChoice: String, Sendable, Codable, CaseIterable {
    /// Where the file system can.
    case auto
    /// Not at all: the target is a second copy on the medium.
    case never
    /// Or not copied at all.
    case always
}

/// What is done with bytes that the target has already.
public enum TargetTreatment: String, Sendable, Codable, CaseIterable {
    /// A new file takes the place of the old one, once it is whole.
    case replace
    /// The file is overwritten in place: a failed copy leaves a mixture of old and new.
    case inPlace = "in-place"
    /// Behind what is there.
    case append
    /// An interrupted copy goes on, after what it left has been read back and compared.
    case resume
}

/// What a client wants of a copy; everything else is the planner's choice.
public struct CopyOptions: Equatable, Sendable {
    /// nil leaves it to the planner.
    public var mode: CopyMode?
    /// Of the time at work in ``CopyMode/cycleStealing``: above 0, at most 1.
    public var share = 0.5
    /// Bytes a second at most; nil for no limit.
    public var rate: UInt64?
    /// Bytes of one transfer; nil leaves it to the planner.
    public var chunk: UInt64?
    /// Transfers in flight; nil leaves it to the planner.
    public var depth: Int?
    /// The engine's name in `dmactl list`; nil leaves it to the planner.
    public var engine: String?
    /// Whether what was written is read back from the medium and compared, before the target is published.
    public var verifies = false
    /// Whether owner, extended attributes and access control lists become the source's, beside mode and times.
    public var preserves = false
    /// When blocks are shared.
    public var reflink = ReflinkChoice.auto
    /// What becomes of a target that is there.
    public var treatment = TargetTreatment.replace
    /// Whether the copy is over only when the medium has it.
    public var flushes = true
    /// Whether a block device's blocks are discarded first.
    public var discards = false
    /// Whether a block device may be overwritten.
    public var overwritesDevices = false

    /// Everything as usual.
    public init() {}

    /// Refuses what contradicts itself.
    ///
    /// - Throws: `badOption`.
    package func check() throws(CopyFailure) {
        func refuse(_ name: String, _ asked: String, _ possible: String, _ cure: String) -> CopyFailure {
            CopyFailure(.badOption, name, asked: asked, possible: possible, cure: cure)
        }
        if !(share > 0 && share <= 1) {
            throw refuse("share", "take \(share) as", "it is above 0 and at most 1", "0.5 for half the time")
        }
        if let chunk, chunk < 512 || chunk > CopyPlan.largestChunk {
            throw refuse(
                "chunk", "take \(chunk) bytes as", "it is 512 B to \(ByteSize.text(CopyPlan.largestChunk))",
                "1MiB, which suits most disks")
        }
        if let depth, depth < 1 || depth > CopyPlan.largestDepth {
            throw refuse(
                "depth", "take \(depth) as", "it is 1 to \(CopyPlan.largestDepth)", "8 to 32, which keeps most disks busy")
        }
        if let rate, rate == 0 {
            throw refuse("rate", "take 0 as", "it is 1 byte a second or more", "leave it out for no limit")
        }
        let moving: [(String, Bool)] = [
            ("engine", engine != nil), ("mode", mode != nil), ("chunk", chunk != nil), ("depth", depth != nil),
        ]
        if reflink == .always, let first = moving.first(where: \.1) {
            throw refuse(
                first.0, "follow", "no bytes move where blocks are shared", "leave it out, or do not ask for shared blocks")
        }
        if treatment == .resume || treatment == .append, reflink == .always {
            throw refuse(
                treatment.rawValue, "follow", "blocks that are shared are shared at once, by a new file",
                "leave it out, or do not ask for shared blocks")
        }
    }
}
