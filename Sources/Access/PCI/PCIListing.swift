// SPDX-License-Identifier: Apache-2.0

internal import DMACore
internal import DMAPCISpecification

/// One member of an IOMMU group.
public struct IOMMUGroupMember: Hashable, Sendable {
    /// Its name on its bus: of a PCI function, the address.
    public let name: String
    /// The driver that it is bound to; nil for none.
    public let driver: String?
    /// Whether it keeps the kernel from handing the group to user space: a driver that uses DMA has it.
    ///
    /// Drivers that leave DMA alone do not: `pcieport`, `pci-stub` and those of VFIO.
    /// Source: `driver_managed_dma` in include/linux/pci.h, and the drivers that set it.
    public let blocksGroup: Bool
}

/// The PCI functions of a machine, and what it has of VFIO.
public struct PCIListing: Sendable {
    /// What the kernel has for drivers in user space.
    public struct VFIO: Sendable {
        /// Whether the module vfio-pci is loaded.
        public let hasDriver: Fact<Bool>
        /// Whether there is the container of the group interface: /dev/vfio/vfio.
        public let hasContainer: Fact<Bool>
        /// Whether there is iommufd: /dev/iommu.
        public let hasIOMMUFD: Fact<Bool>
    }

    /// Every function, by its address, bridges too.
    public let functions: [PCIFunctionFacts]
    /// Why there are none, or not all of them.
    public let problem: String?
    /// What the kernel has for drivers in user space.
    public let vfio: VFIO
    /// The members of each IOMMU group that a function is in.
    public let groups: [Int: Fact<[IOMMUGroupMember]>]
    /// What the default domain of each group is: "DMA", "DMA-FQ", "identity".
    public let groupTypes: [Int: Fact<String>]
    let tree: SystemTree

    /// Reads the machine's functions. Nothing is opened but attributes: no device is touched.
    public init(_ tree: SystemTree = SystemTree()) {
        self.tree = tree
        let folder = "\(tree.sys)/bus/pci/devices"
        var functions: [PCIFunctionFacts] = []
        var strange: [String] = []
        var problem: String?
        switch tree.names(folder) {
        case .none: problem = "\(folder) is not there: the machine has no PCI, or sysfs is not mounted"
        case .unknown(let reason): problem = reason
        case .known(let names):
            for name in names {
                if let slot = DeviceSlot(name) {
                    functions.append(PCIFunctionFacts(slot, name, tree))
                } else {
                    strange.append(name)
                }
            }
            if !strange.isEmpty { problem = "not an address of PCI: " + strange.prefix(3).joined(separator: ", ") }
        }
        self.functions = functions
        self.problem = problem
        vfio = VFIO(
            hasDriver: tree.exists("\(tree.sys)/bus/pci/drivers/vfio-pci"), hasContainer: tree.exists("\(tree.dev)/vfio/vfio"),
            hasIOMMUFD: tree.exists("\(tree.dev)/iommu"))
        var drivers: [String: String] = [:]
        for function in functions { drivers["\(function.slot)"] = function.driver.value }
        var groups: [Int: Fact<[IOMMUGroupMember]>] = [:]
        var types: [Int: Fact<String>] = [:]
        for group in Set(functions.compactMap(\.group.value)) {
            let path = "\(tree.sys)/kernel/iommu_groups/\(group)"
            groups[group] = tree.names("\(path)/devices").parsed(path) { names in
                names.map { name in
                    // A member that is no PCI function says by itself which driver it has.
                    let driver = drivers[name] ?? tree.link("\(path)/devices/\(name)/driver").value
                    return IOMMUGroupMember(name: name, driver: driver, blocksGroup: driver.map(Self.usesDMA) ?? false)
                }
            }
            types[group] = tree.line("\(path)/type")
        }
        self.groups = groups
        groupTypes = types
    }

    /// Whether a driver is one that keeps a group with the kernel.
    static func usesDMA(_ driver: String) -> Bool { !["pcieport", "pci-stub"].contains(driver) && !isVFIO(driver) }

    /// Whether a driver hands devices to user space: vfio-pci, and the variants of vendors (mlx5-vfio-pci, nvgrace-gpu-vfio-pci).
    static func isVFIO(_ driver: String) -> Bool { driver.contains("vfio") }

    /// The functions that can move data by themselves: all but bridges and ports, whose DMA engines are functions of their own.
    public var devices: [PCIFunctionFacts] {
        functions.filter { function in
            if let kind = function.kind.value { return kind == .device && function.identity.value?.isBridge != true }
            return function.identity.value?.isBridge != true
        }
    }

    /// The other members of a function's group.
    public func otherMembers(of function: PCIFunctionFacts) -> [IOMMUGroupMember] {
        guard let group = function.group.value, let members = groups[group]?.value else { return [] }
        return members.filter { $0.name != "\(function.slot)" }
    }
}

extension PCIIdentity {
    /// Class 06. Source: PCI Code and ID Assignment Specification 1.11, 1.7.
    var isBridge: Bool { classCode >> 16 == 6 }
}
