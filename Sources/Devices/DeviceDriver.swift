// SPDX-License-Identifier: Apache-2.0

internal import DMAAccess
internal import DMACore
internal import DMADeviceSide
internal import DMAEDUEngine
internal import DMAEDUModel
internal import DMAEDUSpecification
internal import DMAEngineKit

/// A driver of this package, behind a type that does not name its engine's.
struct DeviceDriver: Sendable {
    /// Its name: "edu".
    let name: String
    let vendor: UInt16
    let devices: Set<UInt16>
    /// Opens the device once, and says what its engine can.
    let describe: @Sendable (any DeviceTransport) throws(AccessError) -> DeviceDescription
    /// The device of an offer, whose engines open it.
    let open: @Sendable (EngineOffer, any DeviceTransport) -> EngineDevice

    /// Every driver.
    static let all: [DeviceDriver] = [edu]

    private static let edu = DeviceDriver(
        name: "edu", vendor: EDU.vendor, devices: [EDU.device],
        describe: { transport throws(AccessError) in
            let configuration = EDUConfiguration()
            let engine = try EDUEngine(opening: transport, configuration)
            return DeviceDescription(capabilities: engine.capabilities, constraints: configuration.constraints)
        },
        open: { offer, transport in
            let domain = Domain(name: offer.name, constraints: offer.constraints, space: transport.space)
            return EngineDevice(offer, domain: domain) { _ throws(DMAError) in
                do throws(AccessError) { return try EDUEngine(opening: transport) } catch { throw error.asDMAError }
            }
        })
}

/// The PCI devices that the drivers of this package are for.
public struct SupportedDevices: Sendable {
    /// The driver's name: "edu".
    public let driver: String
    /// The vendor's ID.
    public let vendor: UInt16
    /// The devices' IDs, ascending.
    public let devices: [UInt16]

    /// An entry for each driver.
    public static let all = DeviceDriver.all.map {
        SupportedDevices(driver: $0.name, vendor: $0.vendor, devices: $0.devices.sorted())
    }
}

/// What a driver has found at its device.
struct DeviceDescription {
    let capabilities: Capabilities
    let constraints: DeviceConstraints
    var channels = 1
}

extension AccessError {
    /// As the engine's layer has it: the code alone crosses.
    var asDMAError: DMAError {
        switch code {
        case .busy: DMAError(.deviceBusy)
        case .gone, .absent: DMAError(.deviceGone)
        default: DMAError(.engineFailed)
        }
    }
}

/// The models of this package, by their names.
enum DeviceModels {
    static let names = "edu"

    static func named(_ name: String) -> (any DeviceModel)? { name == "edu" ? EDUModel() : nil }
}
