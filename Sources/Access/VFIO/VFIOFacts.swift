// SPDX-License-Identifier: Apache-2.0

internal import DMAAccess

/// What sysfs says of a PCI function that is to be opened by VFIO.
package struct VFIOFacts: Equatable, Sendable {
    /// Its address: "0000:01:00.0".
    package let address: String
    /// The driver that is bound to it; nil for none.
    package let driver: String?
    /// The number of its IOMMU group; nil for none.
    package let group: Int?
    /// Whether the group is VFIO's no-IOMMU mode.
    package let isUnprotected: Bool
    /// The name of its character device for iommufd: "vfio0"; nil where the kernel gives it none.
    package let node: String?

    /// - Throws: `absent`; `refused`, `busy` where VFIO cannot reach it as it is.
    init(_ name: String, _ kernel: any VFIOKernel) throws(AccessError) {
        let errors = VFIOErrors(device: name)
        // It becomes a part of paths.
        guard Self.isAddress(name) else { throw errors.badName }
        let folder = "/sys/bus/pci/devices/\(name)"
        guard kernel.names(in: folder) != nil else { throw errors.absent }
        address = name
        driver = Self.driver(of: name, kernel)
        group = kernel.link("\(folder)/iommu_group").flatMap(Self.last).flatMap { Int($0) }
        isUnprotected = group.map { kernel.text("/sys/kernel/iommu_groups/\($0)/name") == "vfio-noiommu" } ?? false
        // One, and named as the kernel names them: it becomes a part of a path.
        node = kernel.names(in: "\(folder)/vfio-dev")?.first { $0.hasPrefix("vfio") && Int($0.dropFirst(4)) != nil }
        guard let driver, driver.contains("vfio") else { throw errors.otherDriver(driver) }
        guard group != nil else { throw errors.noIOMMU }
        if isUnprotected { throw errors.unprotected }
    }

    /// The devices of an IOMMU group.
    static func members(of group: Int, _ kernel: any VFIOKernel) -> [VFIOMember] {
        (kernel.names(in: "/sys/kernel/iommu_groups/\(group)/devices") ?? []).sorted().prefix(256).map { name in
            let code = kernel.text("/sys/bus/pci/devices/\(name)/class") ?? ""
            return VFIOMember(address: name, driver: driver(of: name, kernel), isBridge: code.hasPrefix("0x06"))
        }
    }

    private static func driver(of name: String, _ kernel: any VFIOKernel) -> String? {
        kernel.link("/sys/bus/pci/devices/\(name)/driver").flatMap(last)
    }

    private static func last(_ path: String) -> String? { path.split(separator: "/").last.map(String.init) }

    /// Whether a name is domain:bus:device.function in hexadecimal digits.
    package static func isAddress(_ name: String) -> Bool {
        let parts = name.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 3, let dot = parts[2].firstIndex(of: ".") else { return false }
        func isHexadecimal(_ text: some StringProtocol, _ length: ClosedRange<Int>) -> Bool {
            length.contains(text.utf8.count) && text.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
        }
        let function = parts[2][parts[2].index(after: dot)...]
        return isHexadecimal(parts[0], 4...8) && isHexadecimal(parts[1], 2...2) && isHexadecimal(parts[2][..<dot], 2...2)
            && function.utf8.count == 1 && ("0"..."7").contains(String(function))
    }
}
