// SPDX-License-Identifier: Apache-2.0

internal import DMAAccess
internal import DMACore
internal import DMATypes

/// An address space of the kernel's with the devices in it: one container, or one IOAS of iommufd.
///
/// A container exists while a device of it is open: its group is joined to it before the device is opened, and left after it was closed, so that other
/// programs can have the group in between. The address space keeps its mappings meanwhile, and programs them again with the next device. An IOAS exists
/// as long as the address space.
///
/// Thread rules: everything may be called from any thread.
final class VFIOSpace: Sendable {
    let api: VFIOInterface
    let facts: IOMMUFacts
    let addresses: AddressSpace
    let backend: VFIOBackend
    private let kernel: any VFIOKernel

    private struct Group {
        let descriptor: Int32
        var users: Int
    }
    private struct State {
        var container: Int32?
        var groups: [Int: Group] = [:]
    }
    private let state = Locked(State())
    private let table: VFIOTable?

    /// Looks at the IOMMU of a device's group, by what the kernel has.
    ///
    /// - Throws: `refused`, `busy`, `badConfiguration`.
    init(for device: VFIOFacts, _ wanted: VFIOInterface?, _ kernel: any VFIOKernel) throws(AccessError) {
        self.kernel = kernel
        let errors = VFIOErrors(device: device.address)
        let api = wanted ?? (Self.hasIOMMUFD(device, kernel) ? .iommufd : .group)
        self.api = api
        let facts: IOMMUFacts
        switch api {
        case .group:
            backend = VFIOBackend(kernel)
            table = nil
            var found = State()
            facts = try Self.join(device, &found, nil, kernel)
            Self.leave(device, &found, kernel)
        case .iommufd:
            guard let node = device.node else {
                throw AccessError(
                    .refused, device: device.address, "the kernel gives it no character device for iommufd",
                    cure: "use the interface of groups, or a kernel with CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV")
            }
            let iommufd = kernel.open("/dev/iommu")
            guard iommufd >= 0 else { throw errors.file("/dev/iommu", -iommufd, module: "iommufd") }
            var number: UInt32 = 0
            let made = kernel.makeSpace(iommufd, &number)
            guard made >= 0 else {
                _ = kernel.close(iommufd)
                throw errors.kernel(-made, "make an address space of iommufd")
            }
            // It owns the descriptor from here on.
            backend = VFIOBackend(kernel, iommufd: iommufd, space: number)
            table = .space(iommufd, number)
            // Which addresses are usable is known with a device.
            let opened = try Self.open(node, iommufd, number, device, kernel)
            defer { _ = kernel.close(opened) }
            facts = try IOMMUFacts(iommufd: iommufd, space: number, kernel, device: device.address)
        }
        self.facts = facts
        backend.entryLimit.withLock { $0 = facts.entryLimit }
        do throws(DMAError) {
            addresses = try AddressSpace(
                name: "vfio group \(device.group ?? 0)",
                translation: .translated(backend, apertures: facts.ranges, pageSizes: facts.pageSizes))
        } catch { throw AccessError(error, device: device.address, "making an address space") }
    }

    /// Opens a device; answers its descriptor, which ``close(_:_:)`` takes back.
    func open(_ device: VFIOFacts) throws(AccessError) -> Int32 {
        let (kernel, facts, backend) = (kernel, facts, backend)
        if case .space(let iommufd, let number)? = table {
            guard let node = device.node else { throw VFIOErrors(device: device.address).absent }
            let descriptor = try Self.open(node, iommufd, number, device, kernel)
            do throws(AccessError) {
                let now = try IOMMUFacts(iommufd: iommufd, space: number, kernel, device: device.address)
                guard now.covers(facts.ranges) else { throw VFIOErrors(device: device.address).narrower(now.ranges) }
            } catch {
                _ = kernel.close(descriptor)
                throw error
            }
            return descriptor
        }
        return try state.withLock { (state) throws(AccessError) -> Int32 in
            let isFirst = state.container == nil
            _ = try Self.join(device, &state, facts, kernel)
            let group = state.groups[device.group ?? -1]?.descriptor ?? -1
            let descriptor = kernel.device(of: group, device.address)
            guard descriptor >= 0 else {
                Self.leave(device, &state, kernel)
                throw VFIOErrors(device: device.address).kernel(
                    -descriptor, "open the device", code: descriptor == -ErrorNumber.busy ? .busy : .refused)
            }
            if isFirst, let container = state.container { backend.use(.container(container)) }
            return descriptor
        }
    }

    /// Closes a device. With the last one, the kernel drops a container's mappings.
    func close(_ descriptor: Int32, _ device: VFIOFacts) {
        guard table == nil else {
            _ = kernel.close(descriptor)
            return
        }
        state.withLock { state in
            let isLast = state.groups.values.reduce(0) { $0 + $1.users } <= 1
            if isLast {
                backend.unmapAll(facts.ranges)
                backend.use(nil)
            }
            _ = kernel.close(descriptor)
            Self.leave(device, &state, kernel)
        }
    }

    /// The open groups' descriptors, for a hot reset.
    var groups: [Int32] { state.withLock { $0.groups.values.map(\.descriptor).sorted() } }

    // MARK: Groups

    /// Joins a device's group to the container, which is made for the first one. Undone where it fails.
    ///
    /// - Parameter known: what the address space was made for; nil where it is being made.
    private static func join(
        _ device: VFIOFacts, _ state: inout State, _ known: IOMMUFacts?, _ kernel: any VFIOKernel
    ) throws(AccessError) -> IOMMUFacts {
        let errors = VFIOErrors(device: device.address)
        guard let number = device.group else { throw errors.noIOMMU }
        if state.groups[number] != nil, let known {
            state.groups[number]?.users += 1
            return known
        }
        let isFirst = state.container == nil
        let container: Int32
        if let known = state.container { container = known } else { container = try open(errors, kernel) }
        state.container = container
        do throws(AccessError) {
            let group = try open(number, errors, kernel)
            state.groups[number] = Group(descriptor: group, users: 1)
            let joined = kernel.join(group, container)
            guard joined >= 0 else {
                throw -joined == ErrorNumber.notPermitted
                    ? errors.noInterruptRemapping(-joined)
                    : errors.kernel(-joined, "add IOMMU group \(number) to the address space")
            }
            if isFirst {
                let made = kernel.setIOMMU(container, VFIOABI.type1v2)
                guard made >= 0 else {
                    throw -made == ErrorNumber.notPermitted
                        ? errors.noInterruptRemapping(-made) : errors.kernel(-made, "use the IOMMU of group \(number)")
                }
            }
            let facts = try IOMMUFacts(container: container, kernel, device: device.address)
            if let known, !facts.covers(known.ranges) { throw errors.narrower(facts.ranges) }
            return facts
        } catch {
            if state.groups[number] != nil { leave(device, &state, kernel) } else { closeEmpty(&state, kernel) }
            throw error
        }
    }

    private static func leave(_ device: VFIOFacts, _ state: inout State, _ kernel: any VFIOKernel) {
        guard let number = device.group, let group = state.groups[number] else { return }
        if group.users > 1 {
            state.groups[number]?.users -= 1
            return
        }
        state.groups[number] = nil
        // Closing the group takes it out of the container.
        _ = kernel.close(group.descriptor)
        closeEmpty(&state, kernel)
    }

    private static func closeEmpty(_ state: inout State, _ kernel: any VFIOKernel) {
        guard state.groups.isEmpty, let container = state.container else { return }
        state.container = nil
        _ = kernel.close(container)
    }

    private static func open(_ errors: VFIOErrors, _ kernel: any VFIOKernel) throws(AccessError) -> Int32 {
        let path = "/dev/vfio/vfio"
        let container = kernel.open(path)
        guard container >= 0 else { throw errors.file(path, -container, module: "vfio vfio_iommu_type1") }
        let version = kernel.version(of: container)
        let hasType = kernel.has(container, VFIOABI.type1v2)
        guard version == VFIOABI.version, hasType > 0 else {
            _ = kernel.close(container)
            throw AccessError(
                .refused, device: errors.device,
                version == VFIOABI.version
                    ? "the kernel's VFIO has no IOMMU of type 1, version 2"
                    : "the kernel's VFIO speaks version \(version); this package speaks \(VFIOABI.version)",
                cure: version == VFIOABI.version ? "load the module vfio_iommu_type1" : "use another version of this package")
        }
        return container
    }

    private static func open(
        _ number: Int, _ errors: VFIOErrors, _ kernel: any VFIOKernel
    ) throws(AccessError) -> Int32 {
        let path = "/dev/vfio/\(number)"
        let group = kernel.open(path)
        guard group >= 0 else { throw errors.file(path, -group, module: "vfio-pci") }
        var flags: UInt32 = 0
        let result = kernel.status(of: group, &flags)
        guard result >= 0, flags & VFIOABI.groupViable != 0 else {
            _ = kernel.close(group)
            guard result >= 0 else { throw errors.kernel(-result, "ask for the state of IOMMU group \(number)") }
            throw errors.notViable(number, VFIOFacts.members(of: number, kernel).filter(\.blocks))
        }
        return group
    }

    // MARK: iommufd

    /// Whether the device can be opened by iommufd. What sysfs names is not enough: a kernel without iommufd names the device's node as well.
    private static func hasIOMMUFD(_ device: VFIOFacts, _ kernel: any VFIOKernel) -> Bool {
        guard let node = device.node, kernel.names(in: "/dev/vfio/devices")?.contains(node) == true else { return false }
        let iommufd = kernel.open("/dev/iommu")
        if iommufd >= 0 { _ = kernel.close(iommufd) }
        return iommufd >= 0
    }

    private static func open(
        _ node: String, _ iommufd: Int32, _ space: UInt32, _ device: VFIOFacts, _ kernel: any VFIOKernel
    ) throws(AccessError) -> Int32 {
        let errors = VFIOErrors(device: device.address)
        let path = "/dev/vfio/devices/\(node)"
        let descriptor = kernel.open(path)
        guard descriptor >= 0 else { throw errors.file(path, -descriptor, module: "vfio-pci") }
        do throws(AccessError) {
            let bound = kernel.bind(descriptor, iommufd)
            guard bound >= 0 else {
                let others = VFIOFacts.members(of: device.group ?? -1, kernel).filter(\.blocks)
                throw bound == -ErrorNumber.busy || others.isEmpty
                    ? errors.kernel(-bound, "bind it to iommufd", code: bound == -ErrorNumber.busy ? .busy : .refused)
                    : errors.notViable(device.group ?? -1, others)
            }
            let attached = kernel.attach(descriptor, space)
            guard attached >= 0 else {
                throw -attached == ErrorNumber.notPermitted
                    ? errors.noInterruptRemapping(-attached) : errors.kernel(-attached, "attach it to the address space")
            }
            return descriptor
        } catch {
            _ = kernel.close(descriptor)
            throw error
        }
    }
}

/// By which of the kernel's interfaces devices are opened.
public enum VFIOInterface: String, Sendable, CaseIterable {
    /// Groups and containers, /dev/vfio: every kernel since Linux 3.6.
    case group
    /// The device's own node and /dev/iommu: Linux 6.6, where it is configured.
    case iommufd
}
