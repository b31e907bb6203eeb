// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMAAccess
public import DMACore
internal import DMAPCISpecification
internal import DMARegisters
internal import DMATypes

/// A PCI function that the kernel's vfio-pci has, behind an IOMMU.
///
/// ```swift
/// let device = try QuietDevice(opening: VFIODevice("0000:01:00.0"))
/// ```
///
/// It needs no root, where the permissions of /dev/vfio allow it. A device that reaches memory without an IOMMU is refused.
///
/// **Addresses.** The valid ranges and page sizes are the kernel's: ``busAddresses``. What is mapped before the device is opened, or between two openings,
/// is programmed when it is opened. Devices in one address space: ``init(_:sharing:)``.
///
/// **Registers.** Mapped where the kernel allows it, in parts where it allows parts; by pread(2) and pwrite(2) otherwise. A mapping is no access that can
/// fail: while registers are mapped, the device's memory stays decoded, and it stays out of D3hot, whatever is written to its configuration space.
///
/// **Interrupts.** By eventfd, in a thread of the device's: INTx, MSI, MSI-X. The kernel masks INTx until its handler has returned. Masks of the others are
/// kept here: ``setMasked(_:vector:)``.
///
/// **The end.** Where another program asks for the device, to unbind or remove it, or its link reports a fatal error, ``goneReason`` says so: waits end,
/// and the kernel has the device as soon as it is closed, and no register window of it is left.
///
/// **Reset.** By what the kernel finds for it; else by a reset of the bus, where no other device is on it. Others have none.
///
/// Thread rules: everything may be called from any thread.
public final class VFIODevice: DeviceTransport {
    public let name: String
    /// Its address: "0000:01:00.0".
    public let address: String
    let kernel: any VFIOKernel
    let vfio: VFIOSpace

    struct Open {
        let file: VFIODeviceFile
        let facts: VFIOFacts
        let watcher: VFIOWatcher
        let notices: [Int32]
        let hasReset: Bool
        let configuration: VFIORegion
        var paths: [DeviceRegion]?
        var power: Int?
        var armed: (kind: InterruptKind, events: [Int32])?
    }
    struct State {
        var isClaimed = false
        var open: Open?
        var gone: String?
    }
    final class Shared: Sendable {
        let locked = Locked(State())
    }
    let state = Shared()

    /// A device with an address space of its own.
    ///
    /// - Parameters:
    ///   - address: of the function, with its domain: "0000:01:00.0".
    ///   - interface: by which it is opened; nil for iommufd where the kernel has it, and groups otherwise.
    /// - Throws: `absent`, `busy`, `refused`, `badConfiguration`.
    public convenience init(_ address: String, by interface: VFIOInterface? = nil) throws(AccessError) {
        try self.init(address, by: interface, RunningKernel.shared)
    }

    /// A device in the address space of another one: what is mapped for one is mapped for both.
    ///
    /// - Throws: as ``init(_:by:)``. That it does not fit into the address space shows when it is opened.
    public convenience init(_ address: String, sharing other: VFIODevice) throws(AccessError) {
        _ = try VFIOFacts(address, other.kernel)
        self.init(address, other.vfio, other.kernel)
    }

    package convenience init(
        _ address: String, by interface: VFIOInterface?, _ kernel: any VFIOKernel
    ) throws(AccessError) {
        let facts = try VFIOFacts(address, kernel)
        self.init(address, try VFIOSpace(for: facts, interface, kernel), kernel)
    }

    private init(_ address: String, _ vfio: VFIOSpace, _ kernel: any VFIOKernel) {
        name = "vfio \(address)"
        self.address = address
        self.vfio = vfio
        self.kernel = kernel
    }

    // MARK: Facts

    public var space: AddressSpace { vfio.addresses }
    /// The bus addresses that can be mapped, inclusive bounds in bytes: the holes are those of the machine and of its interrupts.
    public var busAddresses: [ClosedRange<UInt64>] { vfio.facts.ranges }
    /// The page sizes that mappings are made of, in bytes, ascending.
    public var pageSizes: [UInt64] { vfio.facts.pageSizes }
    /// How many mappings the kernel allows at once in the address space; nil where it does not say.
    public var mappingLimit: Int? { vfio.facts.entryLimit.map(Int.init) }
    /// Mappings that the kernel has of the address space now.
    public var mappings: Int { vfio.backend.mapped }
    /// Why the kernel refused a mapping last, with the limit that was met; nil where it has refused none.
    public var mappingRefusal: String? { vfio.backend.refusal }
    /// The interface of the kernel's by which it is opened.
    public var interface: VFIOInterface { vfio.api }

    public var goneReason: String? { state.locked.withLock { $0.gone } }
    public var isDead: Bool { false }

    // MARK: Opening

    public func claim() throws(AccessError) {
        let (isMine, reason) = state.locked.withLock { state in
            guard !state.isClaimed else { return (false, nil as String?) }
            state.isClaimed = true
            return (true, state.gone)
        }
        guard isMine else {
            throw AccessError(.busy, device: name, "it is open", cure: "close it where it is open, or use another device")
        }
        do throws(AccessError) {
            if let reason {
                throw AccessError(.gone, device: name, reason, cure: "make a new VFIODevice of it when it is back")
            }
            // Since the last time, it may have been given to another driver.
            let open = try opened(VFIOFacts(address, kernel))
            state.locked.withLock { $0.open = open }
        } catch {
            state.locked.withLock { $0.isClaimed = false }
            throw error
        }
        decodeMemory()
    }

    private func opened(_ facts: VFIOFacts) throws(AccessError) -> Open {
        let errors = VFIOErrors(device: name)
        let descriptor = try vfio.open(facts)
        let file = VFIODeviceFile(descriptor, kernel)
        var notices: [VFIOWatcher.Notice: Int32] = [:]
        do throws(AccessError) {
            do throws(VFIORefusal) {
                // struct vfio_device_info: argsz, flags, numbers of regions and of interrupts.
                let answer = try VFIOAnswer(kernel, descriptor, .device, "the device", device: name, least: 16)
                let flags = answer.word(at: 4)
                guard flags & VFIOABI.isPCI != 0, answer.word(at: 8) > UInt32(VFIOABI.configurationRegion) else {
                    throw .answer(
                        "the device: flags 0x\(String(flags, radix: 16)), \(answer.word(at: 8)) regions; no PCI function")
                }
                let configuration = try VFIORegion(kernel, descriptor, VFIOABI.configurationRegion, device: name)
                guard configuration.count >= 256 else {
                    throw .answer("the configuration space: \(configuration.count) bytes")
                }
                for (notice, index) in [(VFIOWatcher.Notice.request, VFIOABI.requestIndex), (.error, VFIOABI.errorIndex)] {
                    if let event = try Self.notify(kernel, descriptor, index, answer.word(at: 12), device: name) {
                        notices[notice] = event
                    }
                }
                let watcher: VFIOWatcher
                do throws(DMAError) {
                    let state = state
                    watcher = try VFIOWatcher(notices) { notice in Self.noticed(notice, state) }
                } catch { throw .kernel(error.errno) }
                return Open(
                    file: file, facts: facts, watcher: watcher, notices: Array(notices.values),
                    hasReset: flags & VFIOABI.hasReset != 0, configuration: configuration)
            } catch { throw errors.refusal(error, "ask what the device has") }
        } catch {
            if let descriptor = file.take() { vfio.close(descriptor, facts) }
            for event in notices.values { _ = cdma_close(event) }
            throw error
        }
    }

    /// An event for what the kernel tells of by one index; nil where it does not.
    private static func notify(
        _ kernel: any VFIOKernel, _ descriptor: Int32, _ index: UInt32, _ indices: UInt32, device: String
    ) throws(VFIORefusal) -> Int32? {
        guard index < indices, try count(kernel, descriptor, index, device: device) > 0 else { return nil }
        let event = cdma_event_make(false)
        guard event >= 0 else { throw .kernel(-event) }
        let result = kernel.interrupts(descriptor, index, .signal([event]))
        guard result >= 0 else {
            _ = cdma_close(event)
            // An older kernel names what it cannot signal for this device.
            if result == -ErrorNumber.invalid { return nil }
            throw .kernel(-result)
        }
        return event
    }

    private static func noticed(_ notice: VFIOWatcher.Notice, _ state: Shared) {
        let reason =
            notice == .error
            ? "the kernel reports a fatal error of its link (AER)"
            : "the kernel asks for it back: it is being unbound or removed"
        state.locked.withLock { if $0.gone == nil { $0.gone = reason } }
    }

    public func release() {
        let open = state.locked.withLock { state -> Open? in
            defer { state.open = nil }
            return state.open
        }
        if let open {
            open.watcher.stop()
            if let descriptor = open.file.take() { vfio.close(descriptor, open.facts) }
            for event in open.notices + (open.armed?.events ?? []) { _ = cdma_close(event) }
        }
        state.locked.withLock { $0.isClaimed = false }
    }

    var file: VFIODeviceFile? { state.locked.withLock { $0.open?.file } }

    var closed: AccessError {
        AccessError(.gone, device: name, "it is closed", cure: "open it first")
    }

    // MARK: Configuration space and registers

    public var configurationCount: Int {
        (state.locked.withLock { $0.open?.configuration.count } ?? 0) >= 4096 ? 4096 : 256
    }

    public func readConfiguration(_ offset: Int, _ width: AccessWidth) -> UInt32 {
        guard let (file, region) = opened(offset, width) else { return .max }
        return UInt32(truncatingIfNeeded: file.read(region.offset + UInt64(offset), width))
    }

    public func writeConfiguration(_ value: UInt32, _ offset: Int, _ width: AccessWidth) {
        guard let (file, region) = opened(offset, width) else { return }
        file.write(UInt64(kept(value, offset, width)), region.offset + UInt64(offset), width)
    }

    private func opened(_ offset: Int, _ width: AccessWidth) -> (VFIODeviceFile, VFIORegion)? {
        let open = state.locked.withLock { state in state.open.map { ($0.file, $0.configuration) } }
        guard let open, offset >= 0, width != .wide, UInt64(offset + width.rawValue) <= open.1.count else { return nil }
        return open
    }

    /// What is written so that mapped registers stay reachable: an access to those of a device that decodes no memory, or that is in D3hot, ends the
    /// process by a signal (drivers/vfio/pci/vfio_pci_core.c, `__vfio_pci_memory_enabled`).
    private func kept(_ value: UInt32, _ offset: Int, _ width: AccessWidth) -> UInt32 {
        let power = state.locked.withLock { $0.open?.power }
        func bits(at place: Int) -> UInt32? {
            place >= offset && place < offset + width.rawValue ? UInt32(8 * (place - offset)) : nil
        }
        var value = value
        if let shift = bits(at: PCIOffset.command) { value |= 2 << shift }
        // The power state: 3 is D3hot.
        if let power, let shift = bits(at: power + 4), value >> shift & 3 == 3 { value &= ~(3 << shift) }
        return value
    }

    /// Lets the function answer accesses to its memory, and do none of its own.
    func decodeMemory() {
        let configuration = DeviceConfiguration(self)
        let command = configuration.read(DeviceConfiguration.command)
        guard !command.isAllOnes, !command[.decodesMemory] else { return }
        configuration.modify(DeviceConfiguration.command) { command in
            command[.decodesMemory] = true
            command[.isBusMaster] = false
        }
    }

    public func regions() throws(AccessError) -> [DeviceRegion] {
        let known = state.locked.withLock { state in state.open.map { ($0.file, $0.configuration.offset, $0.paths) } }
        guard let (file, flushes, paths) = known else { throw closed }
        if let paths { return paths }
        let configuration = DeviceConfiguration(self)
        var found: [DeviceRegion] = []
        for index in 0..<6 {
            let (kernel, name) = (kernel, name)
            let asked = file.with { descriptor -> Result<VFIORegion, VFIORefusal> in
                do throws(VFIORefusal) {
                    return .success(try VFIORegion(kernel, descriptor, index, device: name))
                } catch { return .failure(error) }
            }
            let region: VFIORegion
            do throws(VFIORefusal) {
                guard let asked else { throw .kernel(ErrorNumber.noDevice) }
                region = try asked.get()
            } catch { throw VFIOErrors(device: name).refusal(error, "ask for region \(index)") }
            guard region.count > 0 else { continue }
            let base: UInt32 = configuration.load(PCIOffset.baseAddresses + 4 * index)
            let path = VFIORegionPath(region, file, kernel, flushes: flushes)
            found.append(
                DeviceRegion(
                    index: index, count: region.count, isPorts: base & 1 != 0, path: path, splitsWide: !path.isMapped))
        }
        let power = try? PCICapability.list(configuration).first(PCICapability.powerManagement)?.offset
        state.locked.withLock { state in
            state.open?.paths = found
            state.open?.power = power
        }
        return found
    }
}
