// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import DMACore
import DMATestSupport
import Testing

/// XOR and PQ through the channel with each implementation on this machine: aligned and not, whole and with a remainder.
@Suite("Lists by every kernel")
struct ListPathTests {
    /// `members` places of one arena, `count` bytes each; on multiples of 64, or at odd addresses.
    private static func arena(_ members: Int, _ count: Int, isAligned: Bool, _ random: inout Seeded) throws -> Arena {
        let stride = (count + 127) / 64 * 64
        let cuts = (0..<members).map { index -> Range<Int> in
            let start = index * stride + (isAligned ? 0 : 1 + index)
            return start..<start + count
        }
        return try Arena(members * stride + 64, cuts, &random)
    }

    private static func channel(_ setup: Setup, _ change: (inout Kernels) -> Void) throws -> Channel<CPUEngine, Arena> {
        var configuration = setup.configuration
        change(&configuration.kernels)
        return try Channel<CPUEngine, Arena>.make(configuration)
    }

    private static let counts = [1, 31, 32, 64, 100, 4096, 4096 + 37, 20_000]

    @Test("XOR", arguments: KernelWork.xor.paths, [Setup.inline, .workers])
    func xor(path: KernelPath, setup: Setup) throws {
        var random = Seeded("xor lists")
        var channel = try Self.channel(setup) { $0.xor = path }
        for count in Self.counts {
            for (sources, isAligned) in [(1, true), (2, true), (2, false), (7, true), (31, false)] {
                var arena = try Self.arena(sources + 1, count, isAligned: isAligned, &random)
                for byte in 0..<count {
                    arena.model[arena.cuts[sources].lowerBound + byte] = (0..<sources).reduce(0) { sum, source in
                        sum ^ arena.model[arena.cuts[source].lowerBound + byte]
                    }
                }
                let finished = try channel.run(.xor(sources: 0..<UInt16(sources), to: UInt16(sources)), arena)
                check(
                    finished.status == .complete && finished.cargo.difference == nil,
                    "\(path), \(sources) × \(count), \(isAligned)")
            }
        }
    }

    @Test("P and Q, with the coefficients of RAID-6 and with others", arguments: KernelWork.pq.paths, [Setup.inline, .workers])
    func pq(path: KernelPath, setup: Setup) throws {
        var random = Seeded("pq lists")
        var channel = try Self.channel(setup) { $0.pq = path }
        var values = SIMD32<UInt8>()
        for index in 0..<32 { values[index] = UInt8(truncatingIfNeeded: random.next()) }
        let others = Coefficients(values: values)
        let variants: [(Coefficients, DescriptorFlags)] = [
            (.raid6, []), (others, []), (.raid6, .disableP), (.raid6, .disableQ), (others, .continue),
        ]
        for count in Self.counts {
            for (sources, isAligned) in [(1, true), (4, true), (4, false), (13, true)] {
                for (coefficients, flags) in variants {
                    var arena = try Self.arena(sources + 2, count, isAligned: isAligned, &random)
                    let (p, q) = (arena.cuts[sources].lowerBound, arena.cuts[sources + 1].lowerBound)
                    let keeps = flags.contains(.continue)
                    for byte in 0..<count {
                        var (sumP, sumQ): (UInt8, UInt8) = keeps ? (arena.model[p + byte], arena.model[q + byte]) : (0, 0)
                        for source in 0..<sources {
                            let value = arena.model[arena.cuts[source].lowerBound + byte]
                            sumP ^= value
                            sumQ ^= KernelTests.multiply(coefficients.values[source], value)
                        }
                        if !flags.contains(.disableP) { arena.model[p + byte] = sumP }
                        if !flags.contains(.disableQ) { arena.model[q + byte] = sumQ }
                    }
                    let operation = Operation.pq(
                        sources: 0..<UInt16(sources), p: UInt16(sources), coefficients: coefficients, flags: flags)
                    let finished = try channel.run(operation, arena)
                    check(
                        finished.status == .complete && finished.cargo.difference == nil,
                        "\(path), \(sources) × \(count), \(isAligned), \(flags)")
                }
            }
        }
    }
}
