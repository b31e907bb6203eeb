// SPDX-License-Identifier: Apache-2.0

/// An address as a device sees it: the kernel's `dma_addr_t`.
///
/// A type of its own, so that a CPU address and a bus address cannot be mixed (contract rule 29). The device is programmed with
/// it; it cannot be dereferenced.
///
/// Source: Documentation/core-api/dma-api-howto.rst, "CPU and DMA addresses".
@frozen
public struct IOVA: Hashable, Comparable, Sendable {
    /// The address in bytes.
    public let rawValue: UInt64

    /// The bus address `rawValue`. Whether it leads to memory depends on a mapping.
    @inlinable
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    @inlinable
    public static func < (left: IOVA, right: IOVA) -> Bool { left.rawValue < right.rawValue }

    /// This address plus `offset` bytes; nil where that leaves the 64-bit space.
    @inlinable
    public func advanced(by offset: UInt64) -> IOVA? {
        let (sum, overflow) = rawValue.addingReportingOverflow(offset)
        return overflow ? nil : IOVA(sum)
    }
}

extension IOVA: CustomStringConvertible {
    public var description: String { "0x" + String(rawValue, radix: 16) }
}

/// The highest address a device can put on its bus: the kernel's `dma_set_mask`, `DMA_BIT_MASK(n)`.
@frozen
public struct DMAMask: Hashable, Sendable {
    /// All addressable bits set; the highest address that can be reached.
    public let rawValue: UInt64

    /// A mask of `bits` address lines; values outside 0…64 are clamped.
    @inlinable
    public init(bits: Int) {
        rawValue = bits >= 64 ? .max : bits <= 0 ? 0 : (1 << UInt64(bits)) - 1
    }

    /// A mask whose highest reachable address is `rawValue`, which need not be one less than a power of two.
    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The mask that a PCI device has until its driver sets another (rule 30; Documentation/core-api/dma-api-howto.rst).
    @inlinable
    public static var pciDefault: DMAMask { DMAMask(bits: 32) }

    /// Whether the whole range `start ..< start + count` can be reached. False for a range that leaves the 64-bit space.
    @inlinable
    public func reaches(_ start: IOVA, count: UInt64) -> Bool {
        if count == 0 { return start.rawValue <= rawValue }
        let (last, overflow) = start.rawValue.addingReportingOverflow(count - 1)
        return !overflow && last <= rawValue
    }
}
