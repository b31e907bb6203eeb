// SPDX-License-Identifier: Apache-2.0

import DMAEngineKit
import Testing

@testable import DMACore

@Suite("Mapping sources, and devices' requirements")
struct SourceTests {
    @Test("files are passed with descriptor and offset, and never merged with another source", arguments: [false, true])
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

    @Test("a backend that needs a file gets one: for buffers, coherent memory and bounce buffers")
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

    @Test("another device's memory: mapped where the backend supports it, refused otherwise")
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

    @Test("a virtual boundary: inner segments begin and end on it; otherwise the list is gathered, or refused")
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
        // Starts inside a page, ends inside one, whole pages between: as PRP permits.
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

    @Test("alignment of addresses and length unit are independent")
    func lengthUnit() throws {
        let domain = Domain(name: "disk")
        func channel(alignment: UInt64, unit: UInt64) throws(DMAError) -> Channel<BusEngine, MappedBuffer> {
            try Channel(BusEngine(domain: nil, alignment: alignment, unit: unit), domain: domain)
        }
        func code(_ channel: inout Channel<BusEngine, MappedBuffer>, _ offset: Int, _ count: Int) throws -> DMAError.Code? {
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
}
