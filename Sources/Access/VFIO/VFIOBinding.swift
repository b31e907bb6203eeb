// SPDX-License-Identifier: Apache-2.0

public import DMAAccess
internal import DMATypes

/// Gives a PCI function to vfio-pci, and back to the kernel's driver, as one transaction each.
///
/// A plan is a list of writes to sysfs, which can be shown before they are done. Between any two of them the process may be killed: nothing but sysfs
/// holds the state, and the next ``unbind(_:)`` computes from it what is left to do. A bind that does not end with vfio-pci restores the driver that was
/// there, and says so.
///
/// A device that holds a mounted file system, swap, the default route or the console is refused.
///
/// Source: Documentation/ABI/testing/sysfs-bus-pci, driver_override; drivers/base/driver.c, `driver_set_override`: a line's end alone clears it, an empty
/// write does not.
public struct VFIOBinding: Sendable {
    /// One write to a file of sysfs.
    public struct Step: Hashable, Sendable {
        /// The file.
        public let path: String
        /// What is written, without the line's end that clears an override.
        public let text: String
    }

    private let files: any SysfsFiles
    private static let driver = "vfio-pci"

    /// On the running kernel's sysfs.
    public init() { files = RunningSysfs() }
    package init(_ files: any SysfsFiles) { self.files = files }

    // MARK: Plans

    /// What ``bind(_:)`` would write; empty where vfio-pci has the function.
    ///
    /// - Throws: `absent`; `busy` where the function is in use; `refused`.
    public func bindPlan(_ address: String) throws(AccessError) -> [Step] {
        let folder = try folder(address)
        let errors = VFIOErrors(device: address)
        let now = current(folder)
        if now == Self.driver { return [] }
        guard files.exists("/sys/bus/pci/drivers/\(Self.driver)") else {
            throw AccessError(
                .refused, device: address, "the kernel has no driver \(Self.driver) loaded",
                cure: "load it: modprobe \(Self.driver)")
        }
        // Behind some IOMMUs (virtio-iommu) a function has its group only from a driver's probe on.
        guard files.exists("\(folder)/iommu_group") || files.names(in: "/sys/class/iommu")?.isEmpty == false else {
            throw errors.noIOMMU
        }
        let override = override(folder)
        guard override == nil || override == Self.driver else {
            throw AccessError(
                .busy, device: address, "its driver_override names \(override ?? ""): another program manages it",
                cure: "clear it where it was set: echo > \(folder)/driver_override")
        }
        if let use = VFIOUses(files).use(of: address) {
            throw AccessError(.busy, device: address, "it is in use: \(use)", cure: "end that first; it would be lost")
        }
        var steps: [Step] = []
        if override == nil { steps.append(Step(path: "\(folder)/driver_override", text: Self.driver)) }
        if now != nil { steps.append(Step(path: "\(folder)/driver/unbind", text: address)) }
        return steps + [Step(path: "/sys/bus/pci/drivers_probe", text: address)]
    }

    /// What ``unbind(_:)`` would write: what is left to do until the kernel's own driver has the function, whatever was done before.
    ///
    /// - Throws: `absent`; `busy` where a process has the device open, with its number.
    public func unbindPlan(_ address: String) throws(AccessError) -> [Step] {
        let folder = try folder(address)
        let now = current(folder)
        var steps: [Step] = []
        if override(folder) == Self.driver { steps.append(Step(path: "\(folder)/driver_override", text: "")) }
        if now == Self.driver {
            if let holder = files.group(of: folder).flatMap({ files.holder(of: "/dev/vfio/\($0)") }) {
                throw AccessError(
                    .busy, device: address, "process \(holder) has it open",
                    cure: "end that process; unbinding would wait for it")
            }
            steps.append(Step(path: "\(folder)/driver/unbind", text: address))
        }
        if now == nil || now == Self.driver { steps.append(Step(path: "/sys/bus/pci/drivers_probe", text: address)) }
        return steps
    }

    // MARK: Transactions

    /// Binds vfio-pci to the function.
    ///
    /// - Throws: as ``bindPlan(_:)``; `refused` where it did not end with vfio-pci: the error says which driver has the function now.
    public func bind(_ address: String) throws(AccessError) {
        let folder = try folder(address)
        let before = current(folder)
        let steps = try bindPlan(address)
        let failure = perform(steps)
        guard failure != nil || current(folder) != Self.driver else { return }
        // Back: the override first, so that the function's own driver takes it.
        let undo = (try? unbindPlan(address)) ?? []
        let second = perform(undo)
        let after = current(folder)
        let restored =
            second == nil && after == before
            ? "\(before ?? "no driver") has it as before"
            : "\(after ?? "no driver") has it now, where \(before ?? "no driver") had it"
        throw AccessError(
            .refused, device: address, "\(Self.driver) did not take it: \(failure ?? "its probe failed"); \(restored)",
            cure: after == before
                ? "see the kernel's log (dmesg) for the reason"
                : "bind it by hand: echo \(address) > /sys/bus/pci/drivers_probe")
    }

    /// Gives the function back to the kernel's own driver, from whatever a bind has left.
    ///
    /// - Throws: as ``unbindPlan(_:)``; `refused` where a write was refused.
    public func unbind(_ address: String) throws(AccessError) {
        let folder = try folder(address)
        if let failure = perform(try unbindPlan(address)) {
            throw AccessError(
                .refused, device: address, "\(failure); \(current(folder) ?? "no driver") has it now",
                cure: "run it again; it goes on from where it is")
        }
        guard current(folder) != Self.driver, override(folder) != Self.driver else {
            throw AccessError(
                .refused, device: address, "\(Self.driver) still has it, or its driver_override",
                cure: "see whether another program binds it; run it again")
        }
    }

    /// Does the steps, in order, until one is refused; why.
    private func perform(_ steps: [Step]) -> String? {
        for step in steps {
            let result = files.write(step.text.isEmpty ? "\n" : step.text, to: step.path)
            if result < 0 { return "writing \(step.text) to \(step.path): \(DMAError.sentence(-result))" }
        }
        return nil
    }

    // MARK: State

    private func folder(_ address: String) throws(AccessError) -> String {
        let errors = VFIOErrors(device: address)
        guard VFIOFacts.isAddress(address) else { throw errors.badName }
        let folder = "/sys/bus/pci/devices/\(address)"
        guard files.exists(folder) else { throw errors.absent }
        return folder
    }

    private func current(_ folder: String) -> String? {
        files.link("\(folder)/driver")?.split(separator: "/").last.map(String.init)
    }

    /// The name in driver_override; nil for none, which the kernel shows as "(null)".
    private func override(_ folder: String) -> String? {
        let text = files.text("\(folder)/driver_override")
        return text == nil || text == "" || text == "(null)" ? nil : text
    }
}

/// What a binding reads and writes: the running kernel's sysfs, or a scripted one.
package protocol SysfsFiles: Sendable {
    func exists(_ path: String) -> Bool
    /// A small file without its last line's end; nil where it cannot be read.
    func text(_ path: String) -> String?
    func link(_ path: String) -> String?
    func names(in folder: String) -> [String]?
    /// Where a path leads, without links; nil where it leads nowhere.
    func real(_ path: String) -> String?
    /// 0, or a negative errno.
    func write(_ text: String, to path: String) -> Int32
    /// The process that has a file open; nil for none, and where /proc does not tell.
    func holder(of path: String) -> Int32?
}

extension SysfsFiles {
    func group(of folder: String) -> String? { link("\(folder)/iommu_group")?.split(separator: "/").last.map(String.init) }
}
