// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMATypes

/// The kernel that this process runs on.
package final class RunningKernel: VFIOKernel {
    package static let shared = RunningKernel()
    private init() {}

    // MARK: Files

    package func open(_ path: String) -> Int32 {
        // SAFETY: the C function reads the path.
        unsafe cdma_vfio_open(path)
    }
    package func close(_ descriptor: Int32) -> Int32 { cdma_close(descriptor) }

    package func text(_ path: String) -> String? {
        let bytes = unsafe fill(4096) { room, count in
            // SAFETY: the C function writes at most `count` bytes.
            unsafe cdma_read_file(path, room, count)
        }
        return bytes.map { bytes in
            String(decoding: bytes.prefix { $0 != 10 }, as: UTF8.self)
        }
    }
    package func link(_ path: String) -> String? {
        // SAFETY: as above.
        unsafe fill(4096) { room, count in unsafe cdma_read_link(path, room, count) }.map {
            String(decoding: $0, as: UTF8.self)
        }
    }
    package func names(in folder: String) -> [String]? {
        // SAFETY: as above.
        unsafe fill(65_536) { room, count in unsafe cdma_folder_names(folder, room, count) }?.split(separator: 0).map {
            String(decoding: $0, as: UTF8.self)
        }
    }

    private func fill(_ capacity: Int, _ body: (UnsafeMutablePointer<CChar>, Int) -> Int64) -> [UInt8]? {
        // SAFETY: `body` writes at most the capacity, and answers how many bytes it wrote.
        unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: capacity) { room -> [UInt8]? in
            guard let base = room.baseAddress else { return nil }
            let count = unsafe body(base, capacity)
            guard count >= 0, count <= capacity else { return nil }
            return unsafe room.prefix(Int(count)).map { UInt8(bitPattern: $0) }
        }
    }

    // MARK: Questions

    package func ask(_ descriptor: Int32, _ question: VFIOQuestion, _ room: inout [UInt8]) -> Int32 {
        let count = room.count
        // SAFETY: the C function checks that argsz is at most `count`, which is all that the kernel writes.
        return unsafe room.withUnsafeMutableBytes { bytes in
            unsafe cdma_vfio_ask(descriptor, question.rawValue, bytes.baseAddress, count)
        }
    }

    // MARK: Groups and containers

    package func version(of container: Int32) -> Int32 { cdma_vfio_version(container) }
    package func has(_ container: Int32, _ extension: Int32) -> Int32 { cdma_vfio_has(container, `extension`) }
    package func status(of group: Int32, _ flags: inout UInt32) -> Int32 {
        // SAFETY: the C function writes one word.
        unsafe cdma_vfio_group_status(group, &flags)
    }
    package func join(_ group: Int32, _ container: Int32) -> Int32 { cdma_vfio_join(group, container) }
    package func setIOMMU(_ container: Int32, _ type: Int32) -> Int32 { cdma_vfio_set_iommu(container, type) }
    package func device(of group: Int32, _ name: String) -> Int32 {
        // SAFETY: the kernel reads the name.
        unsafe cdma_vfio_device(group, name)
    }

    // MARK: iommufd

    package func makeSpace(_ iommufd: Int32, _ number: inout UInt32) -> Int32 {
        // SAFETY: the C function writes one word.
        unsafe cdma_ioas_make(iommufd, &number)
    }
    package func destroySpace(_ iommufd: Int32, _ number: UInt32) -> Int32 { cdma_iommu_destroy_object(iommufd, number) }
    package func ranges(
        _ iommufd: Int32, _ space: UInt32, _ pairs: inout [UInt64], _ count: inout UInt32, _ alignment: inout UInt64
    ) -> Int32 {
        count = UInt32(min(pairs.count / 2, 4096))
        // SAFETY: the kernel writes as many pairs as `count` says, which the array has room for.
        return unsafe pairs.withUnsafeMutableBufferPointer { room in
            unsafe cdma_ioas_get_ranges(iommufd, space, room.baseAddress, &count, &alignment)
        }
    }
    package func bind(_ device: Int32, _ iommufd: Int32) -> Int32 { cdma_vfio_bind(device, iommufd) }
    package func attach(_ device: Int32, _ space: UInt32) -> Int32 { cdma_vfio_attach_to(device, space) }

    // MARK: Mappings

    package func map(
        _ table: VFIOTable, _ iova: UInt64, _ address: UInt64, _ count: UInt64, reads: Bool, writes: Bool
    ) -> Int32 {
        switch table {
        case .container(let container): cdma_vfio_map(container, iova, address, count, reads, writes)
        case .space(let iommufd, let number): cdma_ioas_map_memory(iommufd, number, iova, address, count, reads, writes)
        }
    }
    package func unmap(_ table: VFIOTable, _ iova: UInt64, _ count: inout UInt64) -> Int32 {
        // SAFETY: the C functions write one word.
        switch table {
        case .container(let container): unsafe cdma_vfio_unmap(container, iova, &count)
        case .space(let iommufd, let number): unsafe cdma_ioas_unmap_memory(iommufd, number, iova, &count)
        }
    }
    package var lockLimit: UInt64 { cdma_lock_limit() }

    // MARK: A device

    package func reset(_ device: Int32) -> Int32 { cdma_vfio_reset(device) }
    package func hotReset(_ device: Int32, _ groups: [Int32]) -> Int32 {
        // SAFETY: the C function reads as many words as the array has.
        unsafe cdma_vfio_hot_reset(device, groups, UInt32(groups.count))
    }
    package func interrupts(_ device: Int32, _ index: UInt32, _ action: VFIOInterruptAction) -> Int32 {
        switch action {
        // SAFETY: the C function reads as many words as the array has.
        case .signal(let events): unsafe cdma_vfio_interrupts(device, index, 0, events, UInt32(events.count))
        case .mask: cdma_vfio_interrupts(device, index, 1, nil, 0)
        case .unmask: cdma_vfio_interrupts(device, index, 2, nil, 0)
        case .switchOff: cdma_vfio_interrupts(device, index, 3, nil, 0)
        }
    }
    package func read(_ device: Int32, _ offset: UInt64, _ width: Int, _ value: inout UInt64) -> Int32 {
        // SAFETY: the C function writes one word.
        unsafe cdma_vfio_read(device, offset, width, &value)
    }
    package func write(_ device: Int32, _ offset: UInt64, _ width: Int, _ value: UInt64) -> Int32 {
        cdma_vfio_write(device, offset, width, value)
    }
    package func mapRegion(_ device: Int32, _ offset: UInt64, _ count: Int, _ address: inout UInt) -> Int32 {
        var base: UnsafeMutableRawPointer?
        // SAFETY: the C function writes the address of a new mapping, which is the caller's.
        let result = unsafe cdma_vfio_map_region(device, offset, count, true, true, &base)
        address = UInt(bitPattern: base)
        return result
    }
}
