// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAAccess

/// What the kernel says of the IOMMU behind an address space.
package struct IOMMUFacts: Equatable, Sendable {
    /// Usable bus addresses, inclusive bounds in bytes, ascending, without the holes.
    package let ranges: [ClosedRange<UInt64>]
    /// Bytes, ascending powers of two: from this machine's page size to 1 GiB.
    package let pageSizes: [UInt64]
    /// How many mappings there may be at once; nil where the kernel does not say.
    package let entryLimit: UInt32?

    /// The facts of a container that has an IOMMU.
    init(container: Int32, _ kernel: any VFIOKernel, device: String) throws(AccessError) {
        let errors = VFIOErrors(device: device)
        do throws(VFIORefusal) {
            // struct vfio_iommu_type1_info: argsz, flags, page sizes, and since Linux 4.16 the offset of the first capability.
            let answer = try VFIOAnswer(kernel, container, .iommu, "facts of the IOMMU", device: device, least: 16)
            let flags = answer.word(at: 4)
            pageSizes = try Self.sizes(flags & VFIOABI.iommuPageSizes == 0 ? 4096 : answer.wide(at: 8))
            let first = flags & VFIOABI.iommuHasCapabilities == 0 ? 0 : answer.word(at: 16)
            var pairs: [(UInt64, UInt64)] = []
            let lists = try answer.capabilities(VFIOABI.iommuRanges, from: first)
            for list in lists {
                let count = try answer.entries(answer.word(at: list), of: 16, at: list + 8)
                for entry in 0..<count {
                    pairs.append((answer.wide(at: list + 8 + 16 * entry), answer.wide(at: list + 16 + 16 * entry)))
                }
            }
            guard !lists.isEmpty else {
                throw .answer("facts of the IOMMU: no valid ranges of bus addresses, which Linux names since 5.4")
            }
            ranges = try Self.checked(pairs, pageSizes[0])
            entryLimit = try answer.capabilities(VFIOABI.iommuEntries, from: first).first.map { answer.word(at: $0) }
        } catch { throw errors.refusal(error, "ask for the facts of the IOMMU") }
    }

    /// The facts of an address space of iommufd.
    init(iommufd: Int32, space: UInt32, _ kernel: any VFIOKernel, device: String) throws(AccessError) {
        let errors = VFIOErrors(device: device)
        do throws(VFIORefusal) {
            var room = 64
            // Ends: the room only grows, at most to 4096 ranges.
            while true {
                var pairs = [UInt64](repeating: 0, count: 2 * room)
                var (count, alignment): (UInt32, UInt64) = (0, 0)
                let result = kernel.ranges(iommufd, space, &pairs, &count, &alignment)
                if result == -ErrorNumber.messageSize, count > room, count <= 4096 {
                    room = Int(count)
                    continue
                }
                guard result >= 0 else { throw .kernel(-result) }
                guard count <= room else { throw .answer("ranges of bus addresses: \(count) of them; at most 4096 are read") }
                // The alignment is the smallest page; larger ones are used by the kernel where they fit.
                let smallest = max(alignment, UInt64(cdma_page_size()))
                guard smallest & (smallest - 1) == 0, smallest <= 1 << 30 else {
                    throw .answer("ranges of bus addresses: an alignment of \(alignment)")
                }
                pageSizes = [smallest, 1 << 21, 1 << 30].filter { $0 >= smallest }.reduce(into: []) { sizes, size in
                    if sizes.last != size { sizes.append(size) }
                }
                ranges = try Self.checked((0..<Int(count)).map { (pairs[2 * $0], pairs[2 * $0 + 1]) }, smallest)
                entryLimit = nil
                return
            }
        } catch { throw errors.refusal(error, "ask for the ranges of bus addresses") }
    }

    /// The page sizes of a bit map that are used.
    private static func sizes(_ map: UInt64) throws(VFIORefusal) -> [UInt64] {
        let page = UInt64(cdma_page_size())
        let sizes = (0..<64).map { UInt64(1) << UInt64($0) }.filter { map & $0 != 0 && $0 >= page && $0 <= 1 << 30 }
        guard !sizes.isEmpty else { throw .answer("facts of the IOMMU: page sizes 0x\(String(map, radix: 16))") }
        return sizes
    }

    /// Ranges in ascending order, whole pages, without the first page: devices and drivers take the address 0 for none.
    private static func checked(_ pairs: [(UInt64, UInt64)], _ page: UInt64) throws(VFIORefusal) -> [ClosedRange<UInt64>] {
        var result: [ClosedRange<UInt64>] = []
        var previous: UInt64?
        for (first, last) in pairs.sorted(by: { $0.0 < $1.0 }) {
            guard first <= last, previous.map({ first > $0 }) ?? true else {
                throw .answer(
                    "ranges of bus addresses: 0x\(String(first, radix: 16)) to 0x\(String(last, radix: 16))"
                        + (previous.map { " behind 0x\(String($0, radix: 16))" } ?? ""))
            }
            previous = last
            let (rounded, overflow) = max(first, page).addingReportingOverflow(page - 1)
            let start = rounded & ~(page - 1)
            // One before the last whole page's end; the top of the space is one.
            let end = last == .max ? last : ((last + 1) & ~(page - 1)) &- 1
            if !overflow, start <= end, last >= page - 1 { result.append(start...end) }
        }
        guard !result.isEmpty else { throw .answer("ranges of bus addresses: not one whole page") }
        return result
    }

    /// Whether every address of other ranges is one of these.
    func covers(_ others: [ClosedRange<UInt64>]) -> Bool {
        others.allSatisfy { other in
            ranges.contains { $0.lowerBound <= other.lowerBound && other.upperBound <= $0.upperBound }
        }
    }
}
