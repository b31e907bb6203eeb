// SPDX-License-Identifier: Apache-2.0

public import DMATypes

/// Programs the translation between bus and CPU addresses: VFIO's IOMMU, a vfio-user server, a model.
///
/// Thread rules: may be called from several threads at once, for ranges that do not overlap.
public protocol MappingBackend: AnyObject, Sendable {
    /// Lets the device reach `count` bytes of this process's memory at `address` through the bus addresses from `iova` on.
    ///
    /// All three are multiples of the smallest page size that the domain was made with; the bytes stay valid until
    /// ``unmap(at:count:)`` has returned.
    /// - Throws: the reason, as a rule `backendFailed` with errno. Nothing is mapped then.
    func map(at iova: IOVA, address: UInt, count: UInt64, access: DeviceAccess) throws(DMAError)

    /// Ends exactly one earlier ``map(at:address:count:access:)``. When this returns, the device can no longer reach the bytes.
    /// - Throws: then the device may still reach them, and the memory is parked in the quarantine, unless ``isDead`` is true.
    func unmap(at iova: IOVA, count: UInt64) throws(DMAError)

    /// Whether the kernel or the peer has proved that no mapping of this backend reaches memory any more: the device was removed from
    /// its IOMMU group, the container was closed, the peer process has ended. Once true it stays true. A mapping whose ``unmap(at:count:)``
    /// fails then counts as ended, and the quarantine releases what it holds of this backend.
    var isDead: Bool { get }
}

extension MappingBackend {
    // A backend that cannot tell keeps the memory parked.
    public var isDead: Bool { false }
}
