// SPDX-License-Identifier: Apache-2.0

public import DMATypes

/// Programs the translation between bus addresses and memory: VFIO's IOMMU, a vfio-user peer, a model.
///
/// A backend is one address space: of two address spaces over one backend, the second is refused.
///
/// Thread rules: may be called from several threads at once, for ranges that do not overlap.
public protocol MappingBackend: AnyObject, Sendable {
    /// Lets the device reach `count` bytes of `source` through the bus addresses from `iova` on.
    ///
    /// Bus address, length, and address or offset of the source are multiples of the smallest page size that the address space was
    /// made with; the bytes stay valid until ``unmap(at:count:)`` has returned.
    /// - Throws: the reason, as a rule `backendFailed` with errno. Nothing is mapped then. EEXIST says that something is mapped there that
    ///   this address space does not know: the range is not given out again.
    func map(at iova: IOVA, _ source: MappingSource, count: UInt64, access: DeviceAccess) throws(DMAError)

    /// Ends exactly one earlier ``map(at:_:count:access:)``. When this returns, the device can no longer reach the bytes.
    ///
    /// - Returns: how many bytes were unmapped, as the kernel or the peer says. Another number than `count` is a failure.
    /// - Throws: then the device may still reach them, and the memory is parked in the quarantine, unless ``isDead`` is true.
    func unmap(at iova: IOVA, count: UInt64) throws(DMAError) -> UInt64

    /// Whether the kernel or the peer has proved that no mapping of this backend reaches memory any more: the device was removed from
    /// its IOMMU group, the container was closed, the peer process has ended. Once true it stays true. A mapping whose ``unmap(at:count:)``
    /// fails then counts as ended, and the quarantine releases what it holds of this backend.
    var isDead: Bool { get }

    /// What this backend asks of the memory that it maps. Asked once, when the address space is made.
    var needs: SourceNeeds { get }

    /// Whether it can let the device reach another device's bus addresses (``MappingSource/Kind/device``), or a dma-buf that this process
    /// has not mapped. Asked once, when the address space is made.
    var takesDeviceMemory: Bool { get }

    /// Whether mappings exist while no device is attached. VFIO's type 1 has none then: it refuses to map before the first device is
    /// attached, and drops every mapping when the last one leaves (drivers/vfio/vfio_iommu_type1.c). The address space keeps its list, and
    /// programs it when a device is attached. Asked once, when the address space is made.
    var keepsMappings: Bool { get }
}

extension MappingBackend {
    // A backend that cannot tell keeps the memory parked.
    public var isDead: Bool { false }
    // Memory of this process, of any kind; and no other device's.
    public var needs: SourceNeeds { [] }
    public var takesDeviceMemory: Bool { false }
    // As an iommufd IOAS does.
    public var keepsMappings: Bool { true }
}
