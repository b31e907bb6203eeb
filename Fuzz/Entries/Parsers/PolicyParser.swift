// SPDX-License-Identifier: Apache-2.0

import DMACore

extension FuzzEntry {
    static let policy = FuzzEntry(parser: "policy", length: 2048) { bytes in
        let policy: DevicePolicy
        do throws(DevicePolicy.Failure) { policy = try DevicePolicy(parsing: bytes) } catch {
            guard error.line >= 0, error.line <= bytes.count + 1, !error.reason.isEmpty, !error.cure.isEmpty else {
                return "an error without a place or words: \(error)"
            }
            return error.description.unicodeScalars.contains { $0.value < 0x20 } ? "an error with control characters" : nil
        }
        // An accepted policy that is written and read again stays the same.
        guard let again = try? DevicePolicy(parsing: Array(policy.text.utf8)), again == policy else {
            return "a policy is another when it is written and read again"
        }
        for waiver in policy.waivers {
            let device = DeviceIdentity(vendor: 0x8086, device: 0x1521, slot: waiver.slot, isolation: .none)
            switch policy.judge(device) {
            case .allowed: return "a device without an IOMMU is allowed without a word"
            case .waived(let sentence):
                guard sentence.contains("\(waiver.slot)") else { return "a waiver that does not name its device" }
            case .refused(let error, _):
                guard error.code == .deviceNotTrusted, policy.trusted != nil else { return "a waiver is not honoured" }
            }
        }
        for match in policy.trusted ?? [] {
            guard let id = match.id, let slot = match.slot else { continue }
            let device = DeviceIdentity(vendor: id.vendor, device: id.device, slot: slot, isolation: .iommu)
            guard policy.judge(device) == .allowed else { return "a trusted device is refused" }
        }
        return nil
    }
}
