// SPDX-License-Identifier: Apache-2.0

import DMAPCISpecification
import Testing

@Suite("PCI capabilities")
struct CapabilityTests {
    @Test("lists in their order")
    func lists() throws {
        let space = Space()
        space.list([(0x01, 0x40), (0x10, 0x80), (0x05, 0x60)])
        space.extendedList([(0x0001, 0x100), (0x0010, 0x160)])
        #expect(try PCICapability.list(space).map(\.id) == [0x01, 0x10, 0x05])
        #expect(try PCICapability.list(space).map(\.offset) == [0x40, 0x80, 0x60])
        let extended = try PCICapability.extendedList(space)
        #expect(extended.map(\.id) == [0x0001, 0x0010])
        #expect(extended.map(\.offset) == [0x100, 0x160])
        #expect(extended.map(\.version) == [1, 1])
    }

    @Test("a list that comes back to itself ends with an error")
    func loops() {
        let space = Space()
        space.list([(1, 0x40), (5, 0x50)])
        space.bytes[0x51] = 0x40
        #expect(throws: ConfigurationError.listLoops(at: 0x40)) { try PCICapability.list(space) }
        space.bytes[0x41] = 0x40
        #expect(throws: ConfigurationError.listLoops(at: 0x40)) { try PCICapability.list(space) }
        space.put(0x0001 | 0x200 << 20, 0x100)
        space.put(0x0002 | 0x100 << 20, 0x200)
        #expect(throws: ConfigurationError.listLoops(at: 0x100)) { try PCICapability.extendedList(space) }
    }

    @Test("every list of every pointer ends", arguments: [256, 4096])
    func allPointers(_ count: Int) {
        for first in UInt8.min...UInt8.max {
            for next in stride(from: 0, through: 255, by: 3) {
                let space = Space(count)
                space.bytes[6] = 0x10
                space.bytes[0x34] = first
                for offset in 0x40..<0x100 { space.bytes[offset] = UInt8(next) }
                let found = try? PCICapability.list(space)
                #expect((found?.count ?? 0) <= 48)
                #expect(space.reads < 200)
            }
        }
    }

    @Test("pointers into the header and beyond the space")
    func leaves() {
        let space = Space()
        space.list([(1, 0x40)])
        space.bytes[0x41] = 0x3c
        #expect(throws: ConfigurationError.listLeaves(from: 0x40, to: 0x3c)) { try PCICapability.list(space) }
        space.bytes[0x34] = 0x04
        #expect(throws: ConfigurationError.listLeaves(from: 0x34, to: 0x04)) { try PCICapability.list(space) }
        space.put(0x0001 | 0x0fc << 20, 0x100)
        #expect(throws: ConfigurationError.listLeaves(from: 0x100, to: 0xfc)) { try PCICapability.extendedList(space) }
        let short = Space(512)
        short.put(0x0001 | 0x200 << 20, 0x100)
        #expect(throws: ConfigurationError.listLeaves(from: 0x100, to: 0x200)) { try PCICapability.extendedList(short) }
    }

    @Test("the lowest two bits of a pointer mean nothing")
    func reservedBits() throws {
        let space = Space()
        space.list([(1, 0x40)])
        space.bytes[0x34] = 0x43
        #expect(try PCICapability.list(space).map(\.offset) == [0x40])
    }

    @Test("all ones end a list")
    func allOnes() throws {
        let space = Space()
        space.list([(1, 0x40), (5, 0x50)])
        for offset in 0x50..<0x54 { space.bytes[offset] = 0xff }
        #expect(try PCICapability.list(space).map(\.id) == [1])
        space.put(.max, 0x100)
        #expect(try PCICapability.extendedList(space) == [])
        #expect(try PCICapability.list(ConfigurationBytes([UInt8](repeating: 0xff, count: 4096))) == [])
    }

    @Test("256 bytes alone, no list, and less than a space")
    func short() throws {
        let space = Space(256)
        space.list([(0x10, 0x40)])
        #expect(try PCICapability.list(space).map(\.id) == [0x10])
        #expect(try PCICapability.extendedList(space) == [])
        #expect(try PCICapability.list(Space()) == [])
        #expect(try PCICapability.list(ConfigurationBytes([])) == [])
    }

    // MARK: Contents

    /// The capability of that identity at that place, as a list has it.
    private func only(_ id: UInt16, _ offset: Int) throws -> PCICapability {
        let space = Space()
        if offset < 256 {
            space.list([(UInt8(id), UInt8(offset))])
            return try #require(try PCICapability.list(space).first)
        }
        space.extendedList(offset == 0x100 ? [(id, 0x100)] : [(0x7fff, 0x100), (id, offset)])
        return try #require(try PCICapability.extendedList(space).first(id))
    }

    @Test("MSI of 32 and 64 bits, with and without masks")
    func msi() throws {
        let space = Space()
        space.put16(0x0188, 0x52)
        let msi = try MSI(space, try only(PCICapability.msi, 0x50))
        #expect(msi.vectors == 16 && msi.isWide && msi.masksVectors && msi.length == 24)
        #expect(msi.address == 0x54 && msi.data == 0x5c && msi.mask == 0x60 && msi.pending == 0x64)
        space.put16(0x0000, 0x52)
        let small = try MSI(space, try only(PCICapability.msi, 0x50))
        #expect(small.vectors == 1 && small.data == 0x58 && small.mask == nil && small.length == 10)
        space.put16(0x000c, 0x52)
        #expect(throws: ConfigurationError.badField(at: 0x52, value: 0x0c)) {
            try MSI(space, try only(PCICapability.msi, 0x50))
        }
    }

    @Test("MSI-X: where its table is, and whether it fits")
    func msix() throws {
        let space = Space()
        space.put16(0x0004, 0x72)
        space.put(0x0000_2003, 0x74)
        space.put(0x0000_3003, 0x78)
        let msix = try MSIX(space, try only(PCICapability.msix, 0x70))
        #expect(msix.vectors == 5 && msix.tableBase == 3 && msix.tableOffset == 0x2000 && msix.pendingOffset == 0x3000)
        func base(_ count: UInt32) throws -> [BaseAddress] {
            let other = Space()
            other.writable[0x1c] = 0 &- count
            return try BaseAddress.sizes(other, count: 6) { other.write($0, $1) }
        }
        #expect(throws: Never.self) { try msix.check(base(0x4000)) }
        // 0x2000 bytes end before the table.
        #expect(throws: ConfigurationError.badField(at: 0x74, value: 0x2000)) { try msix.check(base(0x2000)) }
        space.put(0x0000_4003, 0x78)
        #expect(throws: ConfigurationError.badField(at: 0x78, value: 0x4000)) {
            try MSIX(space, try only(PCICapability.msix, 0x70)).check(base(0x4000))
        }
        #expect(throws: ConfigurationError.self) { try msix.check([]) }
        space.put(0x0000_2006, 0x74)
        #expect(throws: ConfigurationError.self) { try MSIX(space, try only(PCICapability.msix, 0x70)) }
    }

    @Test("power management, PCI Express and its links")
    func express() throws {
        let space = Space()
        space.put16(0x0600, 0x42)
        space.put16(0x0008, 0x44)
        let power = try PowerManagement(space, try only(PCICapability.powerManagement, 0x40))
        #expect(power.states == [.d0, .d1, .d2, .d3hot] && !power.resetsInD3 && power.control == 0x44)
        space.put16(0x0002, 0x82)
        space.put(1 << 28 | 2, 0x84)
        space.put(0x0000_0104, 0x8c)
        space.put16(0x1043, 0x92)
        let express = try PCIExpress(space, try only(PCICapability.pciExpress, 0x80))
        #expect(express.kind == .endpoint && express.hasFunctionReset && express.maximumPayload == 512)
        #expect(express.maximumLink?.speed == .gen4 && express.maximumLink?.lanes == 16)
        #expect(express.link?.speed == .gen3 && express.link?.lanes == 4)
        space.put16(0x104f, 0x92)
        #expect(try PCIExpress(space, try only(PCICapability.pciExpress, 0x80)).link?.speed == nil)
        space.put16(0x0092, 0x82)
        #expect(try PCIExpress(space, try only(PCICapability.pciExpress, 0x80)).link == nil)
        space.put16(0, 0x82)
        #expect(throws: ConfigurationError.badField(at: 0x82, value: 0)) {
            try PCIExpress(space, try only(PCICapability.pciExpress, 0x80))
        }
        #expect(throws: ConfigurationError.truncated(at: 0x80)) {
            try PCIExpress(Space(0x88), try only(PCICapability.pciExpress, 0x80))
        }
    }

    @Test("SR-IOV: numbers, routing IDs, contradictions")
    func sriov() throws {
        let space = Space()
        let place = try only(PCICapability.sriov, 0x160)
        space.put16(1, 0x168)
        space.put16(8, 0x16c)
        space.put16(8, 0x16e)
        space.put16(2, 0x170)
        space.put16(0x80, 0x174)
        space.put16(2, 0x176)
        space.put16(0x10ca, 0x17a)
        space.put(0x553, 0x17c)
        space.put(1, 0x180)
        let sriov = try SRIOV(space, place)
        #expect(sriov.functions == 2 && sriov.totalFunctions == 8 && sriov.device == 0x10ca && sriov.pageSize == 4096)
        #expect(sriov.pageSizes == [4096, 8192, 65_536, 262_144, 1 << 20, 4 << 20])
        #expect(sriov.routingID(of: 0, physical: 0x28) == 0xa8)
        #expect(sriov.routingID(of: 7, physical: 0x28) == 0xb6)
        #expect(sriov.routingID(of: 8, physical: 0x28) == nil)
        #expect(sriov.routingID(of: 7, physical: 0xffff) == nil)
        space.put16(0, 0x176)
        #expect(throws: ConfigurationError.badField(at: 0x176, value: 0)) { try SRIOV(space, place) }
        space.put16(2, 0x176)
        space.put16(9, 0x170)
        #expect(throws: ConfigurationError.badField(at: 0x170, value: 9)) { try SRIOV(space, place) }
        space.put16(9, 0x16c)
        #expect(throws: ConfigurationError.badField(at: 0x16c, value: 9)) { try SRIOV(space, place) }
        #expect(throws: ConfigurationError.truncated(at: 0x160)) { try SRIOV(Space(0x180), place) }
    }

    @Test("advanced errors by their names")
    func errors() throws {
        let space = Space()
        space.put(1 << 14 | 1 << 20, 0x104)
        space.put(1 << 14, 0x10c)
        let errors = try AdvancedErrors(space, try only(PCICapability.advancedErrors, 0x100))
        #expect(errors.names == ["completion timeout", "unsupported request"])
        #expect(errors.fatal == 1 << 14)
    }
}
