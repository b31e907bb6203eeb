// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Testing

@testable import DMACopy

@Suite("The pattern stream, and CRCs put together")
struct PatternTests {
    private func made(_ stream: PatternStream, _ offset: UInt64, _ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        unsafe bytes.withUnsafeMutableBytes { buffer in
            var span = unsafe MutableRawSpan(_unsafeBytes: buffer)
            stream.fill(&span, at: offset)
        }
        return bytes
    }

    @Test("any part is what the whole has there, whatever its offset and length")
    func parts() {
        let stream = PatternStream(seed: 9)
        let whole = made(stream, 0, 20_000)
        var random = Seeded("pattern")
        for _ in 0..<500 {
            let offset = Int.random(in: 0..<whole.count, using: &random)
            let count = Int.random(in: 0...(whole.count - offset), using: &random)
            #expect(made(stream, UInt64(offset), count) == Array(whole[offset..<(offset + count)]), "\(offset) \(count)")
        }
        #expect((0..<200).allSatisfy { stream.byte(at: UInt64($0)) == whole[$0] })
    }

    @Test("seeds and places give other bytes, evenly")
    func spread() {
        let one = made(PatternStream(seed: 1), 0, 65_536)
        let other = made(PatternStream(seed: 2), 0, 65_536)
        let shifted = made(PatternStream(seed: 1), 4096, 65_536)
        func same(_ a: [UInt8], _ b: [UInt8]) -> Int { zip(a, b).count { $0 == $1 } }
        // By chance one byte in 256 agrees.
        for count in [same(one, other), same(one, shifted)] { #expect(count > 128 && count < 512, "\(count)") }
        var counts = [Int](repeating: 0, count: 256)
        for byte in one { counts[Int(byte)] += 1 }
        #expect(counts.allSatisfy { $0 > 160 && $0 < 360 })
    }

    @Test("the first wrong byte is found, at every place")
    func mismatch() {
        let stream = PatternStream(seed: 3)
        var random = Seeded("mismatch")
        for _ in 0..<300 {
            let offset = UInt64.random(in: 0..<(1 << 40), using: &random)
            var bytes = made(stream, offset, Int.random(in: 1..<9000, using: &random))
            #expect(unsafe stream.firstMismatch(in: bytes.span.bytes, at: offset) == nil)
            let place = Int.random(in: 0..<bytes.count, using: &random)
            bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            #expect(unsafe stream.firstMismatch(in: bytes.span.bytes, at: offset) == place)
        }
    }

    @Test("CRC32C: the check value, pieces in a row, and holes")
    func joining() {
        let digits = Array("123456789".utf8)
        #expect(unsafe CRC32C.of(digits.span.bytes) == 0xe306_9283)
        var random = Seeded("crc")
        for _ in 0..<200 {
            let a = random.bytes(Int.random(in: 0..<3000, using: &random))
            let b = random.bytes(Int.random(in: 0..<3000, using: &random))
            let zeros = [UInt8](repeating: 0, count: Int.random(in: 0..<5000, using: &random))
            let whole = a + zeros + b
            let expected = unsafe CRC32C.of(whole.span.bytes)
            let first = CRC32C.joining(
                unsafe CRC32C.of(a.span.bytes), CRC32C.ofZeros(UInt64(zeros.count)), count: UInt64(zeros.count))
            #expect(CRC32C.joining(first, unsafe CRC32C.of(b.span.bytes), count: UInt64(b.count)) == expected)
        }
    }

    @Test("pieces that are finished in any order give the CRC and the place of the row")
    func order() {
        var random = Seeded("order")
        let bytes = random.bytes(10_000)
        var order = MoverOrder(from: 0, crc: 0, counts: true)
        var cuts = [0, 10_000] + (0..<20).map { _ in Int.random(in: 0...10_000, using: &random) }
        cuts = Array(Set(cuts)).sorted()
        let ranges = zip(cuts, cuts.dropFirst()).map { $0..<$1 }
        for (number, range) in ranges.enumerated() {
            order.read(
                UInt64(number), UInt64(range.lowerBound)..<UInt64(range.upperBound),
                crc: unsafe CRC32C.of(Array(bytes[range]).span.bytes))
        }
        for number in ranges.indices.shuffled(using: &random) {
            order.written(UInt64(number))
            #expect(order.done <= 10_000)
        }
        let expected = unsafe CRC32C.of(bytes.span.bytes)
        #expect(order.done == 10_000 && order.crc == expected)
    }
}
