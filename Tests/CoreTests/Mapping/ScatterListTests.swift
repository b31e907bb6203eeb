// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import DMACore

@Suite("Scatter lists")
struct ScatterListTests {
    @Test("entries are checked")
    func entries() throws {
        var list = ScatterList()
        #expect(list.appendWithoutEntry(try Buffer(count: 100)) == 0)
        #expect(refusal { () throws(DMAError) in try list.appendEntry(buffer: 1, range: 0..<1) } == .noSuchRegion)
        #expect(refusal { () throws(DMAError) in try list.appendEntry(buffer: -1, range: 0..<1) } == .noSuchRegion)
        #expect(refusal { () throws(DMAError) in try list.appendEntry(buffer: 0, range: 0..<101) } == .outOfRange)
        #expect(refusal { () throws(DMAError) in try list.appendEntry(buffer: 0, range: -1..<1) } == .outOfRange)
        #expect(refusal { () throws(DMAError) in try list.appendEntry(buffer: 0, range: 5..<5) } == .zeroLength)
        try list.appendEntry(buffer: 0, range: 99..<100)
        #expect(list.byteCount == 1)
        #expect(list.withBytes(buffer: 3) { $0.byteCount } == nil)
        #expect(
            refusal { () throws(DMAError) in _ = try ScatterList().mapped(for: Domain(name: "x"), direction: .toDevice) }
                == .zeroLength)
    }

    @Test("rule 35: access to an entry, by its original number")
    func rule35_entries() throws {
        var buffers = FixedArray<Buffer>(capacity: 2)
        for _ in 0..<2 { _ = buffers.append(try Buffer(count: 4096)) }
        var mapped = try ScatterList(buffers).mapped(for: Domain(name: "x"), direction: .bidirectional)
        try mapped.withMutableCPUAccess(entry: 1, 5..<6) { $0.storeBytes(of: 8, as: UInt8.self) }
        #expect(try mapped.withCPUAccess(entry: 1) { $0.byte(5) } == 8)
        #expect(
            refusal { () throws(DMAError) in try mapped.withCPUAccess(entry: 2) { _ throws(DMAError) in } } == .noSuchRegion)
        #expect(
            refusal { () throws(DMAError) in try mapped.withCPUAccess(entry: -1) { _ throws(DMAError) in } } == .noSuchRegion)
        let code = refusal { () throws(DMAError) in try mapped.withCPUAccess(entry: 0, 0..<4097) { _ throws(DMAError) in } }
        #expect(code == .outOfRange)
        try mapped.syncForCPU()
        try mapped.syncForDevice()
        let list = try mapped.unmap()
        #expect(list.bufferCount == 2)
    }

    @Test("segments: split by pure arithmetic")
    func arithmetic() {
        var constraints = DeviceConstraints()
        constraints.maximumSegmentSize = 4096
        constraints.segmentBoundary = 8192
        let rules = SegmentRules(constraints)
        let ranges = [BusRange(start: 3072, count: 9216)]
        #expect(
            rules.segments(of: ranges, limit: 10)
                == [BusRange(start: 3072, count: 4096), BusRange(start: 7168, count: 1024), BusRange(start: 8192, count: 4096)])
        #expect(rules.segments(of: ranges, limit: 2) == nil)
        #expect(rules.cut(BusRange(start: .max - 9, count: 10), limit: 1) == [BusRange(start: .max - 9, count: 10)])
        #expect(rules.crossesBoundary(BusRange(start: 8191, count: 2)))
        #expect(!rules.crossesBoundary(BusRange(start: 8192, count: 8192)))
    }
}
