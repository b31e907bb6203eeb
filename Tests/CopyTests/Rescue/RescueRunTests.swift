// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Testing

@testable import DMACopy

/// A source by script: which sectors cannot be read, how often, and what was asked for.
private struct ScriptedMedium: RescueMedium {
    /// Bytes that answer errors, and how many reads of them still do.
    var bad: [UInt64: Int] = [:]
    var requests: [Range<UInt64>] = []
    /// Bytes that were copied.
    var copied: Set<UInt64> = []
    /// Whether what precedes an error in a request is copied.
    var isPartial = false
    /// The request that ends the rescue.
    var last = Int.max

    mutating func copy(_ range: Range<UInt64>) throws(CopyFailure) -> UInt64 {
        guard requests.count < last else { throw .writing("target", at: range.lowerBound, errno: 28) }
        requests.append(range)
        for place in range where bad[place, default: 0] > 0 {
            bad[place, default: 0] -= 1
            let end = isPartial ? place : range.lowerBound
            copied.formUnion(range.lowerBound..<end)
            return end - range.lowerBound
        }
        copied.formUnion(range)
        return UInt64(range.count)
    }
}

@Suite("The phases of a rescue, of a source by script")
struct RescueRunTests {
    private let block: UInt64 = 16

    /// Runs with sectors of 2 bytes and blocks of 16.
    private func run(
        _ medium: ScriptedMedium, _ map: RescueMap, retries: Int = 0
    ) throws(CopyFailure) -> (medium: ScriptedMedium, map: RescueMap, seen: [RescueMap]) {
        var seen: [RescueMap] = []
        var run = RescueRun(medium, map, RescueRun<ScriptedMedium>.Sizes(block: block, sector: 2, retries: retries)) {
            seen.append($0)
        }
        do throws(CopyFailure) { try run.run() } catch {
            #expect(error.code == .noSpace)
            return (run.medium, run.map, seen)
        }
        return (run.medium, run.map, seen)
    }

    private func medium(_ bad: some Sequence<UInt64>, times: Int = .max) -> ScriptedMedium {
        ScriptedMedium(bad: Dictionary(uniqueKeysWithValues: bad.map { ($0, times) }))
    }

    @Test("a whole source is read once, in blocks, forwards")
    func whole() throws {
        let ran = try run(medium([]), RescueMap(size: 100))
        #expect(ran.medium.requests == stride(from: 0, to: 100, by: 16).map { $0..<min($0 + 16, 100) })
        #expect(ran.map.isWhole && ran.map.position.phase == .finished && ran.medium.copied == Set(0..<100))
    }

    @Test(
        "after an error the first pass skips ahead, twice as far each time; the second comes back; the third leaves nothing untried"
    )
    func skipping() throws {
        // Of a large source, so that the distance may grow: a hundredth of it at most.
        let size: UInt64 = 16_384
        let ran = try run(medium((32..<256).lazy.map { $0 }), RescueMap(size: size))
        let first = ran.seen.prefix { $0.position.pass == 1 }.map(\.position.offset)
        #expect(first.prefix(5) == [0, 16, 32, 64, 112])
        // Failed at 32, 64 and 112, skipped 16, 32 and 64 bytes; 192 is in the bad area as well, and 128 are skipped.
        #expect(Array(first.prefix(7).dropFirst(5)) == [192, 336])
        let second = ran.seen.filter { $0.position.phase == .copying && $0.position.pass == 2 }.map(\.position.offset)
        #expect(second.first == 336 && second == second.sorted(by: >))
        let copying = ran.seen.filter { $0.position.phase == .copying }
        #expect(copying.last?.bytes(.untried) == 0 && copying.last?.position.pass == 3)
        #expect(ran.map.bytes(.bad) == 224 && ran.map.missingAreas == 1 && ran.map.bytes(.rescued) == size - 224)
    }

    @Test("a failed block is trimmed from both edges to its first bad sectors, and scraped between them")
    func trimming() throws {
        // Sectors 4…5 and 10…11 of the block are bad.
        let ran = try run(medium([4, 10]), RescueMap(size: 16))
        #expect(ran.medium.requests == [0..<16, 0..<2, 2..<4, 4..<6, 14..<16, 12..<14, 10..<12, 6..<8, 8..<10])
        #expect(ran.seen.map(\.position.phase) == [.copying] + Array(repeating: .trimming, count: 6) + [.scraping, .scraping])
        #expect(ran.seen[0].all.map(\.state) == [.untrimmed])
        #expect(ran.seen[3].all.map(\.state) == [.rescued, .bad, .untrimmed])
        #expect(ran.seen[7].all.map(\.state) == [.rescued, .bad, .rescued, .unscraped, .bad, .rescued])
        #expect(ran.map.all.map(\.range) == [0..<4, 4..<6, 6..<10, 10..<12, 12..<16])
        #expect(ran.medium.copied == Set(0..<16).subtracting([4, 5, 10, 11]))
    }

    @Test("each sector of a failed block is read once more, and no more")
    func once() throws {
        var random = Seeded("once")
        for _ in 0..<50 {
            let size = UInt64.random(in: 1...300, using: &random)
            let bad = Set((0..<8).map { _ in UInt64.random(in: 0..<size, using: &random) })
            let ran = try run(medium(bad), RescueMap(size: size))
            var small: [UInt64: Int] = [:]
            for request in ran.medium.requests where request.count <= 2 { small[request.lowerBound, default: 0] += 1 }
            #expect(small.values.allSatisfy { $0 <= 1 }, "\(bad) of \(size)")
            #expect(ran.map.bytes(.rescued) + ran.map.bytes(.bad) == size)
            #expect(ran.medium.copied == Set(ran.map.all.filter { $0.state == .rescued }.flatMap { Array($0.range) }))
            // Whole sectors are lost, and no others.
            let lost = Set(bad.flatMap { [$0 & ~1, $0 | 1] }.filter { $0 < size })
            #expect(Set(ran.map.all.filter { $0.state == .bad }.flatMap { Array($0.range) }) == lost, "\(bad) of \(size)")
        }
    }

    @Test("what a failed request brought counts, and is not read again")
    func partial() throws {
        var partial = medium([8])
        partial.isPartial = true
        let ran = try run(partial, RescueMap(size: 16))
        #expect(ran.seen[0].all.map(\.range) == [0..<8, 8..<16] && ran.seen[0].all.map(\.state) == [.rescued, .untrimmed])
        #expect(ran.medium.requests[1] == 8..<10)
    }

    @Test("bad sectors are retried as often as asked, each once in a pass, in alternating directions")
    func retrying() throws {
        // Read once in the block, once alone, and then failing twice more.
        let bad: [UInt64: Int] = [4: 4, 10: 5, 12: .max]
        let first = try run(ScriptedMedium(bad: bad), RescueMap(size: 16), retries: 3)
        let retries = first.seen.filter { $0.position.phase == .retrying }
        #expect(retries.map(\.position.pass) == Array([1, 1, 1, 2, 2, 2, 3, 3, 3].prefix(retries.count)))
        #expect(retries.prefix(6).map(\.position.offset) == [4, 10, 12, 14, 12, 6])
        #expect(first.map.state(at: 4) == .rescued && first.map.state(at: 12) == .bad)
        #expect(try run(ScriptedMedium(bad: bad), RescueMap(size: 16)).seen.allSatisfy { $0.position.phase != .retrying })
        // None are left: the passes end.
        let second = try run(ScriptedMedium(bad: [4: 3]), RescueMap(size: 16), retries: 9)
        #expect(second.map.isWhole && second.seen.count { $0.position.phase == .retrying } == 2)
    }

    @Test("a rescue that is ended at any request continues where it was, and comes to the same end")
    func resumed() throws {
        let bad: [UInt64] = [4, 10, 33, 34, 35, 36, 80, 81, 82, 83, 84, 85, 90]
        let whole = try run(medium(bad), RescueMap(size: 100), retries: 2)
        for last in 0..<whole.medium.requests.count {
            var ended = medium(bad)
            ended.last = last
            let before = try run(ended, RescueMap(size: 100), retries: 2)
            #expect(before.medium.requests.count == last)
            // Through the file, as a new process would.
            let map = try #require(try? RescueMap.parse(before.map.text()))
            let after = try run(medium(bad), map, retries: 2)
            #expect(after.map == whole.map, "ended at \(last)")
            #expect(before.medium.copied.isDisjoint(with: after.medium.copied))
            #expect(before.medium.copied.union(after.medium.copied) == whole.medium.copied)
        }
    }

    @Test("areas of every state that a map has are taken up in the order of the phases")
    func mixed() throws {
        var map = RescueMap(size: 64)
        for (range, state) in [
            (UInt64(0)..<16, RescueMap.State.bad), (16..<32, .unscraped), (32..<48, .untrimmed), (48..<64, .untried),
        ] { map.mark(range, state) }
        map.position = RescueMap.Position(offset: 0, phase: .retrying, pass: 1)
        let ran = try run(medium([]), map, retries: 1)
        #expect(ran.medium.requests.first == 48..<64 && ran.map.isWhole)
        let phases = ran.seen.map(\.position.phase)
        #expect(phases == phases.sorted { order($0) < order($1) } && Set(phases).count == 4)
    }

    private func order(_ phase: RescueMap.Phase) -> Int { RescueMap.Phase.allCases.firstIndex(of: phase) ?? 9 }
}
