// SPDX-License-Identifier: Apache-2.0

import DMAEngineKit
import Testing

@testable import DMACore

/// Reports of an engine below a wrapper, and which of them are accepted.
@Suite("Descriptors in flight below a wrapper")
struct InFlightTableTests {
    private func table(depth: Int = 4, tagBits: Int = 16) throws -> InFlightTable {
        var capabilities = Capabilities(name: "e", depth: depth)
        capabilities.tagBits = tagBits
        return try InFlightTable(capabilities)
    }

    private func entry(_ tag: UInt32, count: UInt64 = 100, isCyclic: Bool = false, isPiece: Bool = true) -> InFlightTable.Item {
        InFlightTable.Item(tag: tag, count: count, isCyclic: isCyclic, isPiece: isPiece)
    }

    /// Enters one and issues it; returns its tag below.
    private func start(_ table: inout InFlightTable, _ entry: InFlightTable.Item) throws -> UInt32 {
        let next = table.nextTag()
        let tag = try #require(next)
        table.enter(entry)
        table.issue()
        return tag
    }

    @Test("each completion counts once, under its own tag")
    func once() throws {
        var table = try table()
        let tag = try start(&table, entry(7))
        #expect(table.settle(Completion(tag: tag)) == .over(entry(7), status: .complete, residue: 0))
        #expect(table.settle(Completion(tag: tag)) == .refused)
        #expect(table.faults.notInFlight == 1 && table.count == 0)
        let next = try start(&table, entry(7))
        #expect(next != tag)
        // The same slot's tag of an earlier generation, and one that was never assigned.
        #expect(table.settle(Completion(tag: tag)) == .refused)
        #expect(table.settle(Completion(tag: next ^ 0x8000)) == .refused)
        #expect(table.settle(Completion(tag: next ^ 1)) == .refused)
        #expect(table.faults.notInFlight == 4)
        #expect(table.settle(Completion(tag: 1 << 16 | next)) == .refused)
        #expect(table.faults.unknownTag == 1)
        #expect(table.settle(Completion(tag: next)) == .over(entry(7), status: .complete, residue: 0))
    }

    @Test("no tag is reused before its generation wraps")
    func generations() throws {
        var table = try table(depth: 3)
        var seen: Set<UInt32> = []
        for round in 0..<20_000 as Range<UInt32> {
            let tag = try start(&table, entry(round))
            #expect(seen.insert(tag & 0xffff).inserted)
            _ = table.settle(Completion(tag: tag & 0xffff))
        }
        #expect(table.count == 0 && table.faults.total == 0)
    }

    @Test("an engine gets no more bits than it returns, however many pieces there were")
    func bits() throws {
        var table = try table(depth: 3)
        for round in 0..<70_000 as Range<UInt32> {
            let tag = try start(&table, entry(round))
            guard tag <= 0xffff, table.settle(Completion(tag: tag)) != .refused else {
                Issue.record("tag \(tag) in round \(round)")
                return
            }
        }
    }

    @Test("nothing ends before it was issued")
    func beforeIssue() throws {
        var table = try table()
        let next = table.nextTag()
        let tag = try #require(next)
        table.enter(entry(1))
        #expect(table.settle(Completion(tag: tag)) == .refused && table.faults.beforeIssue == 1)
        table.issue()
        #expect(table.settle(Completion(tag: tag)) != .refused)
    }

    @Test("invalid status and residue are corrected", arguments: [UInt8(1), 2, 3, 99, 200, 255])
    func statuses(_ status: UInt8) throws {
        var table = try table()
        let tag = try start(&table, entry(1))
        var completion = Completion(tag: tag, residue: .max)
        completion.status = status
        #expect(table.settle(completion) == .over(entry(1), status: .failed, residue: 100))
        #expect(table.faults.badStatus == 1 && table.faults.badResidue == 1)
    }

    @Test("only cyclic descriptors have periods")
    func periods() throws {
        var table = try table()
        let plain = try start(&table, entry(1))
        let cyclic = try start(&table, entry(2, isCyclic: true))
        #expect(table.settle(Completion(tag: plain, isPeriod: true)) == .refused && table.faults.badStatus == 1)
        #expect(table.settle(Completion(tag: cyclic, isPeriod: true)) == .period(entry(2, isCyclic: true)))
        #expect(table.count == 2)
    }

    @Test("at most the depth, and each in a slot of its own")
    func full() throws {
        var table = try table(depth: 3)
        var low: Set<UInt32> = []
        for tag in 0..<3 as Range<UInt32> { low.insert(try start(&table, entry(tag)) & 3) }
        #expect(low.count == 3 && table.nextTag() == nil)
        table.clear()
        #expect(table.nextTag() != nil && table.count == 0 && table.wholes == 0)
    }

    @Test("tags in flight when the engine quiesced are refused later")
    func cleared() throws {
        var table = try table()
        let tag = try start(&table, entry(1))
        table.clear()
        #expect(table.settle(Completion(tag: tag)) == .refused)
        let whole = try start(&table, entry(9, isPiece: false))
        #expect(table.settle(Completion(tag: tag)) == .refused && table.wholes == 1)
        #expect(table.whole(9)?.tag == whole && table.whole(1) == nil)
    }

    @Test("inconsistent capabilities are refused, as in a channel")
    func contradictions() throws {
        func code(_ change: (inout Capabilities) -> Void) -> DMAError.Code? {
            var capabilities = Capabilities(name: "e", depth: 4)
            change(&capabilities)
            do throws(DMAError) {
                _ = try InFlightTable(capabilities)
                return nil
            } catch { return error.code }
        }
        for depth in [Int.min, -1, 0, 32_769, .max] { #expect(code { $0.depth = depth } == .badConfiguration) }
        for bits in [Int.min, -1, 0, 15, 33, .max] { #expect(code { $0.tagBits = bits } == .badConfiguration) }
        for alignment in [0, 3, UInt64.max] { #expect(code { $0.alignment = alignment } == .badConfiguration) }
        for depth in [1, 2, 32_768] { #expect(code { $0.depth = depth } == nil) }
    }
}
