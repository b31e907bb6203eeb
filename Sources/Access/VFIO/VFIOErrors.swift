// SPDX-License-Identifier: Apache-2.0

internal import DMAAccess
internal import DMATypes

/// The sentences of what can go wrong on the way to a device.
struct VFIOErrors {
    /// The device's name for messages.
    let device: String

    /// An error with the kernel's text for its number.
    func kernel(
        _ number: Int32, _ doing: String, code: AccessError.Code = .refused,
        cure: String = "see the kernel's log (dmesg) for the reason"
    ) -> AccessError {
        AccessError(
            number == ErrorNumber.noDevice ? .gone : code, device: device,
            "cannot \(doing): \(DMAError.sentence(number)) (errno \(number))", cure: cure)
    }

    func refusal(_ refusal: VFIORefusal, _ doing: String) -> AccessError {
        switch refusal {
        case .kernel(let number): return kernel(number, doing)
        case .answer(let detail):
            return AccessError(
                .badConfiguration, device: device, "the kernel's answer contradicts itself: \(detail)",
                cure: "report it with the kernel's version (uname -r)")
        }
    }

    var badName: AccessError {
        AccessError(
            .absent, device: device, "that is no address of a PCI function",
            cure: "name it as domain:bus:device.function, for example 0000:01:00.0; lspci -D lists them")
    }

    var absent: AccessError {
        AccessError(
            .absent, device: device, "there is no such PCI function",
            cure: "see which there are: lspci -D, or /sys/bus/pci/devices")
    }

    func otherDriver(_ driver: String?) -> AccessError {
        guard let driver else {
            return AccessError(
                .refused, device: device, "no driver is bound to it, and VFIO reaches only what vfio-pci is bound to",
                cure: "bind it: load vfio-pci, write vfio-pci into its driver_override in sysfs, then its address into "
                    + "/sys/bus/pci/drivers_probe")
        }
        return AccessError(
            .busy, device: device, "the kernel's driver \(driver) has it",
            cure: "unbind it from \(driver), if nothing uses it, and bind it to vfio-pci by its driver_override in sysfs")
    }

    var noIOMMU: AccessError {
        AccessError(
            .refused, device: device, "it is in no IOMMU group: no IOMMU limits what it can reach",
            cure: "switch the IOMMU on in the firmware (VT-d, AMD-Vi) and for the kernel (Intel: intel_iommu=on)")
    }

    var unprotected: AccessError {
        AccessError(
            .refused, device: device,
            "its group is VFIO's no-IOMMU mode, in which a device reaches all memory, and which this package does not use",
            cure: "switch the IOMMU on in the firmware (VT-d, AMD-Vi) and for the kernel (Intel: intel_iommu=on)")
    }

    /// A device file that does not open.
    func file(_ path: String, _ number: Int32, module: String) -> AccessError {
        switch number {
        case ErrorNumber.noAccess, ErrorNumber.notPermitted:
            return kernel(
                number, "open \(path)",
                cure: "give your user read and write access to it (chown, or a udev rule), or run as root")
        case ErrorNumber.noEntry:
            return kernel(number, "open \(path)", cure: "load the kernel's module: modprobe \(module)")
        case ErrorNumber.busy:
            return kernel(
                number, "open \(path)", code: .busy,
                cure: "end the program that has the group open: fuser \(path) names it")
        default: return kernel(number, "open \(path)")
        }
    }

    func notViable(_ group: Int, _ others: [VFIOMember]) -> AccessError {
        let names = others.prefix(8).map { "\($0.address) (\($0.driver ?? "no driver"))" }.joined(separator: ", ")
        let rest = others.count > 8 ? " and \(others.count - 8) more" : ""
        guard !others.isEmpty else {
            return AccessError(
                .refused, device: device, "IOMMU group \(group) is not viable, though no other driver has a device of it",
                cure: "try again: a driver may have been bound at this moment; see /sys/kernel/iommu_groups/\(group)/devices")
        }
        return AccessError(
            .refused, device: device,
            "IOMMU group \(group) is not viable: the kernel's drivers have other devices of it: \(names)\(rest)",
            cure: "bind these to vfio-pci as well, or unbind them from their drivers")
    }

    func noInterruptRemapping(_ number: Int32) -> AccessError {
        kernel(
            number, "use the IOMMU of its group",
            cure: "the IOMMU remaps no interrupts, so that a device could send any: switch interrupt remapping on, or, where "
                + "you trust the device, load vfio_iommu_type1 with allow_unsafe_interrupts=1")
    }

    func narrower(_ ranges: [ClosedRange<UInt64>]) -> AccessError {
        let text = ranges.prefix(4).map { "0x\(String($0.lowerBound, radix: 16))-0x\(String($0.upperBound, radix: 16))" }
        return AccessError(
            .refused, device: device,
            "it reaches fewer bus addresses (\(text.joined(separator: ", "))) than the address space that it would share",
            cure: "give it an address space of its own, or open it first and let the other device share its address space")
    }
}

/// A device of an IOMMU group.
package struct VFIOMember: Equatable, Sendable {
    package let address: String
    /// The driver that is bound to it; nil for none.
    package let driver: String?
    package let isBridge: Bool

    /// Whether it keeps the group from being used: a driver of the kernel's could let it reach the memory of this process.
    ///
    /// Source: drivers/vfio/group.c and drivers/iommu/iommu.c: devices without a driver, and drivers that do no DMA of their own (pcieport, pci-stub,
    /// the vfio drivers), do not.
    package var blocks: Bool {
        guard let driver, !isBridge else { return false }
        return driver != "pci-stub" && driver != "pcieport" && !driver.contains("vfio")
    }
}
