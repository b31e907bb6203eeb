// SPDX-License-Identifier: Apache-2.0

internal import DMACore
internal import DMAEngineKit
internal import DMATypes

/// Programs the kernel's IOMMU, by a container of groups (type 1, version 2) or by an address space of iommufd.
///
/// A call that succeeds and does less than asked is a failure: the size that an unmap reports goes back to the address space, which compares it, and a
/// range that holds a mapping of another's (EEXIST) is retired there.
///
/// Each run of the address space is one mapping of the kernel's, with exactly the permissions of its direction. Runs of one call were merged before; those
/// of two calls stay apart, since type 1 ends no part of a mapping.
///
/// Source: drivers/vfio/vfio_iommu_type1.c, drivers/iommu/iommufd/ioas.c.
final class VFIOBackend: MappingBackend {
    private struct State {
        var table: VFIOTable?
        var mapped = 0
        var refusal: String?
    }

    private let kernel: any VFIOKernel
    let keepsMappings: Bool
    private let state = Locked(State())
    /// The descriptor of iommufd, which is closed with the last user of the address space; nil for a container, which is closed with its last device.
    private let iommufd: Int32?

    /// A container's mappings, which are there while a device is.
    init(_ kernel: any VFIOKernel) {
        self.kernel = kernel
        keepsMappings = false
        iommufd = nil
    }

    /// The mappings of an address space of iommufd, whose descriptor belongs to this object from here on.
    init(_ kernel: any VFIOKernel, iommufd: Int32, space: UInt32) {
        self.kernel = kernel
        keepsMappings = true
        self.iommufd = iommufd
        state.withLock { $0.table = .space(iommufd, space) }
    }

    deinit { if let iommufd { _ = kernel.close(iommufd) } }

    /// Where mappings go from here on; nil for nowhere.
    func use(_ table: VFIOTable?) {
        state.withLock { state in
            state.table = table
            state.mapped = 0
        }
    }

    /// Mappings that the kernel has now.
    var mapped: Int { state.withLock { $0.mapped } }
    /// Why the kernel refused a mapping last, with the limit that it met; nil where it has refused none.
    var refusal: String? { state.withLock { $0.refusal } }

    /// The limit of entries, for messages.
    let entryLimit = Locked<UInt32?>(nil)

    func map(at iova: IOVA, _ source: MappingSource, count: UInt64, access: DeviceAccess) throws(DMAError) {
        guard source.address != 0 else { throw DMAError(.unsupportedSource) }
        guard let table = state.withLock({ $0.table }) else { throw DMAError(.notAttached) }
        let result = kernel.map(
            table, iova.rawValue, source.address, count, reads: access.contains(.read), writes: access.contains(.write))
        guard result < 0 else {
            state.withLock { $0.mapped += 1 }
            return
        }
        throw refused(-result, iova.rawValue, count)
    }

    func unmap(at iova: IOVA, count: UInt64) throws(DMAError) -> UInt64 {
        guard let table = state.withLock({ $0.table }) else { throw DMAError(.notAttached) }
        var done = count
        let result = kernel.unmap(table, iova.rawValue, &done)
        guard result >= 0 else { throw DMAError(.backendFailed, asked: iova.rawValue, errno: -result) }
        if done == count { state.withLock { $0.mapped -= 1 } }
        return done
    }

    /// Ends what is mapped in these ranges, before the container is closed: where a register window outlives its device, the kernel keeps the container.
    func unmapAll(_ ranges: [ClosedRange<UInt64>]) {
        guard case .container? = state.withLock({ $0.table }) else { return }
        for range in ranges {
            // One byte less than the whole space is as much as a size can say.
            var count = range.upperBound - range.lowerBound
            if count != .max { count += 1 }
            guard let table = state.withLock({ $0.table }) else { return }
            // The bus master is off; what a kernel does not end here, it ends with the last descriptor of the device.
            _ = kernel.unmap(table, range.lowerBound, &count)
        }
    }

    private func refused(_ number: Int32, _ iova: UInt64, _ count: UInt64) -> DMAError {
        let text: String
        switch number {
        case ErrorNumber.noSpace:
            let limit = entryLimit.withLock { $0 }.map { " (\($0))" } ?? ""
            text =
                "the kernel's limit of mappings\(limit) is reached, and this address space has \(mapped): map larger pieces, or "
                + "load vfio_iommu_type1 with a larger dma_entry_limit"
        case ErrorNumber.noMemory:
            let limit = kernel.lockLimit
            guard limit != .max else {
                text = "the kernel has no memory for a mapping of \(count) bytes"
                break
            }
            let budget = LockBudget(limit: limit, locked: LockBudget.current.locked)
            text =
                "RLIMIT_MEMLOCK is \(limit) bytes, \(budget.locked) are locked, and \(count) more were asked for: raise it "
                + "(ulimit -l, LimitMEMLOCK= of a unit)"
            state.withLock { $0.refusal = text }
            if budget.remaining < count { return DMAError(.memoryLocked, asked: count, limit: budget.remaining, errno: number) }
            return DMAError(.backendFailed, asked: iova, errno: number)
        default: text = "the kernel refuses \(count) bytes at 0x\(String(iova, radix: 16)): \(DMAError.sentence(number))"
        }
        state.withLock { $0.refusal = text }
        return DMAError(.backendFailed, asked: iova, errno: number)
    }
}
