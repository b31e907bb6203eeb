// SPDX-License-Identifier: Apache-2.0
import Synchronization
import Testing

@testable import DMACore

@Suite("Mappings from many threads")
struct ConcurrencyTests {
    @Test("one domain, many tasks: no address is allocated twice, and the counts balance", arguments: [true, false])
    func oneDomain(bounced: Bool) async throws {
        var constraints = DeviceConstraints()
        if bounced { constraints.streamingMask = DMAMask(bits: 32) }
        let backend = RecordingBackend()
        let translated = try translatedDomain(backend: backend).0
        let domain = bounced ? Domain(name: "bounced", constraints: constraints) : translated
        try await withThrowingTaskGroup(of: Int.self) { group in
            for worker in 0..<4 {
                group.addTask {
                    var total = 0
                    for round in 0..<50 {
                        var buffer = try Buffer(count: 1000 + round * 100)
                        let mark = UInt8(worker * 50 + round)
                        buffer.withMutableBytes { $0.storeBytes(of: mark, toByteOffset: 500, as: UInt8.self) }
                        let mapped = try buffer.mapped(for: domain, direction: .bidirectional)
                        if round % 10 == 0 { await Task.yield() }
                        buffer = try mapped.unmap()
                        if buffer.bytes.byte(500) == mark { total += 1 }
                    }
                    return total
                }
            }
            var sum = 0
            for try await total in group { sum += total }
            #expect(sum == 200)
        }
        #expect(domain.statistics.mappings == 0)
        #expect(domain.statistics.totalMappings == 200)
        #expect(domain.statistics.bounces == (bounced ? 200 : 0))
        #expect(backend.mistakes.isEmpty && backend.live.isEmpty)
        #expect(domain.space.rangesInUse == 0)
        try domain.close()
    }

    @Test("rule 30: many threads allocate the same low memory, and each gets its own")
    func rule30_lowMemory() async throws {
        let addresses = try await withThrowingTaskGroup(of: [UInt64].self) { group in
            for _ in 0..<4 {
                group.addTask {
                    var held = FixedArray<Buffer>(capacity: 50)
                    var addresses: [UInt64] = []
                    for _ in 0..<50 {
                        var buffer = try Buffer(count: 8192, policy: AllocationPolicy(below: DMAMask(bits: 24)))
                        addresses.append(
                            unsafe buffer.withUnsafeMutableBytes { bytes in UInt64(UInt(bitPattern: bytes.baseAddress)) })
                        _ = held.append(buffer)
                        if addresses.count % 10 == 0 { await Task.yield() }
                    }
                    return held.count == 50 ? addresses : []
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        #expect(addresses.count == 200)
        #expect(addresses.allSatisfy { $0 + 8192 <= 1 << 24 })
    }

    @Test("mappings are sent between tasks, and quarantined and released by others")
    func parked() async throws {
        let domain = Domain(name: "parked")
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<20 {
                group.addTask {
                    guard var mapped = try? Buffer(count: 4096).mapped(for: domain, direction: .fromDevice) else { return }
                    mapped.quarantine()
                }
            }
        }
        #expect(Quarantine.entries.count { $0.domain == domain.id } == 20)
        let released = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<4 { group.addTask { try unsafe Quarantine.unsafeReleaseAll(of: domain.id) } }
            return try await group.reduce(0, +)
        }
        #expect(released == 20)
        try domain.close()
    }
}
