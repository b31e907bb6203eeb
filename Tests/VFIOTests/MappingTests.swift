// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMACore
import DMAEngineKit
import DMATypes
import Testing

@testable import DMAVFIOAccess

@Suite("VFIO: mappings")
struct MappingTests {
    private func device(_ kernel: ScriptedKernel, by interface: VFIOInterface? = nil) throws -> VFIODevice {
        try VFIODevice(ScriptedKernel.address, by: interface, kernel)
    }

    /// A kernel with an aperture of four pages.
    private func narrow() -> ScriptedKernel {
        scripted { $0.answers["iommu"] = ScriptedKernel.iommu([(0x1_0000, 0x1_3fff)], pages: 0x1000, limit: 16) }
    }

    private func map(_ quiet: borrowing QuietDevice, _ direction: Direction = .toDevice) throws(DMAError) -> MappedBuffer {
        try Buffer(count: 4096).mapped(for: quiet.domain, direction: direction)
    }

    @Test("each direction gets the least permission")
    func permissions() throws {
        let kernel = ScriptedKernel()
        let quiet = try QuietDevice(opening: device(kernel))
        for (direction, reads, writes) in [
            (Direction.toDevice, true, false), (.fromDevice, false, true), (.bidirectional, true, true),
        ] {
            let mapped = try map(quiet, direction)
            let entry = kernel.with { $0.mappings.values.first }
            #expect(entry?.reads == reads && entry?.writes == writes && entry?.count == 4096)
            _ = try mapped.unmap()
            #expect(kernel.mappings.isEmpty)
        }
    }

    @Test(
        "an unmap that succeeds with less, or more, is a failure, and the range is not given out again", arguments: [0, 8192])
    func lessUnmapped(_ answer: UInt64) throws {
        let kernel = narrow()
        let device = try device(kernel)
        let quiet = try QuietDevice(opening: device)
        let mapped = try map(quiet)
        let place = mapped.iova.rawValue
        kernel.with { $0.unmapAnswers = [answer] }
        var failure: DMAError?
        do throws(DMAError) { _ = try mapped.unmap() } catch { failure = error }
        #expect(failure?.code == .partialUnmap && failure?.asked == 4096 && failure?.limit == answer)
        // Three pages of four are left, none of them the failed one.
        let one = try map(quiet)
        let two = try map(quiet)
        let three = try map(quiet)
        for other in [one.iova.rawValue, two.iova.rawValue, three.iova.rawValue] { #expect(other != place) }
        var full: DMAError?
        do throws(DMAError) { _ = try map(quiet) } catch { full = error }
        #expect(full?.code == .noAddressSpace)
    }

    @Test("EEXIST is no success: the range is retired")
    func exists() throws {
        let kernel = narrow()
        let device = try device(kernel)
        let quiet = try QuietDevice(opening: device)
        kernel.with { $0.mapErrors = [17] }
        var failure: DMAError?
        do throws(DMAError) { _ = try map(quiet) } catch { failure = error }
        #expect(failure?.code == .backendFailed && failure?.errno == 17)
        #expect(device.space.retiredBytes == 4096)
        let places = try (0..<3).map { _ in Held(try map(quiet)) }
        #expect(Set(places.map(\.place)).count == 3)
        do throws(DMAError) { _ = try map(quiet) } catch { failure = error }
        #expect(failure?.code == .noAddressSpace)
    }

    @Test("the limit of entries and RLIMIT_MEMLOCK are named with their figures")
    func limits() throws {
        let kernel = narrow()
        let device = try device(kernel)
        let quiet = try QuietDevice(opening: device)
        let held = try map(quiet)
        kernel.with { $0.mapErrors = [28] }
        var failure: DMAError?
        do throws(DMAError) { _ = try map(quiet) } catch { failure = error }
        #expect(failure?.code == .backendFailed && failure?.errno == 28)
        #expect(device.mappingRefusal?.contains("limit of mappings (16) is reached, and this address space has 1") == true)
        kernel.with { state in
            state.mapErrors = [12]
            state.lockLimit = 1024
        }
        do throws(DMAError) { _ = try map(quiet) } catch { failure = error }
        #expect(failure?.code == .memoryLocked && failure?.asked == 4096 && failure.map { $0.limit <= 1024 } == true)
        #expect(device.mappingRefusal?.contains("RLIMIT_MEMLOCK is 1024 bytes") == true)
        // The kernel's own memory, where the limit leaves room.
        kernel.with { state in
            state.mapErrors = [12]
            state.lockLimit = .max
        }
        do throws(DMAError) { _ = try map(quiet) } catch { failure = error }
        #expect(failure?.code == .backendFailed && failure?.errno == 12)
        _ = try held.unmap()
        #expect(device.mappings == 0)
    }

    @Test("mapped before the device is opened, and between: programmed at each opening, gone at each end")
    func replayed() throws {
        let kernel = ScriptedKernel()
        let device = try device(kernel)
        let domain = Domain(name: "pool", space: device.space)
        let first = try Buffer(count: 4096).mapped(for: domain, direction: .toDevice)
        #expect(kernel.mappings.isEmpty)
        for _ in 0..<3 {
            do {
                let quiet = try QuietDevice(opening: device)
                #expect(kernel.mappings == [first.iova.rawValue])
                let second = try map(quiet)
                #expect(kernel.mappings.count == 2)
                _ = try second.unmap()
            }
            #expect(kernel.mappings.isEmpty && kernel.opened == 0 && device.mappings == 0)
        }
        let second = try Buffer(count: 8192).mapped(for: domain, direction: .fromDevice)
        let quiet = try QuietDevice(opening: device)
        #expect(kernel.mappings == [first.iova.rawValue, second.iova.rawValue].sorted())
        // One that the kernel refuses: the device does not open, and nothing is left.
        _ = consume quiet
        kernel.with { $0.mapErrors = [12] }
        #expect(throws: AccessError.self) { _ = try QuietDevice(opening: device) }
        #expect(kernel.mappings.isEmpty && kernel.opened == 0)
        _ = try first.unmap()
        _ = try second.unmap()
    }

    @Test("two devices in one container: the mappings stay until the last one leaves")
    func shared() throws {
        let kernel = ScriptedKernel()
        let one = try device(kernel)
        let two = try VFIODevice(ScriptedKernel.second, sharing: one)
        #expect(one.space === two.space)
        let first = try QuietDevice(opening: one)
        let mapped = try map(first)
        let second = try QuietDevice(opening: two)
        #expect(kernel.log.filter { $0 == "iommu 3" }.count == 2)
        _ = consume first
        #expect(kernel.mappings == [mapped.iova.rawValue])
        #expect(kernel.with { Set($0.opened.values) } == ["/dev/vfio/vfio", "/dev/vfio/8", "device 0000:02:00.0"])
        _ = consume second
        #expect(kernel.mappings.isEmpty && kernel.opened == 0)
        _ = try mapped.unmap()
    }

    @Test("a device that reaches fewer addresses than the address space is refused, and the others keep theirs")
    func narrower() throws {
        let kernel = ScriptedKernel()
        let one = try device(kernel)
        let two = try VFIODevice(ScriptedKernel.second, sharing: one)
        let first = try QuietDevice(opening: one)
        let mapped = try map(first)
        kernel.with { $0.answers["iommu"] = ScriptedKernel.iommu([(0, 0x7fff_ffff)]) }
        var failure: AccessError?
        do throws(AccessError) { _ = try QuietDevice(opening: two) } catch { failure = error }
        #expect(failure?.code == .refused && failure?.cure.contains("address space of its own") == true)
        #expect(kernel.mappings == [mapped.iova.rawValue])
        #expect(!kernel.with { $0.opened.values.contains("/dev/vfio/8") })
        _ = try mapped.unmap()
    }

    @Test("an address space of iommufd keeps its mappings without a device")
    func iommufd() throws {
        let kernel = scripted { state in
            state.folders["/sys/bus/pci/devices/\(ScriptedKernel.address)/vfio-dev"] = ["vfio3"]
            state.folders["/dev/vfio/devices"] = ["vfio3"]
        }
        do {
            let device = try device(kernel)
            let domain = Domain(name: "pool", space: device.space)
            let mapped = try Buffer(count: 4096).mapped(for: domain, direction: .toDevice)
            #expect(kernel.mappings == [mapped.iova.rawValue])
            _ = try QuietDevice(opening: device)
            #expect(kernel.mappings == [mapped.iova.rawValue])
            #expect(kernel.with { Array($0.opened.values) } == ["/dev/iommu"])
            _ = try mapped.unmap()
            #expect(kernel.mappings.isEmpty)
        }
        #expect(kernel.opened == 0)
    }
}

/// A mapping in an array.
final class Held {
    let place: UInt64
    private let mapping: MappedBuffer
    init(_ mapping: consuming MappedBuffer) {
        place = mapping.iova.rawValue
        self.mapping = mapping
    }
}
