// SPDX-License-Identifier: Apache-2.0
import CDMA
import DMADriverKit
import DMAEngineKit
import Testing

@testable import DMACore

@Suite("Coherent memory")
struct CoherentTests {
    let domain = Domain(name: "coherent")

    @Test("rule 37: whole words of every width, visible to the device at once")
    func rule37_words() throws {
        let memory = try CoherentBuffer(count: 4096, domain: domain)
        try memory.store(0x11 as UInt8, at: 1)
        try memory.store(0x2222 as UInt16, at: 2)
        try memory.store(0x3333_3333 as UInt32, at: 4)
        try memory.storeRelease(0x4444_4444_4444_4444 as UInt64, at: 8)
        #expect(try memory.load(at: 0, as: UInt64.self) == 0x3333_3333_2222_1100)
        #expect(try memory.loadAcquire(at: 8, as: UInt64.self) == 0x4444_4444_4444_4444)
        #expect(deviceReads(memory.ranges[0], at: 15) == 0x44)
        deviceWrites(0x55, to: memory.ranges[0], at: 4095)
        #expect(try memory.load(at: 4095, as: UInt8.self) == 0x55)
        #expect(memory.iova == memory.ranges[0].start)
        #expect(memory.ranges[0].access == [.read, .write])
        CoherentBuffer.writeBarrier()
        CoherentBuffer.readBarrier()
    }

    @Test(
        "words outside or across the end are refused and do not trap",
        arguments: [
            (4089, DMAError.Code.outOfRange), (4096, .outOfRange), (-8, .outOfRange), (Int.max, .outOfRange),
            (Int.min, .outOfRange),
            (4, .misaligned), (1, .misaligned),
        ])
    func refused(offset: Int, code: DMAError.Code) throws {
        let memory = try CoherentBuffer(count: 4096, domain: domain)
        #expect(refusal { () throws(DMAError) in _ = try memory.load(at: offset, as: UInt64.self) } == code)
        #expect(refusal { () throws(DMAError) in try memory.store(1 as UInt64, at: offset) } == code)
        #expect(refusal { () throws(DMAError) in _ = try memory.loadAcquire(at: offset, as: UInt64.self) } == code)
        #expect(refusal { () throws(DMAError) in try memory.storeRelease(1 as UInt64, at: offset) } == code)
        let tiny = try CoherentBuffer(count: 4, domain: domain)
        #expect(refusal { () throws(DMAError) in _ = try tiny.load(at: 0, as: UInt64.self) } == .outOfRange)
    }

    @Test("rule 30: the coherent mask applies, independent of the streaming one")
    func rule30_coherentMask() throws {
        var constraints = DeviceConstraints()
        constraints.coherentMask = .pciDefault
        let narrow = Domain(name: "narrow", constraints: constraints)
        let memory = try CoherentBuffer(count: 8192, domain: narrow)
        #expect(DMAMask.pciDefault.reaches(memory.iova, count: 8192))
        #expect(try Buffer(count: 1).mapped(for: narrow, direction: .toDevice).wasBounced == false)
        constraints.coherentMask = DMAMask(bits: 8)
        let none = Domain(name: "none", constraints: constraints)
        #expect(refusal { () throws(DMAError) in _ = try CoherentBuffer(count: 64, domain: none) } == .noAddressSpace)
        let (translated, backend) = try translatedDomain(constraints)
        #expect(refusal { () throws(DMAError) in _ = try CoherentBuffer(count: 64, domain: translated) } == .noAddressSpace)
        #expect(backend.live.isEmpty)
    }

    @Test("rule 33: coherent memory ends with its value, or is quarantined")
    func rule33_end() throws {
        let (domain, backend) = try translatedDomain()
        do {
            let memory = try CoherentBuffer(count: 100, alignment: 65536, domain: domain)
            #expect(memory.iova.rawValue % 65536 == 0)
            #expect(backend.live.count == 1)
        }
        #expect(backend.live.isEmpty)
        do {
            var memory = try CoherentBuffer(count: 100, domain: domain)
            memory.quarantine()
        }
        #expect(backend.live.count == 1)
        try unsafe Quarantine.unsafeReleaseAll(of: domain.id)
        #expect(backend.live.isEmpty)
        try domain.close()
    }

    @Test("bad requests")
    func bad() {
        #expect(refusal { () throws(DMAError) in _ = try CoherentBuffer(count: 0, domain: domain) } == .zeroLength)
        #expect(
            refusal { () throws(DMAError) in _ = try CoherentBuffer(count: 8, alignment: 3, domain: domain) } == .badAlignment)
        #expect(refusal { () throws(DMAError) in _ = try CoherentBuffer(count: -8, domain: domain) } == .sizeOverflow)
    }

    struct Descriptor: SharedPattern, Equatable {
        // Three integers without padding.
        static var bitValidity: EveryPattern<Descriptor> { unsafe EveryPattern() }

        var address: UInt64
        var length: UInt32
        var flags: UInt32
    }

    @Test("rule 37: a ring is filled, published, and read in order; indices wrap")
    func rule37_ring() throws {
        var ring = try RingMemory<Descriptor>(try CoherentBuffer(count: 4096, domain: domain), count: 64)
        #expect(ring.count == 64)
        ring.write(Descriptor(address: 1, length: 2, flags: 0), at: 65)
        let done = ring.publish(7 as UInt32, at: 65, word: 3)
        #expect(done == true)
        #expect(ring.word(3, at: 1, as: UInt32.self) == 7)
        #expect(ring.read(at: 1) == Descriptor(address: 1, length: 2, flags: 7))
        #expect(ring.address(of: 65) == IOVA(ring.iova.rawValue + 16))
        #expect(ring.read(at: -63) == ring.read(at: 1))
        #expect(ring.word(4, at: 0, as: UInt32.self) == nil)
        #expect(ring.word(-1, at: 0, as: UInt32.self) == nil)
        let outside = ring.publish(1 as UInt64, at: 0, word: 2)
        #expect(outside == false)
    }

    @Test(
        "bad rings are refused",
        arguments: [
            (0, DMAError.Code.badAlignment), (3, .badAlignment), (-4, .badAlignment), (512, .outOfRange),
            (1 << 62, .outOfRange),
        ])
    func badRings(count: Int, code: DMAError.Code) {
        let found = refusal { () throws(DMAError) in
            _ = try RingMemory<Descriptor>(try CoherentBuffer(count: 4096, domain: domain), count: count)
        }
        #expect(found == code)
        #expect(domain.statistics.mappings == 0)
    }

    @Test("a pool of coherent blocks")
    func pool() throws {
        var pool = try Pool(try CoherentBuffer(count: 8192, domain: domain), blockSize: 4096, alignment: 4096)
        #expect(pool.capacity == 2)
        let block = pool.lease()
        #expect(pool.leased == 1)
        _ = consume block
        try pool.end()
        #expect(domain.statistics.mappings == 0)
    }
}
