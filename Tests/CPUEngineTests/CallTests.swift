// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import DMACore
import DMAEngineKit
import Foundation
import Testing

extension Domain {
    /// A buffer whose bytes are all `value`.
    func buffer(_ count: Int, _ direction: Direction, filledWith value: UInt8 = 0) throws(DMAError) -> MappedBuffer {
        var buffer = try Buffer(count: count)
        buffer.withMutableBytes { bytes in
            for offset in 0..<count { bytes.storeBytes(of: value, toByteOffset: offset, as: UInt8.self) }
        }
        return try buffer.mapped(for: self, direction: direction)
    }
}

extension MappedBuffer {
    borrowing func holds(_ value: UInt8, _ range: Range<Int>? = nil) throws(DMAError) -> Bool {
        try withCPUAccess(range) { span throws(DMAError) in
            (0..<span.byteCount).allSatisfy { unsafe span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) == value }
        }
    }
    borrowing func refusal() -> DMAError.Code? {
        do throws(DMAError) {
            _ = try holds(0, 0..<1)
            return nil
        } catch { return error.code }
    }
}

/// The calls of a channel of one's own: one call per operation.
@Suite("Calls on a channel", .timeLimit(.minutes(15)))
struct CallTests {
    let domain = Domain(name: "calls")

    @Test("copy, CRC32C and fill, each in one call, with every configuration of the engine", arguments: Setup.allCases)
    func calls(setup: Setup) async throws {
        var channel = try Channel(CPUEngine(setup.configuration), domain: domain, of: Loan.self)
        let text = Array("123456789".utf8)
        var buffer = try Buffer(count: 9)
        buffer.withMutableBytes { bytes in
            for (offset, byte) in text.enumerated() { bytes.storeBytes(of: byte, toByteOffset: offset, as: UInt8.self) }
        }
        let nine = try buffer.mapped(for: domain, direction: .toDevice)
        let crc = try await channel.crc32c(of: nine)
        #expect(crc == 0xe306_9283)
        for count in [1, 4096, 300_001] {
            let source = try domain.buffer(count, .toDevice, filledWith: 0x5a)
            var target = try domain.buffer(count + 3, .bidirectional)
            try await channel.copy(source, to: &target, by: .never)
            #expect(try target.holds(0x5a, 0..<count))
            #expect(try target.holds(0, count..<count + 3), "more was written than the source has")
            try await channel.fill(&target, pattern: 0x0101_0101_0101_0101, by: .never)
            #expect(try target.holds(1))
            _ = try target.unmap()
        }
        #expect(channel.inFlight == 0)
        #expect(domain.statistics.mappings == 1)
    }

    @Test("buffers that the device's limits split into regions: every byte moves, and pattern and CRC continue across them")
    func regions() async throws {
        var constraints = DeviceConstraints()
        constraints.maximumSegmentSize = 4096 + 4
        let domain = Domain(name: "cut", constraints: constraints)
        var channel = try Channel(CPUEngine(), domain: domain, of: Loan.self)
        let count = 50_000
        var target = try domain.buffer(count, .bidirectional)
        #expect(target.regionCount > 10)
        try await channel.fill(&target, pattern: 0x0807_0605_0403_0201)
        let isRight = try target.withCPUAccess { span in
            (0..<count).allSatisfy { unsafe span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) == UInt8($0 % 8 + 1) }
        }
        #expect(isRight)
        var other = try domain.buffer(count + 1, .bidirectional)
        try await channel.copy(target, to: &other)
        let whole = Domain(name: "whole")
        let crc = try await channel.crc32c(of: target)
        var plain = try Channel(CPUEngine(), domain: whole, of: Loan.self)
        let bytes = try other.unmap()
        var copy = try Buffer(count: count)
        copy.withMutableBytes { to in
            bytes.withBytes { from in
                for offset in 0..<count {
                    to.storeBytes(
                        of: unsafe from.unsafeLoad(fromByteOffset: offset, as: UInt8.self), toByteOffset: offset, as: UInt8.self
                    )
                }
            }
        }
        let expected = try await plain.crc32c(of: try copy.mapped(for: whole, direction: .toDevice))
        #expect(crc == expected)
    }

    @Test("a refused call throws the reason, and the caller keeps the buffers")
    func refused() async throws {
        var channel = try Channel(CPUEngine(), domain: domain, of: Loan.self)
        let source = try domain.buffer(4096, .toDevice, filledWith: 1)
        var short = try domain.buffer(100, .fromDevice)
        await #expect(throws: DMAError(.outOfRange, asked: 4096, limit: 100)) { try await channel.copy(source, to: &short) }
        var readOnly = try domain.buffer(4096, .toDevice)
        do throws(DMAError) {
            try await channel.copy(source, to: &readOnly)
            Issue.record("copied into what the device may only read")
        } catch { #expect(error.code == .noPermission) }
        var foreign = try Domain(name: "other").buffer(4096, .fromDevice)
        do throws(DMAError) {
            try await channel.copy(source, to: &foreign)
            Issue.record("copied into another domain")
        } catch { #expect(error.code == .foreignDomain) }
        for buffer in [try readOnly.unmap().count, try foreign.unmap().count, try source.unmap().count] {
            #expect(buffer == 4096)
        }
    }

    @Test("a cancelled call terminates its channel and returns the buffers")
    func cancelled() async throws {
        let device = HeldEngine.Device()
        let task = Task { [domain] () async throws -> (DMAError.Code?, DMAError.Code?, Int) in
            var channel = try Channel(HeldEngine(device), domain: domain, of: Loan.self)
            let source = try domain.buffer(4096, .toDevice)
            var target = try domain.buffer(4096, .fromDevice)
            var code: DMAError.Code?
            do throws(DMAError) { try await channel.copy(source, to: &target) } catch { code = error.code }
            let refusal = target.refusal()
            _ = try target.unmap()
            _ = try source.unmap()
            return (code, refusal, channel.inFlight)
        }
        #expect(await device.waitUntilIssued(1))
        task.cancel()
        let (code, refusal, inFlight) = try await task.value
        #expect(code == .cancelled && refusal == nil && inFlight == 0)
        #expect(device.with { $0.terminations } == 1)
        #expect(domain.statistics.mappings == 0)
    }

    @Test("a deadline ends a call on a device that does nothing, and the channel works again")
    func late() async throws {
        let device = HeldEngine.Device()
        var channel = try Channel(HeldEngine(device), domain: domain, of: Loan.self)
        var target = try domain.buffer(4096, .fromDevice)
        let began = Deadline.now
        do throws(DMAError) {
            try await channel.fill(&target, pattern: 1, by: .after(milliseconds: 50))
            Issue.record("filled by a device that does nothing")
        } catch { #expect(error.code == .deadlinePassed) }
        #expect(began.nanoseconds(until: .now) < 30_000_000_000)
        #expect(target.refusal() == nil)
        device.with { $0.letsAll = true }
        try await channel.fill(&target, pattern: 1)
    }

    @Test("a device that is gone ends a call within one second, without an interrupt")
    func gone() async throws {
        let device = HeldEngine.Device()
        let task = Task { [domain] () async throws -> DMAError.Code? in
            var channel = try Channel(HeldEngine(device), domain: domain, of: Loan.self)
            var target = try domain.buffer(4096, .fromDevice)
            do throws(DMAError) { try await channel.fill(&target, pattern: 1, by: .never) } catch { return error.code }
            return nil
        }
        #expect(await device.waitUntilIssued(1))
        let began = Deadline.now
        device.with { $0.isGone = true }
        #expect(try await task.value == .deviceGone)
        #expect(began.nanoseconds(until: .now) < 30_000_000_000)
    }

    @Test("a device that does not stop keeps the memory: no access, no unmap, quarantined at the end, until it has stopped")
    func doesNotStop() async throws {
        let device = HeldEngine.Device()
        device.with { $0.stops = false }
        do {
            var channel = try Channel(HeldEngine(device), domain: domain, of: Loan.self)
            let source = try domain.buffer(4096, .toDevice)
            var target = try domain.buffer(4096, .bidirectional)
            do throws(DMAError) {
                try await channel.copy(source, to: &target, by: .after(milliseconds: 20))
                Issue.record("copied")
            } catch { #expect(error.code == .quiesceTimeout) }
            #expect(target.refusal() == .quarantined)
            #expect(source.refusal() == nil, "what the device only reads may be read")
            do throws(DMAError) {
                _ = try source.unmap()
                Issue.record("unmapped under a device that reads")
            } catch { #expect(error.code == .quarantined) }
            // Once the device has stopped, the channel returns the loans.
            device.with { $0.stops = true }
            try channel.synchronize()
            while let finished = channel.next() { #expect(finished.status == .aborted) }
            #expect(target.refusal() == nil)
            // Once more, and this time both end first.
            device.with { $0.stops = false }
            let again = try domain.buffer(4096, .toDevice)
            do throws(DMAError) {
                try await channel.copy(again, to: &target, by: .after(milliseconds: 20))
                Issue.record("copied")
            } catch { #expect(error.code == .quiesceTimeout) }
        }
        #expect(domain.statistics.mappings == 2, "memory was given back under a device that runs")
        try unsafe Quarantine.unsafeReleaseAll(of: domain.id)
        #expect(domain.statistics.mappings == 0)
    }
}
