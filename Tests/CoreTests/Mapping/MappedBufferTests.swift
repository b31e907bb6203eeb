// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import DMACore

@Suite("Mapped buffers")
struct MappedBufferTests {
    let domain = Domain(name: "identity")

    @Test("rule 29: in an identity domain the bus address equals the CPU's, and still has another type")
    func rule29_identity() throws {
        var buffer = try Buffer(count: 8192)
        let address = unsafe buffer.withUnsafeMutableBytes { bytes in UInt64(UInt(bitPattern: bytes.baseAddress)) }
        let mapped = try buffer.mapped(for: domain, direction: .bidirectional)
        #expect(mapped.regionCount == 1)
        let region = mapped.ranges[0]
        #expect(region.start == IOVA(address))
        #expect(region.count == 8192)
        #expect(region.access == [.read, .write])
        #expect(mapped.range(at: 1) == nil)
        #expect(mapped.range(at: -1) == nil)
        #expect(mapped.wasBounced == false)
        #expect(domain.statistics.mappings == 1)
        let again = try mapped.unmap()
        #expect(again.count == 8192)
        #expect(domain.statistics.mappings == 0)
        #expect(domain.statistics.peakMappedBytes == 8192)
        try domain.close()
    }

    @Test("rule 31: a refused mapping returns the buffer")
    func rule31_bufferComesBack() throws {
        try domain.close()
        var buffer = try Buffer(count: 4096)
        buffer.withMutableBytes { $0.storeBytes(of: 42, toByteOffset: 7, as: UInt8.self) }
        switch buffer.map(for: domain, direction: .toDevice) {
        case .mapped: Issue.record("mapped in a closed domain")
        case .failed(let error, let buffer):
            #expect(error.code == .domainClosed)
            #expect(buffer.bytes.byte(7) == 42)
        }
        #expect(domain.statistics.refusals == 1)
    }

    @Test("rule 33: a dropped mapping is unmapped")
    func rule33_endOfScope() throws {
        do {
            let mapped = try Buffer(count: 4096).mapped(for: domain, direction: .toDevice)
            #expect(mapped.count == 4096)
            #expect(refusal { () throws(DMAError) in try domain.close() } == .mappingsLeft)
        }
        #expect(domain.statistics.mappings == 0)
        try domain.close()
    }

    @Test("rule 34: the CPU does not write memory that only the device writes")
    func rule34_direction() throws {
        var mapped = try Buffer(count: 4096).mapped(for: domain, direction: .fromDevice)
        #expect(mapped.ranges[0].access == .write)
        do throws(DMAError) {
            try mapped.withMutableCPUAccess { _ throws(DMAError) in }
            Issue.record("written")
        } catch { #expect(error.code == .wrongDirection) }
        deviceWrites(9, to: mapped.ranges[0], at: 100)
        #expect(try mapped.withCPUAccess { $0.byte(100) } == 9)
    }

    @Test("rule 35: access is to a checked range", arguments: [0..<4097, -1..<5, 4096..<5000, Int.min..<0, 0..<Int.max])
    func rule35_ranges(range: Range<Int>) throws {
        var mapped = try Buffer(count: 4096).mapped(for: domain, direction: .bidirectional)
        do throws(DMAError) {
            try mapped.withCPUAccess(range) { _ throws(DMAError) in }
            Issue.record("read")
        } catch { #expect(error.code == .outOfRange) }
        do throws(DMAError) {
            try mapped.withMutableCPUAccess(range) { _ throws(DMAError) in }
            Issue.record("written")
        } catch { #expect(error.code == .outOfRange) }
        do throws(DMAError) { try mapped.syncForCPU(range) } catch { #expect(error.code == .outOfRange) }
        do throws(DMAError) { try mapped.syncForDevice(range) } catch { #expect(error.code == .outOfRange) }
        try mapped.withMutableCPUAccess(10..<20) { span throws(DMAError) in
            #expect(span.byteCount == 10)
            span.storeBytes(of: 5, toByteOffset: 0, as: UInt8.self)
        }
        #expect(deviceReads(mapped.ranges[0], at: 10) == 5)
    }
}
