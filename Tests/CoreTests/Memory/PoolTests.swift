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
            let region = block.region(at: 0)
            #expect(region.start.rawValue % UInt64(alignment) == 0)
            #expect(region.start.rawValue >= end, "a new pool is leased in ascending order")
            end = region.start.rawValue + region.count
            if boundary > 0 {
                #expect(region.start.rawValue / UInt64(boundary) == (end - 1) / UInt64(boundary))
            }
            #expect(block.region(at: 1) == .none)
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

    @Test("a block's bytes are those its device sees")
    func bytes() throws {
        var pool = try pool(4096, block: 1024)
        guard var block = pool.lease() else { return }
        try block.withMutableBytes { $0.storeBytes(of: 77, toByteOffset: 1023, as: UInt8.self) }
        #expect(deviceReads(block.region(at: 0), at: 1023) == 77)
        deviceWrites(78, to: block.region(at: 0), at: 0)
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

    @Test("rule 38: a pool that ends with leased blocks says so, and its memory outlives it")
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
        if let block = consume first { deviceWrites(1, to: block.region(at: 0), count: 1024) }
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

    @Test("rule 18: a quarantined block never comes back, and the pool's memory is parked")
    func rule18_quarantinedBlock() throws {
        var pool = try pool(4096, block: 1024)
        if var block = pool.lease() {
            block.quarantine()
            #expect(block.region(at: 0).access == [])
            #expect(refusal { () throws(DMAError) in try block.withBytes { _ throws(DMAError) in } } == .quarantined)
        }
        #expect(pool.available == 3)
        #expect(pool.leased == 0)
        try pool.end()
        #expect(domain.statistics.mappings == 1)
        let parked = Quarantine.entries.filter { $0.domain == domain.id }
        #expect(parked.count == 1)
        #expect(parked.first?.bytes == 4096)
        let released = try unsafe Quarantine.unsafeReleaseAll(of: domain.id)
        #expect(released == 1)
        #expect(domain.statistics.mappings == 0)
        try domain.close()
    }
}
