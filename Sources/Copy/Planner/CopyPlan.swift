// SPDX-License-Identifier: Apache-2.0

internal import DMAUnits

/// How a copy is to be done: every choice, and why. A value that can be printed, kept in a file and given back.
///
/// What comes from a file was written by somebody: the copier refuses what is out of range, and what does not fit the endpoints.
public struct CopyPlan: Equatable, Sendable, Codable {
    /// Of the format: rises when a field changes its meaning or goes.
    package static let currentVersion = 1
    /// Bytes of the largest transfer.
    package static let largestChunk: UInt64 = 64 << 20
    /// Transfers in flight at most.
    package static let largestDepth = 256
    /// Bytes of memory that the transfers in flight take together, at most.
    package static let largestStaging: UInt64 = 1 << 30

    /// What moves the bytes.
    public enum Path: String, Sendable, Codable, CaseIterable {
        /// The file system lets both files have the same blocks: FICLONE.
        case reflink
        /// copy_file_range(2): from page to page, without a stop in this process.
        case inKernel = "in-kernel"
        /// splice(2), through a pipe.
        case splice
        /// read(2) and write(2), one after the other.
        case readWrite = "read-write"
        /// A channel of an engine, with transfers in flight.
        case engine
        /// This process makes or takes the bytes; no file is concerned.
        case memory
    }

    /// How one side is reached.
    public enum Access: String, Sendable, Codable, CaseIterable {
        /// Past the page cache.
        case direct
        /// Through the page cache.
        case buffered
        /// In order, once.
        case stream
        /// In this process.
        case memory
    }

    /// What becomes of the source's holes.
    public enum Holes: String, Sendable, Codable, CaseIterable {
        /// They are left out, and are holes in the target too.
        case keep
        /// They are written as zeroes.
        case write
        /// There are none to be known of.
        case none
    }

    /// How the target becomes what its name stands for.
    public enum Publishing: String, Sendable, Codable, CaseIterable {
        /// A new file beside it, renamed when it is whole.
        case rename
        /// The same, under a name that an interrupted copy is found by.
        case resume
        /// The file itself is written.
        case inPlace = "in-place"
        /// Written after its end; a failed copy is truncated again.
        case append
        /// A device or a stream is written, and there is no going back.
        case none
    }

    /// Of the format.
    package var version = Self.currentVersion
    /// What moves the bytes.
    public var path = Path.engine
    /// Which engine, by its name in `dmactl list`; empty where none is used.
    public var engine = ""
    /// Bytes of one transfer.
    public var chunk: UInt64 = 1 << 20
    /// Transfers in flight.
    public var depth = 8
    /// How the source is reached.
    public var source = Access.buffered
    /// How the target is reached.
    public var target = Access.buffered
    /// Whether the blocks are registered with the engine where it can, so that their pages are pinned once.
    package var registered = false
    /// Where the bytes stop on the way: "pool" for blocks of this process's memory, "none".
    package var staging = "pool"
    /// How turns are taken.
    public var mode = CopyMode.burst
    /// Of the time at work; 1 but in ``CopyMode/cycleStealing``.
    public var share = 1.0
    /// What becomes of holes.
    public var holes = Holes.none
    /// When blocks are shared.
    public var reflink = ReflinkChoice.auto
    /// Whether room for the data is taken before it is written.
    package var preallocates = false
    /// Whether the CRC32C of what moves is counted on the way.
    package var checksums = false
    /// Whether the target is read back and compared.
    public var verifies = false
    /// Whether the medium is waited for.
    public var flushes = true
    /// How the target becomes what its name stands for.
    public var publishing = Publishing.rename
    /// Why, by the name of the choice.
    package var reasons: [String: String] = [:]

    /// The defaults, for a planner to change.
    package init() {}

    /// Refuses what no copy could follow.
    ///
    /// - Throws: `badPlan`, which names the field.
    package func check() throws(CopyFailure) {
        func refuse(_ field: String, _ value: String, _ possible: String) -> CopyFailure {
            CopyFailure(
                .badPlan, field, asked: "take \(value) as the plan's", possible: "it is \(possible)",
                cure: "change a plan that was made here")
        }
        guard version == Self.currentVersion else {
            throw refuse("version", "\(version)", "version \(Self.currentVersion) of the format")
        }
        guard (512...Self.largestChunk).contains(chunk) else {
            throw refuse("chunk", "\(chunk) bytes", "512 to \(Self.largestChunk)")
        }
        guard (1...Self.largestDepth).contains(depth) else { throw refuse("depth", "\(depth)", "1 to \(Self.largestDepth)") }
        guard chunk * UInt64(depth) <= Self.largestStaging else {
            throw refuse(
                "depth", "\(depth) transfers of \(ByteSize.text(chunk))", "\(ByteSize.text(Self.largestStaging)) in flight")
        }
        guard share > 0, share <= 1 else { throw refuse("share", "\(share)", "above 0 and at most 1") }
        guard engine.utf8.count <= 64 else { throw refuse("engine", "a name of \(engine.utf8.count) bytes", "64 bytes") }
        guard path == .engine || engine.isEmpty else {
            throw refuse("engine", "\"\(engine)\" with the path \(path.rawValue)", "an engine with the path engine alone")
        }
        let untouched = path == .reflink || path == .inKernel || path == .splice
        guard !(untouched && checksums) else {
            throw refuse("checksums", "a CRC with the path \(path.rawValue)", "one of bytes that this process sees")
        }
        guard !(publishing == .resume && !checksums) else {
            throw refuse("checksums", "to resume without a CRC", "resuming what can be compared")
        }
        guard staging == "pool" || staging == "none" else { throw refuse("staging", "\"\(staging)\"", "pool or none") }
        guard reasons.count <= 64, reasons.allSatisfy({ $0.key.utf8.count <= 64 && $0.value.utf8.count <= 1024 }) else {
            throw refuse("reasons", "\(reasons.count) reasons", "64, of 1024 bytes each")
        }
    }
}

extension CopyPlan {
    /// Says beside the engine why its device may be used without an IOMMU.
    mutating func tell(_ waiver: String?) {
        guard let waiver else { return }
        reasons["engine"] = String("\(reasons["engine"] ?? ""); \(waiver)".prefix(256))
    }

    /// One choice, as `--explain` prints it.
    public struct Choice: Equatable, Sendable {
        /// Which choice.
        public let name: String
        /// What was chosen.
        public let value: String
        /// Why.
        public let reason: String
    }

    /// Every choice with its value and its reason, in the order of importance.
    public var choices: [Choice] {
        func yes(_ value: Bool) -> String { value ? "yes" : "no" }
        let all: [(String, String)] = [
            ("path", path.rawValue), ("engine", engine.isEmpty ? "none" : engine), ("source", source.rawValue),
            ("target", target.rawValue), ("chunk", ByteSize.text(chunk)), ("depth", String(depth)),
            ("registered", yes(registered)), ("staging", staging),
            ("mode", mode == .cycleStealing ? "\(mode.rawValue):\(share)" : mode.rawValue), ("holes", holes.rawValue),
            ("reflink", reflink.rawValue), ("preallocates", yes(preallocates)), ("checksums", yes(checksums)),
            ("verifies", yes(verifies)), ("flushes", yes(flushes)), ("publishing", publishing.rawValue),
        ]
        return all.map { Choice(name: $0.0, value: $0.1, reason: reasons[$0.0] ?? "") }
    }
}
