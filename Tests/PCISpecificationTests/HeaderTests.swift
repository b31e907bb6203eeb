// SPDX-License-Identifier: Apache-2.0

import DMAPCISpecification
import DMARegisters
import Testing

@Suite("PCI header and base addresses")
struct HeaderTests {
    @Test("the header's fields")
    func fields() throws {
        let space = Space()
        space.put(0x0100_0010, 8)
        space.put(0x0080_0000, 0x0c)
        space.put(0x1100_1af4, 0x2c)
        space.put(0x0000_0200, 0x3c)
        let header = try FunctionHeader(space)
        #expect(header.vendor == 0x1234)
        #expect(header.device == 0x11e8)
        #expect(header.revision == 0x10)
        #expect(header.classCode == 0x010000)
        #expect(header.kind == .device)
        #expect(header.isMultifunction)
        #expect(header.subsystemVendor == 0x1af4)
        #expect(header.subsystem == 0x1100)
        #expect(header.interruptPin == 2)
        #expect(header.baseAddressCount == 6)
    }

    @Test("no device, or not ready after a reset", arguments: [0xffff_ffff, 0x0000_0000, 0x1234_ffff, 0xffff_0001])
    func absent(_ first: UInt32) {
        let space = Space()
        space.put(first, 0)
        #expect(throws: ConfigurationError.absent) { try FunctionHeader(space) }
    }

    @Test("a header of an unknown type, and a space that is no header", arguments: [3, 0x7f])
    func types(_ type: UInt8) {
        let space = Space()
        space.bytes[0x0e] = type
        #expect(throws: ConfigurationError.headerType(type)) { try FunctionHeader(space) }
        #expect(throws: ConfigurationError.truncated(at: 0)) { try FunctionHeader(ConfigurationBytes([1, 2, 3])) }
    }

    @Test("reserved bits of the command register are kept, fields are not confused")
    func command() {
        var command = PCICommand(word: 0xf800)
        command[.isBusMaster] = true
        command[.disablesINTx] = true
        #expect(command.word == 0xfc04)
        command[.isBusMaster] = false
        #expect(command.word == 0xfc00)
        #expect(PCICommand(word: 0xffff).isAllOnes)
    }

    @Test("a field reads what no choice has as nil, and one outside of the word as nothing")
    func fieldsAtTheirEdges() {
        var control = PowerControl(word: 0xffff)
        #expect(control[.state] == PowerState.d3hot)
        control[.state] = PowerState.d0
        #expect(control.word == 0xfffc)
        let outside = Field<PCICommand, UInt16>(14...40)
        var command = PCICommand(word: 0)
        command[outside] = 0xffff
        #expect(command.word == 0xc000)
        let nowhere = Field<PCICommand, Bool>(77)
        command[nowhere] = true
        #expect(command.word == 0xc000)
        #expect(command[nowhere] == false)
        #expect(DeviceControl(word: 0xffff)[Field<DeviceControl, LinkChoice>(0...3)] == nil)
    }
    private enum LinkChoice: UInt8, FieldChoice { case one = 1 }

    // MARK: Base addresses

    private func sized(_ space: Space) throws(ConfigurationError) -> [BaseAddress] {
        try BaseAddress.sizes(space, count: 6) { space.write($0, $1) }
    }

    @Test("sizes of memory of 32 and 64 bits and of ports, and what was there is put back")
    func sizes() throws {
        let space = Space()
        space.put(0xfe00_0000, 0x10)
        space.writable[0x10] = 0xfff0_0000
        space.put(0x0000_000c, 0x14)
        space.put(0x0000_0001, 0x18)
        space.writable[0x14] = 0xffff_c000
        space.writable[0x18] = 0xffff_ffff
        space.put(0x0000_c001, 0x1c)
        space.writable[0x1c] = 0x0000_ffe0
        let before = space.bytes
        let bases = try sized(space)
        #expect(space.bytes == before)
        try #require(bases.count == 3)
        #expect(bases[0].index == 0 && bases[0].space == .memory32 && bases[0].count == 1 << 20)
        #expect(bases[0].address == 0xfe00_0000 && !bases[0].isPrefetchable)
        #expect(bases[1].index == 1 && bases[1].space == .memory64 && bases[1].count == 1 << 14)
        #expect(bases[1].address == 0x1_0000_0000 && bases[1].isPrefetchable)
        #expect(bases[2].index == 3 && bases[2].space == .ports && bases[2].count == 32 && bases[2].address == 0xc000)
        #expect(try BaseAddress.assigned(space, count: 6).map(\.address) == bases.map(\.address))
    }

    @Test("a range of 4 GiB and more")
    func large() throws {
        let space = Space()
        space.put(0x4, 0x10)
        space.writable[0x14] = 0xffff_fffe
        #expect(try sized(space).map(\.count) == [1 << 33])
    }

    @Test("bits that are no size are refused", arguments: [0xfff0_f000, 0x00f0_0000, 0x8000_0100 as UInt32])
    func holes(_ mask: UInt32) {
        let space = Space()
        space.writable[0x10] = mask
        #expect(throws: ConfigurationError.self) { try sized(space) }
    }

    @Test("64 bits in the last register, a reserved type, all ones")
    func impossible() {
        let last = Space()
        last.put(4, 0x24)
        last.writable[0x24] = 0xffff_f000
        #expect(throws: ConfigurationError.self) { try sized(last) }
        #expect(throws: ConfigurationError.self) { try BaseAddress.assigned(last, count: 6) }
        let reserved = Space()
        reserved.put(6, 0x10)
        reserved.writable[0x10] = 0xffff_f000
        #expect(throws: ConfigurationError.badBaseAddress(index: 0, mask: 6)) { try BaseAddress.assigned(reserved, count: 6) }
        #expect(throws: ConfigurationError.self) { try sized(reserved) }
        let ones = Space()
        ones.put(.max, 0x10)
        #expect(throws: ConfigurationError.badBaseAddress(index: 0, mask: 0xffff_ffff)) { try sized(ones) }
    }

    @Test("registers that decode nothing, and a count that no header has")
    func none() throws {
        #expect(try sized(Space()) == [])
        #expect(try BaseAddress.assigned(Space(), count: -1) == [])
        #expect(try BaseAddress.assigned(Space(), count: .max) == [])
    }
}
