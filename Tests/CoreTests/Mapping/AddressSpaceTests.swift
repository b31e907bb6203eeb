// SPDX-License-Identifier: Apache-2.0

import DMAEngineKit
import Testing

@testable import DMACore

@Suite("Address spaces and their devices")
struct AddressSpaceTests {
    @Test("two devices of one address space never get the same bus address")
    func sharedAllocator() throws {
        let backend = TypeOneBackend()
        let one = try Domain(name: "nic", translation: translation(backend))
        let two = try Domain(name: "nvme, same group", translation: translation(backend))
        #expect(one.space === two.space)
        let first = try Buffer(count: 4096).mapped(for: one, direction: .fromDevice)
        let second = try Buffer(count: 4096).mapped(for: two, direction: .fromDevice)
        let places = (first.iova, second.iova)
        #expect(places.0 != places.1)
        #expect(backend.live.count == 2)
        _ = try first.unmap()
        // Addresses that one domain keeps for reuse are available to the other: they are returned where no others are left.
        #expect(one.space.rangesInUse == 1)
        _ = try second.unmap()
        #expect(one.space.rangesInUse == 0)
    }

    @Test("a backend has one address space; another attempt succeeds once that has ended")
    func oneSpace() throws {
        let backend = TypeOneBackend()
        func other() -> DMAError.Code? {
            refusal { () throws(DMAError) in _ = try AddressSpace(name: "second", translation: translation(backend)) }
        }
        do {
            let space = try AddressSpace(name: "first", translation: translation(backend))
            #expect(other() == .addressSpaceInUse)
            let code = refusal { () throws(DMAError) in
                _ = try Domain(name: "x", translation: translation(backend, 0x10_0000...0x1f_ffff))
            }
            #expect(code == .addressSpaceInUse, "other apertures over the same backend")
            #expect(try Domain(name: "y", translation: translation(backend)).space === space)
        }
        #expect(other() == nil)
    }

    @Test("addresses that one device keeps for reuse are available to the other")
    func reclaim() throws {
        let backend = TypeOneBackend()
        // Room for four pages; the first and the last page of the space are never allocated.
        let space = try AddressSpace(name: "small", translation: translation(backend, 0x10_0000...0x10_3fff))
        let (one, two) = (Domain(name: "one", space: space), Domain(name: "two", space: space))
        for _ in 0..<4 { _ = try Buffer(count: 4096).mapped(for: one, direction: .toDevice).unmap() }
        let whole = try Buffer(count: 4 * 4096).mapped(for: two, direction: .toDevice)
        #expect(
            refusal { () throws(DMAError) in _ = try Buffer(count: 1).mapped(for: one, direction: .toDevice) }
                == .noAddressSpace)
        _ = try whole.unmap()
        _ = try Buffer(count: 1).mapped(for: one, direction: .toDevice)
    }

    @Test("a mapping serves another device of the space whose constraints it meets")
    func serves() throws {
        let space = try AddressSpace(name: "group", translation: translation(TypeOneBackend()))
        var narrow = DeviceConstraints()
        narrow.streamingMask = DMAMask(bits: 24)
        narrow.alignment = 512
        let (wide, small) = (Domain(name: "wide", space: space), Domain(name: "narrow", constraints: narrow, space: space))
        var channel = try Channel(BusEngine(domain: wide.id), domain: wide, of: MappedBuffer.self)
        var other = try Channel(BusEngine(domain: small.id), domain: small, of: MappedBuffer.self)
        // Mapped for the narrow device, it is valid for both.
        let low = try Buffer(count: 4096).mapped(for: small, direction: .fromDevice)
        let lowest = low.iova.rawValue
        #expect(lowest < 1 << 24)
        _ = try channel.submit(.fill(pattern: 1), low).get()
        let another = try Buffer(count: 4096).mapped(for: small, direction: .fromDevice)
        _ = try other.submit(.fill(pattern: 1), another).get()
        // Mapped for the wide one, it lies beyond the narrow one's mask.
        let high = try Buffer(count: 4096).mapped(for: wide, direction: .fromDevice)
        let highest = high.iova.rawValue
        #expect(highest >= 1 << 24)
        switch other.submit(.fill(pattern: 1), high) {
        case .queued: Issue.record("out of the device's reach")
        case .refused(let error, _): #expect(error.code == .foreignDomain)
        }
        // Of another address space, no mapping does.
        let foreign = try Domain(name: "foreign", translation: translation(TypeOneBackend()))
        let elsewhere = try Buffer(count: 4096).mapped(for: foreign, direction: .fromDevice)
        switch channel.submit(.fill(pattern: 1), elsewhere) {
        case .queued: Issue.record("of another address space")
        case .refused(let error, _):
            #expect(error.code == .foreignDomain)
            // By name, if it has one.
            #expect("\(error)".contains("memory mapped for domain \(foreign.id.rawValue) (foreign)"), "\(error)")
        }
    }

    @Test("mappings made without a device are programmed when one is attached, and again after the last has been detached")
    func replay() throws {
        let backend = TypeOneBackend(keepsMappings: false)
        let space = try AddressSpace(name: "container", translation: translation(backend))
        let domain = Domain(name: "device", space: space)
        let before = try Buffer(count: 8192).mapped(for: domain, direction: .toDevice)
        var list = ScatterList()
        for _ in 0..<3 { list.append(try Buffer(count: 4096, backing: .sharedMemory(name: "list"))) }
        let pieces = try list.mapped(for: domain, direction: .fromDevice)
        #expect(backend.live.isEmpty)
        try space.attach { backend.attach() }
        #expect(backend.live.count == 4)
        #expect(space.attachedDevices == 1)
        try space.attach {}
        #expect(backend.live.count == 4, "a second device has them already")
        let during = try Buffer(count: 4096).mapped(for: domain, direction: .toDevice)
        #expect(backend.live.count == 5)
        try space.detach {}
        try space.detach { backend.detach() }
        #expect(refusal { () throws(DMAError) in try space.detach {} } == .notAttached)
        // Ended without a device: the backend is not called.
        _ = try during.unmap()
        try space.attach { backend.attach() }
        #expect(backend.live.count == 4)
        _ = try before.unmap()
        _ = try pieces.unmap()
        #expect(backend.live.isEmpty)
        #expect(space.rangesInUse == 0)
    }

    @Test("a mapping that is being ended is not programmed for a device that is attached meanwhile")
    func endedMeanwhile() throws {
        let backend = TypeOneBackend(keepsMappings: false)
        let space = try AddressSpace(name: "container", translation: translation(backend))
        let domain = Domain(name: "device", space: space)
        let mapped = try Buffer(count: 4096).mapped(for: domain, direction: .toDevice)
        let place = mapped.iova
        // The first half of `unmap`: there is no device, so that the backend is not called.
        let refused = unsafe domain.core.withdraw(mapped.mapping.record)
        #expect(refused == nil)
        try space.attach { backend.attach() }
        #expect(backend.live.isEmpty)
        try space.detach { backend.detach() }
        _ = try mapped.unmap()
        try space.attach { backend.attach() }
        // The address is allocated again, and is free in the backend, too.
        let next = try Buffer(count: 4096).mapped(for: domain, direction: .toDevice)
        let reused = next.iova
        #expect(reused == place && backend.live.count == 1)
        _ = try next.unmap()
        #expect(backend.live.isEmpty)
    }

    private func firstAddress(_ list: borrowing MappedScatterList) -> UInt64 { list.region(at: 0).start.rawValue }

    @Test("a list reuses the addresses of the previous list; they are available to another device, too")
    func listAddresses() throws {
        let backend = TypeOneBackend()
        let space = try AddressSpace(name: "small", translation: translation(backend, 0x10_0000...0x10_3fff))
        let (one, two) = (Domain(name: "one", space: space), Domain(name: "two", space: space))
        var places: [UInt64] = []
        for _ in 0..<3 {
            var list = ScatterList()
            for _ in 0..<2 { list.append(try Buffer(count: 4096, backing: .sharedMemory(name: "list"))) }
            let mapped = try list.mapped(for: one, direction: .toDevice)
            places.append(firstAddress(mapped))
            _ = try mapped.unmap()
        }
        #expect(Set(places).count == 1)
        #expect(space.rangesInUse == 0)
        let whole = try Buffer(count: 4 * 4096).mapped(for: two, direction: .toDevice)
        #expect(space.rangesInUse == 1)
        _ = try whole.unmap()
        #expect(backend.live.isEmpty)
    }

    @Test("a replay that fails leaves nothing mapped, and the device detached; another attempt succeeds")
    func replayFails() throws {
        let backend = TypeOneBackend(keepsMappings: false)
        let space = try AddressSpace(name: "container", translation: translation(backend))
        let domain = Domain(name: "device", space: space)
        let mapped = try Buffer(count: 4096).mapped(for: domain, direction: .toDevice)
        backend.mapErrno = 28
        #expect(refusal { () throws(DMAError) in try space.attach { backend.attach() } } == .backendFailed)
        #expect(space.attachedDevices == 0)
        #expect(backend.live.isEmpty)
        backend.mapErrno = 0
        try space.attach {}
        #expect(backend.live.count == 1)
        _ = try mapped.unmap()
    }

    @Test(
        "an unmap that returns fewer bytes than requested is a failure: the memory is quarantined, its addresses stay allocated"
    )
    func partialUnmap() throws {
        let backend = TypeOneBackend()
        let domain = try Domain(name: "device", translation: translation(backend))
        let mapped = try Buffer(count: 8192).mapped(for: domain, direction: .fromDevice)
        let iova = mapped.iova
        backend.unmapAnswer = 0
        do throws(DMAError) {
            _ = try mapped.unmap()
            Issue.record("unmapped")
        } catch {
            #expect(error.code == .partialUnmap)
            #expect((error.asked, error.limit) == (8192, 0))
        }
        #expect(Quarantine.entries.count { $0.domain == domain.id } == 1)
        backend.unmapAnswer = nil
        for _ in 0..<64 {
            let next = try Buffer(count: 8192).mapped(for: domain, direction: .fromDevice)
            let place = next.iova
            #expect(place != iova)
            _ = try next.unmap()
        }
        #expect(try unsafe Quarantine.unsafeReleaseAll(of: domain.id) == 1)
        #expect(domain.space.rangesInUse == 0)
    }

    @Test("EEXIST is a failure, and the range is not allocated again")
    func exists() throws {
        let backend = TypeOneBackend()
        let domain = try Domain(name: "device", translation: translation(backend))
        backend.mapErrno = 17
        let buffer = try Buffer(count: 4096)
        guard case .failed(let error, let back) = buffer.map(for: domain, direction: .toDevice) else {
            Issue.record("mapped")
            return
        }
        #expect(error.errno == 17)
        #expect(domain.space.retiredBytes == 4096)
        #expect(domain.space.rangesInUse == 1)
        backend.mapErrno = 0
        let mapped = try back.mapped(for: domain, direction: .toDevice)
        #expect(domain.space.rangesInUse == 2)
        _ = try mapped.unmap()
        #expect(domain.statistics.mappings == 0)
        #expect(domain.statistics.refusals == 1)
        // A list that the backend refuses counts as one refusal too.
        backend.mapErrno = 12
        let code = refusal { () throws(DMAError) in
            var list = ScatterList()
            for _ in 0..<2 { list.append(try Buffer(count: 4096, backing: .sharedMemory(name: "list"))) }
            _ = try list.mapped(for: domain, direction: .toDevice)
        }
        #expect(code == .backendFailed)
        #expect(domain.statistics.refusals == 2)
    }

    @Test("mapping while devices are attached and detached: every mapping is programmed exactly while one is attached")
    func concurrentAttach() async throws {
        let backend = TypeOneBackend(keepsMappings: false)
        let space = try AddressSpace(name: "container", translation: translation(backend))
        let domain = Domain(name: "device", space: space)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<3 {
                group.addTask {
                    for round in 0..<300 {
                        let mapped = try Buffer(count: 4096 * (1 + round % 3)).mapped(for: domain, direction: .toDevice)
                        if round % 7 == 0 { await Task.yield() }
                        _ = try mapped.unmap()
                    }
                }
            }
            group.addTask {
                for _ in 0..<100 {
                    try space.attach { backend.attach() }
                    await Task.yield()
                    try space.detach { backend.detach() }
                }
            }
            try await group.waitForAll()
        }
        #expect(domain.statistics.mappings == 0)
        #expect(domain.statistics.totalMappings == 900)
        #expect(domain.statistics.quarantined == 0)
        #expect(space.rangesInUse == 0)
    }
}
