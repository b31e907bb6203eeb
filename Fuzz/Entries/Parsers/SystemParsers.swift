// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import DMACopy
import DMACore
import DMAPCIAccess
import DMAUnits
import FoundationEssentials

// Parsers for files and command lines that anybody may have written, and for the kernel's texts. None traps; an accepted value
// that is written and read again stays the same.

extension FuzzEntry {
    static let systemParsers = [
        FuzzEntry(parser: "copy-plan", copyPlan), FuzzEntry(parser: "journal", length: 1200, journal),
        FuzzEntry(parser: "endpoints", length: 128, endpoint), FuzzEntry(parser: "sizes", length: 64, size),
        FuzzEntry(parser: "kernel-texts", kernelText), FuzzEntry(parser: "copy-lists", length: 512, copyList),
        FuzzEntry(parser: "rescue-map", rescueMap), FuzzEntry(parser: "pci-ids", length: 512, pciNames),
    ]

    /// The input of `--plan`.
    private struct PlanDocument: Codable {
        let version: Int
        let plan: CopyPlan
    }

    private static func copyPlan(_ bytes: [UInt8]) -> String? {
        guard let plan = try? JSONDecoder().decode(PlanDocument.self, from: Data(bytes)).plan else { return nil }
        do throws(CopyFailure) { try plan.check() } catch { return error.description.isEmpty ? "a failure without words" : nil }
        if plan.choices.contains(where: { $0.name.isEmpty || $0.value.isEmpty && $0.name != "engine" }) {
            return "a choice without a value"
        }
        guard let text = try? JSONEncoder().encode(plan), let again = try? JSONDecoder().decode(CopyPlan.self, from: text)
        else {
            return "a plan that was checked cannot be written and read again"
        }
        return again == plan ? nil : "a plan is another when it is written and read again"
    }

    private static func journal(_ bytes: [UInt8]) -> String? {
        guard let journal = ResumeJournal(String(decoding: bytes, as: UTF8.self)) else { return nil }
        return ResumeJournal(journal.text) == journal ? nil : "a journal is another when it is written and read again"
    }

    private static func rescueMap(_ bytes: [UInt8]) -> String? {
        let found: RescueMap?
        do throws(RescueMap.Flaw) { found = try RescueMap.parse(bytes) } catch {
            return error.line < 1 || error.reason.isEmpty ? "a refusal without a line or a reason" : nil
        }
        guard var map = found else { return nil }
        guard (try? RescueMap.parse(map.text())) == map else { return "a map is another when it is written and read again" }
        let total = RescueMap.State.allCases.reduce(0) { $0 + map.bytes($1) }
        guard total == map.size, map.missingAreas <= map.count else { return "the areas of a map are not its size" }
        // Marks wherever the bytes say, against the sums.
        for (index, state) in RescueMap.State.allCases.enumerated() where map.size > 0 {
            let start = UInt64(bytes[index % bytes.count]) << (index * 8) % map.size
            map.mark(start..<(start + 1 + map.size / 3), state)
            guard map.state(at: start) == state else { return "a byte has not got the state that it was given" }
            guard map.next(state, from: start)?.lowerBound == start else { return "an area is not found where it is" }
        }
        let sum = map.all.reduce(0) { $0 + UInt64($1.range.count) }
        return sum == map.size ? nil : "the areas of a changed map are not its size"
    }

    private static func endpoint(_ bytes: [UInt8]) -> String? {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let endpoint = try? Endpoint(text) else { return nil }
        guard let again = try? Endpoint(endpoint.description) else { return "an endpoint cannot be read again: \(endpoint)" }
        return again == endpoint ? nil : "an endpoint is another when it is read again: \(endpoint), \(again)"
    }

    private static func size(_ bytes: [UInt8]) -> String? {
        let text = String(decoding: bytes, as: UTF8.self)
        do throws(CopyFailure) {
            let size = try ByteSize.parse(text, for: "a size")
            _ = ByteSize.text(size)
            _ = ByteSize.text(rate: Double(size) / Double(bytes.count))
            return size > UInt64(Int64.max) ? "\(size) bytes are no size" : nil
        } catch { return error.description.isEmpty ? "a failure without words" : nil }
    }

    private static func kernelText(_ bytes: [UInt8]) -> String? {
        let text = String(decoding: bytes, as: UTF8.self)
        _ = MountTable(parsing: text).mounts.count
        _ = LockBudget.lockedBytes(inStatus: bytes)
        if Placement.parse(text).contains(where: { $0 < 0 }) { return "a processor below 0" }
        guard let maps = ProcessMaps(parsing: bytes) else { return nil }
        for highest in [UInt64(0), 0xffff_ffff, .max] {
            for length in [UInt64(1), 4096, .max] {
                for start in maps.gaps(of: length, alignment: 4096, highest: highest) {
                    let (end, overflow) = start.addingReportingOverflow(length)
                    if overflow || maps.ranges.contains(where: { $0.start < end && start < $0.end }) {
                        return "a gap at \(start) where something is mapped"
                    }
                }
                _ = maps.covering(highest, length)
            }
        }
        return nil
    }

    private static func pciNames(_ bytes: [UInt8]) -> String? {
        let wanted = [(UInt16(0x1234), UInt16(0x11e8), UInt32(0x020000)), (0x8086, 0x1521, 0x010802), (0xffff, 0, 0xffffff)]
            .map { PCIIdentity(vendor: $0.0, device: $0.1, subsystemVendor: 0, subsystem: 0, classCode: $0.2, revision: 0) }
        let names = PCINames(parsing: bytes, for: wanted)
        for identity in wanted {
            for name in [names.vendor(of: identity), names.device(of: identity), names.className(of: identity)].compactMap(
                \.self)
            {
                if name.isEmpty || name.utf8.count > 4 * bytes.count { return "a name of \(name.utf8.count) bytes" }
                if name.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7f }) {
                    return "a control character in a name"
                }
            }
        }
        return nil
    }

    private static func copyList(_ bytes: [UInt8]) -> String? {
        let paths = CopyList.paths(bytes)
        for path in paths {
            guard let planned = try? CopyList.planned(path, below: "/") else { continue }
            // Split as the kernel does.
            let names = planned.path.bytes.split(separator: UInt8(ascii: "/"))
            if names.contains(where: { $0.elementsEqual("..".utf8) }) { return "\(path) leads out of the folder" }
        }
        return paths.contains("") ? "an empty path" : nil
    }
}
