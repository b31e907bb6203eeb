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

/// Which way the data of a mapping goes: the kernel's `enum dma_data_direction`.
@frozen
public enum Direction: UInt8, Hashable, Sendable, CaseIterable {
    /// The device only reads: `DMA_TO_DEVICE`.
    case toDevice
    /// The device only writes: `DMA_FROM_DEVICE`.
    case fromDevice
    /// Both: `DMA_BIDIRECTIONAL`.
    case bidirectional

    /// The least permission that serves this direction.
    @inlinable
    public var access: DeviceAccess {
        switch self {
        case .toDevice: .read
        case .fromDevice: .write
        case .bidirectional: [.read, .write]
        }
    }
}

/// Names the address space of one device (or group of devices); what a mapping was made against (rule 3).
@frozen
public struct DomainID: Hashable, Sendable {
    /// Unique in this process.
    public let rawValue: UInt32
    /// Names a domain by its number; makes none.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
}

/// One contiguous range that a device may reach, as a mapping vouches for it.
///
/// A region is only words: it keeps nothing alive. It is handed out by the types that own a mapping, and read by the channel
/// that owns them in turn while a transaction is in flight; nobody else needs one.
@frozen
public struct Region: Equatable, Sendable {
    /// The first byte, as the device sees it.
    public let start: IOVA
    /// Bytes.
    public let count: UInt64
    /// The domain above, the access below: one word, so that one comparison checks both.
    @usableFromInline let key: UInt64

    /// The address space in which `start` has a meaning.
    @inlinable
    public var domain: DomainID { DomainID(rawValue: UInt32(truncatingIfNeeded: key >> 32)) }
    /// What the device may do here.
    @inlinable
    public var access: DeviceAccess { DeviceAccess(rawValue: UInt8(truncatingIfNeeded: key)) }

    /// States that `start ..< start + count` is mapped for `domain` with `access`, and stays so for as long as the value
    /// that returns this region lives. Whoever calls this vouches for it: a wrong claim is a device writing over foreign memory.
    @unsafe @inlinable
    public init(unsafeStart start: IOVA, count: UInt64, domain: DomainID, access: DeviceAccess) {
        self.start = start
        self.count = count
        key = Region.key(domain, access)
    }

    @unsafe @inlinable
    init(unsafeStart start: IOVA, count: UInt64, key: UInt64) {
        self.start = start
        self.count = count
        self.key = key
    }

    @inlinable
    static func key(_ domain: DomainID, _ access: DeviceAccess) -> UInt64 {
        UInt64(domain.rawValue) << 32 | UInt64(access.rawValue)
    }

    /// The region that reaches nothing: what a cargo answers for an index it does not have.
    @inlinable
    public static var none: Region {
        unsafe Region(unsafeStart: IOVA(0), count: 0, domain: DomainID(rawValue: .max), access: [])
    }
}

/// What a transaction owns while the device works on it: a mapped buffer, a leased block, a pair of them, a scatter list, or
/// the client's own enum of these.
///
/// A channel keeps the cargo from submission until the completion is taken. An ``Operation`` names places in the cargo (a
/// region's number and an offset), never addresses, so that every address a device is given was checked against memory that
/// the transaction owns.
///
/// - Important: A conforming type answers only with regions of values that it owns, and the same ones for as long as it lives.
public protocol Cargo: ~Copyable {
    /// How many regions there are.
    var regionCount: Int { get }

    /// Region `index`, or ``Region/none`` where there is none of that number. Never traps.
    func region(at index: Int) -> Region

    /// The device could not be stopped: park the memory, so that it is neither unmapped nor freed when this value ends
    /// (rule 18).
    mutating func quarantine()
}

/// Two cargoes as one: the regions of the first, then those of the second. Pairs of pairs make longer ones.
@frozen
public struct Pair<First: Cargo & ~Copyable, Second: Cargo & ~Copyable>: ~Copyable, Cargo {
    /// The cargo whose regions are counted first: the source, in a copy.
    public var first: First
    /// The cargo whose regions follow: the destination, in a copy.
    public var second: Second

    /// Two cargoes as one.
    @inlinable
    public init(_ first: consuming First, _ second: consuming Second) {
        self.first = first
        self.second = second
    }

    @inlinable
    public var regionCount: Int { first.regionCount + second.regionCount }

    @inlinable
    public func region(at index: Int) -> Region {
        let split = first.regionCount
        return index < split ? first.region(at: index) : second.region(at: index &- split)
    }

    @inlinable
    public mutating func quarantine() {
        first.quarantine()
        second.quarantine()
    }
}

extension Pair: Sendable where First: Sendable & ~Copyable, Second: Sendable & ~Copyable {}

/// No memory at all: the cargo of a transaction that moves nothing.
@frozen
public struct NoCargo: ~Copyable, Cargo, Sendable {
    /// Nothing to own.
    @inlinable public init() {}
    @inlinable public var regionCount: Int { 0 }
    @inlinable public func region(at index: Int) -> Region { .none }
    @inlinable public mutating func quarantine() {}
}
