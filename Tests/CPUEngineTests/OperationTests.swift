// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import DMACore
import DMAEngineKit
import DMATestSupport
import Testing

/// Every operation through a channel, inline and by workers, against a model.
@Suite("Operations of the CPU engine")
struct OperationTests {
    static func length(_ random: inout Seeded) -> Int {
        switch Int.random(in: 0..<6, using: &random) {
        case 0: Int.random(in: 1..<64, using: &random)
        case 1...3: Int.random(in: 1..<5000, using: &random)
        default: Int.random(in: 1..<100_000, using: &random)
        }
    }

    @Test("copy", arguments: Setup.allCases)
    func copy(setup: Setup) throws {
        var random = Seeded("op copy")
        var channel = try Channel<CPUEngine, Arena>.make(setup.configuration)
        for _ in 0..<40 {
            let count = Self.length(&random)
            var arena = try Arena([count, count], &random)
            arena.model.replaceSubrange(arena.cuts[1], with: arena.model[arena.cuts[0]])
            let finished = try channel.run(.copy(), arena)
            #expect(finished.status == .complete && finished.residue == 0)
            #expect(finished.cargo.difference == nil)
        }
        #expect(channel.faults.total == 0)
    }

    @Test("fill with a pattern, least significant byte first", arguments: Setup.allCases)
    func fill(setup: Setup) throws {
        var random = Seeded("op fill")
        var channel = try Channel<CPUEngine, Arena>.make(setup.configuration)
        for _ in 0..<40 {
            let count = Self.length(&random)
            var arena = try Arena([count], &random)
            let pattern = random.next()
            for (index, place) in arena.cuts[0].enumerated() {
                arena.model[place] = UInt8(truncatingIfNeeded: pattern >> UInt64(index % 8 * 8))
            }
            let finished = try channel.run(.fill(pattern: pattern), arena)
            #expect(finished.status == .complete)
            #expect(finished.cargo.difference == nil)
        }
    }

    @Test("CRC32C with a seed, alone and with a copy", arguments: Setup.allCases)
    func crc(setup: Setup) throws {
        var random = Seeded("op crc")
        var channel = try Channel<CPUEngine, Arena>.make(setup.configuration)
        for round in 0..<30 {
            let count = Self.length(&random)
            var arena = try Arena([count, count], &random)
            let seed = round % 3 == 0 ? 0 : UInt32(truncatingIfNeeded: random.next())
            let expected = KernelTests.model(arena.model[arena.cuts[0]], continuing: seed)
            let first = try channel.run(.crc32c(count: count, seed: seed), arena)
            #expect(first.value == UInt64(expected))
            arena = first.takeCargo()
            #expect(arena.difference == nil)
            arena.model.replaceSubrange(arena.cuts[1], with: arena.model[arena.cuts[0]])
            let second = try channel.run(.copyCRC32C(seed: seed), arena)
            #expect(second.value == UInt64(expected))
            #expect(second.cargo.difference == nil)
        }
    }

    @Test("rule 27: XOR, in place, continued; and whether sources XOR to zero", arguments: Setup.allCases)
    func rule27_xor(setup: Setup) throws {
        var random = Seeded("op xor")
        var channel = try Channel<CPUEngine, Arena>.make(setup.configuration)
        for round in 0..<24 {
            let n = Int.random(in: 2...16, using: &random)
            let count = Self.length(&random) / 4 + 1
            var arena = try Arena(Array(repeating: count, count: n + 1), &random)
            let target = round % 3 == 0 ? n - 1 : n
            let continues = round % 3 == 1
            for k in 0..<count {
                var sum: UInt8 = continues ? arena.model[arena.cuts[n].lowerBound + k] : 0
                for source in 0..<n { sum ^= arena.model[arena.cuts[source].lowerBound + k] }
                arena.model[arena.cuts[target].lowerBound + k] = sum
            }
            let operation = Operation.xor(
                sources: 0..<UInt16(n), to: UInt16(target), flags: continues ? .continue : [])
            let finished = try channel.run(operation, arena)
            #expect(finished.status == .complete)
            #expect(finished.cargo.difference == nil, "\(n) sources, \(count) bytes")
            guard round % 3 == 2 else { continue }
            let right = try channel.run(.xorValidate(sources: 0..<UInt16(n + 1)), finished.takeCargo())
            #expect(right.validation == [])
            let wrong = try channel.run(.xorValidate(sources: 0..<UInt16(n)), right.takeCargo())
            #expect(wrong.validation == .pFailed)
        }
    }

    @Test("rule 27: PQ with continue and without P or Q; the validation distinguishes P from Q", arguments: Setup.allCases)
    func rule27_pq(setup: Setup) throws {
        var random = Seeded("op pq")
        var channel = try Channel<CPUEngine, Arena>.make(setup.configuration)
        let flags: [DescriptorFlags] = [[], .disableP, .disableQ, .continue, [.continue, .disableP]]
        for round in 0..<20 {
            let flag = flags[round % flags.count]
            let n = Int.random(in: 1...10, using: &random)
            let count = Self.length(&random) / 4 + 1
            var arena = try Arena(Array(repeating: count, count: n + 2), &random)
            var weights = Coefficients.raid6
            if round % 2 == 0 { for k in 0..<32 { weights.values[k] = UInt8(truncatingIfNeeded: random.next()) } }
            let products = (0..<n).map { KernelTests.products(weights.values[$0]) }
            let (p, q) = (arena.cuts[n].lowerBound, arena.cuts[n + 1].lowerBound)
            for k in 0..<count {
                var (sumP, sumQ): (UInt8, UInt8) = flag.contains(.continue) ? (arena.model[p + k], arena.model[q + k]) : (0, 0)
                for source in 0..<n {
                    let byte = arena.model[arena.cuts[source].lowerBound + k]
                    sumP ^= byte
                    sumQ ^= products[source][Int(byte)]
                }
                if !flag.contains(.disableP) { arena.model[p + k] = sumP }
                if !flag.contains(.disableQ) { arena.model[q + k] = sumQ }
            }
            let made = try channel.run(.pq(sources: 0..<UInt16(n), p: UInt16(n), coefficients: weights, flags: flag), arena)
            #expect(made.status == .complete)
            #expect(made.cargo.difference == nil, "\(n) sources, \(count) bytes, flags \(flag)")
            guard flag == [] else { continue }
            let check = Operation.pqValidate(sources: 0..<UInt16(n), p: UInt16(n), coefficients: weights)
            let right = try channel.run(check, made.takeCargo())
            #expect(right.validation == [])
            // Only Q is corrupted, then both.
            let spoilQ = Operation.fill(UInt16(n + 1), count: 1, pattern: ~UInt64(right.cargo.model[q]))
            var broken = try channel.run(spoilQ, right.takeCargo())
            broken = try channel.run(check, broken.takeCargo())
            #expect(broken.validation == .qFailed)
            broken = try channel.run(.fill(UInt16(n), count: 1, pattern: ~UInt64(broken.cargo.model[p])), broken.takeCargo())
            broken = try channel.run(check, broken.takeCargo())
            #expect(broken.validation == [.pFailed, .qFailed])
            var withoutP = check
            withoutP.flags = .disableP
            broken = try channel.run(withoutP, broken.takeCargo())
            #expect(broken.validation == .qFailed)
        }
    }

    @Test("memory scatter-gather between lists with different segments", arguments: Setup.allCases)
    func scatterGather(setup: Setup) throws {
        var random = Seeded("op sg")
        var channel = try Channel<CPUEngine, Arena>.make(setup.configuration)
        for _ in 0..<30 {
            let total = Self.length(&random) + 20
            func cut() -> [Int] {
                let cuts = (0..<Int.random(in: 0..<12, using: &random)).map { _ in Int.random(in: 1..<total, using: &random) }
                let ends = Set(cuts).sorted() + [total]
                return zip(ends, [0] + ends).map { $0 - $1 }
            }
            let (sources, targets) = (cut(), cut())
            var arena = try Arena(sources + targets, &random)
            let from = arena.cuts[..<sources.count].flatMap { Array($0) }
            let to = arena.cuts[sources.count...].flatMap { Array($0) }
            for (a, b) in zip(from, to) { arena.model[b] = arena.model[a] }
            let finished = try channel.run(
                .scatterGather(
                    from: 0..<UInt16(sources.count), to: UInt16(sources.count)..<UInt16(sources.count + targets.count)), arena)
            #expect(finished.status == .complete)
            #expect(finished.cargo.difference == nil, "\(sources) to \(targets)")
        }
    }

    @Test("rule 23: frames with gaps, and sides that do not advance", arguments: Setup.allCases)
    func rule23_interleaved(setup: Setup) throws {
        var random = Seeded("op interleaved")
        var channel = try Channel<CPUEngine, Arena>.make(setup.configuration)
        for round in 0..<30 {
            var template = InterleavedTemplate(
                frames: .random(in: 1..<60, using: &random), chunk: .random(in: 1..<700, using: &random),
                sourceGap: .random(in: 0..<50, using: &random), destinationGap: .random(in: 0..<50, using: &random))
            if round % 5 == 1 { template.sourceIncrements = false }
            if round % 5 == 2 { template.destinationIncrements = false }
            if round % 5 == 3 { template.sourceScatters = false }
            func extent(_ stride: UInt64) -> Int { Int(UInt64(template.frames - 1) * stride + UInt64(template.chunk)) }
            var arena = try Arena([extent(template.sourceStride), extent(template.destinationStride)], &random)
            let before = arena.model
            for frame in 0..<Int(template.frames) {
                for k in 0..<Int(template.chunk) {
                    arena.model[arena.cuts[1].lowerBound + frame * Int(template.destinationStride) + k] =
                        before[arena.cuts[0].lowerBound + frame * Int(template.sourceStride) + k]
                }
            }
            let finished = try channel.run(.interleaved(template: template), arena)
            #expect(finished.status == .complete)
            #expect(finished.cargo.difference == nil, "\(template)")
        }
    }

    @Test("a queue full of different operations, many times", arguments: Setup.allCases)
    func mixture(setup: Setup) throws {
        var random = Seeded("op mixture")
        var channel = try Channel<CPUEngine, Arena>.make(setup.configuration)
        var done = 0
        var submitted = 0
        let deadline = Deadline.after(milliseconds: 20_000)
        while done < 400, Deadline.now < deadline {
            while submitted < 400, channel.inFlight < 32 {
                let count = Int.random(in: 1..<12_000, using: &random)
                var arena = try Arena([count, count, count], &random)
                let flags: DescriptorFlags = [[], .interrupt, .fence, []][submitted % 4]
                let operation: Operation
                switch submitted % 3 {
                case 0:
                    arena.model.replaceSubrange(arena.cuts[1], with: arena.model[arena.cuts[0]])
                    operation = .copy(flags: flags)
                case 1:
                    for place in arena.cuts[2] { arena.model[place] = 0x5a }
                    operation = .fill(2, pattern: 0x5a5a_5a5a_5a5a_5a5a, flags: flags)
                default:
                    let (a, b, c) = (arena.cuts[0].lowerBound, arena.cuts[1].lowerBound, arena.cuts[2].lowerBound)
                    for k in 0..<count { arena.model[c + k] = arena.model[a + k] ^ arena.model[b + k] }
                    operation = .xor(sources: 0..<2, to: 2, flags: flags)
                }
                switch channel.submit(operation, arena) {
                case .queued: submitted += 1
                case .refused(let error, _): throw error
                }
            }
            channel.issuePending()
            while let finished = channel.next() {
                #expect(finished.status == .complete)
                #expect(finished.cargo.difference == nil)
                done += 1
            }
        }
        #expect(done == 400)
        #expect(channel.faults.total == 0, "\(channel.faults)")
    }
}
