// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMADevices
import DMAPCIAccess

/// The PCI devices of a machine, with their names and what keeps each from being driven from user space.
struct DeviceList {
    struct Row {
        let facts: PCIFunctionFacts
        let readiness: PCIReadiness
        let members: [IOMMUGroupMember]
    }

    /// The drivers of this package.
    static let drivers = SupportedDevices.all.map { driver in
        PCIDriver(driver.driver, driver.devices.map { (driver.vendor, $0) })
    }

    let listing: PCIListing
    let rows: [Row]
    let names: PCINames?

    init(_ tree: SystemTree = SystemTree(), namePaths: [String] = PCINames.paths) {
        let listing = PCIListing(tree)
        self.listing = listing
        rows = listing.devices.map { facts in
            Row(
                facts: facts, readiness: PCIReadiness(facts, in: listing, drivers: Self.drivers),
                members: listing.otherMembers(of: facts))
        }
        names = PCINames(for: listing.functions.compactMap(\.identity.value), paths: namePaths)
    }

    /// "Red Hat, Inc. Virtio 1.0 network device", or the IDs where the list has no name.
    func name(of row: Row) -> String {
        guard let identity = row.facts.identity.value else { return "unknown" }
        guard let device = names?.device(of: identity) else {
            let vendor = names?.vendor(of: identity).map { "\($0) " } ?? ""
            return "\(vendor)\(identity.id)"
        }
        return (names?.vendor(of: identity).map { "\($0) " } ?? "") + device
    }
}

/// PCI devices as people read them.
enum DeviceTables {
    static func text(_ list: DeviceList, verbose: Bool) -> String {
        var parts: [String] = []
        if !list.rows.isEmpty { parts.append(overview(list)) }
        let warnings = warnings(list)
        if !warnings.isEmpty {
            parts.append(warnings.map { Terminal.styled(Terminal.wrapped($0, indent: 2), .warning) }.joined(separator: "\n"))
        }
        if verbose { parts += list.rows.map { details($0, list) } }
        return parts.joined(separator: "\n\n")
    }

    private static func overview(_ list: DeviceList) -> String {
        var table = Table(
            ["address", "device", "driver", "user space", "group", "node", "link", "DMA mask"], leading: 4,
            optional: ["node", "DMA mask", "link", "group"])
        for row in list.rows {
            let facts = row.facts
            table.add([
                "\(facts.slot)", list.name(of: row), word(facts.driver) { $0 }, verdict(row.readiness),
                word(facts.group) { "\($0)" }, word(facts.node) { "\($0)" }, word(facts.link, link),
                word(facts.streamingMaskBits) { "\($0) bits" },
            ])
        }
        return table.text
    }

    /// In one or two words, for the table.
    private static func verdict(_ readiness: PCIReadiness) -> String {
        guard let first = readiness.obstacles.first else { return "ready" }
        return switch first.code {
        case .unknownDevice: "unknown"
        case .noDriver: "no driver"
        case .noIOMMU: "no IOMMU"
        case .unknownIOMMU: "unknown"
        case .noVFIO: "no VFIO"
        case .kernelDriver, .unbound: "not bound"
        case .groupNotViable: "group in use"
        case .noPermission: "no permission"
        }
    }

    private static func warnings(_ list: DeviceList) -> [String] {
        var lines: [String] = []
        if let problem = list.listing.problem { lines.append("devices cannot be listed: \(problem)") }
        if list.rows.isEmpty, list.listing.problem == nil { lines.append("the machine has no PCI device but bridges") }
        for row in list.rows where row.readiness.driver != nil && !row.readiness.isReady {
            lines += row.readiness.obstacles.map { "\(row.facts.slot): \($0.detail). Cure: \($0.cure)." }
        }
        let others = list.rows.filter { $0.readiness.driver == nil }.count
        if others > 0 {
            lines.append(
                "\(others) of \(list.rows.count) devices \(others == 1 ? "is" : "are") not for a driver of swift-dma; drivers: "
                    + DeviceList.drivers.map(\.name).joined(separator: ", ") + ".")
        }
        let reduced = list.rows.filter { $0.facts.link.value?.isReduced == true }
        for row in reduced {
            lines.append("\(row.facts.slot): the link runs below what the device can: \(word(row.facts.link, link)).")
        }
        if list.names == nil, !list.rows.isEmpty {
            lines.append("names are not shown: there is no list of PCI IDs. Cure: apt install pci.ids.")
        }
        return lines
    }

    private static func details(_ row: DeviceList.Row, _ list: DeviceList) -> String {
        let facts = row.facts
        var lines: [(String, String)] = [("device", list.name(of: row))]
        if let identity = facts.identity.value {
            let className = list.names?.className(of: identity).map { " (\($0))" } ?? ""
            lines += [
                ("IDs", "\(identity.id), subsystem \(identity.subsystemID ?? "none"), revision \(identity.revision)"),
                ("class", identity.classDigits + className),
            ]
        }
        lines += [
            ("driver", word(facts.driver) { $0 } + (facts.driverOverride.value.map { ", only \($0) may have it" } ?? "")),
            ("IOMMU group", group(row, list)), ("memory node", word(facts.node) { "\($0)" }), ("link", word(facts.link, link)),
            (
                "DMA mask",
                "streaming \(word(facts.streamingMaskBits) { "\($0) bits" }), coherent \(word(facts.coherentMaskBits) { "\($0) bits" })"
            ),
            ("power state", word(facts.powerState) { $0 }),
            ("resets by", word(facts.resetMethods) { $0.joined(separator: " ") }),
        ]
        if facts.virtualFunctions != .none {
            lines.append(
                (
                    "virtual functions",
                    "\(word(facts.enabledVirtualFunctions) { "\($0)" }) of \(word(facts.virtualFunctions) { "\($0)" })"
                ))
        }
        if let physical = facts.physicalFunction.value { lines.append(("physical function", "\(physical)")) }
        let obstacles = row.readiness.obstacles.map { "\($0.detail). Cure: \($0.cure)." }
        lines.append(("user space", obstacles.first ?? "ready"))
        lines += obstacles.dropFirst().map { ("", $0) }
        return "\(facts.slot)"
            + lines.map { name, text in
                "\n"
                    + Terminal.wrapped(
                        text, after: "  " + name + String(repeating: " ", count: max(20 - name.count, 1)), indent: 22)
            }.joined()
    }

    private static func group(_ row: DeviceList.Row, _ list: DeviceList) -> String {
        guard let number = row.facts.group.value else { return word(row.facts.group) { "\($0)" } }
        let type = list.listing.groupTypes[number]?.value.map { ", type \($0)" } ?? ""
        guard let members = list.listing.groups[number] else { return "\(number)\(type)" }
        if let reason = members.reason { return "\(number)\(type); its members are not known: \(reason)" }
        guard !row.members.isEmpty else { return "\(number)\(type), alone" }
        return "\(number)\(type), with "
            + row.members.map { "\($0.name) (\($0.driver ?? "no driver"))" }.joined(separator: ", ")
    }

    /// "8 GT/s x4", with what the device can where that is more.
    private static func link(_ link: PCILink) -> String {
        func text(_ speed: Double?, _ width: Int?) -> String {
            let rate = speed.map { $0 == $0.rounded() ? "\(Int($0))" : "\($0)" } ?? "?"
            return "\(rate) GT/s x\(width.map(String.init) ?? "?")"
        }
        let now = text(link.speed, link.width)
        let most = text(link.maximumSpeed, link.maximumWidth)
        return now == most || link.maximumSpeed == nil && link.maximumWidth == nil ? now : "\(now) of \(most)"
    }

    /// "-" for none, "?" for what is not known.
    private static func word<Value>(_ fact: Fact<Value>, _ text: (Value) -> String) -> String {
        switch fact {
        case .known(let value): text(value)
        case .none: "-"
        case .unknown: "?"
        }
    }
}
