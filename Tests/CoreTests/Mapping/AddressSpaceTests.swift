// SPDX-License-Identifier: Apache-2.0

import DMAEngineKit
import Testing

@testable import DMACore

/// A backend that behaves as the kernel's type 1, or as it is told to.
private final class TypeOneBackend: MappingBackend, @unchecked Sendable {
    struct State {
        var live: [UInt64: UInt64] = [:]
        var sources: [UInt64: MappingSource] = [:]
        var isAttached = false
        var calls = 0
    }
    let state = Locked(State())
    let keepsMappings: Bool
    let needs: SourceNeeds
    let takesDeviceMemory: Bool
    /// What `map` throws, and what `unmap` answers instead of the count.
    var mapErrno: Int32 = 0
    var unmapAnswer: UInt64?

    init(keepsMappings: Bool = true, needs: SourceNeeds = [], takesDeviceMemory: Bool = false) {
        (self.keepsMappings, self.needs, self.takesDeviceMemory) = (keepsMappings, needs, takesDeviceMemory)
    }

    func map(at iova: IOVA, _ source: MappingSource, count: UInt64, access: DeviceAccess) throws(DMAError) {
        if mapErrno != 0 { throw DMAError(.backendFailed, asked: iova.rawValue, errno: mapErrno) }
        try state.withLock { state throws(DMAError) in
            state.calls += 1
            if !keepsMappings, !state.isAttached { throw DMAError(.backendFailed, asked: iova.rawValue, errno: 22) }
            if state.live[iova.rawValue] != nil { throw DMAError(.backendFailed, asked: iova.rawValue, errno: 17) }
            state.live[iova.rawValue] = count
            state.sources[iova.rawValue] = source
        }
    }

    func unmap(at iova: IOVA, count: UInt64) throws(DMAError) -> UInt64 {
        if let unmapAnswer { return unmapAnswer }
        return state.withLock { state in
            state.calls += 1
            return state.live.removeValue(forKey: iova.rawValue) ?? 0
        }
    }

    /// As the kernel does: the last device takes every mapping with it.
    func detach() {
        state.withLock { state in
            state.isAttached = false
            state.live = [:]
        }
    }
    func attach() { state.withLock { $0.isAttached = true } }
    var live: [UInt64: UInt64] { state.withLock { $0.live } }
    var sources: [MappingSource] { state.withLock { $0.sources.sorted { $0.key < $1.key }.map(\.value) } }
}

private func translation(
    _ backend: any MappingBackend, _ aperture: ClosedRange<UInt64> = 0x10_0000...0xffff_ffff
) -> Translation { .translated(backend, apertures: [aperture], pageSizes: [4096]) }

@Suite("Address spaces, devices and sources")
struct AddressSpaceTests {
    @Test("two devices of one address space are never given the same bus address")
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
        // What one has given up, and keeps for reuse, the other may still have: it is taken back where there is no other.
        #expect(one.space.rangesInUse == 1)
        _ = try second.unmap()
        #expect(one.space.rangesInUse == 0)
    }

    @Test("a backend has one address space; another attempt succeeds when that has ended")
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

    @Test("addresses that one device keeps for reuse are there for the other")
    func reclaim() throws {
        let backend = TypeOneBackend()
        // Room for four pages; the first and the last page of the space are never given.
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

    @Test("a mapping serves another device of the space where it meets that one's constraints")
    func serves() throws {
        let space = try AddressSpace(name: "group", translation: translation(TypeOneBackend()))
        var narrow = DeviceConstraints()
        narrow.streamingMask = DMAMask(bits: 24)
        narrow.alignment = 512
        let (wide, small) = (Domain(name: "wide", space: space), Domain(name: "narrow", constraints: narrow, space: space))
        var channel = try Channel(BusEngine(domain: wide.id), domain: wide, of: MappedBuffer.self)
        var other = try Channel(BusEngine(domain: small.id), domain: small, of: MappedBuffer.self)
        // Mapped for the narrow device, it does for both.
        let low = try Buffer(count: 4096).mapped(for: small, direction: .fromDevice)
        let lowest = low.iova.rawValue
        #expect(lowest < 1 << 24)
        _ = try channel.submit(.fill(pattern: 1), low).get()
        let another = try Buffer(count: 4096).mapped(for: small, direction: .fromDevice)
        _ = try other.submit(.fill(pattern: 1), another).get()
        // Mapped for the wide one, it lies where the narrow one does not reach.
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
        case .refused(let error, _): #expect(error.code == .foreignDomain)
        }
    }

    @Test("what is mapped without a device is programmed when one is attached, and again after the last has left")
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
        // Ended while nobody is there: nothing to be told.
        _ = try during.unmap()
        try space.attach { backend.attach() }
        #expect(backend.live.count == 4)
        _ = try before.unmap()
        _ = try pieces.unmap()
        #expect(backend.live.isEmpty)
        #expect(space.rangesInUse == 0)
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

    @Test("an unmap that answers fewer bytes than asked is a failure: the memory is parked, its addresses stay taken")
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

    @Test("EEXIST is no success, and the range is not given out again")
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
        // A list that the backend refuses is one refusal too.
        backend.mapErrno = 12
        let code = refusal { () throws(DMAError) in
            var list = ScatterList()
            for _ in 0..<2 { list.append(try Buffer(count: 4096, backing: .sharedMemory(name: "list"))) }
            _ = try list.mapped(for: domain, direction: .toDevice)
        }
        #expect(code == .backendFailed)
        #expect(domain.statistics.refusals == 2)
    }

    @Test("files are told with descriptor and offset, and never merged with another source", arguments: [false, true])
    func sources(isReversed: Bool) throws {
        let backend = TypeOneBackend()
        let domain = try Domain(name: "vfio-user", translation: translation(backend))
        var buffers = FixedArray<Buffer>(capacity: 8)
        for _ in 0..<8 { _ = buffers.append(try Buffer(count: 4096, backing: .sharedMemory(name: "x"))) }
        var list = ScatterList()
        if isReversed {
            while let buffer = buffers.popLast() { list.append(buffer) }
        } else {
            list = ScatterList(buffers)
        }
        let mapped = try list.mapped(for: domain, direction: .toDevice)
        let eight = mapped.regionCount
        #expect(eight == 8)
        #expect(backend.live.count == 8)
        #expect(Set(backend.sources.map(\.descriptor)).count == 8)
        #expect(backend.sources.allSatisfy { $0.kind == .file && $0.offset == 0 && $0.address != 0 && $0.descriptor >= 0 })
        _ = try mapped.unmap()
        // Two halves of one file are one source.
        var halves = ScatterList()
        let number = halves.appendWithoutEntry(try Buffer(count: 4 * 4096, backing: .sharedMemory(name: "halves")))
        try halves.appendEntry(buffer: number, range: 4096..<8192)
        try halves.appendEntry(buffer: number, range: 8192..<12288)
        let two = try halves.mapped(for: domain, direction: .toDevice)
        let one = two.regionCount
        #expect(one == 1)
        #expect(backend.live.count == 1)
        #expect(backend.sources.last?.offset == 4096 || backend.sources.contains { $0.offset == 4096 })
        _ = try two.unmap()
    }

    @Test("a backend that needs a file gets one: for buffers, coherent memory and bounces")
    func needsDescriptor() throws {
        let backend = TypeOneBackend(needs: .descriptor)
        var constraints = DeviceConstraints()
        let space = try AddressSpace(name: "peer", translation: translation(backend))
        let domain = Domain(name: "device", constraints: constraints, space: space)
        let made = try Buffer(count: 4096, for: domain).mapped(for: domain, direction: .toDevice)
        let wasBounced = made.wasBounced
        #expect(!wasBounced)
        let ring = try CoherentBuffer(count: 4096, domain: domain)
        let plain = try Buffer(count: 4096).mapped(for: domain, direction: .bidirectional)
        let plainBounced = plain.wasBounced
        #expect(plainBounced)
        #expect(backend.sources.allSatisfy { $0.kind == .file && $0.descriptor >= 0 })
        let regions = ring.regionCount
        #expect(regions == 1)
        constraints.allowsBounce = false
        let strict = Domain(name: "strict", constraints: constraints, space: space)
        let code = refusal { () throws(DMAError) in _ = try Buffer(count: 4096).mapped(for: strict, direction: .toDevice) }
        #expect(code == .noFileDescriptor)
        _ = try made.unmap()
        _ = try plain.unmap()
    }

    @Test("another device's memory: mapped where the backend takes it, refused where not")
    func deviceMemory() throws {
        final class Driver: Sendable {}
        let driver = Driver()
        func memory(_ address: UInt64 = 0xfe00_0000, _ count: UInt64 = 65_536) throws(DMAError) -> DeviceMemory {
            try unsafe DeviceMemory(unsafeAddress: address, count: count, owner: driver)
        }
        let backend = TypeOneBackend(takesDeviceMemory: true)
        let domain = try Domain(name: "nvme", translation: translation(backend))
        let mapped = try memory().mapped(for: domain, direction: .bidirectional)
        let ranges = mapped.ranges
        #expect(ranges.count == 1)
        #expect(backend.sources == [MappingSource(kind: .device, offset: 0xfe00_0000)])
        #expect(ranges[0].count == 65_536)
        var channel = try Channel(BusEngine(domain: domain.id), domain: domain, of: MappedDeviceMemory.self)
        let cookie = try channel.submit(.fill(pattern: 1), mapped).get()
        channel.issuePending()
        guard let finished = channel.next() else {
            Issue.record("not finished")
            return
        }
        #expect(finished.cookie == cookie)
        let back = try finished.takeCargo().unmap()
        let left = back.count
        #expect(left == 65_536)
        #expect(backend.live.isEmpty)
        #expect(domain.space.rangesInUse == 0)
        func code(_ body: () throws(DMAError) -> Void) -> DMAError.Code? { refusal(body) }
        #expect(
            code { () throws(DMAError) in _ = try memory(0x1000, 100).mapped(for: domain, direction: .toDevice).count }
                == .misaligned)
        let identity = Domain(name: "cpu")
        let refused = code { () throws(DMAError) in _ = try memory().mapped(for: identity, direction: .toDevice).count }
        #expect(refused == .unsupportedSource)
        let other = try Domain(name: "no", translation: translation(TypeOneBackend()))
        let unsupported = code { () throws(DMAError) in _ = try memory().mapped(for: other, direction: .toDevice).count }
        #expect(unsupported == .unsupportedSource)
        #expect(code { () throws(DMAError) in _ = try memory(.max, 1).count } == .sizeOverflow)
    }

    @Test("a virtual boundary: inner segments begin and end on it; else the list is gathered, or refused")
    func virtualBoundary() throws {
        var constraints = DeviceConstraints()
        constraints.virtualBoundary = 4096
        constraints.maximumSegmentSize = 8192
        func list(_ ranges: [Range<Int>]) throws(DMAError) -> ScatterList {
            var list = ScatterList()
            let number = list.appendWithoutEntry(try Buffer(count: 1 << 20, alignment: 4096))
            for range in ranges { try list.appendEntry(buffer: number, range: range) }
            return list
        }
        let domain = Domain(name: "prp", constraints: constraints)
        // Starts inside a page, ends inside one, whole pages between: as PRP allows it.
        let right = try list([100..<12288, 16384..<20480, 40960..<41000]).mapped(for: domain, direction: .toDevice)
        let rightBounced = right.wasBounced
        #expect(!rightBounced)
        let segments = right.ranges
        for (index, segment) in segments.enumerated() {
            #expect(segment.count <= 8192)
            if index > 0 { #expect(segment.start.rawValue % 4096 == 0) }
            if index < segments.count - 1 { #expect((segment.start.rawValue + segment.count) % 4096 == 0) }
        }
        let wrong = try list([0..<4096, 8200..<12288]).mapped(for: domain, direction: .toDevice)
        let wrongBounced = wrong.wasBounced
        #expect(wrongBounced)
        constraints.allowsBounce = false
        let strict = Domain(name: "strict", constraints: constraints)
        let code = refusal { () throws(DMAError) in
            _ = try list([0..<4096, 8200..<12288]).mapped(for: strict, direction: .toDevice)
        }
        #expect(code == .segmentGap)
    }

    @Test("alignment of addresses and unit of length are two things")
    func lengthUnit() throws {
        let domain = Domain(name: "disk")
        func channel(alignment: UInt64, unit: UInt64) throws(DMAError) -> Channel<BusEngine, MappedBuffer> {
            try Channel(BusEngine(domain: nil, alignment: alignment, unit: unit), domain: domain)
        }
        func code(_ channel: inout Channel<BusEngine, MappedBuffer>, _ offset: UInt64, _ count: UInt64) throws -> DMAError.Code?
        {
            let buffer = try Buffer(count: 4096).mapped(for: domain, direction: .fromDevice)
            switch channel.submit(.fill(offset: offset, count: count, pattern: 1), buffer) {
            case .queued: return nil
            case .refused(let error, _): return error.code
            }
        }
        var disk = try channel(alignment: 4, unit: 512)
        #expect(try code(&disk, 4, 512) == nil)
        #expect(try code(&disk, 4, 500) == .misaligned)
        #expect(try code(&disk, 2, 512) == .misaligned)
        var wide = try channel(alignment: 64, unit: 1)
        #expect(try code(&wide, 64, 7) == nil)
        #expect(try code(&wide, 32, 7) == .misaligned)
        #expect(refusal { () throws(DMAError) in _ = try channel(alignment: 1, unit: 3).capabilities } == .badConfiguration)
    }

    @Test("mapping while devices come and go: every mapping is programmed exactly while one is attached")
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

/// An engine on bus addresses that completes what it is given, and moves nothing.
private struct BusEngine: ~Copyable, Engine {
    var domain: DomainID?
    var alignment: UInt64 = 1
    var unit: UInt64 = 0
    private var tags: [UInt32] = []

    init(domain: DomainID?, alignment: UInt64 = 1, unit: UInt64 = 0) {
        (self.domain, self.alignment, self.unit) = (domain, alignment, unit)
    }

    var capabilities: Capabilities {
        var capabilities = Capabilities(name: "bus", operations: [.fill, .copy], depth: 8)
        capabilities.alignment = alignment
        capabilities.lengthUnit = unit
        return capabilities
    }
    var addressing: EngineAddressing { domain.map { .bus($0) } ?? .cpu }
    @unsafe
    mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        tags.append(tag)
        return .accepted
    }
    mutating func issuePending() {}
    mutating func terminate() {}
    mutating func wait(until deadline: Deadline) -> Bool { true }
    mutating func next() -> Completion? { tags.isEmpty ? nil : Completion(tag: tags.removeFirst()) }
    mutating func quiesce(by deadline: Deadline) -> Bool {
        tags = []
        return true
    }
}
