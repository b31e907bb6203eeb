// SPDX-License-Identifier: Apache-2.0

/// Allocates ranges of bus addresses: the kernel's drivers/iommu/iova.c as a value, pure logic without a device.
///
/// It allocates only addresses inside the apertures, never one in a hole (such as the MSI window 0xfee00000…0xfeefffff of a
/// PC), never the page at address 0, which devices and programs treat as "none", and never the last one, which contains the
/// kernel's DMA_MAPPING_ERROR. Ranges in use never overlap, and are freed exactly as they were allocated.
///
/// Cost: O(log n) on average over n free ranges; an alignment or boundary above the length may examine more of them.
///
/// Thread rules: a value; sharing it needs a lock.
package struct IOVAAllocator: Sendable {
    /// The end of the space from which ranges are allocated.
    package enum Order: Sendable {
        /// The highest address that fits, as the kernel does: low addresses stay for devices with narrow masks.
        case topDown
        /// The lowest address that fits.
        case bottomUp
    }

    /// Every range starts at a multiple of this, and its length is a multiple. Bytes, a power of two.
    package let granule: UInt64
    /// The end of the space from which ranges are allocated.
    package let order: Order
    private var free: FreeRanges
    /// Lengths in bytes by start.
    private var taken: [UInt64: UInt64] = [:]

    /// - Parameters:
    ///   - apertures: what the device can address and the IOMMU can translate, inclusive bounds in bytes: VFIO's list of valid
    ///     ranges, or `0...(1 << 39) - 1` for a 39-bit unit. They may overlap.
    ///   - holes: removed from the apertures.
    ///   - granule: bytes; rounded up to a power of two.
    ///   - order: the end of the space from which ranges are allocated.
    package init(
        apertures: [ClosedRange<UInt64>], holes: [ClosedRange<UInt64>] = [], granule: UInt64 = 4096, order: Order = .topDown
    ) {
        let granule = granule.roundedUpToPowerOfTwo
        self.granule = granule
        self.order = order
        free = FreeRanges()
        let forbidden = holes + [0...(granule - 1), (0 &- granule)...UInt64.max]
        for aperture in Self.union(apertures) {
            for part in Self.subtract(forbidden, from: aperture) {
                // Whole granules only.
                let (up, overflow) = part.lowerBound.addingReportingOverflow(granule - 1)
                let start = up & ~(granule - 1)
                let end = (part.upperBound &+ 1) & ~(granule - 1)
                // `end` is 0 only above the last granule, which is not allocated.
                guard !overflow, end > start else { continue }
                free.insert(FreeRanges.Range(start: start, last: end - 1))
            }
        }
    }

    /// Number of ranges in use.
    package var count: Int { taken.count }

    /// The free ranges in ascending order, inclusive bounds. O(n).
    package var freeRanges: [ClosedRange<UInt64>] { free.all.map { $0.start...$0.last } }

    /// Allocates a free range.
    ///
    /// - Parameters:
    ///   - count: bytes, rounded up to whole granules; at least 1.
    ///   - alignment: of the start, in bytes; rounded up to a power of two.
    ///   - boundary: the range crosses no multiple of this. Bytes, a power of two at least as long as the range; 0 for none.
    ///   - limit: the highest address that the range may contain: the device's mask.
    /// - Throws: `zeroLength`, `sizeOverflow`, `badAlignment` (boundary), `noAddressSpace`.
    package mutating func allocate(
        _ count: UInt64, alignment: UInt64 = 1, boundary: UInt64 = 0, limit: UInt64 = .max
    ) throws(DMAError) -> IOVA {
        let length = try whole(count)
        let alignment = max(alignment.roundedUpToPowerOfTwo, granule)
        guard boundary & (boundary &- 1) == 0 else { throw DMAError(.badAlignment, asked: boundary, limit: 1 << 63) }
        let refused = DMAError(.noAddressSpace, asked: length, limit: limit)
        guard boundary == 0 || length <= boundary, limit >= length - 1 else { throw refused }
        let fromTop = order == .topDown
        let found = free.first(of: length, limit: limit, fromTop: fromTop) { range in
            fromTop
                ? Self.highest(in: range, length, alignment, boundary, limit)
                : Self.lowest(in: range, length, alignment, boundary, limit)
        }
        guard let (range, start) = found else { throw refused }
        take(start, length, from: range)
        return IOVA(start)
    }

    /// Reserves exactly this range, for a mapping whose address is given.
    ///
    /// - Throws: `misaligned`, `zeroLength`, `sizeOverflow`, `alreadyMapped` where part of it is in use or in no aperture.
    package mutating func reserve(_ start: IOVA, count: UInt64) throws(DMAError) {
        let length = try whole(count)
        let start = start.rawValue
        guard start & (granule - 1) == 0 else { throw DMAError(.misaligned, asked: start, limit: granule) }
        let (last, overflow) = start.addingReportingOverflow(length - 1)
        guard !overflow, let range = free.range(atOrBefore: start), last <= range.last else {
            throw DMAError(.alreadyMapped, asked: start)
        }
        take(start, length, from: range)
    }

    /// Frees a range.
    ///
    /// - Parameters:
    ///   - start: the value that ``allocate(_:alignment:boundary:limit:)`` returned.
    ///   - count: the requested number of bytes.
    /// - Throws: `notMapped` where no range starts there, `unmapMismatch` where it has another length. Nothing is freed then.
    package mutating func free(_ start: IOVA, count: UInt64) throws(DMAError) {
        guard let length = taken[start.rawValue] else { throw DMAError(.notMapped, asked: start.rawValue) }
        guard count > 0, (try? whole(count)) == length else { throw DMAError(.unmapMismatch, asked: count, limit: length) }
        taken[start.rawValue] = nil
        var range = FreeRanges.Range(start: start.rawValue, last: start.rawValue + (length - 1))
        if let before = free.range(atOrBefore: range.start), before.last == range.start - 1 {
            free.remove(startingAt: before.start)
            range.start = before.start
        }
        // The last granule of the space is never free, so that adding 1 cannot wrap.
        if let after = free.range(startingAt: range.last + 1) {
            free.remove(startingAt: after.start)
            range.last = after.last
        }
        free.insert(range)
    }

    private func whole(_ count: UInt64) throws(DMAError) -> UInt64 {
        guard count > 0 else { throw DMAError(.zeroLength) }
        let (sum, overflow) = count.addingReportingOverflow(granule - 1)
        guard !overflow else { throw DMAError(.sizeOverflow, asked: count, limit: 0 &- granule) }
        return sum & ~(granule - 1)
    }

    private mutating func take(_ start: UInt64, _ length: UInt64, from range: FreeRanges.Range) {
        let last = start + (length - 1)
        free.remove(startingAt: range.start)
        if range.start < start { free.insert(FreeRanges.Range(start: range.start, last: start - 1)) }
        if last < range.last { free.insert(FreeRanges.Range(start: last + 1, last: range.last)) }
        taken[start] = length
    }

    private static func highest(
        in range: FreeRanges.Range, _ length: UInt64, _ alignment: UInt64, _ boundary: UInt64, _ limit: UInt64
    ) -> UInt64? {
        let top = min(range.last, limit)
        guard top >= range.start, top - range.start >= length - 1 else { return nil }
        var start = (top - (length - 1)) & ~(alignment - 1)
        if boundary != 0, (start ^ (start + (length - 1))) & ~(boundary - 1) != 0 {
            // It crosses the boundary that its last byte lies behind: end just before that one instead.
            let crossed = (start + (length - 1)) & ~(boundary - 1)
            start = (crossed - length) & ~(alignment - 1)
        }
        return start >= range.start ? start : nil
    }

    private static func lowest(
        in range: FreeRanges.Range, _ length: UInt64, _ alignment: UInt64, _ boundary: UInt64, _ limit: UInt64
    ) -> UInt64? {
        let top = min(range.last, limit)
        func up(_ value: UInt64, _ unit: UInt64) -> UInt64? {
            let (sum, overflow) = value.addingReportingOverflow(unit - 1)
            return overflow ? nil : sum & ~(unit - 1)
        }
        guard var start = up(range.start, alignment) else { return nil }
        if boundary != 0, start & (boundary - 1) > boundary - length {
            guard let next = up(start, max(boundary, alignment)) else { return nil }
            start = next
        }
        let (last, overflow) = start.addingReportingOverflow(length - 1)
        return !overflow && last <= top ? start : nil
    }

    private static func union(_ ranges: [ClosedRange<UInt64>]) -> [ClosedRange<UInt64>] {
        var result: [ClosedRange<UInt64>] = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = result.last, last.upperBound == .max || range.lowerBound <= last.upperBound + 1 {
                result[result.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                result.append(range)
            }
        }
        return result
    }

    private static func subtract(
        _ holes: [ClosedRange<UInt64>], from range: ClosedRange<UInt64>
    ) -> [ClosedRange<UInt64>] {
        var result: [ClosedRange<UInt64>] = []
        var next = range.lowerBound
        for hole in union(holes) where hole.upperBound >= next && hole.lowerBound <= range.upperBound {
            if hole.lowerBound > next { result.append(next...(hole.lowerBound - 1)) }
            if hole.upperBound >= range.upperBound { return result }
            next = hole.upperBound + 1
        }
        result.append(next...range.upperBound)
        return result
    }
}

extension UInt64 {
    /// The least power of two that is not smaller; 1 for 0, and 2^63 for larger values.
    var roundedUpToPowerOfTwo: UInt64 {
        if self <= 1 { return 1 }
        let width = UInt64(UInt64.bitWidth - (self - 1).leadingZeroBitCount)
        return width >= 64 ? 1 << 63 : 1 << width
    }
}
