// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import DMAPCIAccess

@Suite("Names of vendors, devices and classes")
struct NamesTests {
    private func identity(_ vendor: UInt16, _ device: UInt16, _ classCode: UInt32 = 0x020000) -> PCIIdentity {
        PCIIdentity(vendor: vendor, device: device, subsystemVendor: 0, subsystem: 0, classCode: classCode, revision: 0)
    }

    private static let list = """
        # a comment
        1234  Technical Corp.
        \t11e8  Teaching device
        \t\t1af4 1100  A board, not a device
        \t1111  Graphics
        1AF4  Red Hat, Inc.
        \t1041  Virtio network
        abc  too short
        \tffff  of no vendor
        C 02  Network controller
        \t00  Ethernet controller
        \t\t01  an interface
        C 07  Communication controller

        """

    @Test("a name is that of the entry, in its section")
    func names() {
        let wanted = [
            identity(0x1234, 0x11e8), identity(0x1af4, 0x1041, 0x020100), identity(0x1af4, 0x9999),
            identity(0xabc, 0xffff, 0x070500),
        ]
        let names = PCINames(parsing: Array(Self.list.utf8), for: wanted)
        #expect(names.vendor(of: wanted[0]) == "Technical Corp." && names.device(of: wanted[0]) == "Teaching device")
        #expect(names.className(of: wanted[0]) == "Ethernet controller")
        #expect(names.vendor(of: wanted[1]) == "Red Hat, Inc." && names.device(of: wanted[1]) == "Virtio network")
        // A subclass without a name has that of its class.
        #expect(
            names.className(of: wanted[1]) == "Network controller"
                && names.className(of: wanted[3]) == "Communication controller")
        #expect(names.vendor(of: wanted[2]) == "Red Hat, Inc." && names.device(of: wanted[2]) == nil)
        #expect(names.vendor(of: wanted[3]) == nil && names.device(of: wanted[3]) == nil)
        // The board below a device is none of it, and what was not asked for is not kept.
        #expect(names.device(of: identity(0x1af4, 0x1100)) == nil && names.device(of: identity(0x1234, 0x1111)) == nil)
    }

    @Test("control characters do not reach a terminal, and a name has its bounds")
    func hostile() {
        let wanted = identity(0x1234, 0x11e8)
        let text = "1234  a\u{1b}[31mb\u{7}\n\t11e8  " + String(repeating: "x", count: 4096) + "\n"
        let names = PCINames(parsing: Array(text.utf8), for: [wanted])
        #expect(names.vendor(of: wanted) == "a[31mb" && names.device(of: wanted)?.count == PCINames.longest)
    }

    @Test(
        "the distribution's list names what every machine of the lab has",
        .enabled(if: PCINames(for: []) != nil, "pci.ids is not installed; run Scripts/setup --tests"))
    func distribution() throws {
        let (network, memory) = (identity(0x1af4, 0x1041), identity(0x8086, 0x0d57, 0x010802))
        let names = try #require(PCINames(for: [network, memory]))
        #expect(names.vendor(of: network) == "Red Hat, Inc." && names.device(of: network)?.contains("network") == true)
        #expect(names.vendor(of: memory) == "Intel Corporation")
        #expect(
            names.className(of: network) == "Ethernet controller"
                && names.className(of: memory) == "Non-Volatile memory controller")
    }
}
