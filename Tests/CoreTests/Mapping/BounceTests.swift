// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import DMACore

@Suite("Bounce buffers")
struct BounceTests {
    static func narrow(_ bits: Int, bounce: Bool = true) -> Domain {
        var constraints = DeviceConstraints()
        constraints.streamingMask = DMAMask(bits: bits)
        constraints.allowsBounce = bounce
        return Domain(name: "narrow", constraints: constraints)
    }

    /// A buffer that holds `byte` everywhere, at addresses that a narrow device cannot reach.
    static func filled(_ count: Int, _ byte: UInt8) throws(DMAError) -> Buffer {
        var buffer = try Buffer(count: count)
        buffer.withMutableBytes { span in
            for place in 0..<count { span.storeBytes(of: byte, toByteOffset: place, as: UInt8.self) }
        }
        return buffer
    }

    @Test("rule 30: a device with a narrow mask gets memory that it can reach", arguments: [24, 31, 32, 36])
    func rule30_bounced(bits: Int) throws {
        let domain = Self.narrow(bits)
        let mapped = try Self.filled(10_000, 0x11).mapped(for: domain, direction: .bidirectional)
        let region = mapped.ranges[0]
        #expect(mapped.wasBounced == true)
        #expect(domain.constraints.streamingMask.reaches(region.start, count: region.count))
        #expect(deviceReads(region, at: 9_999) == 0x11)
        deviceWrites(0x22, to: region, at: 5)
        let buffer = try mapped.unmap()
        #expect(buffer.bytes.byte(5) == 0x22)
        #expect(buffer.bytes.byte(6) == 0x11)
        #expect(domain.statistics.bounces == 1)
        #expect(domain.statistics.bouncedBytes == 20_000)
    }

    @Test(
        "rule 30: where bouncing is off or impossible, the address is refused, not truncated",
        arguments: [(32, false), (12, true), (0, true)])
    func rule30_refused(bits: Int, bounce: Bool) throws {
        let domain = Self.narrow(bits, bounce: bounce)
        switch try Self.filled(4096, 1).map(for: domain, direction: .toDevice) {
        case .mapped: Issue.record("mapped")
        case .failed(let error, let buffer):
            #expect(error.code == .unreachableAddress)
            #expect(error.asked > error.limit)
            #expect(error.limit == DMAMask(bits: bits).rawValue)
            #expect(buffer.bytes.byte(0) == 1)
        }
        #expect(domain.statistics.bounces == 0)
        #expect(domain.statistics.refusals == 1)
    }

    @Test("rule 30: a buffer below the mask is not bounced")
    func rule30_lowBuffer() throws {
        let domain = Self.narrow(32, bounce: false)
        let buffer = try Buffer(count: 4096, policy: AllocationPolicy(below: DMAMask(bits: 32)))
        let mapped = try buffer.mapped(for: domain, direction: .toDevice)
        #expect(mapped.wasBounced == false)
    }

    @Test(
        "rule 39: copied at map, at sync and at unmap, in the mapping's direction, and counted", arguments: Direction.allCases)
    func rule39_copies(direction: Direction) throws {
        let domain = Self.narrow(32)
        var mapped = try Self.filled(4096, 1).mapped(for: domain, direction: direction)
        let region = mapped.ranges[0]
        // In every direction: a device that writes only a part must not expose what the bounce memory held before.
        #expect(deviceReads(region, at: 100) == 1)
        #expect(domain.statistics.bouncedBytes == 4096)
        deviceWrites(2, to: region, at: 100)
        try mapped.syncForCPU(50..<150)
        #expect(domain.statistics.bouncedBytes == (direction == .toDevice ? 4096 : 4196))
        let seen = try mapped.withCPUAccess(100..<101) { $0.byte(0) }
        #expect(seen == (direction == .toDevice ? 1 : 2))
        if direction != .fromDevice {
            try mapped.withMutableCPUAccess(200..<201) { $0.storeBytes(of: 3, as: UInt8.self) }
            #expect(deviceReads(region, at: 200) == 3)
        }
        deviceWrites(4, to: region, at: 300)
        let before = domain.statistics.bouncedBytes
        let buffer = try mapped.unmap()
        #expect(buffer.bytes.byte(300) == (direction == .toDevice ? 1 : 4))
        #expect(domain.statistics.bouncedBytes == before + (direction == .toDevice ? 0 : 4096))
    }

    @Test("rule 35: reading returns the device's bytes, writes nothing, and discards none of them")
    func rule35_readOnlyAccess() throws {
        let domain = Self.narrow(32)
        let mapped = try Self.filled(64, 1).mapped(for: domain, direction: .bidirectional)
        let region = mapped.ranges[0]
        deviceWrites(9, to: region, at: 3)
        let before = domain.statistics.bouncedBytes
        // Two nested readers: each reads the device's bytes in place.
        let seen = try mapped.withCPUAccess { outer throws(DMAError) in
            let inner = try mapped.withCPUAccess { span throws(DMAError) in span.byte(3) }
            return [inner, outer.byte(3), outer.byte(4)]
        }
        #expect(seen == [9, 9, 1])
        #expect(domain.statistics.bouncedBytes == before, "a reader copied")
        #expect(deviceReads(region, at: 3) == 9)
    }

    @Test("rule 39: a misaligned address is bounced to an aligned one, or refused", arguments: [true, false])
    func rule39_misaligned(bounce: Bool) throws {
        var constraints = DeviceConstraints()
        constraints.alignment = 512
        constraints.allowsBounce = bounce
        let domain = Domain(name: "aligned", constraints: constraints)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 1024, alignment: 512)
        defer { unsafe memory.deallocate() }
        let shifted = unsafe UnsafeMutableRawBufferPointer(rebasing: memory[1..<700])
        do throws(DMAError) {
            let mapped = try unsafe Buffer(importing: shifted).mapped(for: domain, direction: .toDevice)
            #expect(bounce)
            #expect(mapped.ranges[0].start.rawValue % 512 == 0)
        } catch {
            #expect(!bounce)
            #expect(error.code == .misaligned)
            #expect(error.limit == 512)
        }
    }

    @Test("rule 36: a device that is not coherent shares no cache line with foreign data", arguments: [true, false])
    func rule36_cacheLines(bounce: Bool) throws {
        var constraints = DeviceConstraints()
        constraints.isCoherent = false
        constraints.cacheLineSize = 64
        constraints.allowsBounce = bounce
        let domain = Domain(name: "not coherent", constraints: constraints)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 64)
        defer { unsafe memory.deallocate() }
        let whole = try unsafe Buffer(importing: memory).mapped(for: domain, direction: .bidirectional)
        #expect(whole.wasBounced == false, "whole lines need no copy")
        _ = try whole.unmap()
        for range in [0..<100, 32..<128] {
            let part = unsafe UnsafeMutableRawBufferPointer(rebasing: memory[range])
            do throws(DMAError) {
                var mapped = try unsafe Buffer(importing: part).mapped(for: domain, direction: .bidirectional)
                #expect(bounce)
                #expect(mapped.wasBounced == true)
                try mapped.withMutableCPUAccess(0..<1) { $0.storeBytes(of: 7, as: UInt8.self) }
                #expect(deviceReads(mapped.ranges[0]) == 7)
            } catch {
                #expect(!bounce)
                #expect(error.code == .sharedCacheLine)
            }
        }
        // A buffer's own pages belong to it alone, also after its last byte.
        let own = try Buffer(count: 100).mapped(for: domain, direction: .fromDevice)
        #expect(own.wasBounced == false)
        #expect(refusal { () throws(DMAError) in _ = try CoherentBuffer(count: 64, domain: domain) } == .notCoherent)
    }

    @Test(
        "rule 39: the maximum segment size and the boundary split a buffer",
        arguments: [
            (65536 as UInt64, 0 as UInt64, 4), (.max, 65536, 4), (100_000, 65536, 4), (32768, 65536, 8), (262_144, 0, 1),
        ])
    func rule39_split(longest: UInt64, boundary: UInt64, pieces: Int) throws {
        var constraints = DeviceConstraints()
        constraints.maximumSegmentSize = longest
        constraints.segmentBoundary = boundary
        let domain = Domain(name: "segments", constraints: constraints)
        let mapped = try Buffer(count: 262_144, alignment: 65536).mapped(for: domain, direction: .toDevice)
        #expect(mapped.regionCount == pieces)
        var next = mapped.ranges[0].start.rawValue
        var total: UInt64 = 0
        for index in 0..<mapped.regionCount {
            let region = mapped.ranges[index]
            #expect(region.start.rawValue == next)
            #expect(region.count <= longest)
            if boundary > 0 {
                #expect(region.start.rawValue / boundary == (region.start.rawValue + region.count - 1) / boundary)
            }
            next += region.count
            total += region.count
        }
        #expect(total == 262_144)
    }

    @Test("rule 39: a mapping that is too large, or has too many segments, is refused")
    func rule39_limits() throws {
        var constraints = DeviceConstraints()
        constraints.maximumMappingSize = 8192
        let small = Domain(name: "small", constraints: constraints)
        #expect(
            refusal { () throws(DMAError) in _ = try Buffer(count: 8193).mapped(for: small, direction: .toDevice) }
                == .mappingTooLarge)
        _ = try Buffer(count: 8192).mapped(for: small, direction: .toDevice)
        constraints = DeviceConstraints()
        constraints.maximumSegments = 2
        constraints.maximumSegmentSize = 4096
        let few = Domain(name: "few", constraints: constraints)
        #expect(
            refusal { () throws(DMAError) in _ = try Buffer(count: 8193).mapped(for: few, direction: .toDevice) }
                == .tooManySegments)
        constraints.maximumSegmentSize = 1
        constraints.maximumSegments = .max
        let bytes = Domain(name: "one byte a segment", constraints: constraints)
        let code = refusal { () throws(DMAError) in _ = try Buffer(count: 1 << 22).mapped(for: bytes, direction: .toDevice) }
        #expect(code == .tooManySegments)
    }

    @Test("rule 32: a list of more segments than the device takes is gathered, or refused", arguments: [true, false])
    func rule32_gathered(bounce: Bool) throws {
        var constraints = DeviceConstraints()
        constraints.maximumSegments = 2
        constraints.allowsBounce = bounce
        let domain = Domain(name: "two pieces", constraints: constraints)
        var list = ScatterList()
        for index in 0..<5 {
            let number = list.appendWithoutEntry(try Self.filled(4096, UInt8(index)))
            try list.appendEntry(buffer: number, range: 10..<1010)
        }
        switch list.map(for: domain, direction: .bidirectional) {
        case .mapped(let mapped):
            #expect(bounce)
            #expect(mapped.regionCount == 1)
            #expect(mapped.ranges[0].count == 5000)
            #expect(deviceReads(mapped.ranges[0], at: 3500) == 3)
            deviceWrites(77, to: mapped.ranges[0], at: 4000)
            let list = try mapped.unmap()
            #expect(list.withBytes(buffer: 4) { $0.byte(10) } == 77)
            #expect(domain.statistics.bounces == 5)
        case .failed(let error, let list):
            #expect(!bounce)
            #expect(error.code == .tooManySegments)
            #expect(error.asked == 5)
            #expect(list.entries.count == 5)
        }
    }

    @Test("a pool of bounced memory works in the bounce memory, without copies")
    func pool() throws {
        let domain = Self.narrow(32)
        var pool = try Pool(try Self.filled(4096, 1).mapped(for: domain, direction: .bidirectional), blockSize: 256)
        guard var block = pool.lease() else { return }
        let copied = domain.statistics.bouncedBytes
        try block.withMutableBytes { $0.storeBytes(of: 5, as: UInt8.self) }
        #expect(deviceReads(block.ranges[0]) == 5)
        #expect(domain.statistics.bouncedBytes == copied)
    }
}
