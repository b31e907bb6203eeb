// SPDX-License-Identifier: Apache-2.0
import DMAConformance
import Testing

/// The oracle alone: a correct image passes, and each of the four corruptions is identified.
@Suite("Oracle")
struct OracleTests {
    let source = 40..<140
    let target = 70..<170

    func copied(_ oracle: Oracle) -> [UInt8] {
        let from = oracle.sourceImage(count: 256, marked: source)
        var to = oracle.destinationImage(count: 256, marked: target)
        to.replaceSubrange(target, with: from[source])
        return to
    }

    func judge(_ oracle: Oracle, _ image: [UInt8]) -> OracleFinding? {
        // Bytes have no padding, so that reading their span raw reads nothing else. Likewise below.
        unsafe oracle.judgeCopy(image.span.bytes, source: source, target: target)
    }

    func judgeSource(_ image: [UInt8], before: [UInt8]) -> OracleFinding? {
        unsafe Oracle.judgeSource(image.span.bytes, before: before)
    }

    @Test("the pattern equals dmatest's without a salt")
    func pattern() {
        let oracle = Oracle()
        let from = oracle.sourceImage(count: 256, marked: source)
        #expect(from[0] == 0x80 | 0x1f)
        #expect(from[33] == 0x80 | 0x1e)
        #expect(from[40] == 0x80 | 0x40 | (~40 & 0x1f))
        let to = oracle.destinationImage(count: 256, marked: target)
        #expect(to[69] == ~69 & 0x1f)
        #expect(to[70] == 0x20 | ~70 & 0x1f)
        #expect(to[170] == ~170 & 0x1f)
    }

    @Test("a right copy passes", arguments: [0, 1, 0xdead_beef] as [UInt64])
    func right(salt: UInt64) { #expect(judge(Oracle(salt: salt), copied(Oracle(salt: salt))) == nil) }

    @Test("every single corrupted byte is found and classified", arguments: 0..<256)
    func eachByte(offset: Int) {
        let oracle = Oracle(salt: 7)
        var image = copied(oracle)
        image[offset] ^= 0x15
        let finding = judge(oracle, image)
        #expect(finding?.total == 1)
        #expect(finding?.first.first?.offset == offset)
        #expect(finding?.first.first?.fault == (target.contains(offset) ? .mismatch : .copiedOutside))
    }

    @Test("missing bytes are not copied, with the total and the first eight")
    func notCopied() {
        let oracle = Oracle(salt: 7)
        var image = copied(oracle)
        image.replaceSubrange(150..<170, with: oracle.destinationImage(count: 256, marked: target)[150..<170])
        let finding = judge(oracle, image)
        #expect(finding?.notCopied == 20)
        #expect(finding?.total == 20)
        #expect(finding?.first.count == OracleFinding.shown)
        #expect(finding?.description.contains("not copied: 20 bytes") == true)
        #expect(finding?.description.contains("and 12 more") == true)
    }

    @Test("a copy that goes too far is copied outside")
    func outside() {
        let oracle = Oracle(salt: 7)
        var image = copied(oracle)
        image.replaceSubrange(170..<173, with: oracle.sourceImage(count: 256, marked: source)[140..<143])
        #expect(judge(oracle, image)?.copiedOutside == 3)
    }

    @Test("a source that changed is overwritten")
    func sourceOverwritten() {
        let oracle = Oracle(salt: 7)
        let before = oracle.sourceImage(count: 256, marked: source)
        var after = before
        #expect(judgeSource(after, before: before) == nil)
        after[3] = 0x20
        let finding = judgeSource(after, before: before)
        #expect(finding?.sourceOverwritten == 1)
        #expect(finding?.first.first?.fault == .sourceOverwritten)
    }

    @Test("a salt detects data moved by whole lines, which dmatest's counter does not")
    func lineShift() {
        for (salt, seen) in [(0, false), (0x1234, true)] as [(UInt64, Bool)] {
            let oracle = Oracle(salt: salt)
            var image = copied(oracle)
            let middle = Array(image[70..<102])
            image.replaceSubrange(70..<102, with: image[102..<134])
            image.replaceSubrange(102..<134, with: middle)
            #expect((judge(oracle, image) != nil) == seen)
        }
    }

    @Test("a truncated destination is not taken for correct")
    func shorter() {
        let image = [UInt8](repeating: 0xaa, count: 10)
        let expected = [UInt8](repeating: 0xaa, count: 12)
        let finding = unsafe Oracle.judgeDestination(image.span.bytes, before: image, expected: expected, written: [0..<12])
        #expect(finding?.total == 2)
    }
}

/// The byte-wise models against published values.
@Suite("Byte-wise models")
struct ByteModelTests {
    @Test("CRC32C: the check values of RFC 3720, B.4")
    func crc() {
        #expect(ByteModels.crc32c(Array("123456789".utf8)) == 0xe306_9283)
        #expect(ByteModels.crc32c([UInt8](repeating: 0, count: 32)) == 0x8a91_36aa)
        #expect(ByteModels.crc32c([UInt8](repeating: 0xff, count: 32)) == 0x62a8_ab43)
        #expect(ByteModels.crc32c(0..<32) == 0x46dd_794e)
        #expect(ByteModels.crc32c(Array("6789".utf8), seed: ByteModels.crc32c(Array("12345".utf8))) == 0xe306_9283)
    }

    @Test("GF(2⁸) by 0x11d: g is a generator, and its powers are those of RAID-6")
    func field() {
        #expect(ByteModels.multiply(0x80, 2) == 0x1d)
        #expect(ByteModels.multiply(0x8e, 2) == 1)
        var power: UInt8 = 1
        var seen = Set<UInt8>()
        for _ in 0..<255 {
            seen.insert(power)
            power = ByteModels.multiply(power, 2)
        }
        #expect(power == 1)
        #expect(seen.count == 255)
    }

    @Test("P and Q recover two lost sources")
    func recovery() {
        // H. P. Anvin, "The mathematics of RAID-6", section 4: D_x from P, Q, and what is left.
        let data: [[UInt8]] = [[0x11, 0xa5], [0x22, 0x5a], [0x47, 0xff]]
        let p = ByteModels.xor(data)
        let q = ByteModels.q(data, coefficients: [1, 2, 4])
        #expect(ByteModels.xor([p] + data) == [0, 0])
        for index in 0..<2 {
            let partialP = p[index] ^ data[2][index]
            let partialQ = q[index] ^ ByteModels.multiply(4, data[2][index])
            // a + b = partialP and a + 2b = partialQ, so 3b = partialP + partialQ.
            let inverse = (1...255).map(UInt8.init).first { ByteModels.multiply($0, 3) == 1 } ?? 0
            let b = ByteModels.multiply(inverse, partialP ^ partialQ)
            #expect(b == data[1][index])
            #expect(partialP ^ b == data[0][index])
        }
    }

    @Test("fill starts with the pattern's first byte, least significant byte first")
    func fill() {
        #expect(ByteModels.fill(count: 10, pattern: 0x0807_0605_0403_0201) == [1, 2, 3, 4, 5, 6, 7, 8, 1, 2])
    }
}
