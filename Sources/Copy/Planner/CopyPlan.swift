// SPDX-License-Identifier: Apache-2.0

internal import DMAUnits

/// How a copy is to be done: every choice, and why. A value that can be printed, kept in a file and passed to the copier again.
///
/// A plan from a file is not trusted: the copier refuses values out of range, and a plan that does not suit the endpoints.
public struct CopyPlan: Equatable, Sendable, Codable {
    /// Version of the format: raised when a field changes its meaning or is removed.
    package static let currentVersion = 1
    /// Bytes of the largest transfer.
    package static let largestChunk: UInt64 = 64 << 20
    /// Transfers in flight at most.
    package static let largestDepth = 256
    /// Bytes of memory that the transfers in flight take together, at most.
    package static let largestStaging: UInt64 = 1 << 30

    /// What transfers the data.
    public enum Path: String, Sendable, Codable, CaseIterable {
        /// The files share their blocks: FICLONE.
        case reflink
        /// copy_file_range(2): the data does not pass through this process.
        case inKernel = "in-kernel"
        /// splice(2), through a pipe.
        case splice
        /// read(2) and write(2) in turn.
        case readWrite = "read-write"
        /// A channel of an engine, with several transfers in flight.
        case engine
        /// Both ends are in this process; no file is read or written.
        case memory
    }

    /// How one side is accessed.
    public enum Access: String, Sendable, Codable, CaseIterable {
        /// Direct I/O, without the page cache.
        case direct
        /// Through the page cache.
        case buffered
        /// In order, once: it cannot be positioned.
        case stream
        /// In this process.
        case memory
    }

    /// How the source's holes are treated.
    public enum Holes: String, Sendable, Codable, CaseIterable {
        /// They are skipped, and are holes in the target too.
        case keep
        /// They are written as zeros.
        case write
        /// The source has none, or does not report them.
        case none
    }

    /// How the new data becomes the target.
    public enum Publishing: String, Sendable, Codable, CaseIterable {
        /// A new file in the same directory is renamed over it when it is complete.
        case rename
        /// The same, under a fixed name by which an interrupted copy is found again.
        case resume
        /// The file itself is overwritten.
        case inPlace = "in-place"
        /// Data is written after its end; a failed copy is truncated again.
        case append
        /// A device or a stream is written directly, and cannot be restored.
        case none
    }

    /// Version of the format.
    package var version = Self.currentVersion
    /// What transfers the data.
    public var path = Path.engine
    /// The engine, by its name in `dmactl list`; empty where none is used.
    public var engine = ""
    /// Bytes of one transfer.
    public var chunk: UInt64 = 1 << 20
    /// Transfers in flight.
    public var depth = 8
    /// How the source is accessed.
    public var source = Access.buffered
    /// How the target is accessed.
    public var target = Access.buffered
    /// Whether the blocks are registered with the engine where it supports it, so that their pages are pinned once.
    package var registered = false
    /// Where the data is held between read and write: "pool" for blocks of this process's memory, "none".
    package var staging = "pool"
    /// How the copy shares the processor and the disk.
    public var mode = CopyMode.burst
    /// The share of the time that the copy is active; 1 except in ``CopyMode/cycleStealing``.
    public var share = 1.0
    /// How holes are treated.
    public var holes = Holes.none
    /// When blocks are shared.
    public var reflink = ReflinkChoice.auto
    /// Whether space for the data is allocated before it is written.
    package var preallocates = false
    /// Whether the CRC32C of the data is computed during the copy.
    package var checksums = false
    /// Whether the target is read back and compared.
    public var verifies = false
    /// Whether the copy waits until the medium has the data.
    public var flushes = true
    /// How the new data becomes the target.
    public var publishing = Publishing.rename
    /// The reasons, by the name of the choice.
    package var reasons: [String: String] = [:]

    /// The defaults.
    package init() {}

    /// Refuses values that no copy could follow.
    ///
    /// - Throws: `badPlan`, which names the field.
    package func check() throws(CopyFailure) {
        func refuse(_ field: String, _ value: String, _ possible: String) -> CopyFailure {
            CopyFailure(
                .badPlan, field, asked: "use \(value) as the plan's", possible: "it must be \(possible)",
                cure: "Start from a plan that was made here.")
        }
        guard version == Self.currentVersion else {
            throw refuse("version", "\(version)", "version \(Self.currentVersion) of the format")
        }
        guard (512...Self.largestChunk).contains(chunk) else {
            throw refuse("chunk", "\(chunk) bytes", "from 512 to \(Self.largestChunk)")
        }
        guard (1...Self.largestDepth).contains(depth) else {
            throw refuse("depth", "\(depth)", "from 1 to \(Self.largestDepth)")
        }
        guard chunk * UInt64(depth) <= Self.largestStaging else {
            throw refuse(
                "depth", "\(depth) transfers of \(ByteSize.text(chunk))",
                "at most \(ByteSize.text(Self.largestStaging)) in flight")
        }
        guard share > 0, share <= 1 else { throw refuse("share", "\(share)", "above 0 and at most 1") }
        guard engine.utf8.count <= 64 else {
            throw refuse("engine", "a name of \(engine.utf8.count) bytes", "at most 64 bytes")
        }
        guard path == .engine || engine.isEmpty else {
            throw refuse("engine", "\"\(engine)\" with the path \(path.rawValue)", "empty, unless the path is engine")
        }
        let untouched = path == .reflink || path == .inKernel || path == .splice
        guard !(untouched && checksums) else {
            throw refuse(
                "checksums", "a CRC with the path \(path.rawValue)", "off, because the data does not pass through this process")
        }
        guard !(publishing == .resume && !checksums) else {
            throw refuse("checksums", "no CRC with resuming", "on, because resumed data is compared")
        }
        guard staging == "pool" || staging == "none" else { throw refuse("staging", "\"\(staging)\"", "pool or none") }
        guard reasons.count <= 64, reasons.allSatisfy({ $0.key.utf8.count <= 64 && $0.value.utf8.count <= 1024 }) else {
            throw refuse("reasons", "\(reasons.count) reasons", "at most 64, of at most 1024 bytes each")
        }
    }
}

extension CopyPlan {
    /// Adds to the reason for the engine why its device may be used without an IOMMU.
    mutating func tell(_ waiver: String?) {
        guard let waiver else { return }
        reasons["engine"] = String("\(reasons["engine"] ?? ""); \(waiver)".prefix(256))
    }

    /// One choice of a plan.
    public struct Choice: Equatable, Sendable {
        /// The name of the choice.
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
