// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMACPUEngine
import DMACore
import DMADeviceSide
import DMAEngineKit
import DMAIOATEngine
import DMAIOATModel
import DMAInProcessAccess
import DMATestSupport
import Testing

@Suite("I/OAT: the operations, byte for byte")
struct OperationTests {
    /// Descriptors of the model take 4 KiB at most: longer transfers take several.
    private static let sizes = [1, 2, 3, 7, 8, 63, 64, 100, 4095, 4096, 4097, 8191, 8192, 8193, 16_384]

    @Test("copies of many sizes", arguments: [false, true])
    func copies(_ threaded: Bool) throws {
        let rig = try Rig(IOATModel(transferBits: 12), pace: threaded ? .threaded : .stepped)
        let engine = try rig.engine()
        let domain = engine.domain
        #expect((engine.interruptLine != nil) == threaded)
        var channel = try IOATChannelUnderTest(engine, domain: domain)
        var random = Seeded("ioat copies")
        for size in Self.sizes {
            let ended = try channel.copy(size, &random, for: domain)
            #expect(ended.isRight, "\(size) bytes: \(ended)")
        }
        #expect(rig.device.function.violations == [])
        // And the one that it begins with.
        #expect(rig.model.descriptors == UInt64(1 + Self.sizes.reduce(0) { $0 + ($1 + 4095) / 4096 }))
        #expect(channel.faults.total == 0)
    }

    @Test("fills, with a pattern across descriptors")
    func fills() throws {
        let rig = try Rig(IOATModel(transferBits: 12))
        let engine = try rig.engine()
        let domain = engine.domain
        var channel = try IOATChannelUnderTest(engine, domain: domain)
        var random = Seeded("ioat fills")
        for size in Self.sizes {
            var arena = try Arena([size], &random, for: domain)
            let pattern = random.next()
            for (index, place) in arena.cuts[0].enumerated() {
                arena.model[place] = UInt8(truncatingIfNeeded: pattern >> UInt64(index % 8 * 8))
            }
            let ended = try channel.run(.fill(pattern: pattern), arena)
            #expect(ended.isRight, "\(size) bytes: \(ended)")
        }
        #expect(rig.device.function.violations == [])
    }

    @Test("XOR of 1 to 8 sources, in place, continued", arguments: 1...8)
    func xor(_ sources: Int) throws {
        let rig = try Rig(IOATModel(transferBits: 12))
        let engine = try rig.engine()
        let domain = engine.domain
        var channel = try IOATChannelUnderTest(engine, domain: domain)
        var random = Seeded("ioat xor")
        for (count, continues, inPlace) in [
            (1, false, false), (100, false, false), (5000, false, false), (5000, true, false), (700, false, true),
        ] where !continues || sources < 8 {
            var arena = try Arena(Array(repeating: count, count: sources + 1), &random, for: domain)
            let target = inPlace ? sources - 1 : sources
            for place in 0..<count {
                var sum = continues ? arena.model[arena.cuts[target].lowerBound + place] : 0
                for source in 0..<sources { sum ^= arena.model[arena.cuts[source].lowerBound + place] }
                arena.model[arena.cuts[target].lowerBound + place] = sum
            }
            let ended = try channel.run(
                .xor(sources: 0..<UInt16(sources), to: UInt16(target), flags: continues ? .continue : []), arena)
            #expect(ended.isRight, "\(sources) sources of \(count) bytes: \(ended)")
        }
        #expect(rig.device.function.violations == [])
    }

    @Test("validation of an XOR: right, and wrong in any descriptor of it", arguments: 1...8)
    func xorValidation(_ sources: Int) throws {
        let rig = try Rig(IOATModel(transferBits: 12))
        let engine = try rig.engine()
        let domain = engine.domain
        var channel = try IOATChannelUnderTest(engine, domain: domain)
        var random = Seeded("ioat xor validation")
        let count = 10_000
        for wrong in [nil, 0, 5000, 9999] as [Int?] {
            var image = try Arena(Array(repeating: count, count: sources), &random, for: domain)
            for place in 0..<count {
                var sum: UInt8 = 0
                for source in 1..<sources { sum ^= image.model[image.cuts[source].lowerBound + place] }
                image.model[image.cuts[0].lowerBound + place] = sum
            }
            if let wrong { image.model[image.cuts[sources - 1].lowerBound + wrong] ^= 0x40 }
            // Mapped anew, with these contents.
            let arena = try Arena(image.model, image.cuts, for: domain)
            let ended = try channel.run(.xorValidate(sources: 0..<UInt16(sources)), arena)
            #expect(ended.isRight, "\(ended)")
            #expect(ended.value == (wrong == nil ? 0 : 1), "\(sources) sources, wrong at \(String(describing: wrong))")
            let copied = try channel.copy(100, &random, for: domain)
            #expect(copied.isRight)
        }
        #expect(rig.device.function.violations == [])
        #expect(channel.figure("channelResets") == 0)
    }

    @Test("P and Q of 1 to 8 sources, each alone, continued", arguments: 1...8)
    func pq(_ sources: Int) throws {
        let rig = try Rig(IOATModel(transferBits: 12))
        let engine = try rig.engine()
        let domain = engine.domain
        var channel = try IOATChannelUnderTest(engine, domain: domain)
        var random = Seeded("ioat pq")
        let coefficients = Coefficients(values: SIMD32((0..<32).map { _ in UInt8(truncatingIfNeeded: random.next()) }))
        for flags in [[], .disableP, .disableQ, .continue, [.continue, .disableP], [.continue, .disableQ]] as [DescriptorFlags]
        where !flags.contains(.continue) || sources < 8 {
            let count = Int.random(in: 1...9000, using: &random)
            var arena = try Arena(Array(repeating: count, count: sources + 2), &random, for: domain)
            let (p, q) = Galois.parity(arena, sources: 0..<sources, coefficients.values)
            for (region, sums, off) in [(sources, p, DescriptorFlags.disableP), (sources + 1, q, .disableQ)]
            where !flags.contains(off) {
                for (place, byte) in sums.enumerated() {
                    let at = arena.cuts[region].lowerBound + place
                    arena.model[at] = flags.contains(.continue) ? arena.model[at] ^ byte : byte
                }
            }
            let operation = Operation.pq(
                sources: 0..<UInt16(sources), p: UInt16(sources), coefficients: coefficients, flags: flags)
            let ended = try channel.run(operation, arena)
            #expect(ended.isRight, "\(sources) sources of \(count) bytes, \(flags): \(ended)")
        }
        #expect(rig.device.function.violations == [])
    }

    @Test("validation of P and Q: right, P wrong, Q wrong, both; in any descriptor", arguments: [1, 2, 3, 4, 8])
    func pqValidation(_ sources: Int) throws {
        let rig = try Rig(IOATModel(transferBits: 12))
        let engine = try rig.engine()
        let domain = engine.domain
        var channel = try IOATChannelUnderTest(engine, domain: domain)
        var random = Seeded("ioat pq validation")
        let count = 9000
        for (wrongP, wrongQ, flags) in [
            (false, false, []), (true, false, []), (false, true, []), (true, true, []), (true, true, .disableP),
            (true, true, .disableQ),
        ] as [(Bool, Bool, DescriptorFlags)] {
            var image = try Arena(Array(repeating: count, count: sources + 2), &random, for: domain)
            let (p, q) = Galois.parity(image, sources: 0..<sources, Coefficients.raid6.values)
            image.model.replaceSubrange(image.cuts[sources], with: p)
            image.model.replaceSubrange(image.cuts[sources + 1], with: q)
            // In the first descriptor, and in the last.
            if wrongP { image.model[image.cuts[sources].lowerBound + 10] ^= 1 }
            if wrongQ { image.model[image.cuts[sources + 1].upperBound - 1] ^= 1 }
            let arena = try Arena(image.model, image.cuts, for: domain)
            let ended = try channel.run(
                .pqValidate(sources: 0..<UInt16(sources), p: UInt16(sources), coefficients: .raid6, flags: flags), arena)
            #expect(ended.isRight, "\(ended)")
            let expected: UInt64 = (wrongP && flags != .disableP ? 1 : 0) | (wrongQ && flags != .disableQ ? 2 : 0)
            #expect(ended.value == expected, "\(sources) sources, \(flags)")
        }
        #expect(rig.device.function.violations == [])
    }

    @Test("Q as ISA-L computes it, with the coefficients of RAID-6", .enabled(if: KernelWork.pq.paths.contains(.isal)))
    func isal() throws {
        let rig = try Rig()
        let engine = try rig.engine()
        let domain = engine.domain
        var channel = try IOATChannelUnderTest(engine, domain: domain)
        var random = Seeded("ioat isal")
        let kernels = Kernels(
            stream: .portable, fill: .portable, xor: .isal, pq: .isal, crc32c: .portable, streamThreshold: .max)
        for sources in 2...8 {
            let count = 4096
            var arena = try Arena(Array(repeating: count, count: sources + 2), &random, for: domain)
            let bytes = (0..<sources).map { Array(arena.model[arena.cuts[$0]]) }
            let (p, q) = Self.isal(kernels, bytes)
            arena.model.replaceSubrange(arena.cuts[sources], with: p)
            arena.model.replaceSubrange(arena.cuts[sources + 1], with: q)
            let ended = try channel.run(
                .pq(sources: 0..<UInt16(sources), p: UInt16(sources), coefficients: .raid6), arena)
            #expect(ended.isRight, "\(sources) sources: \(ended)")
        }
    }

    private static func isal(_ kernels: Kernels, _ sources: [[UInt8]]) -> (p: [UInt8], q: [UInt8]) {
        let count = sources[0].count
        var (p, q) = ([UInt8](repeating: 0, count: count), [UInt8](repeating: 0, count: count))
        let weights = (0..<sources.count).map { Coefficients.raid6.values[$0] }
        let all = Array(sources.joined())
        // SAFETY: each pointer reaches `count` bytes, and none outlives the call.
        unsafe all.withUnsafeBytes { all in
            let list = unsafe (0..<sources.count).map { unsafe UnsafeRawPointer?(all.baseAddress! + $0 * count) }
            unsafe list.withUnsafeBufferPointer { list in
                unsafe kernels.pq(p: &p, q: &q, from: list, coefficients: weights, count: count, options: [.p, .q])
            }
        }
        return (p, q)
    }

    @Test("a device without parity, and one without fills, offer neither")
    func offers() throws {
        let plain = try Rig(IOATModel(.broadwellDE)).engine().capabilities
        #expect(plain.operations.contains(.fill) && !plain.operations.contains(.xor))
        let noFill = try Rig(IOATModel(.atom, hasFill: false)).engine().capabilities
        #expect(!noFill.operations.contains(.fill) && noFill.operations.contains(.pq))
        #expect(noFill.implementation == "Intel I/OAT 3.3")
    }
}
