// SPDX-License-Identifier: Apache-2.0

/// A driver of devices in user space, and the IDs of the devices that it is for.
public struct PCIDriver: Sendable {
    /// Its name: "edu".
    public let name: String
    let ids: Set<UInt32>

    /// A driver for these devices.
    public init(_ name: String, _ ids: [(vendor: UInt16, device: UInt16)]) {
        self.name = name
        self.ids = Set(ids.map { UInt32($0.vendor) << 16 | UInt32($0.device) })
    }

    /// Whether it is for a device of these IDs.
    public func drives(_ identity: PCIIdentity) -> Bool {
        ids.contains(UInt32(identity.vendor) << 16 | UInt32(identity.device))
    }
}

/// One thing that keeps a function from being driven from user space.
public struct PCIObstacle: Hashable, Sendable {
    /// What it is, as a stable identifier.
    public enum Code: String, Sendable, CaseIterable {
        /// Its IDs cannot be read.
        case unknownDevice
        /// None of the drivers is for it.
        case noDriver
        /// No IOMMU restricts it to what is mapped for it.
        case noIOMMU
        /// Whether an IOMMU does is not known.
        case unknownIOMMU
        /// The kernel has no VFIO, or the module is not loaded.
        case noVFIO
        /// A driver of the kernel's has it.
        case kernelDriver
        /// It is bound to no driver.
        case unbound
        /// Another function of its IOMMU group has a driver that uses DMA.
        case groupNotViable
        /// This user may not open its device node.
        case noPermission
    }

    /// What it is.
    public let code: Code
    /// What it is, as a clause: "the kernel's driver e1000e has it".
    public let detail: String
    /// What to do, as a sentence without its period.
    public let cure: String
}

/// Whether a function can be driven from user space.
public struct PCIReadiness: Sendable {
    /// The driver that is for it; nil for none.
    public let driver: String?
    /// Everything that is in the way, the cause first.
    public let obstacles: [PCIObstacle]

    /// Whether it can be opened now.
    public var isReady: Bool { obstacles.isEmpty }

    /// Judges a function by what the kernel says. No device is opened for it: the open call decides in the end.
    public init(_ function: PCIFunctionFacts, in listing: PCIListing, drivers: [PCIDriver]) {
        var obstacles: [PCIObstacle] = []
        func add(_ code: PCIObstacle.Code, _ detail: String, _ cure: String) {
            obstacles.append(PCIObstacle(code: code, detail: detail, cure: cure))
        }
        guard let identity = function.identity.value else {
            driver = nil
            self.obstacles = [
                PCIObstacle(
                    code: .unknownDevice, detail: function.identity.reason ?? "its IDs are missing",
                    cure: "Run the command where /sys can be read")
            ]
            return
        }
        driver = drivers.first { $0.drives(identity) }?.name
        if driver == nil {
            add(.noDriver, "no driver of swift-dma is for \(identity.id)", "Use it by the kernel's driver")
        }
        switch function.group {
        case .known: break
        case .none:
            add(
                .noIOMMU, "it is in no IOMMU group: no IOMMU restricts it",
                "Switch the IOMMU on in the firmware (VT-d, AMD-Vi, SMMU), on Intel also by the kernel's intel_iommu=on; dmesg says whether it is"
            )
        case .unknown(let reason): add(.unknownIOMMU, reason, "Run the command where /sys can be read")
        }
        let vfio = listing.vfio
        if vfio.hasContainer == .known(false), vfio.hasIOMMUFD == .known(false) {
            add(
                .noVFIO, "the kernel has no VFIO, or its module is not loaded",
                "Load it: modprobe vfio-pci; a kernel without it (CONFIG_VFIO_PCI) cannot hand out devices")
        }
        let blocking = listing.otherMembers(of: function).filter(\.blocksGroup)
        if let first = blocking.first {
            add(
                .groupNotViable,
                "its IOMMU group has \(first.name) with the driver \(first.driver ?? "of another")"
                    + (blocking.count > 1 ? ", and \(blocking.count - 1) more" : ""),
                "Unbind \(blocking.count > 1 ? "them from their drivers" : "it from its driver"), or put the device into another slot"
            )
        }
        switch function.driver {
        case .known(let name) where !PCIListing.isVFIO(name):
            add(.kernelDriver, "the kernel's driver \(name) has it", "Bind it to vfio-pci")
        case .none: add(.unbound, "it is bound to no driver", "Bind it to vfio-pci")
        case .known:
            if let group = function.group.value {
                let node = "\(listing.tree.dev)/vfio/\(group)"
                if listing.tree.mayOpen(node) == .known(false) {
                    add(.noPermission, "this user may not open \(node)", "Change its owner: chown USER \(node)")
                }
            }
        case .unknown(let reason): add(.kernelDriver, reason, "Run the command where /sys can be read")
        }
        self.obstacles = obstacles
    }
}
