// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import DMACore

@Suite("Pools")
struct PoolTests {
    let domain = Domain(name: "pool")

    func pool(_ count: Int, block: Int, alignment: Int = 64, boundary: Int = 0, _ direction: Direction = .bidirectional)
        throws(DMAError) -> Pool
    {
        try Pool(
            try Buffer(count: count).mapped(for: domain, direction: direction), blockSize: block, alignment: alignment,
            boundary: boundary)
    }

    @Test(
        "rule 38: blocks are aligned, apart, and cross no boundary",
        arguments: [
            (100, 64, 0), (512, 512, 4096), (3000, 64, 4096), (4096, 4096, 4096), (1, 1, 0), (1500, 2048, 8192),
        ])
    func rule38_blocks(block: Int, alignment: Int, boundary: Int) throws {
        var pool = try pool(65536, block: block, alignment: alignment, boundary: boundary)
        var end: UInt64 = 0
        var blocks = FixedArray<Block>(capacity: pool.capacity)
        for _ in 0..<pool.capacity {
            guard let block = pool.lease() else {
                Issue.record("empty early")
                return
            }
            let region = block.ranges[0]
            #expect(region.start.rawValue % UInt64(alignment) == 0)
            #expect(region.start.rawValue >= end, "a new pool is leased in ascending order")
            end = region.start.rawValue + region.count
            if boundary > 0 {
                #expect(region.start.rawValue / UInt64(boundary) == (end - 1) / UInt64(boundary))
            }
            #expect(block.range(at: 1) == nil)
            let kept = blocks.append(block) == nil
            #expect(kept)
        }
        let isEmpty = pool.lease() == nil
        #expect(isEmpty)
        #expect(pool.available == 0)
        blocks.removeAll()
        #expect(pool.available == pool.capacity)
        try pool.end()
        try domain.close()
    }

    @Test("a block's bytes are those that its device accesses")
    func bytes() throws {
        var pool = try pool(4096, block: 1024)
        guard var block = pool.lease() else { return }
        try block.withMutableBytes { $0.storeBytes(of: 77, toByteOffset: 1023, as: UInt8.self) }
        #expect(deviceReads(block.ranges[0], at: 1023) == 77)
        deviceWrites(78, to: block.ranges[0], at: 0)
        #expect(try block.withBytes { $0.byte(0) } == 78)
        #expect(MemoryLayout<Block>.size == 16)
    }

    @Test("rule 34: the CPU does not write blocks that only the device writes")
    func rule34_direction() throws {
        var pool = try pool(4096, block: 1024, .fromDevice)
        guard var block = pool.lease() else { return }
        let code = refusal { () throws(DMAError) in try block.withMutableBytes { _ throws(DMAError) in } }
        #expect(code == .wrongDirection)
    }

    @Test("rule 38: a pool that ends with leased blocks reports it, and its memory outlives it")
    func rule38_endInUse() throws {
        var pool = try pool(4096, block: 1024)
        let first = pool.lease()
        let second = pool.lease()
        do throws(DMAError) {
            try pool.end()
            Issue.record("ended")
        } catch {
            #expect(error.code == .memoryInUse)
            #expect(error.asked == 2)
        }
        #expect(domain.statistics.mappings == 1)
        if let block = consume first { deviceWrites(1, to: block.ranges[0], count: 1024) }
        #expect(domain.statistics.mappings == 1)
        _ = consume second
        #expect(domain.statistics.mappings == 0)
    }

    @Test(
        "bad pools are refused",
        arguments: [
            (0, 64, 0, DMAError.Code.zeroLength), (-5, 64, 0, .zeroLength), (64, 3, 0, .badAlignment),
            (64, 0, 0, .badAlignment),
            (64, 64, 3, .badAlignment), (512, 64, 256, .notContiguous), (5000, 64, 0, .outOfRange), (64, 64, -1, .badAlignment),
            (64, Int.min, 0, .badAlignment), (Int.max, 64, 0, .outOfRange),
        ])
    func refused(block: Int, alignment: Int, boundary: Int, code: DMAError.Code) {
        let found = refusal { () throws(DMAError) in
            _ = try pool(4096, block: block, alignment: alignment, boundary: boundary)
        }
        #expect(found == code)
        #expect(domain.statistics.mappings == 0)
    }

    @Test("a block of several segments has a region for each, one after the other")
    func segments() throws {
        let memory = try Buffer(count: 8192, alignment: 4096).mapped(for: domain, direction: .bidirectional)
        let start = memory.iova.rawValue
        var pool = try Pool(memory, blockSize: 768, segments: 3)
        guard let first = pool.lease(), var second = pool.lease() else { return }
        #expect(first.regionCount == 3 && second.regionCount == 3 && second.count == 768)
        #expect(second.ranges.map { $0.start.rawValue - start } == [768, 1024, 1280])
        #expect(second.ranges.allSatisfy { $0.count == 256 })
        #expect(second.range(at: 3) == nil && second.range(at: -1) == nil && second.range(at: .min) == nil)
        #expect(first.regionList.count == 3)
        try second.withMutableBytes { $0.storeBytes(of: 5, toByteOffset: 767, as: UInt8.self) }
        #expect(deviceReads(second.ranges[2], at: 255) == 5)
        // A block of one segment has no list: its one region is all there is to check.
        var plain = try self.pool(4096, block: 64)
        guard let block = plain.lease() else { return }
        #expect(block.regionList.isNone && block.regionList.count == 0)
    }

    @Test(
        "segments that do not divide a block, or would not be aligned, are refused",
        arguments: [
            (768, 0, DMAError.Code.badConfiguration), (768, -1, .badConfiguration), (768, 5, .badConfiguration),
            (768, 1025, .badConfiguration), (768, .max, .badConfiguration), (768, .min, .badConfiguration),
            (192, 6, .misaligned),
        ])
    func segmentsRefused(block: Int, segments: Int, code: DMAError.Code) {
        let found = refusal { () throws(DMAError) in
            let memory = try Buffer(count: 4096).mapped(for: domain, direction: .bidirectional)
            _ = try Pool(memory, blockSize: block, segments: segments)
        }
        #expect(found == code)
        #expect(domain.statistics.mappings == 0)
    }

    /// Sends blocks to another task, which ends them.
    private final class Carrier: @unchecked Sendable {
        private var blocks: FixedArray<Block>?
        init(_ blocks: consuming FixedArray<Block>) { self.blocks = consume blocks }
        func end() { blocks = nil }
    }

    @Test("blocks of a pool know their index, and return from any thread", arguments: [true, false])
    func blocksFromOtherThreads(givesBack: Bool) async throws {
        var pool = try pool(4096 * 64, block: 64)
        for _ in 0..<8 {
            var there = FixedArray<Block>(capacity: pool.capacity / 2)
            var here = FixedArray<Block>(capacity: pool.capacity / 2)
            for _ in 0..<pool.capacity / 2 {
                guard let one = pool.lease(), let two = pool.lease() else {
                    Issue.record("a block was lost: \(pool.available) of \(pool.capacity) are free")
                    return
                }
                _ = there.append(one)
                _ = here.append(two)
            }
            let isEmpty = pool.lease() == nil
            #expect(isEmpty)
            let carrier = Carrier(there)
            let task = Task.detached { carrier.end() }
            while let block = here.popLast() {
                if givesBack { pool.giveBack(block) }
            }
            _ = await task.value
            #expect(pool.available == pool.capacity)
        }
        var seen = Set<Int>()
        var all = FixedArray<Block>(capacity: pool.capacity)
        while let block = pool.lease() {
            seen.insert(block.index)
            _ = all.append(block)
        }
        #expect(seen == Set(0..<pool.capacity))
    }

    @Test("blocks outlive their pool; the last one, on any thread, frees the memory")
    func blocksOutlivePool() async throws {
        for _ in 0..<40 {
            var pool = try pool(4096, block: 64)
            var here = FixedArray<Block>(capacity: 32)
            var there = FixedArray<Block>(capacity: 32)
            for _ in 0..<32 {
                if let one = pool.lease() { _ = here.append(one) }
                if let two = pool.lease() { _ = there.append(two) }
            }
            let carrier = Carrier(there)
            let task = Task.detached { carrier.end() }
            _ = consume pool
            _ = consume here
            _ = await task.value
            #expect(domain.statistics.mappings == 0)
        }
        try domain.close()
    }

    @Test("a block of another pool returns to its own")
    func foreignBlock() throws {
        var one = try pool(4096, block: 1024)
        var two = try pool(4096, block: 1024)
        let capacity = two.capacity
        if let block = two.lease() { one.giveBack(block) }
        #expect(one.available == one.capacity)
        #expect(two.available == capacity)
    }
}
