// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAAccess
internal import DMATypes

/// The descriptor of an open device, which reads as gone once it is closed.
final class VFIODeviceFile: Sendable {
    private let kernel: any VFIOKernel
    private let descriptor: Locked<Int32?>

    init(_ descriptor: Int32, _ kernel: any VFIOKernel) {
        self.descriptor = Locked(descriptor)
        self.kernel = kernel
    }

    /// Takes the descriptor out; nil where that was done before. Accesses that are under way have ended then.
    func take() -> Int32? { descriptor.withLock { $0.take() } }

    /// Runs `body` with the descriptor; nil where it is closed.
    func with<R: Sendable>(_ body: (Int32) -> R) -> R? { descriptor.withLock { $0.map(body) } }

    /// One access at an offset of the descriptor; all ones where the device does not answer.
    func read(_ offset: UInt64, _ width: AccessWidth) -> UInt64 {
        var value: UInt64 = 0
        let result = with { descriptor in kernel.read(descriptor, offset, width.rawValue, &value) } ?? -ErrorNumber.noDevice
        return result < 0 ? width.allOnes : value & width.allOnes
    }

    /// Lost where the device does not answer, as on a bus.
    func write(_ value: UInt64, _ offset: UInt64, _ width: AccessWidth) {
        _ = with { descriptor in kernel.write(descriptor, offset, width.rawValue, value) }
    }
}

/// What the kernel says of a region.
struct VFIORegion: Equatable {
    let count: UInt64
    /// Where it begins in the descriptor.
    let offset: UInt64
    let reads: Bool
    let writes: Bool
    /// Parts that may be mapped, ascending.
    let areas: [Range<UInt64>]

    /// - Throws: `answer` for areas that overlap, leave the region, or are no whole pages; `kernel`.
    init(_ kernel: any VFIOKernel, _ descriptor: Int32, _ index: Int, device: String) throws(VFIORefusal) {
        // struct vfio_region_info: argsz, flags, index, offset of the first capability, size, offset.
        let answer = try VFIOAnswer(
            kernel, descriptor, .region, "region \(index)", device: device, words: [8: UInt32(index)], least: 32)
        let flags = answer.word(at: 4)
        count = answer.wide(at: 16)
        offset = answer.wide(at: 24)
        reads = flags & VFIOABI.regionReads != 0
        writes = flags & VFIOABI.regionWrites != 0
        guard count <= UInt64(Int64.max), offset <= UInt64(Int64.max) - count else {
            throw .answer("region \(index): \(count) bytes at \(offset)")
        }
        // A window is mapped for both.
        guard flags & VFIOABI.regionMaps != 0, reads, writes, count > 0 else {
            areas = []
            return
        }
        let first = flags & VFIOABI.regionHasCapabilities == 0 ? 0 : answer.word(at: 12)
        let lists = try answer.capabilities(VFIOABI.sparseMapping, from: first)
        guard !lists.isEmpty else {
            areas = [0..<count]
            return
        }
        var found: [Range<UInt64>] = []
        for list in lists {
            // Number, a reserved word, then offset and size of each.
            let number = try answer.entries(answer.word(at: list), of: 16, at: list + 8)
            for entry in 0..<number {
                let start = answer.wide(at: list + 8 + 16 * entry)
                let length = answer.wide(at: list + 16 + 16 * entry)
                guard length <= count, start <= count - length else {
                    throw .answer("region \(index): an area of \(length) bytes at \(start), outside of \(count) bytes")
                }
                if length > 0 { found.append(start..<start + length) }
            }
        }
        areas = found.sorted { $0.lowerBound < $1.lowerBound }
        for (area, next) in zip(areas, areas.dropFirst()) where area.upperBound > next.lowerBound {
            throw .answer("region \(index): its areas overlap at \(next.lowerBound)")
        }
    }
}

/// The registers of a region: by the descriptor, and in parts by a mapping, which lives as long as this object.
// SAFETY: the addresses never change, and what is there is reached by single accesses of the kernel's or of a window.
@safe
final class VFIORegionPath: RegisterPath, Sendable {
    private struct Area {
        let range: Range<UInt64>
        let address: UInt
    }

    private let file: VFIODeviceFile
    private let region: VFIORegion
    private let flushes: UInt64
    private let areas: [Area]
    private let generation = cdma_fork_generation()

    /// - Parameter flushes: an offset of the descriptor whose read pushes writes to the device.
    init(_ region: VFIORegion, _ file: VFIODeviceFile, _ kernel: any VFIOKernel, flushes: UInt64) {
        self.region = region
        self.file = file
        self.flushes = flushes
        let page = UInt64(cdma_page_size())
        areas = region.areas.compactMap { range -> Area? in
            // What cannot be mapped is reached by the descriptor: `RegisterWindow.isMapped` says so.
            guard range.lowerBound % page == 0, (region.offset + range.lowerBound) % page == 0 else { return nil }
            var address: UInt = 0
            let result = file.with { descriptor in
                kernel.mapRegion(descriptor, region.offset + range.lowerBound, Int(range.count), &address)
            }
            return result.map { $0 >= 0 } == true && address != 0 ? Area(range: range, address: address) : nil
        }
    }

    deinit {
        // In a child of fork(2) they are not mapped.
        guard generation == cdma_fork_generation() else { return }
        for area in areas {
            // SAFETY: mapped by `init`; windows into it keep this object.
            _ = unsafe UnsafeMutableRawPointer(bitPattern: area.address).map { unsafe cdma_unmap($0, area.range.count) }
        }
    }

    func read(_ offset: UInt64, _ width: AccessWidth) -> UInt64 {
        guard region.reads, contains(offset, width) else { return width.allOnes }
        guard width == .wide else { return file.read(region.offset + offset, width) }
        // The kernel's own order for 8 bytes depends on its version.
        let low = file.read(region.offset + offset, .word)
        return low | file.read(region.offset + offset + 4, .word) << 32
    }

    func write(_ value: UInt64, _ offset: UInt64, _ width: AccessWidth, isDoorbell: Bool) {
        guard region.writes, contains(offset, width) else { return }
        guard width == .wide else { return file.write(value, region.offset + offset, width) }
        file.write(value & 0xffff_ffff, region.offset + offset, .word)
        file.write(value >> 32, region.offset + offset + 4, .word)
    }

    /// A read of the configuration space: it passes no write before it (PCI Express Base Specification 5.0, 2.4.1).
    func flush() { _ = file.read(flushes, .word) }

    private func contains(_ offset: UInt64, _ width: AccessWidth) -> Bool {
        let width = UInt64(width.rawValue)
        return width <= region.count && offset <= region.count - width && offset % width == 0
    }

    /// Whether one mapping has the whole region.
    var isMapped: Bool { areas.contains { $0.range == 0..<region.count } }

    // SAFETY: the area is mapped for reading and writing until `deinit`, and begins on a page.
    @unsafe func mappedAddress(_ offset: UInt64, _ count: Int) -> UInt {
        guard generation == cdma_fork_generation(), count > 0 else { return 0 }
        let length = UInt64(count)
        for area in areas where area.range.contains(offset) && area.range.upperBound - offset >= length {
            return area.address + UInt(offset - area.range.lowerBound)
        }
        return 0
    }
}
