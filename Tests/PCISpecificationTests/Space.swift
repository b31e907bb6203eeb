// SPDX-License-Identifier: Apache-2.0

import DMAPCISpecification

/// A configuration space that a test writes, and that a function may answer from.
final class Space: ConfigurationReader {
    var bytes: [UInt8]
    /// Bits that a write can change, by offset of their 32 bits; none where it is not named.
    var writable: [Int: UInt32] = [:]
    var reads = 0

    init(_ count: Int = 4096) {
        bytes = [UInt8](repeating: 0, count: count)
        put(0x11e8_1234, 0)
    }

    var count: Int { bytes.count }

    func word(at offset: Int) -> UInt32 {
        reads += 1
        return (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << UInt32(8 * $1) }
    }

    func put(_ value: UInt32, _ offset: Int) {
        for byte in 0..<4 { bytes[offset + byte] = UInt8(truncatingIfNeeded: value >> UInt32(8 * byte)) }
    }

    func put16(_ value: UInt16, _ offset: Int) {
        bytes[offset] = UInt8(truncatingIfNeeded: value)
        bytes[offset + 1] = UInt8(truncatingIfNeeded: value >> 8)
    }

    /// As the function itself takes a write.
    func write(_ offset: Int, _ value: UInt32) {
        let mask = writable[offset] ?? 0
        put(word(at: offset) & ~mask | value & mask, offset)
    }

    /// A list of capabilities: identity, offset.
    func list(_ entries: [(UInt8, UInt8)]) {
        bytes[6] |= 0x10
        var last = 0x34
        for (id, offset) in entries {
            bytes[last] = offset
            bytes[Int(offset)] = id
            last = Int(offset) + 1
        }
        bytes[last] = 0
    }

    /// A list of extended capabilities: identity, offset.
    func extendedList(_ entries: [(UInt16, Int)]) {
        for (number, entry) in entries.enumerated() {
            let next = number + 1 < entries.count ? entries[number + 1].1 : 0
            put(UInt32(entry.0) | 1 << 16 | UInt32(next) << 20, entry.1)
        }
    }
}
