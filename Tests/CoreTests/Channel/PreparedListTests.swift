// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAEngineKit
import Testing

/// Lends the regions of a cargo, without their list.
struct WithoutList<Base: Cargo & ~Copyable>: ~Copyable, Cargo {
    let base: Base
    var regionCount: Int { base.regionCount }
    @_lifetime(borrow self)
    func region(at index: Int) -> Region { base.region(at: index) }
}

/// Forwards the list too.
struct WithList<Base: Cargo & ~Copyable>: ~Copyable, Cargo {
    let base: Base
    var regionCount: Int { base.regionCount }
    @_lifetime(borrow self)
    func region(at index: Int) -> Region { base.region(at: index) }
    var regionList: RegionList {
        @_lifetime(borrow self) get { base.regionList }
    }
}

/// Reports any number of regions, and has one.
struct Boaster: ~Copyable, Cargo {
    let base: MappedBuffer
    let regionCount: Int
    @_lifetime(borrow self)
    func region(at index: Int) -> Region { base.region(at: index) }
}

/// Operand lists that were checked when they were made: with them a channel accepts and refuses exactly what it does region by
/// region.
@Suite("Prepared operand lists")
struct PreparedListTests {
    private static let kinds: OperationSet = [.copy, .fill, .xor, .xorValidate, .pq, .pqValidate, .scatterGather, .peripheral]

    /// The descriptor that an engine received, as comparable words; or the reason of a refusal.
    private struct Answer: Equatable, CustomStringConvertible {
        var operands: [Segment] = []
        var words: [UInt64] = []
        var refusal: DMAError.Code?
        var description: String { "\(refusal.map { "\($0)" } ?? "accepted") \(words) \(operands)" }
    }

    private func answer<C: Cargo & ~Copyable>(
        _ operation: Operation, _ cargo: consuming C, _ domain: Domain, alignment: UInt64, maximumCount: UInt64
    ) throws -> Answer {
        // Addresses relative to the first region: each answer has memory of its own.
        let base = cargo.ranges.first?.start.rawValue ?? 0
        func relative(_ segment: Segment) -> Segment {
            segment.address == 0 ? segment : Segment(address: segment.address &- base, count: segment.count)
        }
        var engine = ScriptedEngine(Self.kinds)
        engine.capabilities.alignment = alignment
        engine.capabilities.maximumSources = 6
        engine.capabilities.maximumSegments = 6
        engine.capabilities.maximumCount = maximumCount
        engine.capabilities.flags = [.continue, .disableP, .disableQ]
        var channel = try Channel(engine, domain: domain, of: C.self)
        switch channel.submit(operation, cargo) {
        case .refused(let error, _): return Answer(refusal: error.code)
        case .queued:
            return channel.withEngine { engine in
                guard let last = engine.descriptors.last else { return Answer() }
                var answer = Answer()
                answer.words = [
                    UInt64(last.kind.rawValue), UInt64(last.flags.rawValue), last.count, last.value, UInt64(last.sourceCount),
                    UInt64(last.destinationCount), last.detail[0], last.detail[3],
                ]
                for index in 0..<Int(last.sourceCount) { answer.operands.append(relative(last.sourceSegment(index))) }
                for index in 0..<Int(last.destinationCount) { answer.operands.append(relative(last.destinationSegment(index))) }
                return answer
            }
        }
    }

    /// Regions of a cargo's list. A separate function: a lent list borrows its owner to the end of the function.
    private func listed<C: Cargo & ~Copyable>(_ cargo: borrowing C) -> Int { cargo.regionList.count }

    /// Operations of every kind over a few regions, valid and invalid ones.
    private var operations: [Operation] {
        var operations: [Operation] = []
        let ranges: [Range<UInt16>] = [0..<0, 0..<1, 0..<2, 0..<3, 1..<3, 2..<6, 0..<7, 5..<9, 3..<4]
        for range in ranges {
            for to: UInt16 in [0, 2, 3, 4, 6, 9] {
                operations.append(.xor(sources: range, to: to))
                operations.append(.xor(sources: range, to: to, count: 64))
                operations.append(.xor(sources: range, to: to, count: 128))
                operations.append(.xor(sources: range, to: to, sourceOffset: 64, destinationOffset: 64))
                operations.append(.xor(sources: range, to: to, flags: .continue))
                operations.append(.pq(sources: range, p: to))
                operations.append(.pq(sources: range, p: to, flags: .disableQ))
                operations.append(.pqValidate(sources: range, p: to))
                for length: UInt16 in [0, 1, 2, 3] {
                    operations.append(.scatterGather(from: range, to: to..<(to + length)))
                }
            }
            operations.append(.xorValidate(sources: range))
            for place in [PeripheralPlace.configured, .at(4096), .at(UInt64(Int64.max) - 100), .at(.max - 1)] {
                operations.append(.toPeripheral(range, at: place))
                operations.append(.fromPeripheral(range, at: place))
            }
            operations.append(.toPeripheral(range, offset: 64))
            operations.append(.fromPeripheral(range, count: 192))
        }
        return operations
    }

    @Test(
        "the same result with and without a list, for blocks of several segments",
        arguments: [Direction.bidirectional, .toDevice, .fromDevice], [(1, 1 << 20), (64, 1 << 20), (4096, 1 << 20), (1, 100)])
    func blocks(direction: Direction, limits: (alignment: UInt64, maximumCount: UInt64)) throws {
        let domain = Domain(name: "lists")
        var accepted = 0
        var refused = 0
        for segments in [2, 3, 6] {
            let memory = try Buffer(count: 4096).mapped(for: domain, direction: direction)
            var pool = try Pool(memory, blockSize: segments * 128, segments: segments)
            for operation in operations {
                var answers: [Answer] = []
                for isPrepared in [true, false] {
                    guard let block = pool.lease() else {
                        Issue.record("no block")
                        return
                    }
                    #expect(listed(block) == segments)
                    answers.append(
                        isPrepared
                            ? try answer(
                                operation, WithList(base: block), domain, alignment: limits.alignment,
                                maximumCount: limits.maximumCount)
                            : try answer(
                                operation, WithoutList(base: block), domain, alignment: limits.alignment,
                                maximumCount: limits.maximumCount))
                }
                #expect(answers[0] == answers[1], "\(operation.kind), \(segments) segments, \(direction)")
                if answers[1].refusal == nil { accepted += 1 } else { refused += 1 }
            }
        }
        #expect(refused > 100)
        // Segments have 128 bytes, so that little fits where an engine takes 100, and nothing with several operands where they
        // must begin on multiples of 4096.
        #expect(accepted > 20 || limits.maximumCount == 100 || limits.alignment == 4096)
    }

    @Test("the same result with and without a list, for scatter lists: unequal, overlapping, in any order")
    func scatterLists() throws {
        let domain = Domain(name: "lists")
        let shapes: [[Range<Int>]] = [
            [0..<128, 256..<384, 512..<640, 768..<896, 1024..<1152, 1280..<1408],
            [0..<64, 256..<448, 512..<640, 768..<896],
            [1024..<1152, 0..<128, 512..<640],
            [0..<256, 128..<384, 512..<640],
            [0..<128, 0..<128, 512..<640, 640..<704],
        ]
        var accepted = 0
        for shape in shapes {
            for operation in operations {
                var answers: [Answer] = []
                for isPrepared in [true, false] {
                    var list = ScatterList()
                    let number = list.appendWithoutEntry(try Buffer(count: 4096, alignment: 4096))
                    for range in shape { try list.appendEntry(buffer: number, range: range) }
                    let mapped = try list.mapped(for: domain, direction: .bidirectional)
                    answers.append(
                        isPrepared
                            ? try answer(operation, WithList(base: mapped), domain, alignment: 1, maximumCount: 1 << 20)
                            : try answer(operation, WithoutList(base: mapped), domain, alignment: 1, maximumCount: 1 << 20))
                }
                #expect(answers[0] == answers[1], "\(operation.kind), \(shape)")
                if answers[1].refusal == nil { accepted += 1 }
            }
        }
        #expect(accepted > 100)
    }

    @Test("a cargo that reports any number of regions does not trap", arguments: [-1, .min, .max, 65_537])
    func hostileCount(count: Int) throws {
        let domain = Domain(name: "lists")
        var list = CargoList<Boaster>(capacity: 2)
        for _ in 0..<2 {
            _ = list.append(
                Boaster(base: try Buffer(count: 64).mapped(for: domain, direction: .bidirectional), regionCount: count))
        }
        #expect(list.regionCount == (count > 0 ? count == .max ? .max : 2 * count : 0))
        #expect(list.ranges.count <= 65_536)
        #expect(list.range(at: .max - 1) == nil)
        let found = try answer(.xor(sources: 0..<2, to: 2), list, domain, alignment: 1, maximumCount: 4096)
        #expect(found.refusal != nil)
    }

    @Test("a list of another address space is refused")
    func foreignDomain() throws {
        let home = Domain(name: "home")
        let other = Domain(name: "other")
        let memory = try Buffer(count: 4096).mapped(for: other, direction: .bidirectional)
        var pool = try Pool(memory, blockSize: 384, segments: 3)
        guard let block = pool.lease() else { return }
        let found = try answer(.xor(sources: 0..<2, to: 2), WithList(base: block), home, alignment: 1, maximumCount: 4096)
        #expect(found.refusal == .foreignDomain)
    }
}
