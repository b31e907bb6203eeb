// SPDX-License-Identifier: Apache-2.0
internal import DMARegisters

/// A range of addresses that a function answers, as one of its base address registers, or two, say.
///
/// Source: PCI Local Bus Specification 3.0, 6.2.5.1; PCI Express Base Specification 5.0, 7.5.1.2.1.
public struct BaseAddress: Equatable, Sendable {
    /// What kind of addresses.
    public enum Space: Equatable, Sendable {
        /// I/O ports.
        case ports
        /// Memory below 4 GiB.
        case memory32
        /// Memory anywhere: the next register holds the upper half.
        case memory64
    }

    /// Number of the register, 0 to 5.
    public let index: Int
    /// What kind of addresses they are.
    public let space: Space
    /// Whether reading has no side effect, so that a bridge may read ahead.
    public let isPrefetchable: Bool
    /// The assigned address; 0 where none is assigned.
    public let address: UInt64
    /// Bytes, a power of two: what ``sizes(_:count:write:)`` found, or 0 where it was not asked for.
    public let count: UInt64

    /// The same range, elsewhere.
    public func moved(to address: UInt64) -> BaseAddress {
        BaseAddress(index: index, space: space, isPrefetchable: isPrefetchable, address: address, count: count)
    }

    private init(index: Int, space: Space, isPrefetchable: Bool, address: UInt64, count: UInt64) {
        (self.index, self.space, self.isPrefetchable, self.address, self.count) =
            (index, space, isPrefetchable, address, count)
    }

    /// Registers that this one takes.
    public var registers: Int { space == .memory64 ? 2 : 1 }

    /// What a register says without its size.
    ///
    /// - Parameters:
    ///   - low: the register.
    ///   - high: the register behind it; nil where there is none.
    ///   - index: its number.
    /// - Throws: `badBaseAddress` for a type that is reserved, and for 64 bits without a register behind.
    init(low: UInt32, high: UInt32?, index: Int, count: UInt64) throws(ConfigurationError) {
        self.index = index
        self.count = count
        if low & 1 != 0 {
            (space, isPrefetchable, address) = (.ports, false, UInt64(low & ~3))
            return
        }
        isPrefetchable = low & 8 != 0
        switch low >> 1 & 3 {
        case 0:
            (space, address) = (.memory32, UInt64(low & ~15))
        case 2:
            guard let high else { throw .badBaseAddress(index: index, mask: UInt64(low)) }
            (space, address) = (.memory64, UInt64(low & ~15) | UInt64(high) << 32)
        default: throw .badBaseAddress(index: index, mask: UInt64(low))
        }
    }

    /// What the registers of a function say, without sizes: nothing is written. Registers that read 0 are left out.
    ///
    /// - Parameter count: registers that its header has (``FunctionHeader/baseAddressCount``).
    /// - Throws: `badBaseAddress`.
    public static func assigned(_ reader: some ConfigurationReader, count: Int) throws(ConfigurationError) -> [BaseAddress] {
        var found: [BaseAddress] = []
        var index = 0
        let count = min(max(count, 0), 6)
        while index < count {
            let offset = PCIOffset.baseAddresses + 4 * index
            let low = reader.checkedWord(offset)
            guard low != 0 else {
                index += 1
                continue
            }
            let high = index + 1 < count ? reader.checkedWord(offset + 4) : nil
            let base = try BaseAddress(low: low, high: high, index: index, count: 0)
            found.append(base)
            index += base.registers
        }
        return found
    }

    /// Sizes the registers of a function: writes all ones to each, reads which bits took them, and writes back what was there.
    ///
    /// Decoding must be off meanwhile (``PCICommand``): the function would answer at addresses that are another's.
    ///
    /// - Parameters:
    ///   - reader: of the function.
    ///   - count: registers that its header has (``FunctionHeader/baseAddressCount``).
    ///   - write: writes 32 bits at an offset.
    /// - Throws: `badBaseAddress` where the bits that can be set are no size: holes, a reserved type, 64 bits without a second register, a type
    ///   that changes.
    public static func sizes(
        _ reader: some ConfigurationReader, count: Int, write: (Int, UInt32) -> Void
    ) throws(ConfigurationError) -> [BaseAddress] {
        var found: [BaseAddress] = []
        var index = 0
        let count = min(max(count, 0), 6)
        while index < count {
            let offset = PCIOffset.baseAddresses + 4 * index
            func probe(_ offset: Int) -> (before: UInt32, mask: UInt32) {
                let before = reader.checkedWord(offset)
                write(offset, .max)
                let mask = reader.checkedWord(offset)
                write(offset, before)
                return (before, mask)
            }
            let low = probe(offset)
            guard low.mask != 0 else {
                index += 1
                continue
            }
            // All ones: the device is gone, or the register does not exist.
            guard low.mask != .max else { throw .badBaseAddress(index: index, mask: UInt64(low.mask)) }
            let isWide = low.mask & 1 == 0 && low.mask >> 1 & 3 == 2
            let high = isWide && index + 1 < count ? probe(offset + 4) : nil
            // The bits that name the type cannot be written.
            let typeBits: UInt32 = low.mask & 1 != 0 ? 3 : 15
            guard low.before == 0 || low.before & typeBits == low.mask & typeBits else {
                throw .badBaseAddress(index: index, mask: UInt64(low.mask))
            }
            let before = low.before == 0 ? low.mask & typeBits : low.before
            let base = try BaseAddress(
                low: before, high: isWide ? high?.before : nil, index: index,
                count: try size(low: low.mask, high: high?.mask, index: index))
            found.append(base)
            index += base.registers
        }
        return found
    }

    /// Bytes, from the bits that can be set: the lowest of them, where all above it can be set too.
    static func size(low: UInt32, high: UInt32?, index: Int) throws(ConfigurationError) -> UInt64 {
        var mask: UInt64
        if low & 1 != 0 {
            mask = UInt64(low & ~3)
            // A function may decode 16 bits of a port's address alone.
            if mask >> 16 == 0 { mask |= 0xffff_0000 }
            mask |= 0xffff_ffff_0000_0000
        } else {
            mask = UInt64(low & ~15) | UInt64(high ?? .max) << 32
        }
        let size = mask & (0 &- mask)
        guard size != 0, mask == 0 &- size else { throw .badBaseAddress(index: index, mask: mask) }
        return size
    }
}
