// SPDX-License-Identifier: Apache-2.0
import CDMA
import DMATestSupport
import Testing

@testable import DMACore

@Suite("IOVA allocator")
struct IOVAAllocatorTests {
    static let msi: ClosedRange<UInt64> = 0xfee0_0000...0xfeef_ffff
    static let space39: ClosedRange<UInt64> = 0...(1 << 39) - 1

    @Test("rule 30: holes, page 0 and the last page are never allocated")
    func rule30_holes() throws {
        var allocator = IOVAAllocator(apertures: [Self.space39], holes: [Self.msi])
        #expect(allocator.freeRanges == [0x1000...0xfedf_ffff, 0xfef0_0000...(1 << 39) - 1])
        let top = try allocator.allocate(4096)
        #expect(top == IOVA((1 << 39) - 4096))
        // The window lies in the middle of the range: the next place is below it.
        let below = try allocator.allocate(0x2000, limit: 0xfef0_0fff)
        #expect(below == IOVA(0xfedf_e000))
        let whole = IOVAAllocator(apertures: [0...UInt64.max])
        #expect(whole.freeRanges == [0x1000...UInt64.max - 4096])
        #expect(IOVAAllocator(apertures: []).freeRanges.isEmpty)
        #expect(IOVAAllocator(apertures: [0...100], holes: []).freeRanges.isEmpty)
        #expect(IOVAAllocator(apertures: [0x800...0x27ff, 0x2800...0x3fff, 0x3000...0x5000]).freeRanges == [0x1000...0x4fff])
    }

    @Test("rule 30: a mask is a limit, and an empty one is refused", arguments: [0, 5, 11, 12])
    func rule30_mask(bits: Int) {
        var allocator = IOVAAllocator(apertures: [Self.space39])
        #expect(
            refusal { () throws(DMAError) in _ = try allocator.allocate(4096, limit: DMAMask(bits: bits).rawValue) }
                == .noAddressSpace)
    }

    @Test("rule 39: alignment and boundary hold from both ends", arguments: [IOVAAllocator.Order.topDown, .bottomUp])
    func rule39_alignmentAndBoundary(order: IOVAAllocator.Order) throws {
        var allocator = IOVAAllocator(apertures: [0x3000...0x20_ffff], order: order)
        for count in [0x1000, 0x3000, 0x8000, 0x10000] as [UInt64] {
            let start = try allocator.allocate(count, alignment: 0x2000, boundary: 0x10000).rawValue
            #expect(start % 0x2000 == 0)
            #expect(start / 0x10000 == (start + count - 1) / 0x10000)
        }
        let large = try allocator.allocate(0x1000, alignment: 0x10_0000, boundary: 0x1000)
        #expect(large.rawValue % 0x10_0000 == 0)
    }

    @Test("bad requests are refused with their own code, and change nothing")
    func refused() throws {
        var allocator = IOVAAllocator(apertures: [0x1000...0xffff])
        let before = allocator.freeRanges
        #expect(refusal { () throws(DMAError) in _ = try allocator.allocate(0) } == .zeroLength)
        #expect(refusal { () throws(DMAError) in _ = try allocator.allocate(.max) } == .sizeOverflow)
        #expect(refusal { () throws(DMAError) in _ = try allocator.allocate(0x10000) } == .noAddressSpace)
        #expect(refusal { () throws(DMAError) in _ = try allocator.allocate(4096, alignment: 1 << 40) } == .noAddressSpace)
        #expect(refusal { () throws(DMAError) in _ = try allocator.allocate(4096, alignment: .max) } == .noAddressSpace)
        #expect(refusal { () throws(DMAError) in _ = try allocator.allocate(4096, boundary: 3) } == .badAlignment)
        #expect(refusal { () throws(DMAError) in _ = try allocator.allocate(0x2000, boundary: 0x1000) } == .noAddressSpace)
        #expect(refusal { () throws(DMAError) in try allocator.free(IOVA(0x1000), count: 4096) } == .notMapped)
        #expect(allocator.freeRanges == before)
        let start = try allocator.allocate(0x2000)
        #expect(refusal { () throws(DMAError) in try allocator.free(start, count: 0x1000) } == .unmapMismatch)
        #expect(refusal { () throws(DMAError) in try allocator.free(start, count: 0) } == .unmapMismatch)
        #expect(refusal { () throws(DMAError) in try allocator.free(start, count: .max) } == .unmapMismatch)
        #expect(
            refusal { () throws(DMAError) in try allocator.free(IOVA(start.rawValue + 0x1000), count: 0x1000) } == .notMapped)
        try allocator.free(start, count: 0x1001)
        #expect(refusal { () throws(DMAError) in try allocator.free(start, count: 0x2000) } == .notMapped)
        #expect(allocator.freeRanges == before)
    }

    @Test("a reserved range is not allocated, and only free ones can be reserved")
    func reserve() throws {
        var allocator = IOVAAllocator(apertures: [0x1000...0x4fff])
        try allocator.reserve(IOVA(0x2000), count: 0x1000)
        #expect(refusal { () throws(DMAError) in try allocator.reserve(IOVA(0x2000), count: 1) } == .alreadyMapped)
        #expect(refusal { () throws(DMAError) in try allocator.reserve(IOVA(0x4000), count: 0x2000) } == .alreadyMapped)
        #expect(refusal { () throws(DMAError) in try allocator.reserve(IOVA(0), count: 1) } == .alreadyMapped)
        #expect(refusal { () throws(DMAError) in try allocator.reserve(IOVA(0x3001), count: 1) } == .misaligned)
        #expect(refusal { () throws(DMAError) in try allocator.reserve(IOVA(.max & ~0xfff), count: 0x2000) } == .alreadyMapped)
        #expect(try allocator.allocate(0x2000) == IOVA(0x3000))
        try allocator.free(IOVA(0x2000), count: 0x1000)
        #expect(allocator.count == 1)
    }

    /// A simple model: one flag for each page.
    @Test("random sequences agree with a table of pages", arguments: [IOVAAllocator.Order.topDown, .bottomUp])
    func random(order: IOVAAllocator.Order) throws {
        var random = Seeded("IOVA allocator")
        let pages = 2048
        let hole = 700..<716
        var used = [Bool](repeating: false, count: pages)
        used[0] = true
        for page in hole { used[page] = true }
        var allocator = IOVAAllocator(
            apertures: [0...UInt64(pages) * 4096 - 1],
            holes: [UInt64(hole.lowerBound) * 4096...UInt64(hole.upperBound) * 4096 - 1], order: order)
        var live: [(start: Int, count: Int)] = []
        for step in 0..<60_000 {
            if live.isEmpty || Int.random(in: 0..<100, using: &random) < 52 {
                let count = Int.random(in: 1...(step % 50 == 0 ? 200 : 12), using: &random)
                let alignment = 1 << Int.random(in: 0...5, using: &random)
                let boundary = Bool.random(using: &random) ? 0 : 16 << Int.random(in: 0...4, using: &random)
                let limit = Bool.random(using: &random) ? pages : Int.random(in: 1...pages, using: &random)
                let bytes = UInt64(count) * 4096 - UInt64.random(in: 0..<4096, using: &random)
                var expected: Int?
                var start = order == .topDown ? (min(limit, pages) - count) / alignment * alignment : 0
                while expected == nil, start >= 0, start + count <= min(limit, pages) {
                    let crosses = boundary > 0 && start / boundary != (start + count - 1) / boundary
                    if !crosses, !used[start..<start + count].contains(true) { expected = start }
                    start += order == .topDown ? -alignment : alignment
                }
                let found = try? allocator.allocate(
                    bytes, alignment: UInt64(alignment) * 4096, boundary: UInt64(boundary) * 4096,
                    limit: UInt64(limit) * 4096 - 1)
                guard found?.rawValue == expected.map({ UInt64($0) * 4096 }) else {
                    Issue.record(
                        "step \(step), seed \(Seeded.seed): \(String(describing: found)), not \(String(describing: expected))")
                    return
                }
                if let expected {
                    for page in expected..<expected + count { used[page] = true }
                    live.append((expected, count))
                }
            } else {
                let gone = live.remove(at: Int.random(in: 0..<live.count, using: &random))
                try allocator.free(IOVA(UInt64(gone.start) * 4096), count: UInt64(gone.count) * 4096)
                for page in gone.start..<gone.start + gone.count { used[page] = false }
            }
            guard allocator.count == live.count else {
                Issue.record("step \(step), seed \(Seeded.seed): \(allocator.count) ranges, not \(live.count)")
                return
            }
        }
        for gone in live { try allocator.free(IOVA(UInt64(gone.start) * 4096), count: UInt64(gone.count) * 4096) }
        #expect(allocator.freeRanges.count == 2, "freed ranges are merged")
    }
}
