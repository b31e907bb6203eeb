// SPDX-License-Identifier: Apache-2.0

/// Where the transfers of one lane go in its part of a file, one after the other: each place once, then from the beginning.
struct PlaceWalk: Sendable {
    /// The part's first byte, and the bytes of a transfer.
    let base: Int
    let bytes: Int
    /// Transfers that the part holds; 1 or more.
    let places: Int
    /// Distinguishes what one measurement writes from what others wrote there.
    let salt: UInt64
    private let isRandom: Bool
    private let bits: Int
    private var index = 0
    /// Steps so far.
    private(set) var steps = 0

    init(base: Int, bytes: Int, places: Int, access: BenchSettings.Access, salt: UInt64) {
        self.base = base
        self.bytes = bytes
        self.places = places
        self.salt = salt
        isRandom = access == .random
        bits = max(Int.bitWidth - (places - 1).leadingZeroBitCount, 1)
    }

    /// The next place: bytes from the file's beginning.
    @inline(__always)
    mutating func step() -> Int {
        let position = position(index)
        index = index + 1 < places ? index + 1 : 0
        steps += 1
        return position
    }

    /// The place of one step, counted from 0; below ``places``.
    @inline(__always)
    func position(_ step: Int) -> Int { base + (isRandom ? shuffled(step) : step) * bytes }

    /// A permutation of the numbers below `places`, without a table: one of the next power of two, followed until it comes back below.
    private func shuffled(_ step: Int) -> Int {
        let mask = UInt64(1) << UInt64(bits) - 1
        let half = UInt64(max(bits / 2, 1))
        var value = UInt64(step)
        repeat {
            value = (value &* 0x9e37_79b9_7f4a_7c15 &+ 0x2545_f491) & mask
            value ^= value >> half
            value = (value &* 0xbf58_476d_1ce4_e5b9 &+ 0x1234_5677) & mask
            value ^= value >> half
        } while value >= UInt64(places)
        return Int(value)
    }

    // MARK: What is written

    /// Fills a block with what all of this measurement's blocks hold.
    func fill(_ block: inout MutableRawSpan) { FilePattern.fill(&block, from: 0, salt: salt) }

    /// Makes a filled block the one of `position`.
    @inline(__always)
    func mark(_ block: inout MutableRawSpan, _ position: Int) {
        let value = FilePattern.word(UInt64(position), ~salt).littleEndian
        guard bytes >= 8 else {
            for offset in 0..<bytes {
                block.storeBytes(
                    of: UInt8(truncatingIfNeeded: value >> UInt64(offset * 8)), toByteOffset: offset, as: UInt8.self)
            }
            return
        }
        block.storeBytes(of: value, toByteOffset: 0, as: UInt64.self)
        if bytes >= 16 { block.storeBytes(of: ~value, toByteOffset: bytes / 8 * 8 - 8, as: UInt64.self) }
    }
}
