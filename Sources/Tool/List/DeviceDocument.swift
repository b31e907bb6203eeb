// SPDX-License-Identifier: Apache-2.0

import DMAPCIAccess

/// What `dmactl list --devices --json` prints. `version` rises when a field changes its meaning or goes; its schema is Schemas/devices.schema.json.
struct DeviceDocument: Encodable {
    struct VFIO: Encodable {
        /// Absent where it cannot be looked at.
        let driver: Bool?
        let container: Bool?
        let iommufd: Bool?
    }

    struct Device: Encodable {
        /// "0000:03:00.0".
        let address: String
        /// "8086:1521".
        let id: String?
        let subsystemID: String?
        /// Six hexadecimal digits: class, subclass, programming interface.
        let classCode: String?
        let revision: Int?
        let vendorName: String?
        let deviceName: String?
        let className: String?
        let driver: String?
        let driverOverride: String?
        let group: Group?
        let node: Int?
        let link: Link?
        let streamingMaskBits: Int?
        let coherentMaskBits: Int?
        let powerState: String?
        let resetMethods: [String]?
        let virtualFunctions: Int?
        let enabledVirtualFunctions: Int?
        let physicalFunction: String?
        let userSpace: UserSpace
        /// Why a field that is absent is not known; a field that is absent and not named here has no value.
        let unknown: [String: String]
    }

    struct Group: Encodable {
        let number: Int
        /// "DMA", "DMA-FQ", "identity".
        let type: String?
        let members: [Member]
    }

    struct Member: Encodable {
        let name: String
        let driver: String?
        let blocksGroup: Bool
    }

    struct Link: Encodable {
        let gigatransfers: Double?
        let width: Int?
        let maximumGigatransfers: Double?
        let maximumWidth: Int?
        let isReduced: Bool
    }

    struct UserSpace: Encodable {
        /// The driver of this package that is for the device.
        let driver: String?
        let isReady: Bool
        let obstacles: [Obstacle]
    }

    struct Obstacle: Encodable {
        let code: String
        let detail: String
        let cure: String
    }

    let version = 1
    /// Why no device, or not every one, is listed.
    let problem: String?
    /// Whether there is a list of names.
    let hasNames: Bool
    let vfio: VFIO
    let devices: [Device]

    init(_ list: DeviceList) {
        problem = list.listing.problem
        hasNames = list.names != nil
        let machine = list.listing.vfio
        vfio = VFIO(driver: machine.hasDriver.value, container: machine.hasContainer.value, iommufd: machine.hasIOMMUFD.value)
        devices = list.rows.map { Self.device($0, list) }
    }

    private static func device(_ row: DeviceList.Row, _ list: DeviceList) -> Device {
        let facts = row.facts
        let identity = facts.identity.value
        var unknown: [String: String] = [:]
        func note<Value>(_ name: String, _ fact: Fact<Value>) { unknown[name] = fact.reason }
        note("id", facts.identity)
        note("driver", facts.driver)
        note("driverOverride", facts.driverOverride)
        note("group", facts.group)
        note("node", facts.node)
        note("link", facts.link)
        note("streamingMaskBits", facts.streamingMaskBits)
        note("coherentMaskBits", facts.coherentMaskBits)
        note("powerState", facts.powerState)
        note("resetMethods", facts.resetMethods)
        note("virtualFunctions", facts.virtualFunctions)
        note("enabledVirtualFunctions", facts.enabledVirtualFunctions)
        note("physicalFunction", facts.physicalFunction)
        if let number = facts.group.value, let members = list.listing.groups[number] { note("group.members", members) }
        return Device(
            address: "\(facts.slot)", id: identity?.id, subsystemID: identity?.subsystemID, classCode: identity?.classDigits,
            revision: identity.map { Int($0.revision) }, vendorName: identity.flatMap { list.names?.vendor(of: $0) },
            deviceName: identity.flatMap { list.names?.device(of: $0) },
            className: identity.flatMap { list.names?.className(of: $0) }, driver: facts.driver.value,
            driverOverride: facts.driverOverride.value, group: group(row, list), node: facts.node.value,
            link: facts.link.value.map {
                Link(
                    gigatransfers: $0.speed, width: $0.width, maximumGigatransfers: $0.maximumSpeed,
                    maximumWidth: $0.maximumWidth, isReduced: $0.isReduced)
            },
            streamingMaskBits: facts.streamingMaskBits.value, coherentMaskBits: facts.coherentMaskBits.value,
            powerState: facts.powerState.value, resetMethods: facts.resetMethods.value,
            virtualFunctions: facts.virtualFunctions.value, enabledVirtualFunctions: facts.enabledVirtualFunctions.value,
            physicalFunction: facts.physicalFunction.value.map { "\($0)" },
            userSpace: UserSpace(
                driver: row.readiness.driver, isReady: row.readiness.isReady,
                obstacles: row.readiness.obstacles.map { Obstacle(code: $0.code.rawValue, detail: $0.detail, cure: $0.cure) }),
            unknown: unknown)
    }

    private static func group(_ row: DeviceList.Row, _ list: DeviceList) -> Group? {
        guard let number = row.facts.group.value else { return nil }
        return Group(
            number: number, type: list.listing.groupTypes[number]?.value,
            members: row.members.map { Member(name: $0.name, driver: $0.driver, blocksGroup: $0.blocksGroup) })
    }
}
