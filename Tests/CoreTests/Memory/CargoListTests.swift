// SPDX-License-Identifier: Apache-2.0
import Synchronization
import Testing

@testable import DMACore

@Suite("Cargo lists")
struct CargoListTests {
    @Test("the regions of many cargoes, one after the other")
    func regions() throws {
        let domain = Domain(name: "cargo")
        var list = CargoList<MappedBuffer>(capacity: 3)
        for count in [100, 200, 300] {
            let kept = list.append(try Buffer(count: count).mapped(for: domain, direction: .toDevice)) == nil
            #expect(kept)
        }
        if let refused = list.append(try Buffer(count: 1).mapped(for: domain, direction: .toDevice)) {
            #expect(refused.count == 1)
        } else {
            Issue.record("no room, but accepted")
        }
        #expect(list.regionCount == 3)
        #expect([0, 1, 2].map { list.ranges[$0].count } == [100, 200, 300])
        #expect(list.range(at: 3) == nil)
        #expect(list.range(at: -1) == nil)
        _ = consume list
        #expect(domain.statistics.mappings == 0)
        try domain.close()
    }

    @Test("an array of noncopyable values: each element ends once")
    func fixedArray() throws {
        let counter = BufferTests.Counter()
        struct Token: ~Copyable {
            let counter: BufferTests.Counter
            let number: Int
            deinit { counter.value.add(1, ordering: .relaxed) }
        }
        do {
            var array = FixedArray<Token>(capacity: 3)
            for number in 0..<3 { _ = array.append(Token(counter: counter, number: number)) }
            #expect(counter.value.load(ordering: .relaxed) == 0)
            _ = array.append(Token(counter: counter, number: 9))
            #expect(counter.value.load(ordering: .relaxed) == 1, "refused and ended")
            if let second = array.remove(at: 1) { #expect(second.number == 1) } else { Issue.record("lost") }
            #expect(array.count == 2)
            let last = array.withElement(at: 1) { $0.number }
            #expect(last == 2)
            #expect(array.withElement(at: 2) { $0.number } == nil)
            let gone = array.remove(at: 5) == nil
            #expect(gone)
        }
        #expect(counter.value.load(ordering: .relaxed) == 4)
        let empty = FixedArray<Token>(capacity: -1)
        #expect(empty.capacity == 0)
    }
}
