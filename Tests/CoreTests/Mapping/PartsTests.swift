// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMATypes
import Testing

/// One mapped buffer as several.
@Suite("Parts of a mapped buffer")
struct PartsTests {
    let domain = Domain(name: "parts")

    private func mapped(_ count: Int = 16384, in domain: Domain? = nil, _ direction: Direction = .bidirectional) throws
        -> MappedBuffer
    {
        try Buffer(count: count).mapped(for: domain ?? self.domain, direction: direction)
    }

    private func code(_ body: () throws(DMAError) -> Void) -> DMAError.Code? {
        do throws(DMAError) {
            try body()
            return nil
        } catch { return error.code }
    }

    @Test("parts have the whole's bus addresses and bytes; joined in any order they are one again")
    func splitAndJoin() throws {
        var first = try mapped()
        let start = first.iova.rawValue
        try first.withMutableCPUAccess { bytes in
            for offset in 0..<16384 { bytes.storeBytes(of: UInt8(offset / 4096), toByteOffset: offset, as: UInt8.self) }
        }
        var middle = try first.split(at: 4096)
        var upper = try middle.split(at: 4096)
        let last = try upper.split(at: 4096)
        #expect(domain.statistics.mappings == 1)
        let counts = [first.count, middle.count, upper.count, last.count]
        #expect(counts == [4096, 4096, 4096, 4096])
        let place = upper.iova.rawValue
        #expect(place == start + 8192)
        let byte = try upper.withCPUAccess { bytes in unsafe bytes.unsafeLoad(fromByteOffset: 4095, as: UInt8.self) }
        #expect(byte == 2)
        #expect(code { () throws(DMAError) in _ = try upper.withCPUAccess(0..<4097) { _ in 0 } } == .outOfRange)
        var third: MappedBuffer? = consume upper
        // Not adjacent yet.
        #expect(code { () throws(DMAError) in try first.join(&third) } == .foreignPart)
        let isJoined = isNil(third)
        #expect(!isJoined)
        var second: MappedBuffer? = consume middle
        var fourth: MappedBuffer? = consume last
        try third?.join(&second)
        try third?.join(&fourth)
        try first.join(&third)
        let areGone = isNil(second) && isNil(third) && isNil(fourth)
        #expect(areGone)
        #expect(first.count == 16384)
        let buffer = try first.unmap()
        #expect(buffer.count == 16384 && domain.statistics.mappings == 0)
        let bytes = buffer.withBytes { bytes in
            (0..<4).map { unsafe bytes.unsafeLoad(fromByteOffset: $0 * 4096, as: UInt8.self) }
        }
        #expect(bytes == [0, 1, 2, 3])
    }

    @Test("a dropped part frees no memory of another, and cannot be unmapped alone")
    func dropped() throws {
        var left = try mapped()
        do {
            let right = try left.split(at: 8192)
            #expect(right.count == 8192)
        }
        #expect(domain.statistics.mappings == 1)
        try left.withMutableCPUAccess { bytes in bytes.storeBytes(of: 7, as: UInt8.self) }
        #expect(unmapCode(left) == .unmapMismatch)
        #expect(domain.statistics.mappings == 0)
    }

    private func isNil(_ buffer: borrowing MappedBuffer?) -> Bool {
        switch buffer {
        case .some: false
        case nil: true
        }
    }

    private func unmapCode(_ buffer: consuming MappedBuffer) -> DMAError.Code? {
        do throws(DMAError) {
            _ = try buffer.unmap()
            return nil
        } catch { return error.code }
    }

    @Test("a quarantined part keeps the whole mapped until it is released")
    func parked() throws {
        let parked = Quarantine.entries.filter { $0.domain == domain.id }.count
        #expect(parked == 0)
        do {
            var left = try mapped()
            do {
                var right = try left.split(at: 8192)
                right.quarantine()
            }
            try left.withMutableCPUAccess { bytes in bytes.storeBytes(of: 7, as: UInt8.self) }
        }
        #expect(domain.statistics.mappings == 1, "memory was given back under a device that runs")
        #expect(Quarantine.entries.filter { $0.domain == domain.id }.count == 1)
        try unsafe Quarantine.unsafeReleaseAll(of: domain.id)
        #expect(domain.statistics.mappings == 0)
    }

    @Test("a buffer split by the device's limits, split again inside a region: each byte is in one part's regions")
    func regions() throws {
        var constraints = DeviceConstraints()
        constraints.maximumSegmentSize = 6000
        let domain = Domain(name: "cut", constraints: constraints)
        var left = try mapped(in: domain)
        let start = left.iova.rawValue
        let right = try left.split(at: 7000)
        let ranges = left.ranges + right.ranges
        var end = start
        for range in ranges {
            #expect(range.start.rawValue == end)
            end += range.count
        }
        #expect(end == start + 16384)
        #expect(left.ranges.map(\.count) == [6000, 1000] && right.ranges.map(\.count).reduce(0, +) == 9384)
    }

    @Test(
        "a split outside, off the device's alignment, or inside a cache line of a non-coherent device, is refused")
    func refused() throws {
        var constraints = DeviceConstraints()
        constraints.alignment = 16
        let aligned = Domain(name: "aligned", constraints: constraints)
        constraints.alignment = 1
        constraints.isCoherent = false
        let incoherent = Domain(name: "incoherent", constraints: constraints)
        for (domain, offset, expected) in [
            (domain, 0, DMAError.Code.outOfRange), (domain, 16384, .outOfRange), (domain, -1, .outOfRange),
            (domain, .max, .outOfRange), (aligned, 8, .misaligned), (incoherent, 32, .sharedCacheLine),
        ] {
            var buffer = try mapped(in: domain)
            #expect(code { () throws(DMAError) in _ = try buffer.split(at: offset) } == expected)
            #expect(buffer.count == 16384)
            #expect(unmapCode(buffer) == nil, "the buffer should be unchanged")
        }
    }

    @Test("parts of two buffers do not join, nor a part with a whole")
    func foreign() throws {
        var one = try mapped()
        var other: MappedBuffer? = try mapped()
        #expect(code { () throws(DMAError) in try one.join(&other) } == .foreignPart)
        var rest = try other?.split(at: 4096)
        #expect(code { () throws(DMAError) in try one.join(&rest) } == .foreignPart)
        try other?.join(&rest)
        #expect(unmapCode(one) == nil)
    }

    @Test("bounced memory is split too: each part syncs its own bytes")
    func bounced() throws {
        var constraints = DeviceConstraints()
        constraints.streamingMask = DMAMask(bits: 32)
        let narrow = Domain(name: "narrow", constraints: constraints)
        var left = try mapped(in: narrow)
        let wasBounced = left.wasBounced
        #expect(wasBounced)
        var right: MappedBuffer? = try left.split(at: 8192)
        let before = narrow.statistics.bouncedBytes
        try right?.withMutableCPUAccess { bytes in bytes.storeBytes(of: 9, toByteOffset: 8191, as: UInt8.self) }
        #expect(narrow.statistics.bouncedBytes == before + 2 * 8192)
        try left.join(&right)
        let buffer = try left.unmap()
        let last = buffer.withBytes { unsafe $0.unsafeLoad(fromByteOffset: 16383, as: UInt8.self) }
        #expect(last == 9)
    }
}
