// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMAAccess
public import DMATypes

/// Resets by what the kernel finds for the function, or by its bus.
extension VFIODevice {
    public func reset(by deadline: Deadline) throws(AccessError) -> ResetMethod {
        guard let (file, hasReset) = state.locked.withLock({ state in state.open.map { ($0.file, $0.hasReset) } }) else {
            throw closed
        }
        defer { decodeMemory() }
        if hasReset {
            while true {
                let result = file.with { descriptor in kernel.reset(descriptor) } ?? -ErrorNumber.noDevice
                if result >= 0 { return .transport }
                // Another reset is under way on the bus.
                guard result == -ErrorNumber.again, Deadline.now < deadline else {
                    throw VFIOErrors(device: name).kernel(-result, "reset it")
                }
                cdma_sleep_until(min(deadline, .after(milliseconds: 1)).nanoseconds)
            }
        }
        guard try isAloneOnBus(file) else { return .none }
        let groups = vfio.groups
        let result = file.with { descriptor in kernel.hotReset(descriptor, groups) } ?? -ErrorNumber.noDevice
        return result >= 0 ? .bus : .none
    }

    /// Whether a reset of its bus would reset this device and no other.
    private func isAloneOnBus(_ file: VFIODeviceFile) throws(AccessError) -> Bool {
        let (kernel, name) = (kernel, name)
        let asked = file.with { descriptor -> Result<VFIOAnswer, VFIORefusal> in
            do throws(VFIORefusal) {
                // struct vfio_pci_hot_reset_info: argsz, flags, count; then group, segment, bus, slot and function of each.
                return .success(
                    try VFIOAnswer(kernel, descriptor, .hotReset, "the devices of a reset", device: name, least: 12))
            } catch { return .failure(error) }
        }
        do throws(VFIORefusal) {
            guard let answer = try asked?.get() else { return false }
            let count = try answer.entries(answer.word(at: 8), of: 8, at: 12)
            return count > 0 && (0..<count).allSatisfy { Self.address(answer.wide(at: 12 + 8 * $0)) == address }
        } catch {
            // ENODEV: there is no bridge whose bus could be reset.
            if case .kernel = error { return false }
            throw VFIOErrors(device: name).refusal(error, "ask which devices a reset would reset")
        }
    }

    /// The address in an entry of a reset's list.
    private static func address(_ entry: UInt64) -> String {
        func hex(_ value: UInt64, _ digits: Int) -> String {
            let text = String(value, radix: 16)
            return String(repeating: "0", count: max(0, digits - text.count)) + text
        }
        let function = entry >> 56
        return "\(hex(entry >> 32 & 0xffff, 4)):\(hex(entry >> 48 & 0xff, 2)):\(hex(function >> 3, 2)).\(function & 7)"
    }
}
