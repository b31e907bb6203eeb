// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAPCISpecification
import DMATestSupport
import Foundation
import Testing

@testable import DMAPCIAccess

@Suite("PCI functions as the kernel lists them")
struct ListingTests {
    static let edu = PCIDriver("edu", [(0x1234, 0x11e8)])

    private func listing(_ tree: ScriptedSysfs) -> PCIListing { PCIListing(SystemTree(sys: tree.sys, dev: tree.dev)) }

    @Test("each attribute becomes the fact that it states")
    func facts() throws {
        let tree = try ScriptedSysfs()
        try tree.add(
            "0000:03:00.1", vendor: "0x8086", device: "0x10c9", driver: "igb", group: 12,
            [
                "subsystem_vendor": "0x17aa", "subsystem_device": "0x1234", "revision": "0x0a", "numa_node": "1",
                "current_link_speed": "2.5 GT/s PCIe", "max_link_speed": "16.0 GT/s PCIe", "current_link_width": "4",
                "max_link_width": "8", "reset_method": "flr pm bus", "sriov_totalvfs": "8", "sriov_numvfs": "2",
                "driver_override": "vfio-pci", "power_state": "D3hot",
            ])
        try tree.add("0000:03:10.0", vendor: "0x8086", device: "0x10ca", group: 13)
        try tree.link("0000:03:10.0", "physfn", to: "../0000:03:00.1")
        try tree.type(12, "DMA-FQ")
        let found = listing(tree)
        #expect(found.problem == nil && found.functions.count == 2)
        let one = try #require(found.functions.first)
        #expect(
            one.identity
                == .known(
                    PCIIdentity(
                        vendor: 0x8086, device: 0x10c9, subsystemVendor: 0x17aa, subsystem: 0x1234, classCode: 0x020000,
                        revision: 10)))
        #expect(one.identity.value?.id == "8086:10c9" && one.identity.value?.subsystemID == "17aa:1234")
        #expect(one.kind == .known(.device) && one.driver == .known("igb") && one.driverOverride == .known("vfio-pci"))
        #expect(one.group == .known(12) && found.groupTypes[12] == .known("DMA-FQ") && one.node == .known(1))
        #expect(one.link == .known(PCILink(speed: 2.5, width: 4, maximumSpeed: 16, maximumWidth: 8)))
        #expect(one.link.value?.isReduced == true)
        #expect(one.streamingMaskBits == .known(64) && one.coherentMaskBits == .known(32) && one.powerState == .known("D3hot"))
        #expect(one.resetMethods == .known(["flr", "pm", "bus"]))
        #expect(one.virtualFunctions == .known(8) && one.enabledVirtualFunctions == .known(2))
        let two = found.functions[1]
        #expect(two.physicalFunction.value?.description == "0000:03:00.1")
        #expect(two.driver == .none && two.driverOverride == .none && two.node == .none && two.link == .none)
        #expect(two.resetMethods == .none && two.virtualFunctions == .none && two.identity.value?.subsystemID == nil)
    }

    @Test("bridges move no data by themselves, and are members of groups all the same")
    func bridges() throws {
        let tree = try ScriptedSysfs()
        try tree.add(
            "0000:00:01.0", vendor: "0x8086", device: "0x1901", classCode: "0x060400", driver: "pcieport", group: 2, header: 1)
        try tree.add("0000:00:00.0", vendor: "0x8086", device: "0x0d57", classCode: "0x060000", group: 0)
        try tree.add("0000:01:00.0", vendor: "0x1234", device: "0x11e8", driver: "vfio-pci", group: 2)
        let found = listing(tree)
        #expect(found.functions.count == 3 && found.devices.map { "\($0.slot)" } == ["0000:01:00.0"])
        #expect(
            found.otherMembers(of: found.devices[0])
                == [IOMMUGroupMember(name: "0000:00:01.0", driver: "pcieport", blocksGroup: false)])
    }

    /// Everything is in place but what the case takes away.
    private func ready(_ change: (ScriptedSysfs) throws -> Void = { _ in }) throws -> PCIReadiness {
        let tree = try ScriptedSysfs()
        try tree.folder(at: "sys/bus/pci/drivers/vfio-pci")
        try tree.add("0000:01:00.0", vendor: "0x1234", device: "0x11e8", driver: "vfio-pci", group: 7)
        for node in ["vfio/vfio", "vfio/7"] { try tree.node(node) }
        try change(tree)
        let found = listing(tree)
        return PCIReadiness(try #require(found.devices.first), in: found, drivers: [Self.edu])
    }

    @Test("a device with nothing in the way is ready; a port and a function without a driver in its group do not matter")
    func readiness() throws {
        let simple = try ready()
        #expect(simple.isReady && simple.driver == "edu")
        let shared = try ready {
            try $0.add(
                "0000:00:1c.0", vendor: "0x8086", device: "0x1901", classCode: "0x060400", driver: "pcieport", group: 7,
                header: 1)
            try $0.add("0000:01:00.1", vendor: "0x1234", device: "0x0001", group: 7)
            try $0.add("0000:01:00.2", vendor: "0x1234", device: "0x0002", driver: "mlx5-vfio-pci", group: 7)
        }
        #expect(shared.isReady, "\(shared.obstacles)")
    }

    @Test("what is in the way is named, with its cure")
    func obstacles() throws {
        func codes(_ change: (ScriptedSysfs) throws -> Void) throws -> [PCIObstacle.Code] {
            let found = try ready(change)
            #expect(found.obstacles.allSatisfy { !$0.detail.isEmpty && !$0.cure.isEmpty })
            return found.obstacles.map(\.code)
        }
        let slot = "0000:01:00.0"
        func remove(_ tree: ScriptedSysfs, _ name: String) throws {
            try FileManager.default.removeItem(atPath: "\(tree.folder(slot))/\(name)")
        }
        #expect(try codes { try $0.write(slot, "device", "0x11e9") } == [.noDriver])
        #expect(try codes { try remove($0, "iommu_group") } == [.noIOMMU])
        #expect(try codes { try remove($0, "driver") } == [.unbound])
        #expect(try codes { try FileManager.default.removeItem(atPath: "\($0.dev)/vfio") } == [.noVFIO])
        #expect(
            try codes {
                try FileManager.default.removeItem(atPath: "\($0.dev)/vfio")
                try $0.node("iommu")
            } == [])
        #expect(
            try codes {
                try remove($0, "driver")
                try $0.folder(at: "sys/bus/pci/drivers/e1000e")
                try $0.link(slot, "driver", to: "../../drivers/e1000e")
            } == [.kernelDriver])
        #expect(try codes { try remove($0, "vendor") } == [.unknownDevice])
        let shared = try ready {
            try $0.add("0000:01:00.1", vendor: "0x8086", device: "0x0001", driver: "snd_hda_intel", group: 7)
        }
        #expect(shared.obstacles.map(\.code) == [.groupNotViable])
        #expect(shared.obstacles[0].detail.contains("0000:01:00.1 with the driver snd_hda_intel"))
    }

    @Test("a user who may not open the group's node is told so", .enabled(if: OtherFileUser.isPossible, "needs root"))
    func permission() throws {
        let tree = try ScriptedSysfs()
        try tree.folder(at: "sys/bus/pci/drivers/vfio-pci")
        try tree.add("0000:01:00.0", vendor: "0x1234", device: "0x11e8", driver: "vfio-pci", group: 7)
        for node in ["vfio/vfio", "vfio/7"] { try tree.node(node) }
        try tree.allow(0o755, "")
        try tree.allow(0o600, "dev/vfio/7")
        func judged() throws -> PCIReadiness {
            let found = listing(tree)
            return PCIReadiness(try #require(found.devices.first), in: found, drivers: [Self.edu])
        }
        #expect(try judged().isReady)
        let other = try OtherFileUser.run(judged)
        #expect(other.obstacles.map(\.code) == [.noPermission])
        #expect(other.obstacles.first?.cure == "Change its owner: chown USER \(tree.dev)/vfio/7")
        // What may not be read is not what is absent.
        for (name, code) in [("vendor", PCIObstacle.Code.unknownDevice)] {
            try tree.allow(0, "sys/bus/pci/devices/0000:01:00.0/\(name)")
            let blind = try OtherFileUser.run(judged)
            #expect(
                blind.obstacles.map(\.code) == [code] && blind.obstacles[0].detail.lowercased().contains("permission denied"))
        }
    }

    /// What a file of an attribute can be instead of what it should be.
    enum Replacement: CaseIterable { case missing, empty, directory, pipe, huge, garbage, forbidden }

    static let attributes = [
        "vendor", "device", "class", "subsystem_vendor", "subsystem_device", "revision", "config", "numa_node", "dma_mask_bits",
        "consistent_dma_mask_bits", "power_state", "driver_override", "current_link_speed", "max_link_speed",
        "current_link_width", "max_link_width", "reset_method", "sriov_totalvfs", "sriov_numvfs", "driver", "iommu_group",
        "physfn",
    ]

    @Test("no attribute harms, whatever is in its place; the other facts stay", arguments: Replacement.allCases)
    func replaced(_ replacement: Replacement) throws {
        try #require(replacement != .forbidden || OtherFileUser.isPossible, "needs root")
        let slot = "0000:01:00.0"
        for name in Self.attributes {
            let tree = try ScriptedSysfs()
            try tree.add(
                slot, vendor: "0x1234", device: "0x11e8", driver: "vfio-pci", group: 7,
                [
                    "current_link_speed": "8.0 GT/s PCIe", "max_link_speed": "8.0 GT/s PCIe", "current_link_width": "1",
                    "max_link_width": "1", "reset_method": "flr", "sriov_totalvfs": "0", "sriov_numvfs": "0",
                ])
            try tree.link(slot, "physfn", to: "../0000:00:01.0")
            let path = "\(tree.folder(slot))/\(name)"
            if replacement != .forbidden { try FileManager.default.removeItem(atPath: path) }
            switch replacement {
            case .missing: break
            case .empty: try tree.write(slot, name, "")
            case .directory: try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
            case .pipe: #expect(unsafe mkfifo(path, 0o600) == 0)
            case .huge: try Data(repeating: UInt8(ascii: "7"), count: 1 << 20).write(to: URL(fileURLWithPath: path))
            case .garbage: try Data([0x1b, 0x5b, 0x33, 0xff, 0x00, 0x0a]).write(to: URL(fileURLWithPath: path))
            case .forbidden:
                try tree.allow(0o755, "")
                if (try? FileManager.default.destinationOfSymbolicLink(atPath: path)) == nil {
                    try tree.allow(0, "sys/bus/pci/devices/\(slot)/\(name)")
                }
            }
            func look() throws -> (PCIFunctionFacts, PCIReadiness) {
                let found = listing(tree)
                let function = try #require(found.devices.first, "\(name)")
                return (function, PCIReadiness(function, in: found, drivers: [Self.edu]))
            }
            let (function, readiness) = try replacement == .forbidden ? OtherFileUser.run(look) : look()
            #expect(
                !readiness.isReady || !["vendor", "device", "class", "driver", "iommu_group"].contains(name)
                    || replacement == .forbidden)
            if !["driver", "driver_override"].contains(name) { #expect(function.driver == .known("vfio-pci"), "\(name)") }
            if !["vendor", "device", "class"].contains(name) { #expect(function.identity.value != nil, "\(name)") }
            #expect(function.powerState.value?.contains("\u{1b}") != true && function.driver.value?.contains("\u{1b}") != true)
            let states: [String: (isKnown: Bool, isNone: Bool)] = [
                "numa_node": (function.node.value != nil, function.node == .none),
                "dma_mask_bits": (function.streamingMaskBits.value != nil, function.streamingMaskBits == .none),
                "sriov_totalvfs": (function.virtualFunctions.value != nil, function.virtualFunctions == .none),
                "config": (function.kind.value != nil, function.kind == .none),
            ]
            guard let state = states[name] else { continue }
            switch replacement {
            case .missing: #expect(state.isNone, "\(name)")
            case .forbidden, .directory, .garbage: #expect(!state.isKnown && !state.isNone, "\(name) \(replacement)")
            default: #expect(!state.isKnown || replacement == .huge, "\(name) \(replacement)")
            }
        }
    }

    @Test("sysfs that is not mounted is a problem, and no empty machine")
    func noSysfs() throws {
        let found = PCIListing(SystemTree(sys: "/nowhere", dev: "/nowhere"))
        #expect(found.functions.isEmpty && found.problem?.contains("/nowhere/bus/pci/devices is not there") == true)
        #expect(found.vfio.hasContainer == .known(false))
        let tree = try ScriptedSysfs()
        try tree.folder(at: "sys/bus/pci/devices/rubbish")
        #expect(listing(tree).problem?.contains("rubbish") == true)
    }

    @Test("this machine's own functions are read, where it has some")
    func here() throws {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/sys/bus/pci/devices")) ?? []
        let found = PCIListing()
        #expect(found.functions.map { "\($0.slot)" } == names.sorted())
        for function in found.functions {
            let vendor = try String(contentsOfFile: "/sys/bus/pci/devices/\(function.slot)/vendor", encoding: .utf8)
            #expect(function.identity.value.map { "0x" + $0.id.prefix(4) } == vendor.trimmingCharacters(in: .newlines))
        }
    }
}
