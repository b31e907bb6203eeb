// SPDX-License-Identifier: Apache-2.0

internal import DMAAccess
internal import DMACore
internal import DMADeviceSide
internal import DMAEDUEngine
internal import DMAEDUModel
internal import DMAEDUSpecification
internal import DMAEngineKit
internal import DMAIOATEngine
internal import DMAIOATModel
internal import DMAIOATSpecification

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
    static let all: [DeviceDriver] = [edu, ioat]

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

extension DeviceDriver {
    fileprivate static let ioat = DeviceDriver(
        name: "ioat", vendor: IOAT.vendor, devices: [IOAT.broadwellDE, IOAT.atom],
        describe: { transport throws(AccessError) in
            let device = try IOATDevice(opening: transport)
            let channels = device.channelCount
            let engine = try IOATEngine(device)
            return DeviceDescription(
                capabilities: engine.capabilities, constraints: device.domain.constraints, channels: channels)
        },
        open: { offer, transport in
            let domain = Domain(name: offer.name, constraints: offer.constraints, space: transport.space)
            // One device for its channels: opened with the first of them, and closed with the last.
            let shared = SharedIOAT(transport)
            return EngineDevice(offer, domain: domain) { number throws(DMAError) in
                do throws(AccessError) { return try IOATEngine(try shared.device(), channel: number) } catch {
                    throw error.asDMAError
                }
            }
        })
}

/// The device that the channels of one opening share.
private final class SharedIOAT: Sendable {
    private let transport: any DeviceTransport
    private let opened = Locked<IOATDevice?>(nil)

    init(_ transport: any DeviceTransport) { self.transport = transport }

    func device() throws(AccessError) -> IOATDevice {
        try opened.withLock { (opened) throws(AccessError) in
            if let opened { return opened }
            let device = try IOATDevice(opening: transport)
            opened = device
            return device
        }
    }
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
