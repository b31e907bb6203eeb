// SPDX-License-Identifier: Apache-2.0

internal import DMAAccess
public import DMACore
internal import DMADeviceSide
internal import DMAInProcessAccess
internal import DMAPCISpecification
internal import DMAQTestAccess
internal import DMATypes
internal import DMAVFIOAccess
internal import DMAVFIOUserAccess

/// Offers the engines of devices that are named by their addresses.
///
/// ```swift
/// let devices = try DeviceProvider(opening: [DeviceAddress("qtest:q35,edu")!])
/// let system = DMASystem(providers: [devices])
/// let channel = try system.share(ChannelRequest(name: devices.names[0]))
/// ```
///
/// A device is connected to when the provider is made, which identifies it and asks its driver what it can; it is opened again for each channel. A machine
/// that was started for a device ends with the provider.
///
/// Thread rules: as ``EngineProvider``.
public final class DeviceProvider: EngineProvider {
    private struct Entry {
        let offer: EngineOffer
        let driver: DeviceDriver
        let transport: any DeviceTransport
        /// What must live as long as the transport: QEMU.
        let holder: (any Sendable)?
    }

    private let entries: [Entry]

    /// The names of the engines, in the order of the addresses.
    public var names: [String] { entries.map(\.offer.name) }

    /// Connects to each device, identifies it, and finds its driver.
    ///
    /// - Throws: ``DeviceFailure`` for the first device that cannot be used.
    public init(opening addresses: [DeviceAddress]) throws(DeviceFailure) {
        var entries: [Entry] = []
        for address in addresses {
            let (transport, holder) = try Self.connect(address)
            do throws(AccessError) {
                entries.append(try Self.entry(address, transport, holder, taken: entries.map(\.offer.name)))
            } catch { throw DeviceFailure("\(address)", error.detail, cure: error.cure.asSentence) }
        }
        self.entries = entries
    }

    private static func connect(_ address: DeviceAddress) throws(DeviceFailure) -> (any DeviceTransport, (any Sendable)?) {
        switch address {
        case .model(let name):
            guard let model = DeviceModels.named(name) else {
                throw DeviceModels.unknown(name, address: "\(address)")
            }
            do throws(DMAError) {
                return (
                    try InProcessDevice(model, name: "\(address)", addressing: .translated(bits: 28), pace: .threaded), nil
                )
            } catch { throw DeviceFailure("\(address)", error.message, cure: error.cure.asSentence) }
        case .vfioUser(let path):
            return try attach(address) { () throws(AccessError) in try VFIOUserDevice(path: path) }
        case .pci(let slot):
            return try attach(address) { () throws(AccessError) in try VFIODevice("\(slot)") }
        case .qtest(let machine, let device):
            let (slot, options) = try placed(device, address)
            var configuration = QTestConfiguration(devices: [options])
            configuration.machine = machine
            // The clock of the machine runs while its processor sleeps: devices that wait for a timer do not wait in real time.
            configuration.clock = .fast
            do throws(QTestError) {
                let machine = try QTestMachine(configuration)
                return (machine.device(at: slot), machine)
            } catch {
                let words = error.lastWords.isEmpty ? "" : "; its last output: \(error.lastWords)"
                throw DeviceFailure("\(address)", error.detail + words, cure: error.cure.asSentence)
            }
        }
    }

    /// A device that is there already.
    private static func attach(
        _ address: DeviceAddress, _ make: () throws(AccessError) -> any DeviceTransport
    ) throws(DeviceFailure) -> (any DeviceTransport, (any Sendable)?) {
        do throws(AccessError) { return (try make(), nil) } catch {
            throw DeviceFailure("\(address)", error.detail, cure: error.cure.asSentence)
        }
    }

    /// The slot that QEMU's option `addr` names, which is added where it is missing. The board's own devices are at 0, 1 and 31.
    private static func placed(
        _ device: String, _ address: DeviceAddress
    ) throws(DeviceFailure) -> (slot: Int, options: String) {
        let named = device.split(separator: ",").first { $0.hasPrefix("addr=") }
        guard let named else { return (5, device + ",addr=5") }
        let text = named.dropFirst(5)
        let digits = text.hasPrefix("0x") ? text.dropFirst(2) : text
        guard let slot = Int(digits, radix: 16), (1..<32).contains(slot) else {
            throw DeviceFailure(
                "\(address)", "\"\(named)\" is no slot of bus 0", cure: "Name a slot from 0x1 to 0x1f, without a function.")
        }
        return (slot, device)
    }

    private static func entry(
        _ address: DeviceAddress, _ transport: any DeviceTransport, _ holder: (any Sendable)?, taken: [String]
    ) throws(AccessError) -> Entry {
        let (vendor, device) = try identity(transport)
        guard let driver = DeviceDriver.all.first(where: { $0.vendor == vendor && $0.devices.contains(device) }) else {
            throw AccessError(
                .absent, device: transport.name, "no driver is for \(hexadecimal(vendor)):\(hexadecimal(device))",
                cure: "name a device of one of the drivers: " + DeviceDriver.all.map(\.name).joined(separator: ", "))
        }
        let found = try driver.describe(transport)
        // Without an identity there is nothing for a policy to judge: models and QEMU's devices are programs, and reach the memory that they were
        // given. VFIO hands out a device behind an IOMMU only, unless it is told otherwise by name.
        var identity: DeviceIdentity?
        if case .pci(let slot) = address {
            identity = DeviceIdentity(vendor: vendor, device: device, slot: slot, isolation: .iommu)
        }
        let offer = EngineOffer(
            name: name("\(address)", taken), channels: found.channels, capabilities: found.capabilities,
            constraints: found.constraints, device: identity)
        return Entry(offer: offer, driver: driver, transport: transport, holder: holder)
    }

    /// Opened and closed: its bus master is off meanwhile.
    private static func identity(_ transport: any DeviceTransport) throws(AccessError) -> (UInt16, UInt16) {
        let device = try QuietDevice(opening: transport)
        return (device.header.vendor, device.header.device)
    }

    /// The address, as a name of an engine: at most 64 characters without slashes, and unique.
    private static func name(_ address: String, _ taken: [String]) -> String {
        let short = String(address.map { $0 == "/" ? "_" : $0 }.suffix(60))
        var name = short
        var number = 2
        while taken.contains(name) {
            name = "\(short)#\(number)"
            number += 1
        }
        return name
    }

    private static func hexadecimal(_ number: UInt16) -> String {
        let text = String(number, radix: 16)
        return String(repeating: "0", count: 4 - text.count) + text
    }

    // MARK: EngineProvider

    public func probe() -> [EngineOffer] {
        entries.map { entry in
            var offer = entry.offer
            if let reason = entry.transport.goneReason {
                offer.absence = EngineAbsence(reason: reason, cure: "start it again, and name it again")
            }
            return offer
        }
    }

    public func open(_ offer: EngineOffer) throws(DMAError) -> EngineDevice {
        guard let entry = entries.first(where: { $0.offer.name == offer.name }), entry.transport.goneReason == nil else {
            throw DMAError(.deviceGone)
        }
        return entry.driver.open(offer, entry.transport)
    }
}

extension String {
    /// With a capital and a period.
    var asSentence: String {
        let text = prefix(1).uppercased() + dropFirst()
        return text.hasSuffix(".") ? text : text + "."
    }
}
