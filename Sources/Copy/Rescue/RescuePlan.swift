// SPDX-License-Identifier: Apache-2.0

internal import DMAUnits

/// How a rescue is to be done: what the map says so far, and how the source is read.
public struct RescuePlan: Equatable, Sendable, Codable {
    /// Bytes of the source.
    public var size: UInt64 = 0
    /// Whether the map was there before: the rescue continues an earlier one.
    public var isResumed = false
    /// Bytes that the map says are at the target.
    public var rescued: UInt64 = 0
    /// Bytes that no read has asked for so far.
    public var untried: UInt64 = 0
    /// Bytes of bad sectors.
    public var bad: UInt64 = 0
    /// Bytes of failed blocks whose sectors have not been read one by one.
    public var failed: UInt64 = 0
    /// How the source is read: ``CopyPlan/Access/direct`` or ``CopyPlan/Access/buffered``.
    public var source = CopyPlan.Access.buffered
    /// Bytes of a request while undamaged parts are read.
    public var block: UInt64 = Self.usualBlock
    /// Bytes of the smallest request.
    public var sector: UInt64 = 512
    /// How often bad sectors are read again.
    public var retries = 0
    /// Why, by the name of the choice.
    package var reasons: [String: String] = [:]

    /// Large enough that a disk reads at its full rate, small enough that a failed request covers little. Bytes.
    static let usualBlock: UInt64 = 256 << 10
    /// Passes over bad sectors at most.
    static let mostRetries = 10_000

    init() {}

    /// Every choice with its value and its reason, in the order of importance.
    public var choices: [CopyPlan.Choice] {
        let all: [(String, String)] = [
            ("path", "rescue"), ("map", isResumed ? "continued" : "new"), ("size", ByteSize.text(size)),
            ("rescued", ByteSize.text(rescued)), ("untried", ByteSize.text(untried)), ("failed", ByteSize.text(failed)),
            ("bad", ByteSize.text(bad)), ("source", source.rawValue), ("target", CopyPlan.Access.buffered.rawValue),
            ("chunk", ByteSize.text(block)), ("sector", ByteSize.text(sector)), ("retries", String(retries)),
            ("publishing", CopyPlan.Publishing.inPlace.rawValue),
        ]
        return all.map { CopyPlan.Choice(name: $0.0, value: $0.1, reason: reasons[$0.0] ?? "") }
    }
}

extension RescuePlan {
    /// The plan for a source of `size` bytes and the map that was found.
    ///
    /// - Parameters:
    ///   - alignment: what direct I/O requires of positions and lengths in the source; 0 where there is none.
    ///   - page: the kernel's page. Bytes.
    init(size: UInt64, _ map: RescueMap?, alignment: UInt32, page: UInt64, retries: Int, chunk: UInt64?) {
        self.init()
        let state = map ?? RescueMap(size: size)
        (self.size, isResumed, self.retries) = (size, map != nil, retries)
        (rescued, untried, bad) = (state.bytes(.rescued), state.bytes(.untried), state.bytes(.bad))
        failed = state.bytes(.untrimmed) + state.bytes(.unscraped)
        let isDirect = alignment > 0 && alignment <= 65_536 && alignment & (alignment - 1) == 0
        source = isDirect ? .direct : .buffered
        sector = isDirect ? max(512, UInt64(alignment)) : page
        block = max(chunk ?? Self.usualBlock, sector) & ~(sector - 1)
        reasons = [
            "path":
                "reads undamaged parts first, then trims, scrapes and retries the damaged ones (the phases of GNU ddrescue)",
            "map": isResumed
                ? "areas that it gives as rescued are not read again" : "made by this rescue, in GNU ddrescue's format",
            "size": "of the source", "rescued": "at the target already", "untried": "read first, in blocks of the chunk's size",
            "failed": "a block that includes them could not be read: trimmed and scraped sector by sector",
            "bad": retries > 0 ? "read again after everything else" : "not read again: no retries were requested",
            "source": isDirect
                ? "no read-ahead, and no page that a bad sector spoils for its neighbours"
                : "direct I/O is not available here",
            "target": "flushed each time before the map is saved",
            "chunk": chunk == nil ? "keeps a disk at its full rate, and loses little to one bad sector" : "requested",
            "sector": isDirect ? "what direct I/O reads at least" : "what the page cache reads at least",
            "retries": retries > 0 ? "requested" : "none requested",
            "publishing": "each run adds to the target: what could not be read keeps the bytes that the target has there",
        ]
    }
}
