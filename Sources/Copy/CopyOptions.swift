// SPDX-License-Identifier: Apache-2.0

internal import DMAUnits

/// How a copy shares the processor and the disk with other programs.
public enum CopyMode: String, Sendable, Codable, CaseIterable {
    /// As fast as possible.
    case burst
    /// Transfers a quantum, then pauses, so that it is active for a share of the time.
    case cycleStealing = "cycle-stealing"
    /// Data is passed on as soon as it arrives, as much as the target accepts: for pipes, sockets and terminals.
    case demand
}

/// When blocks are shared with the source instead of copied.
public enum ReflinkChoice: String, Sendable, Codable, CaseIterable {
    /// Where the file system supports it.
    case auto
    /// Never: the target is a second copy on the medium.
    case never
    /// Always: the copy fails where blocks cannot be shared.
    case always
}

/// What is done with data that the target has already.
public enum TargetTreatment: String, Sendable, Codable, CaseIterable {
    /// A new file replaces the old one when it is complete.
    case replace
    /// The file is overwritten in place: a failed copy leaves a mixture of old and new.
    case inPlace = "in-place"
    /// The data is written after the existing data.
    case append
    /// An interrupted copy is continued, after what it wrote has been read back and compared.
    case resume
}

/// What is requested of a copy; the planner chooses everything else.
public struct CopyOptions: Equatable, Sendable {
    /// nil leaves it to the planner.
    public var mode: CopyMode?
    /// The share of the time that the copy is active in ``CopyMode/cycleStealing``: above 0, at most 1.
    public var share = 0.5
    /// The most bytes in a second; nil for no limit.
    public var rate: UInt64?
    /// Bytes of one transfer; nil leaves it to the planner.
    public var chunk: UInt64?
    /// Transfers in flight; nil leaves it to the planner.
    public var depth: Int?
    /// The engine's name in `dmactl list`; nil leaves it to the planner.
    public var engine: String?
    /// Whether what was written is read back from the medium and compared, before the target is published.
    public var verifies = false
    /// Whether the target gets owner, extended attributes and access control lists of the source, beside mode and times.
    public var preserves = false
    /// When blocks are shared.
    public var reflink = ReflinkChoice.auto
    /// What is done with a target that exists.
    public var treatment = TargetTreatment.replace
    /// Whether the copy ends only when the medium has the data.
    public var flushes = true
    /// Whether a block device's blocks are discarded first.
    public var discards = false
    /// Whether a block device may be overwritten.
    public var overwritesDevices = false

    /// The defaults.
    public init() {}

    /// Refuses values out of range and options that exclude each other.
    ///
    /// - Throws: `badOption`.
    package func check() throws(CopyFailure) {
        func refuse(_ name: String, _ asked: String, _ possible: String, _ cure: String) -> CopyFailure {
            CopyFailure(.badOption, name, asked: asked, possible: possible, cure: cure)
        }
        if !(share > 0 && share <= 1) {
            throw refuse("share", "use \(share) as", "it must be above 0 and at most 1", "Use 0.5 for half of the time.")
        }
        if let chunk, chunk < 512 || chunk > CopyPlan.largestChunk {
            throw refuse(
                "chunk", "use \(chunk) bytes as", "it must be from 512 B to \(ByteSize.text(CopyPlan.largestChunk))",
                "Use 1MiB, which suits most disks.")
        }
        if let depth, depth < 1 || depth > CopyPlan.largestDepth {
            throw refuse(
                "depth", "use \(depth) as", "it must be from 1 to \(CopyPlan.largestDepth)",
                "Use 8 to 32, which keeps most disks busy.")
        }
        if let rate, rate == 0 {
            throw refuse("rate", "use 0 as", "it must be 1 byte a second or more", "Leave it out for no limit.")
        }
        let moving: [(String, Bool)] = [
            ("engine", engine != nil), ("mode", mode != nil), ("chunk", chunk != nil), ("depth", depth != nil),
        ]
        if reflink == .always, let first = moving.first(where: \.1) {
            throw refuse(
                first.0, "apply", "no data is transferred where blocks are shared",
                "Leave it out, or do not request shared blocks.")
        }
        if treatment == .resume || treatment == .append, reflink == .always {
            throw refuse(
                treatment.rawValue, "apply", "blocks are shared as a whole, and only by a new file",
                "Leave it out, or do not request shared blocks.")
        }
    }
}
