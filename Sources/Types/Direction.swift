// SPDX-License-Identifier: Apache-2.0

/// What a device may do with a mapped range: the permissions that the IOMMU mapping carries (rule 34).
@frozen
public struct DeviceAccess: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8
    @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// The device reads: IOMMU_READ.
    @inlinable public static var read: DeviceAccess { DeviceAccess(rawValue: 1) }
    /// The device writes: IOMMU_WRITE.
    @inlinable public static var write: DeviceAccess { DeviceAccess(rawValue: 2) }
}

/// The direction of a mapping's data: the kernel's `enum dma_data_direction`.
@frozen
public enum Direction: UInt8, Hashable, Sendable, CaseIterable {
    /// The device only reads: `DMA_TO_DEVICE`.
    case toDevice
    /// The device only writes: `DMA_FROM_DEVICE`.
    case fromDevice
    /// Both: `DMA_BIDIRECTIONAL`.
    case bidirectional

    /// The least permission that this direction needs.
    @inlinable
    public var access: DeviceAccess {
        switch self {
        case .toDevice: .read
        case .fromDevice: .write
        case .bidirectional: [.read, .write]
        }
    }
}

/// Identifies the address space of one device (or group of devices) that a mapping belongs to (rule 3).
@frozen
public struct DomainID: Hashable, Sendable {
    /// Unique in this process.
    public let rawValue: UInt32
    /// The identifier with a domain's number; makes no domain.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
}
