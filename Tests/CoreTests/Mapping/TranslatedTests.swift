// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Synchronization
import Testing

@testable import DMACore

@Suite("Translated domains")
struct TranslatedTests {
    @Test("rule 34: the IOMMU mapping has only the direction's permissions", arguments: Direction.allCases)
    func rule34_permissions(direction: Direction) throws {
        let (domain, backend) = try translatedDomain()
        let mapped = try Buffer(count: 5000).mapped(for: domain, direction: direction)
        #expect(backend.live.count == 1)
        #expect(backend.live[0].access == direction.access)
        #expect(backend.live[0].count == 8192)
        #expect(backend.resolve(mapped.ranges[0].start, direction.access) != nil)
        if direction != .bidirectional { #expect(backend.resolve(mapped.ranges[0].start, [.read, .write]) == nil) }
        _ = try mapped.unmap()
        #expect(backend.live.isEmpty)
        #expect(backend.mistakes.isEmpty)
    }

    @Test("rule 30: addresses are allocated under the mask and outside the holes")
    func rule30_mask() throws {
        var constraints = DeviceConstraints()
        constraints.streamingMask = .pciDefault
        let (domain, backend) = try translatedDomain(constraints)
        let mapped = try Buffer(count: 16 << 20).mapped(for: domain, direction: .toDevice)
        let region = mapped.ranges[0]
        #expect(DMAMask.pciDefault.reaches(region.start, count: region.count))
        #expect(region.start.rawValue + region.count <= 0xfee0_0000 || region.start.rawValue >= 0xfef0_0000)
        #expect(mapped.wasBounced == false, "the IOMMU reaches all memory")
        #expect(backend.mistakes.isEmpty)
        constraints.streamingMask = DMAMask(bits: 12)
        let (narrow, _) = try translatedDomain(constraints)
        #expect(
            refusal { () throws(DMAError) in _ = try Buffer(count: 1).mapped(for: narrow, direction: .toDevice) }
                == .noAddressSpace)
    }

    @Test("large pages are used through aligned addresses")
    func largePages() throws {
        let (domain, backend) = try translatedDomain()
        let mapped = try Buffer(count: 6 << 20, alignment: 2 << 20).mapped(for: domain, direction: .toDevice)
        #expect(mapped.ranges[0].start.rawValue % (2 << 20) == 0)
        #expect(backend.live.count == 1)
    }

    @Test("rule 31: a refusal of the backend leaves nothing mapped, and the buffer is returned")
    func rule31_refusal() throws {
        let (domain, backend) = try translatedDomain()
        backend.failMap(in: 1)
        switch try Buffer(count: 4096).map(for: domain, direction: .toDevice) {
        case .mapped: Issue.record("mapped")
        case .failed(let error, let buffer):
            #expect(error.code == .backendFailed)
            #expect(error.errno == 12)
            #expect(buffer.count == 4096)
        }
        #expect(domain.statistics.mappings == 0)
        #expect(domain.space.rangesInUse == 0)
    }

    @Test("rule 31: a list that fails half-way is unmapped again", arguments: 1...5)
    func rule31_unwind(call: Int) throws {
        let (domain, backend) = try translatedDomain()
        var list = ScatterList()
        for _ in 0..<5 {
            // Parts that are not adjacent, so that each needs its own call.
            let number = list.appendWithoutEntry(try Buffer(count: 16384))
            try list.appendEntry(buffer: number, range: 4096..<8192)
        }
        backend.failMap(in: call)
        switch list.map(for: domain, direction: .bidirectional) {
        case .mapped: Issue.record("mapped")
        case .failed(let error, let list):
            #expect(error.code == .backendFailed)
            #expect(list.entries.count == 5)
        }
        #expect(backend.live.isEmpty)
        #expect(backend.mistakes.isEmpty)
        #expect(domain.space.rangesInUse == 0)
        #expect(domain.statistics.mappings == 0)
        try domain.close()
    }

    @Test("rule 18: memory that the backend refuses to unmap is quarantined, and never freed by mistake")
    func rule18_failedUnmap() throws {
        let (domain, backend) = try translatedDomain()
        let mapped = try Buffer(count: 4096).mapped(for: domain, direction: .fromDevice)
        backend.failUnmap(true)
        do throws(DMAError) {
            _ = try mapped.unmap()
            Issue.record("unmapped")
        } catch { #expect(error.code == .backendFailed) }
        #expect(Quarantine.entries.filter { $0.domain == domain.id }.count == 1)
        #expect(backend.write(1, IOVA(backend.live[0].iova)), "the memory is still there")
        let code = refusal { () throws(DMAError) in _ = try unsafe Quarantine.unsafeReleaseAll(of: domain.id) }
        #expect(code == .backendFailed)
        backend.failUnmap(false)
        let released = try unsafe Quarantine.unsafeReleaseAll(of: domain.id)
        #expect(released == 1)
        #expect(backend.live.isEmpty)
        #expect(domain.statistics.quarantined == 1)
        try domain.close()
        // The same without an explicit unmap: the mapping ends with its value.
        backend.failUnmap(true)
        let (second, other) = try translatedDomain()
        other.failUnmap(true)
        do { _ = try Buffer(count: 4096).mapped(for: second, direction: .fromDevice) }
        #expect(Quarantine.entries.contains { $0.domain == second.id })
        other.failUnmap(false)
        try unsafe Quarantine.unsafeReleaseAll(of: second.id)
        let unknown = refusal { () throws(DMAError) in try unsafe Quarantine.unsafeRelease(.max) }
        #expect(unknown == .notMapped)
    }

    @Test("rule 32: ranges that are adjacent behind the IOMMU form one segment, and unmap uses the original entries")
    func rule32_merge() throws {
        let (domain, backend) = try translatedDomain()
        var list = ScatterList()
        for _ in 0..<4 { list.append(try Buffer(count: 8192)) }
        let mapped = try list.mapped(for: domain, direction: .toDevice)
        #expect(mapped.originalCount == 4)
        #expect(mapped.regionCount == 1)
        #expect(mapped.ranges[0].count == 32768)
        #expect(mapped.range(at: 1) == nil)
        #expect(backend.mistakes.isEmpty)
        let again = try mapped.unmap()
        #expect(again.entries.count == 4)
        #expect(backend.live.isEmpty)
        var buffers = again.takeBuffers()
        #expect(buffers.count == 4)
        buffers.removeAll()
    }

    @Test("rule 32: each entry's bytes lie where its segment says")
    func rule32_places() throws {
        let (domain, backend) = try translatedDomain()
        var list = ScatterList()
        let sizes = [4096, 100, 8192, 5000, 4096]
        for (index, size) in sizes.enumerated() {
            var buffer = try Buffer(count: size)
            buffer.withMutableBytes { span in
                for place in 0..<size { span.storeBytes(of: UInt8(index + 1), toByteOffset: place, as: UInt8.self) }
            }
            list.append(buffer)
        }
        let mapped = try list.mapped(for: domain, direction: .toDevice)
        var seen: [UInt8: Int] = [:]
        for index in 0..<mapped.regionCount {
            let region = mapped.ranges[index]
            for offset in 0..<region.count {
                guard let byte = backend.read(IOVA(region.start.rawValue + offset)) else {
                    Issue.record("a hole in a segment")
                    return
                }
                seen[byte, default: 0] += 1
            }
        }
        #expect(seen == [1: 4096, 2: 100, 3: 8192, 4: 5000, 5: 4096])
        #expect(mapped.regionCount == 3, "an entry that ends inside a page ends its segment")
    }

    @Test("a fragmented space still maps a list, entry by entry")
    func fragmented() throws {
        let (domain, backend) = try translatedDomain(apertures: [0x1000...0x2fff, 0x8000...0x9fff, 0x2_0000...0x2_1fff])
        var list = ScatterList()
        for _ in 0..<3 { list.append(try Buffer(count: 8192)) }
        let mapped = try list.mapped(for: domain, direction: .toDevice)
        #expect(mapped.regionCount == 3)
        #expect(
            refusal { () throws(DMAError) in _ = try Buffer(count: 1).mapped(for: domain, direction: .toDevice) }
                == .noAddressSpace)
        _ = try mapped.unmap()
        #expect(backend.live.isEmpty && backend.mistakes.isEmpty)
        #expect(domain.space.rangesInUse == 0)
    }

    @Test("rule 36: memory that does not own its pages is not exposed to a device: bounced, or refused")
    func rule36_foreignPages() throws {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 300, alignment: 64)
        defer { unsafe memory.deallocate() }
        unsafe memory.storeBytes(of: 200, toByteOffset: 299, as: UInt8.self)
        var constraints = DeviceConstraints()
        let (domain, backend) = try translatedDomain(constraints)
        do {
            let mapped = try unsafe Buffer(importing: memory).mapped(for: domain, direction: .bidirectional)
            #expect(mapped.wasBounced == true)
            let last = IOVA(mapped.ranges[0].start.rawValue + 299)
            #expect(backend.read(last) == 200)
            #expect(backend.write(99, last))
            _ = try mapped.unmap()
        }
        let last = unsafe memory.load(fromByteOffset: 299, as: UInt8.self)
        #expect(last == 99)
        constraints.allowsBounce = false
        let (strict, _) = try translatedDomain(constraints)
        let code = refusal { () throws(DMAError) in
            _ = try unsafe Buffer(importing: memory).mapped(for: strict, direction: .toDevice)
        }
        #expect(code == .misaligned)
    }

    @Test("rule 38: a pool's blocks are aligned behind an IOMMU as well")
    func rule38_translatedPool() throws {
        let (domain, _) = try translatedDomain()
        let mapped = try Buffer(count: 1 << 18, alignment: 1 << 16).mapped(for: domain, direction: .toDevice)
        var pool = try Pool(mapped, blockSize: 1 << 16, alignment: 1 << 16)
        #expect(pool.capacity == 4)
        if let block = pool.lease() { #expect(block.ranges[0].start.rawValue % (1 << 16) == 0) }
    }

    @Test("an IOMMU whose pages are larger than the CPU's: nothing beside the buffer is exposed")
    func largeGranule() throws {
        let backend = RecordingBackend(page: 65536)
        let (domain, _) = try translatedDomain(backend: backend, pageSizes: [65536])
        var buffer = try Buffer(count: 4096)
        buffer.withMutableBytes { $0.storeBytes(of: 3, toByteOffset: 4095, as: UInt8.self) }
        let mapped = try buffer.mapped(for: domain, direction: .toDevice)
        #expect(mapped.wasBounced == true)
        #expect(backend.read(IOVA(mapped.ranges[0].start.rawValue + 4095)) == 3)
        #expect(backend.live[0].count == 65536)
        let whole = try Buffer(count: 65536, alignment: 65536).mapped(for: domain, direction: .toDevice)
        #expect(whole.wasBounced == false)
        #expect(backend.mistakes.isEmpty)
    }

    @Test("rules 18 and 31: mappings that cannot be undone are quarantined, and the list is returned all the same")
    func rule31_unwindRefused() throws {
        let (domain, backend) = try translatedDomain()
        var list = ScatterList()
        for _ in 0..<3 {
            let number = list.appendWithoutEntry(try Buffer(count: 16384))
            try list.appendEntry(buffer: number, range: 4096..<8192)
        }
        backend.failMap(in: 3)
        backend.failUnmap(true)
        switch list.map(for: domain, direction: .bidirectional) {
        case .mapped: Issue.record("mapped")
        case .failed(let error, let list):
            #expect(error.code == .backendFailed)
            #expect(list.bufferCount == 3)
        }
        #expect(backend.live.count == 2)
        #expect(backend.write(1, IOVA(backend.live[0].iova)), "the buffers ended, their memory did not")
        #expect(domain.space.rangesInUse == 1, "addresses in use are not allocated again")
        backend.failUnmap(false)
        let released = try unsafe Quarantine.unsafeReleaseAll(of: domain.id)
        #expect(released == 1)
        #expect(backend.live.isEmpty)
        #expect(domain.space.rangesInUse == 0)
    }

    @Test("invalid page sizes are corrected")
    func pageSizes() throws {
        let domain = try Domain(
            name: "odd", translation: .translated(RecordingBackend(), apertures: [0...0xfffff], pageSizes: [0, 3, 1]))
        #expect(domain.space.granule == 4096)
        _ = try Buffer(count: 1).mapped(for: domain, direction: .toDevice)
    }

    @Test("random lists: no byte is lost, no segment exceeds a limit")
    func random() throws {
        var random = Seeded("scatter lists")
        for round in 0..<300 {
            var constraints = DeviceConstraints()
            constraints.maximumSegmentSize = 512 << UInt64.random(in: 0...8, using: &random)
            constraints.segmentBoundary = Bool.random(using: &random) ? 0 : 4096 << UInt64.random(in: 0...6, using: &random)
            constraints.alignment = 1 << UInt64.random(in: 0...9, using: &random)
            let (domain, backend) = try translatedDomain(constraints)
            var list = ScatterList()
            var total: UInt64 = 0
            var expected: [UInt8] = []
            for number in 0..<Int.random(in: 1...6, using: &random) {
                var buffer = try Buffer(count: Int.random(in: 1...20000, using: &random))
                buffer.withMutableBytes { span in
                    for place in 0..<span.byteCount {
                        span.storeBytes(
                            of: UInt8(truncatingIfNeeded: place &* 7 &+ number), toByteOffset: place, as: UInt8.self)
                    }
                }
                let limit = buffer.count
                list.appendWithoutEntry(buffer)
                for _ in 0..<Int.random(in: 0...3, using: &random) {
                    let start = Int.random(in: 0..<limit, using: &random)
                    let end = Int.random(in: start + 1...limit, using: &random)
                    try list.appendEntry(buffer: number, range: start..<end)
                    total += UInt64(end - start)
                    for place in start..<end { expected.append(UInt8(truncatingIfNeeded: place &* 7 &+ number)) }
                }
            }
            guard total > 0 else { continue }
            let mapped = try list.mapped(for: domain, direction: .toDevice)
            var seen: [UInt8] = []
            for index in 0..<mapped.regionCount {
                let region = mapped.ranges[index]
                let wall = constraints.segmentBoundary
                guard region.count <= constraints.maximumSegmentSize,
                    region.start.rawValue % constraints.alignment == 0,
                    wall == 0 || region.start.rawValue / wall == (region.start.rawValue + region.count - 1) / wall
                else {
                    Issue.record("round \(round), seed \(Seeded.seed): \(region) breaks \(constraints)")
                    return
                }
                for offset in 0..<region.count {
                    seen.append(backend.read(IOVA(region.start.rawValue + offset)) ?? 0)
                }
            }
            guard seen == expected else {
                Issue.record(
                    "round \(round), seed \(Seeded.seed): \(seen.count) bytes seen, \(expected.count) expected, or others")
                return
            }
            _ = try mapped.unmap()
            #expect(backend.live.isEmpty && backend.mistakes.isEmpty)
            #expect(domain.space.rangesInUse == 0)
        }
    }
}
