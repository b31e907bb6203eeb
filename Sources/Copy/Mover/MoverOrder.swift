// SPDX-License-Identifier: Apache-2.0

/// Puts completions back into the order of the reads: the end of what is done without a gap, and the CRC up to there.
struct MoverOrder {
    private struct ReadRange {
        var range: Range<UInt64>
        var crc: UInt32
        var isDone = false
    }

    private let counts: Bool
    private var pieces: [UInt64: ReadRange] = [:]
    private var first: UInt64 = 0
    /// Everything in the source before this offset is at the target, holes counted.
    private(set) var done: UInt64
    /// CRC32C of the source up to `done`, where it is computed.
    private(set) var crc: UInt32
    /// Pieces that start here or later are dropped.
    private var wall = UInt64.max

    /// - Parameters:
    ///   - start: where the copy starts in the source.
    ///   - crc: of what precedes.
    ///   - counts: whether CRCs are computed.
    init(from start: UInt64, crc: UInt32, counts: Bool) {
        done = start
        self.crc = crc
        self.counts = counts
    }

    /// A piece was read.
    mutating func read(_ sequence: UInt64, _ range: Range<UInt64>, crc: UInt32) {
        pieces[sequence] = ReadRange(range: range, crc: crc)
    }

    /// A piece was written to the target.
    mutating func written(_ sequence: UInt64) {
        pieces[sequence]?.isDone = true
        while let piece = pieces[first], piece.isDone, piece.range.lowerBound < wall {
            advance(to: piece.range.lowerBound)
            if counts { crc = CRC32C.joining(crc, piece.crc, count: UInt64(piece.range.count)) }
            done = piece.range.upperBound
            pieces[first] = nil
            first += 1
        }
    }

    /// The source ends at `place`, before its reported size.
    mutating func end(at place: UInt64) { wall = min(wall, place) }

    /// Whether a piece that starts at `place` lies after the end.
    func isBehindEnd(_ place: UInt64) -> Bool { place >= wall }

    /// A hole, or nothing more, up to `place`.
    mutating func advance(to place: UInt64) {
        guard place > done else { return }
        if counts { crc = CRC32C.joining(crc, CRC32C.ofZeros(place - done), count: place - done) }
        done = place
    }
}
