// SPDX-License-Identifier: Apache-2.0

import DMACore

/// Rules 38 and 39: pools, and the limits of segments.
extension SuiteRun where E: ~Copyable {
    func rule38() throws(DMAError) {
        guard copies else { return skip(noCopy) }
        let alignment = max(128, unit)
        let size = 200 / unit * unit + (unit > 200 ? unit : 0)
        let memory = try Buffer(count: alignment * 64).mapped(for: suite.domain, direction: .bidirectional)
        var pool = try Pool(memory, blockSize: size, alignment: alignment, boundary: 4096 >= size ? 4096 : 0)
        var channel = try Channel(try make(), domain: suite.domain, of: Pair<Block, Block>.self)
        try repeatedly(min(suite.iterations, 10)) { _ throws(DMAError) in
            guard var from = pool.lease(), let to = pool.lease() else {
                throw giveUp("the pool is empty though nothing is leased")
            }
            let region = from.ranges[0]
            expect(region.start.rawValue % UInt64(alignment) == 0, "a block at \(region.start), \(alignment) bytes asked")
            expect(
                size > 4096 || region.start.rawValue / 4096 == (region.start.rawValue + UInt64(size) - 1) / 4096,
                "a block across its boundary")
            let image = random.bytes(size)
            try from.withMutableBytes { span throws(DMAError) in span.put(image) }
            _ = try channel.submit(.copy(), Pair(from, to)).get()
            channel.issuePending()
            let finished = try nextFinished(&channel)
            expect(finished.status == .complete, "ended as \(finished.status)")
            let moved = try finished.cargo.second.withBytes { span throws(DMAError) in span.copied() }
            expect(moved == image, "the block was not copied")
            countBytes(size)
            expect(pool.leased == 2, "\(pool.leased) blocks are leased, 2 expected")
            // Taken, and not returned yet: the pool cannot end.
            _ = finished.takeCargo()
            expect(pool.leased == 0, "\(pool.leased) blocks did not come back")
        }
        close(channel)
        try endPool(pool)
    }

    private func endPool(_ pool: consuming Pool) throws(DMAError) {
        let block = pool.lease()
        expect(block != nil, "no block in an empty pool")
        do throws(DMAError) {
            try pool.end()
            expect(false, "a pool ended while a block was leased, and did not say so")
        } catch { expect(error.code == .memoryInUse, "\(error.code), memoryInUse expected") }
    }

    func rule39() throws(DMAError) {
        guard copies else { return skip(noCopy) }
        let piece = max(1024 / unit, 1) * unit
        guard
            let domain = sibling(
                "pieces",
                {
                    $0.maximumSegmentSize = UInt64(piece)
                    $0.streamingMask = DMAMask(bits: 46)
                })
        else { return skip(translated) }
        // The last piece is shorter, where a piece has more than one unit.
        let count = piece * 4 - (piece > unit ? unit : 0)
        let image = random.bytes(count)
        var channel = try open(for: domain)
        var cargo = Freight(capacity: 2)
        _ = cargo.append(try Plan.mapped(image, .toDevice, for: domain))
        _ = cargo.append(try Plan.mapped([UInt8](repeating: 0, count: count), .fromDevice, for: domain))
        let half = cargo.regionCount / 2
        expect(half == 4, "\(half) segments of \(piece) bytes for \(count) bytes")
        for index in 0..<half {
            let region = cargo.ranges[index]
            expect(region.count <= UInt64(piece), "a segment of \(region.count) bytes, \(piece) is the most")
            _ = try channel.submit(.copy(from: UInt16(index), to: UInt16(half + index)), cargo).get()
            channel.issuePending()
            cargo = try nextFinished(&channel).takeCargo()
        }
        let counted = domain.statistics.bouncedBytes
        let moved = try cargo.elements.withElement(at: 1) { buffer throws(DMAError) in
            try buffer.withCPUAccess { span throws(DMAError) in span.copied() }
        }
        expect(moved == image, "the pieces do not make the whole")
        expect(domain.statistics.bounces == 2, "\(domain.statistics.bounces) bounces counted, 2 expected")
        expect(domain.statistics.bouncedBytes == counted, "a look at what the device wrote copied it")
        _ = try cargo.elements.withMutableElement(at: 0) { buffer throws(DMAError) in
            try buffer.withMutableCPUAccess { span throws(DMAError) in span.put(image) }
        }
        let synced = domain.statistics.bouncedBytes
        expect(synced == counted + UInt64(count), "a sync of \(count) bytes counted \(Int64(synced) - Int64(counted))")
        try cargo.elements.withMutableElement(at: 1) { buffer throws(DMAError) in try buffer.syncForCPU() }
        let read = domain.statistics.bouncedBytes
        expect(read == synced + UInt64(count), "a sync of \(count) bytes counted \(Int64(read) - Int64(synced))")
        cargo.elements.removeAll()
        expect(domain.statistics.bouncedBytes == read + UInt64(count), "the copy at unmap was not counted")
        countBytes(count)
        close(channel)
    }
}
