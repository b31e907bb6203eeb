// SPDX-License-Identifier: Apache-2.0

internal import DMAPCISpecification
internal import DMARegisters

/// The configuration space of a model: its bytes, and which bits of them software can change.
struct ConfigurationImage {
    static let count = 256
    private static let msi = 0x50
    private static let express = 0x70

    private let initial: [UInt8]
    private let writable: [UInt8]
    private var bytes: [UInt8]
    /// Where the control register of MSI stands; nil without MSI.
    let msiOffset: Int?
    private let expressOffset: Int?

    init(_ description: FunctionDescription) {
        var bytes = [UInt8](repeating: 0, count: Self.count)
        var writable = bytes
        func put(_ value: UInt64, _ offset: Int, _ width: Int, in array: inout [UInt8]) {
            for byte in 0..<width where offset + byte < Self.count {
                array[offset + byte] = UInt8(truncatingIfNeeded: value >> UInt64(8 * byte))
            }
        }
        put(UInt64(description.vendor) | UInt64(description.device) << 16, 0, 4, in: &bytes)
        // Ports, memory, bus master, parity, system errors, INTx.
        put(0x0547, PCIOffset.command, 2, in: &writable)
        put(UInt64(description.classCode) << 8 | UInt64(description.revision), 8, 4, in: &bytes)
        put(0xff, PCIOffset.interruptLine, 1, in: &writable)
        if description.hasINTx { put(1, 0x3d, 1, in: &bytes) }
        for region in description.regions where (0..<6).contains(region.index) {
            let offset = PCIOffset.baseAddresses + 4 * region.index
            let mask = ~(max(region.count, 16) - 1)
            let isWide = region.isWide && region.index < 5
            put(isWide ? 4 : 0, offset, 4, in: &bytes)
            put(mask, offset, isWide ? 8 : 4, in: &writable)
        }
        var last = PCIOffset.capabilities
        func link(_ offset: Int, _ id: UInt16) {
            bytes[last] = UInt8(truncatingIfNeeded: offset)
            bytes[offset] = UInt8(truncatingIfNeeded: id)
            bytes[PCIOffset.status] |= 0x10
            last = offset + 1
        }
        if description.msiVectors > 0 {
            let wanted = min(description.msiVectors, 32).trailingZeroBitCount
            link(Self.msi, PCICapability.msi)
            // 64 bits, and each vector masked by itself.
            put(UInt64(0x0180 | wanted << 1), Self.msi + 2, 2, in: &bytes)
            put(0x0071, Self.msi + 2, 2, in: &writable)
            put(0xffff_ffff_ffff_fffc, Self.msi + 4, 8, in: &writable)
            put(0xffff, Self.msi + 12, 2, in: &writable)
            put(0xffff_ffff, Self.msi + 16, 4, in: &writable)
            msiOffset = Self.msi
        } else {
            msiOffset = nil
        }
        if description.hasFunctionReset {
            link(Self.express, PCICapability.pciExpress)
            put(0x0002, Self.express + 2, 2, in: &bytes)
            put(1 << 28, Self.express + 4, 4, in: &bytes)
            put(0x78ff, Self.express + 8, 2, in: &writable)
            put(0x0011, Self.express + 12, 4, in: &bytes)
            put(0x0011, Self.express + 18, 2, in: &bytes)
            expressOffset = Self.express
        } else {
            expressOffset = nil
        }
        initial = bytes
        self.bytes = bytes
        self.writable = writable
    }

    mutating func reset() { bytes = initial }

    func load(_ offset: Int, _ width: Int) -> UInt32 {
        (0..<width).reduce(0) { value, byte in
            let place = offset + byte
            return value | (Self.isInside(place) ? UInt32(bytes[place]) : 0xff) << UInt32(8 * byte)
        }
    }

    /// What a write does beside storing bits.
    enum Effect { case none, functionReset }

    mutating func store(_ value: UInt32, _ offset: Int, _ width: Int) -> Effect {
        for byte in 0..<width where Self.isInside(offset + byte) {
            let place = offset + byte
            let new = UInt8(truncatingIfNeeded: value >> UInt32(8 * byte))
            bytes[place] = bytes[place] & ~writable[place] | new & writable[place]
            // The error bits of the status register are cleared by writing 1.
            if place == PCIOffset.status + 1 { bytes[place] &= ~(new & 0xf9) }
        }
        if let expressOffset, (offset..<offset + width).contains(expressOffset + 9),
            value >> UInt32(8 * (expressOffset + 9 - offset)) & 0x80 != 0
        {
            return .functionReset
        }
        return .none
    }

    mutating func set(_ bits: UInt16, at offset: Int) {
        for byte in 0..<2 where Self.isInside(offset + byte) {
            bytes[offset + byte] |= UInt8(truncatingIfNeeded: bits >> UInt16(8 * byte))
        }
    }
    mutating func replace(_ value: UInt32, at offset: Int) {
        for byte in 0..<4 where Self.isInside(offset + byte) {
            bytes[offset + byte] = UInt8(truncatingIfNeeded: value >> UInt32(8 * byte))
        }
    }

    var command: PCICommand { PCICommand(word: UInt16(truncatingIfNeeded: load(PCIOffset.command, 2))) }

    private static func isInside(_ place: Int) -> Bool { place >= 0 && place < count }
}
