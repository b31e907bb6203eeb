// SPDX-License-Identifier: Apache-2.0

public import DMATypes

/// Programs the translation between bus addresses and memory: VFIO's IOMMU, a vfio-user peer, a model.
///
/// A backend belongs to one address space: a second address space over the same backend is refused.
///
/// Thread rules: may be called from several threads at once, for ranges that do not overlap.
public protocol MappingBackend: AnyObject, Sendable {
    /// Makes `count` bytes of `source` reachable for the device at the bus addresses from `iova` on.
    ///
    /// Bus address, length, and the source's address or offset are multiples of the smallest page size of the address space;
    /// the bytes stay valid until ``unmap(at:count:)`` has returned.
    /// - Throws: the reason, normally `backendFailed` with errno. Nothing is mapped then. EEXIST means that the range holds a
    ///   mapping that this address space does not know of: the range is not used again.
    func map(at iova: IOVA, _ source: MappingSource, count: UInt64, access: DeviceAccess) throws(DMAError)

    /// Ends exactly one earlier ``map(at:_:count:access:)``. When it returns, the device can no longer reach the bytes.
    ///
    /// - Returns: the number of bytes that the kernel or the peer reports as unmapped. A number other than `count` is a
    ///   failure.
    /// - Throws: the device may still reach the bytes then, and the memory goes to the quarantine, unless ``isDead`` is true.
    func unmap(at iova: IOVA, count: UInt64) throws(DMAError) -> UInt64

    /// Whether the kernel or the peer has proved that no mapping of this backend reaches memory any more: the device was
    /// removed from its IOMMU group, the container was closed, or the peer process has ended. Once true it stays true. A
    /// mapping whose ``unmap(at:count:)`` fails then counts as ended, and the quarantine releases the memory that it holds for
    /// this backend.
    var isDead: Bool { get }

    /// What this backend requires of the memory that it maps. Read once, when the address space is made.
    var needs: SourceNeeds { get }

    /// Whether it can map another device's bus addresses (``MappingSource/Kind/device``), or a dma-buf that this process has
    /// not mapped. Read once, when the address space is made.
    var takesDeviceMemory: Bool { get }

    /// Whether mappings exist while no device is attached. In VFIO's type 1 they do not: it refuses to map before the first
    /// device is attached, and drops every mapping when the last one is detached (drivers/vfio/vfio_iommu_type1.c). The address
    /// space keeps its list of mappings, and programs them when a device is attached. Read once, when the address space is
    /// made.
    var keepsMappings: Bool { get }
}

extension MappingBackend {
    // A backend that cannot tell leaves the memory in quarantine.
    public var isDead: Bool { false }
    // Any memory of this process, and no memory of other devices.
    public var needs: SourceNeeds { [] }
    public var takesDeviceMemory: Bool { false }
    // As an iommufd IOAS does.
    public var keepsMappings: Bool { true }
}
