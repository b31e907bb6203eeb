// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DMAPCIAccess
import DMATestSupport
import Foundation
import Testing

@testable import DMATool

@Suite("list --devices", .serialized)
struct DeviceListTests {
    /// A machine with a device of each kind: ready, held by a driver of the kernel's, sharing a group, unknown to swift-dma, and a bridge.
    static func machine() throws -> ScriptedSysfs {
        let tree = try ScriptedSysfs()
        try tree.folder(at: "sys/bus/pci/drivers/vfio-pci")
        for node in ["vfio/vfio", "vfio/7", "vfio/8"] { try tree.node(node) }
        try tree.add("0000:01:00.0", vendor: "0x1234", device: "0x11e8", classCode: "0x00ff00", driver: "vfio-pci", group: 7)
        try tree.add(
            "0000:02:00.0", vendor: "0x1234", device: "0x11e8", classCode: "0x00ff00", driver: "pci-endpoint-test", group: 8)
        try tree.add("0000:02:00.1", vendor: "0x8086", device: "0x1521", driver: "igb", group: 8)
        try tree.add(
            "0000:03:00.0", vendor: "0x144d", device: "0xa808", classCode: "0x010802", driver: "nvme", group: 9,
            [
                "subsystem_vendor": "0x144d", "subsystem_device": "0xa801", "numa_node": "0",
                "current_link_speed": "8.0 GT/s PCIe", "max_link_speed": "8.0 GT/s PCIe", "current_link_width": "2",
                "max_link_width": "4", "reset_method": "flr bus", "sriov_totalvfs": "4", "sriov_numvfs": "0",
            ])
        try tree.add(
            "0000:00:1c.0", vendor: "0x8086", device: "0x1901", classCode: "0x060400", driver: "pcieport", group: 9, header: 1)
        try tree.type(9, "DMA-FQ")
        return tree
    }

    private func list(_ tree: ScriptedSysfs, _ names: [String] = PCINames.paths) -> DeviceList {
        DeviceList(SystemTree(sys: tree.sys, dev: tree.dev), namePaths: names)
    }

    @Test("a row for each device that can move data, and below it what is in the way of those that have a driver")
    func table() throws {
        let text = try ListCommand.parse(["--devices"]).text(list(try Self.machine(), ["/nowhere"]))
        let rows = Tables.with("address", text)
        #expect(rows.map { $0["address"] } == ["0000:01:00.0", "0000:02:00.0", "0000:02:00.1", "0000:03:00.0"])
        #expect(rows.map { $0["user space"] } == ["ready", "group in use", "no driver", "no driver"])
        #expect(
            rows.last == [
                "address": "0000:03:00.0", "device": "144d:a808", "driver": "nvme", "user space": "no driver", "group": "9",
                "node": "0", "link": "8 GT/s x2 of 8 GT/s x4", "DMA mask": "64 bits",
            ])
        for words in [
            "0000:02:00.0: its IOMMU group has 0000:02:00.1 with the driver igb. Cure: Unbind it from its driver",
            "0000:02:00.0: the kernel's driver pci-endpoint-test has it. Cure: Bind it to vfio-pci.",
            "2 of 4 devices are not for a driver of swift-dma; drivers: edu, ioat.",
            "0000:03:00.0: the link runs below what the device can: 8 GT/s x2 of 8 GT/s x4.",
            "names are not shown: there is no list of PCI IDs. Cure: apt install pci.ids.",
        ] {
            #expect(text.contains(words), "\(text)")
        }
        #expect(!text.contains("0000:01:00.0:") && !text.contains("0000:00:1c.0"))
    }

    @Test("--verbose states every fact of each device, the group's other members too")
    func verbose() throws {
        let text = try ListCommand.parse(["--devices", "--verbose"]).text(list(try Self.machine(), ["/nowhere"]))
        for words in [
            "IDs                 144d:a808, subsystem 144d:a801, revision 1",
            "IOMMU group         9, type DMA-FQ, with 0000:00:1c.0 (pcieport)", "IOMMU group         7, alone",
            "DMA mask            streaming 64 bits, coherent 32 bits", "resets by           flr bus",
            "virtual functions   0 of 4", "user space          ready",
        ] {
            #expect(text.contains(words), "\(words)\n\(text)")
        }
    }

    @Test(
        "JSON has the same, tells what is unknown from what is absent, and is as its schema says",
        .enabled(if: hasValidator, withoutValidator))
    func document() throws {
        let tree = try Self.machine()
        try tree.write("0000:02:00.1", "numa_node", "many")
        let text = try ListCommand.parse(["--devices", "--json"]).text(list(tree))
        let schemas = SchemaTests()
        #expect(try schemas.findings("devices", text) == "")
        let broken = text.replacingOccurrences(of: "\"version\" : 1", with: "\"version\" : 2")
        #expect(try schemas.findings("devices", broken).contains("version"))
        try schemas.refusesMutations(
            "devices", text,
            optional: """
                problem driver container iommufd id subsystemID classCode revision vendorName deviceName className driverOverride group \
                type node link gigatransfers width maximumGigatransfers maximumWidth streamingMaskBits coherentMaskBits powerState \
                resetMethods virtualFunctions enabledVirtualFunctions physicalFunction unknown
                """)
        let document = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        let devices = try #require(document["devices"] as? [[String: Any]])
        let unknown = devices.map { ($0["unknown"] as? [String: String])?.keys.sorted() }
        #expect(unknown == [[], [], ["node"], []])
        let space = devices.compactMap { $0["userSpace"] as? [String: Any] }
        #expect(space.map { $0["isReady"] as? Bool } == [true, false, false, false])
        let codes = space.map { ($0["obstacles"] as? [[String: String]])?.compactMap { $0["code"] } }
        #expect(
            codes == [
                [], ["groupNotViable", "kernelDriver"], ["noDriver", "groupNotViable", "kernelDriver"],
                ["noDriver", "kernelDriver"],
            ])
    }

    @Test("the program lists this machine's own devices, by every width, and says so where there is no /sys")
    func here() throws {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/sys/bus/pci/devices")) ?? []
        for columns in [40, 80, 200] {
            let ran = try Program.run(["list", "--devices"], environment: ["COLUMNS": "\(columns)"])
            #expect(ran.status == 0)
            for line in ran.output.split(separator: "\n") { #expect(line.count <= columns, "\(line)") }
        }
        let ran = try Program.run(["list", "--devices", "--json"])
        let document = try #require(try JSONSerialization.jsonObject(with: Data(ran.output.utf8)) as? [String: Any])
        let listed = (document["devices"] as? [[String: Any]] ?? []).compactMap { $0["address"] as? String }
        #expect(Set(listed).isSubset(of: Set(names)))
        let bridges = names.filter { name in
            let text = try? String(contentsOfFile: "/sys/bus/pci/devices/\(name)/class", encoding: .utf8)
            return text?.hasPrefix("0x06") == true
        }
        #expect(listed.count == names.count - bridges.count)
    }
}
