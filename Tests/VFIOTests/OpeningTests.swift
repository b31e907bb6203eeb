// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMACore
import DMATypes
import Testing

@testable import DMAVFIOAccess

/// What comes of opening a device of a scripted kernel: its error, and the descriptors that are left.
func opening(
    _ kernel: ScriptedKernel, _ address: String = ScriptedKernel.address, by interface: VFIOInterface? = nil
) -> AccessError? {
    do throws(AccessError) {
        _ = try QuietDevice(opening: try VFIODevice(address, by: interface, kernel))
        return nil
    } catch { return error }
}

/// A kernel that a test has changed.
func scripted(_ change: (inout ScriptedKernel.State) -> Void) -> ScriptedKernel {
    let kernel = ScriptedKernel()
    kernel.state.withLock { change(&$0) }
    return kernel
}

@Suite("VFIO: opening and closing")
struct OpeningTests {
    @Test("the order: group, container, IOMMU, device, bus master off, reset; and everything is closed again")
    func order() throws {
        let kernel = ScriptedKernel()
        #expect(opening(kernel) == nil)
        #expect(kernel.opened == 0)
        let log = kernel.log
        // The first container is that of looking at the IOMMU.
        let start = try #require(log.lastIndex(of: "open /dev/vfio/vfio"))
        let steps = log[start...].filter { !$0.hasPrefix("ask") && !$0.hasPrefix("interrupts") && !$0.hasPrefix("map") }
        #expect(
            steps == [
                "open /dev/vfio/vfio", "open /dev/vfio/7", "status", "join", "iommu 3", "open device 0000:01:00.0",
                "master off", "master off", "reset", "master off", "master off", "close device 0000:01:00.0",
                "close /dev/vfio/7", "close /dev/vfio/vfio",
            ])
    }

    @Test("each system call refused in turn: an error, and no descriptor is left", arguments: [VFIOInterface.group, .iommufd])
    func refused(_ interface: VFIOInterface) {
        func fresh() -> ScriptedKernel {
            scripted { state in
                guard interface == .iommufd else { return }
                state.folders["/sys/bus/pci/devices/\(ScriptedKernel.address)/vfio-dev"] = ["vfio3"]
            }
        }
        let whole = fresh()
        #expect(opening(whole, by: interface) == nil)
        let calls = whole.with { $0.calls }
        #expect(calls > 20)
        var failures = 0
        for number in 0..<calls {
            let kernel = fresh()
            kernel.state.withLock { $0.refused = number }
            let error = opening(kernel, by: interface)
            // Only what is not needed may be refused: a reset, the interrupts' being switched off.
            if error == nil {
                let step = kernel.log.filter { !$0.hasPrefix("close") && !$0.hasPrefix("m") && !$0.hasPrefix("hot") }[number]
                #expect(step.hasPrefix("interrupts"), "\(step)")
            } else {
                failures += 1
                #expect(error?.cure.isEmpty == false)
            }
            #expect(kernel.opened == 0, "call \(number): \(kernel.with { $0.opened })")
        }
        #expect(failures >= calls - 4)
    }

    @Test(
        "names that are no address of a function never reach a path",
        arguments: [
            "", "0", "0000:01:00", "0000:01:00.8", "0000:01:00.0/..", "../../etc", "0000:01:00.0 ", "0000:1:00.0",
            "000:01:00.0",
            "0000:01:0g.0", "0000:01:00.", "0000:01:00.00", "0000::00.0", "000000000:01:00.0", "0000:01:00.0\u{0}",
            "A000:01:00.0",
        ])
    func names(_ name: String) {
        let kernel = ScriptedKernel()
        #expect(opening(kernel, name)?.code == .absent)
        #expect(kernel.log.isEmpty)
        #expect(VFIOFacts.isAddress("0000:01:1f.7") && VFIOFacts.isAddress("10000:01:00.0"))
    }

    @Test("none there; no driver; another driver; no IOMMU; no-IOMMU mode")
    func facts() throws {
        let folder = "/sys/bus/pci/devices/\(ScriptedKernel.address)"
        #expect(opening(ScriptedKernel(), "0000:09:00.0")?.code == .absent)
        let unbound = try #require(opening(scripted { $0.links["\(folder)/driver"] = nil }))
        #expect(unbound.code == .refused && unbound.cure.contains("driver_override"))
        let other = try #require(opening(scripted { $0.links["\(folder)/driver"] = "../drivers/e1000e" }))
        #expect(other.code == .busy && other.detail.contains("e1000e"))
        let bare = try #require(opening(scripted { $0.links["\(folder)/iommu_group"] = nil }))
        #expect(bare.code == .refused && bare.cure.contains("intel_iommu=on"))
        let open = try #require(opening(scripted { $0.texts["/sys/kernel/iommu_groups/7/name"] = "vfio-noiommu" }))
        #expect(open.code == .refused && open.detail.contains("no-IOMMU mode"))
    }

    @Test("files that do not open: the cure names the file, the module, or the program that has it")
    func files() throws {
        let permission = try #require(opening(scripted { $0.errors["/dev/vfio/7"] = 13 }))
        #expect(permission.code == .refused && permission.detail.contains("/dev/vfio/7") && permission.cure.contains("udev"))
        let missing = try #require(opening(scripted { $0.errors["/dev/vfio/vfio"] = 2 }))
        #expect(missing.cure.contains("modprobe vfio"))
        let busy = try #require(opening(scripted { $0.errors["/dev/vfio/7"] = 16 }))
        #expect(busy.code == .busy && busy.cure.contains("fuser /dev/vfio/7"))
    }

    @Test("a group that is not viable names the other device and its driver; bridges and functions without a driver never do")
    func viable() throws {
        let kernel = scripted { state in
            state.groupFlags = 0
            let others = [
                ("0000:01:00.1", "0x010802", "nvme"), ("0000:00:1c.0", "0x060400", "pcieport"),
                ("0000:01:00.2", "0x020000", nil),
                ("0000:01:00.3", "0x020000", "vfio-pci"), ("0000:00:1f.0", "0x060100", "lpc_ich"),
                ("0000:01:00.4", "0x020000", "pci-stub"),
            ]
            state.folders["/sys/kernel/iommu_groups/7/devices"] = others.map(\.0) + [ScriptedKernel.address]
            for (name, code, driver) in others {
                state.texts["/sys/bus/pci/devices/\(name)/class"] = code
                state.links["/sys/bus/pci/devices/\(name)/driver"] = driver.map { "../drivers/\($0)" }
            }
        }
        let error = try #require(opening(kernel))
        #expect(error.code == .refused)
        #expect(error.detail.hasSuffix("have other devices of it: 0000:01:00.1 (nvme)"), "\(error.detail)")
        kernel.with { $0.folders["/sys/kernel/iommu_groups/7/devices"] = ["0000:00:1c.0", "0000:01:00.2"] }
        let alone = try #require(opening(kernel))
        #expect(alone.detail.contains("no other driver has a device of it"))
    }

    @Test("another version, no type 1, no remapping of interrupts, another IOMMU")
    func containers() throws {
        #expect(opening(scripted { $0.version = 1 })?.detail.contains("version 1") == true)
        #expect(opening(scripted { $0.hasType = 0 })?.cure.contains("vfio_iommu_type1") == true)
        for change in [{ $0.joinError = 1 }, { $0.iommuError = 1 }] as [(inout ScriptedKernel.State) -> Void] {
            let unsafe = try #require(opening(scripted(change)))
            #expect(unsafe.code == .refused && unsafe.cure.contains("allow_unsafe_interrupts=1"))
        }
        #expect(opening(scripted { $0.joinError = 22 })?.detail.contains("IOMMU group 7") == true)
    }

    @Test("a device that is open is busy, and free again after it was closed")
    func busy() throws {
        let kernel = ScriptedKernel()
        let device = try VFIODevice(ScriptedKernel.address, by: nil, kernel)
        do {
            let quiet = try QuietDevice(opening: device)
            let method = quiet.resetMethod
            #expect(method == .transport)
            #expect(throws: AccessError.self) { _ = try QuietDevice(opening: device) }
            // Another process's object finds the group busy.
            #expect(opening(kernel)?.code == .busy)
        }
        #expect(opening(kernel) == nil)
        _ = try QuietDevice(opening: device)
        #expect(kernel.opened == 0)
    }

    @Test("iommufd where the kernel has it, and groups where only sysfs names the node")
    func interfaces() throws {
        let node = "/sys/bus/pci/devices/\(ScriptedKernel.address)/vfio-dev"
        let groups = scripted { $0.folders[node] = ["vfio3"] }
        #expect(try VFIODevice(ScriptedKernel.address, by: nil, groups).interface == .group)
        let both = scripted { state in
            state.folders[node] = ["vfio3"]
            state.folders["/dev/vfio/devices"] = ["vfio3", "vfio4"]
        }
        #expect(try VFIODevice(ScriptedKernel.address, by: nil, both).interface == .iommufd)
        #expect(try VFIODevice(ScriptedKernel.address, by: .group, both).interface == .group)
        #expect(both.opened == 0)
        let none = try #require(opening(ScriptedKernel(), by: .iommufd))
        #expect(none.code == .refused && none.cure.contains("CONFIG_IOMMUFD"))
        both.with { $0.bindError = 16 }
        #expect(opening(both, by: .iommufd)?.code == .busy)
        #expect(both.opened == 0)
    }
}
