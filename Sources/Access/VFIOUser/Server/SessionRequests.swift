// SPDX-License-Identifier: Apache-2.0

internal import DMADeviceSide
internal import DMAPCISpecification
internal import DMARegisters
internal import DMATypes
internal import DMAVFIOUserProtocol

// What a client asks of the device.

extension Session {
    /// The region of the configuration space: linux/vfio.h, VFIO_PCI_CONFIG_REGION_INDEX.
    private static let configuration: UInt32 = 7
    /// Six base address registers, ROM, configuration space, VGA: VFIO_PCI_NUM_REGIONS.
    private static let regions: UInt32 = 9

    func handle(_ message: Connection.Message) {
        let request: Request
        do throws(WireError) {
            request = try Request(
                command: message.header.command, payload: message.payload, descriptors: message.descriptors.count,
                transferSize: PeerCapabilities.own.transferSize)
        } catch { return connection.refuse(message, error.rawValue) }
        do throws(Refusal) { connection.reply(to: message, try answer(request, message.descriptors)) } catch {
            connection.refuse(message, error.number)
        }
    }

    /// The payload of the reply.
    private func answer(_ request: Request, _ descriptors: [OwnedDescriptor]) throws(Refusal) -> [UInt8] {
        switch request {
        // It is said once.
        case .version: throw .invalid
        // Requests of servers.
        case .dmaRead, .dmaWrite: throw .unsupported
        case .dmaMap(let map):
            guard let memory else { throw .failed }
            try memory.map(map, descriptors.first)
            return []
        case .dmaUnmap(let unmap):
            guard let memory else { throw .failed }
            try memory.unmap(unmap, until: .after(limits.patience))
            return unmap.payload
        case .deviceInfo:
            return DeviceInfoMessage(
                canReset: true, isPCI: true, regions: Self.regions, interrupts: InterruptInfoMessage.kinds
            ).payload
        case .regionInfo(let query): return try regionInfo(query.index).payload(room: query.replySize)
        case .regionIODescriptors(let query):
            guard query.index < Self.regions else { throw .invalid }
            // None has any; the specification wants a descriptor at least with a reply.
            throw .unsupported
        case .interruptInfo(let query):
            guard let info = interrupts.info(query.index) else { throw .invalid }
            return info.payload
        case .setInterrupts(let set):
            try interrupts.set(set, descriptors)
            if set.index == InterruptInfoMessage.msi { followMSI() }
            return []
        case .regionRead(var access):
            access.data = try read(access)
            return access.payload
        case .regionWrite(var access):
            try write(access)
            access.data = []
            return access.payload
        case .reset:
            powerUp()
            return []
        case .regionWriteMultiple(let multiple):
            var done = 0
            for access in multiple.writes {
                do throws(Refusal) { try write(access) } catch {
                    if done == 0 { throw error }
                    break
                }
                done += 1
            }
            return RegionWritesMessage.reply(done)
        }
    }

    private func regionInfo(_ index: UInt32) throws(Refusal) -> RegionInfoMessage {
        guard index < Self.regions else { throw .invalid }
        var info = RegionInfoMessage(index: index)
        info.count = count(of: index)
        info.isReadable = info.count > 0
        info.isWritable = info.count > 0
        return info
    }

    /// Bytes of a region; 0 for one that there is not.
    private func count(of region: UInt32) -> UInt64 {
        if region == Self.configuration { return UInt64(function.configurationCount) }
        return function.description.regions.first { $0.index == Int(region) }?.count ?? 0
    }

    // MARK: Registers

    private func check(_ access: RegionAccessMessage) throws(Refusal) {
        let count = count(of: access.region)
        guard access.region < Self.regions, access.offset <= count, UInt64(access.count) <= count - access.offset else {
            throw .invalid
        }
    }

    /// The widest access that an offset permits, of the bytes that are left.
    private static func width(_ offset: UInt64, _ left: Int, most: Int) -> Int {
        var width = most
        while width > left || offset % UInt64(width) != 0 { width /= 2 }
        return width
    }

    private func read(_ access: RegionAccessMessage) throws(Refusal) -> [UInt8] {
        try check(access)
        let isConfiguration = access.region == Self.configuration
        var bytes: [UInt8] = []
        bytes.reserveCapacity(access.count)
        while bytes.count < access.count {
            let offset = access.offset + UInt64(bytes.count)
            let width = Self.width(offset, access.count - bytes.count, most: isConfiguration ? 4 : 8)
            let value: UInt64 =
                if isConfiguration {
                    UInt64(function.readConfiguration(Int(offset), width))
                } else if function.decodesMemory, !function.answersAllOnes() {
                    model.read(Int(access.region), offset, width)
                } else {
                    .max
                }
            for byte in 0..<width { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * byte))) }
        }
        return bytes
    }

    private func write(_ access: RegionAccessMessage) throws(Refusal) {
        try check(access)
        let isConfiguration = access.region == Self.configuration
        let wasBusMaster = function.isBusMaster
        var done = 0
        while done < access.count {
            let offset = access.offset + UInt64(done)
            let width = Self.width(offset, access.count - done, most: isConfiguration ? 4 : 8)
            let value = (0..<width).reduce(UInt64(0)) { $0 | UInt64(access.data[done + $1]) << UInt64(8 * $1) }
            if isConfiguration {
                if function.writeConfiguration(UInt32(truncatingIfNeeded: value), Int(offset), width) { powerUp() }
            } else if function.decodesMemory, !function.isRemoved {
                model.write(value, Int(access.region), offset, width)
            }
            done += width
        }
        if isConfiguration, wasBusMaster, !function.isBusMaster { quiet() }
        stepper.wake()
    }

    /// With its bus master off, the device reaches no memory when the client is told so: a transfer that was under way has ended.
    private func quiet() {
        memory?.pause()
        stepper.exclusively {}
        memory?.resume()
    }

    /// A client that gives events for MSI expects the device to use it, as the kernel's VFIO switches it on (drivers/vfio/pci/vfio_pci_intrs.c,
    /// `vfio_msi_enable`).
    private func followMSI() {
        let wants = interrupts.hasEvents(InterruptInfoMessage.msi)
        guard wants != function.usesMessages else { return }
        let reader = FunctionConfiguration(function: function)
        do throws(ConfigurationError) {
            guard let place = try PCICapability.list(reader).first(PCICapability.msi) else { return }
            let msi = try MSI(reader, place)
            var control = MSIControl(word: reader.half(at: msi.control))
            control[.isEnabled] = wants
            if wants, control[.given] == 0 { control[.given] = control[.wanted] }
            _ = function.writeConfiguration(UInt32(control.written), msi.control, 2)
        } catch {
            // A model whose configuration space has no MSI has no events for it either.
        }
    }
}

/// The configuration space of a function, for its capabilities.
private struct FunctionConfiguration: ConfigurationReader {
    let function: DeviceFunction
    var count: Int { function.configurationCount }
    func word(at offset: Int) -> UInt32 { function.readConfiguration(offset, 4) }
}
