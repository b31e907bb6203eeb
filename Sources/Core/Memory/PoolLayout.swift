// SPDX-License-Identifier: Apache-2.0

/// The placement of a pool's blocks. Pure arithmetic.
struct PoolLayout {
    let start: UInt64
    let cpuStart: UInt64
    let count: Int
    let blockSize: Int
    let alignment: Int
    let boundary: Int
    let constraints: DeviceConstraints

    /// The minimum distance of two starts, from the client's and the device's requirements.
    private var unit: UInt64 {
        let unit = max(UInt64(clamping: alignment), constraints.alignment)
        return constraints.isCoherent ? unit : max(unit, constraints.cacheLineSize)
    }

    /// Bytes of each of a block's segments.
    ///
    /// - Throws: `badConfiguration` for a number that is not from 1 to 1,024 or does not divide the block; `misaligned` where a
    ///   segment would begin at an address that is not aligned for a block.
    func segmentSize(_ segments: Int) throws(DMAError) -> Int {
        guard segments >= 1, segments <= 1024, blockSize % segments == 0 else {
            throw DMAError(.badConfiguration, asked: UInt64(clamping: segments), limit: 1024)
        }
        let size = blockSize / segments
        guard segments == 1 || UInt64(size) & (unit - 1) == 0 else {
            throw DMAError(.misaligned, asked: UInt64(size), limit: unit)
        }
        return size
    }

    /// Offsets of the blocks in ascending order.
    func offsets() throws(DMAError) -> [Int] {
        guard alignment > 0, alignment & (alignment - 1) == 0, boundary >= 0, boundary & (boundary &- 1) == 0 else {
            throw DMAError(.badAlignment, asked: UInt64(UInt(bitPattern: alignment)), limit: 1 << 62)
        }
        let size = UInt64(blockSize)
        let unit = unit
        // The smaller of two powers of two, where 0 means none.
        let walls = [UInt64(boundary), constraints.segmentBoundary].filter { $0 != 0 }
        let wall = walls.min() ?? 0
        guard size <= constraints.maximumSegmentSize, wall == 0 || size <= wall else {
            throw DMAError(.notContiguous, asked: size, limit: wall == 0 ? constraints.maximumSegmentSize : wall)
        }
        // Device and CPU address must agree in the bits that the alignment fixes.
        guard (start ^ cpuStart) & (unit - 1) == 0 else { throw DMAError(.misaligned, asked: cpuStart, limit: unit) }
        var offsets: [Int] = []
        var next = start
        let end = start + UInt64(count)
        while true {
            let (up, overflow) = next.addingReportingOverflow(unit - 1)
            var place = up & ~(unit - 1)
            if wall != 0, place & (wall - 1) > wall - size {
                let (beyond, carry) = place.addingReportingOverflow(max(wall, unit) - 1)
                if carry { break }
                place = beyond & ~(max(wall, unit) - 1)
            }
            let (last, carry) = place.addingReportingOverflow(size)
            if overflow || carry || last > end { break }
            offsets.append(Int(place - start))
            next = last
        }
        if offsets.isEmpty { throw DMAError(.outOfRange, asked: size, limit: UInt64(count)) }
        return offsets
    }
}
