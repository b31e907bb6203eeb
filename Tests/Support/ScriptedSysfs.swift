// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A tree of files as sysfs shows PCI functions, and the device nodes of VFIO, in a folder of its own.
public final class ScriptedSysfs {
    private let scratch: Scratch
    public var sys: String { scratch.at("sys") }
    public var dev: String { scratch.at("dev") }

    public init() throws {
        scratch = try Scratch()
        for folder in ["sys/bus/pci/devices", "sys/bus/pci/drivers", "sys/kernel/iommu_groups", "dev"] {
            try make(folder)
        }
    }

    private func make(_ folder: String) throws {
        try FileManager.default.createDirectory(atPath: scratch.at(folder), withIntermediateDirectories: true)
    }

    /// The folder of a function.
    public func folder(_ slot: String) -> String { "\(sys)/bus/pci/devices/\(slot)" }

    /// A function with the attributes that the kernel gives each.
    ///
    /// - Parameter header: the type in its configuration space: 0 a device, 1 a bridge.
    public func add(
        _ slot: String, vendor: String, device: String, classCode: String = "0x020000", driver: String? = nil,
        group: Int? = nil,
        header: UInt8 = 0, _ attributes: [String: String] = [:]
    ) throws {
        try make("sys/bus/pci/devices/\(slot)")
        let all = [
            "vendor": vendor, "device": device, "class": classCode, "subsystem_vendor": "0x0000", "subsystem_device": "0x0000",
            "revision": "0x01", "numa_node": "-1", "dma_mask_bits": "64", "consistent_dma_mask_bits": "32",
            "power_state": "D0", "driver_override": "(null)",
        ].merging(attributes) { $1 }
        for (name, value) in all { try write(slot, name, value) }
        var configuration = [UInt8](repeating: 0, count: 64)
        configuration[14] = header
        _ = try scratch.write("sys/bus/pci/devices/\(slot)/config", configuration)
        if let driver {
            try make("sys/bus/pci/drivers/\(driver)")
            try link(slot, "driver", to: "../../drivers/\(driver)")
        }
        if let group {
            try make("sys/kernel/iommu_groups/\(group)/devices")
            try link(slot, "iommu_group", to: "../../../../kernel/iommu_groups/\(group)")
            try FileManager.default.createSymbolicLink(
                atPath: "\(sys)/kernel/iommu_groups/\(group)/devices/\(slot)",
                withDestinationPath: "../../../../bus/pci/devices/\(slot)")
        }
    }

    /// Writes an attribute of a function, with the line's end.
    public func write(_ slot: String, _ name: String, _ value: String) throws {
        _ = try scratch.write("sys/bus/pci/devices/\(slot)/\(name)", Array((value + "\n").utf8))
    }

    public func link(_ slot: String, _ name: String, to target: String) throws {
        try FileManager.default.createSymbolicLink(atPath: "\(folder(slot))/\(name)", withDestinationPath: target)
    }

    /// A device node, as an empty file.
    public func node(_ name: String) throws {
        try make("dev/" + (name.split(separator: "/").dropLast().joined(separator: "/")))
        _ = try scratch.write("dev/\(name)", [])
    }

    public func type(_ group: Int, _ text: String) throws {
        _ = try scratch.write("sys/kernel/iommu_groups/\(group)/type", Array((text + "\n").utf8))
    }

    /// Sets the permissions of a file; of the tree's own folder, those of all folders above it too.
    public func allow(_ mode: Int, _ path: String) throws {
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: scratch.at(path))
    }

    /// A folder of the tree.
    public func folder(at path: String) throws { try make(path) }
}
