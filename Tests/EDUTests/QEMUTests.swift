// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMACore
import DMAEDUEngine
import DMAEDURig
import DMAEDUSpecification
import DMAQTestAccess
import DMARegisters
import DMATestSupport
import Foundation
import Testing

/// The driver on QEMU's own device, whose clock takes 100 ms for each half of a copy.
@Suite(
    "EDU: the driver on QEMU's device", .serialized,
    .enabled(
        if: Machine.has("qemu-system-x86_64"),
        "qemu-system-x86_64 is not installed; Debian: apt-get install qemu-system-x86"))
struct QEMUTests {
    private func machine(_ device: String = "edu,addr=5", clock: QTestConfiguration.Clock = .fast) throws -> QTestMachine {
        var configuration = QTestConfiguration(devices: [device])
        configuration.clock = clock
        return try QTestMachine(configuration)
    }

    private var configuration: EDUConfiguration {
        var configuration = EDUConfiguration()
        // On a machine that others use.
        configuration.patience = .seconds(20)
        return configuration
    }

    @Test("copies of many sizes, byte for byte, by each kind of interrupt and by polling", arguments: 0..<3)
    func copies(_ number: Int) async throws {
        let kinds: [InterruptKind] = [[.msi], [.intx], []][number]
        let machine = try machine()
        var configuration = configuration
        configuration.interrupts = kinds
        let engine = try EDUEngine(opening: machine.device(at: 5), configuration)
        let domain = engine.domain
        #expect((engine.interruptLine == nil) == kinds.isEmpty)
        var channel = try EDUChannel(engine, domain: domain)
        var random = Seeded("qemu")
        var pieces: UInt64 = 0
        for size in [1, 3, 64, 4031, 4032, 4033, 4096, 10_000] {
            let copied = try await channel.copy(size, &random, for: domain)
            #expect(copied.isRight, "\(size) bytes: \(String(describing: copied.error))")
            pieces += UInt64(size + 4031) / 4032
        }
        let figures = channel.withEngine { $0.figures }
        func figure(_ name: String) -> UInt64? { figures.first { $0.name == name }?.value }
        #expect(figure("transfers") == 2 * pieces)
        #expect(figure("failures") == 0 && figure("restarts") == 0)
        if kinds.isEmpty {
            #expect(figure("interrupts") == 0)
        } else {
            // Each half of each piece raises one; two that fall between two looks are one.
            let count = try #require(figure("interrupts"))
            #expect(count > 0 && count <= 2 * pieces, "\(count)")
            #expect(count + (figure("lostInterrupts") ?? 0) + 2 >= 2 * pieces, "\(count) of \(2 * pieces)")
        }
        #expect(machine.failure == nil)
    }

    @Test("memory that was not asked for is bounced, and counted")
    func bounces() async throws {
        let machine = try machine()
        let engine = try EDUEngine(opening: machine.device(at: 5), configuration)
        let domain = engine.domain
        var channel = try EDUChannel(engine, domain: domain)
        var random = Seeded("bounces")
        let copied = try await channel.copy(5000, &random, for: domain, foreign: true)
        #expect(copied.isRight && copied.wasBounced)
        #expect(domain.statistics.bounces == 2)
    }

    @Test("the device's clock in real time: 100 ms for each half")
    func real() async throws {
        let machine = try machine(clock: .real)
        let engine = try EDUEngine(opening: machine.device(at: 5), configuration)
        let domain = engine.domain
        var channel = try EDUChannel(engine, domain: domain)
        var random = Seeded("real")
        let began = Deadline.now.nanoseconds
        let copied = try await channel.copy(4096, &random, for: domain)
        #expect(copied.isRight)
        #expect(Deadline.now.nanoseconds - began >= 2 * EDU.delay)
    }

    @Test("terminated in the middle: the memory comes back when the device has stopped, and the next copy is right")
    func terminated() async throws {
        let machine = try machine(clock: .real)
        let engine = try EDUEngine(opening: machine.device(at: 5), configuration)
        let domain = engine.domain
        var channel = try Channel(engine, domain: domain, of: Pair<MappedBuffer, MappedBuffer>.self)
        // In the first half of a piece, in the second, and in the next one's.
        for pause in [20, 130, 250] as [UInt32] {
            let from = try Buffer(count: 32_768, for: domain).mapped(for: domain, direction: .toDevice)
            let to = try Buffer(count: 32_768, for: domain).mapped(for: domain, direction: .fromDevice)
            let cookie = try channel.submit(.copy(), Pair(from, to)).get()
            channel.issuePending()
            usleep(pause * 1000)
            channel.poll()
            try channel.terminateSync(by: .after(milliseconds: 20_000))
            guard let finished = try channel.take(cookie) else { throw Late() }
            let status = finished.status
            #expect(status == .aborted)
        }
        var source = try Buffer(count: 5000, for: domain)
        source.fill([UInt8](repeating: 0x5a, count: 5000))
        let from = try source.mapped(for: domain, direction: .toDevice)
        let to = try Buffer(count: 5000, for: domain).mapped(for: domain, direction: .fromDevice)
        let cookie = try channel.submit(.copy(flags: .interrupt), Pair(from, to)).get()
        let finished = try await channel.finished(cookie)
        let status = finished.status
        #expect(status == .complete)
        let last = try finished.cargo.second.withCPUAccess { bytes throws(DMAError) in
            try bytes.load(at: 4999, as: UInt8.self)
        }
        #expect(last == 0x5a)
        let faults = channel.faults.total
        #expect(faults == 0)
    }

    @Test("a driver that is dropped in the middle of a copy, and one that follows")
    func dropped() async throws {
        let machine = try machine(clock: .real)
        var random = Seeded("dropped")
        for _ in 0..<2 {
            let engine = try EDUEngine(opening: machine.device(at: 5), configuration)
            let domain = engine.domain
            var channel = try Channel(engine, domain: domain, of: Pair<MappedBuffer, MappedBuffer>.self)
            let from = try Buffer(count: 4096, for: domain).mapped(for: domain, direction: .toDevice)
            let to = try Buffer(count: 4096, for: domain).mapped(for: domain, direction: .fromDevice)
            _ = try channel.submit(.copy(), Pair(from, to)).get()
            channel.issuePending()
        }
        let engine = try EDUEngine(opening: machine.device(at: 5), configuration)
        let domain = engine.domain
        var channel = try EDUChannel(engine, domain: domain)
        let copied = try await channel.copy(6000, &random, for: domain)
        #expect(copied.isRight)
        #expect(machine.failure == nil)
    }

    @Test("QEMU killed in the middle of a copy: the wait ends, the bytes are the client's again")
    func killed() async throws {
        let machine = try machine(clock: .real)
        let number = try #require(machine.processIdentifier)
        let engine = try EDUEngine(opening: machine.device(at: 5), configuration)
        let domain = engine.domain
        var channel = try EDUChannel(engine, domain: domain)
        var random = Seeded("killed")
        Task.detached {
            try? await Task.sleep(nanoseconds: 150_000_000)
            kill(number, SIGKILL)
        }
        let copied = try await channel.copy(65_536, &random, for: domain, limit: 20_000)
        #expect(copied.error?.code == .deviceGone)
        #expect(copied.source == copied.image)
        #expect(machine.failure?.code == .ended)
    }

    @Test("another mask, another device beside it")
    func two() async throws {
        var configuration = QTestConfiguration(devices: ["edu,addr=5,dma_mask=0xffffffff", "edu,addr=6"])
        configuration.clock = .fast
        let machine = try QTestMachine(configuration)
        var wide = self.configuration
        wide.addressBits = 32
        let first = try EDUEngine(opening: machine.device(at: 5), wide)
        let second = try EDUEngine(opening: machine.device(at: 6), self.configuration)
        let (domain, other) = (first.domain, second.domain)
        #expect(domain.space === other.space && domain.constraints.streamingMask == DMAMask(bits: 32))
        var random = Seeded("two")
        var one = try EDUChannel(first, domain: domain)
        var two = try EDUChannel(second, domain: other)
        for _ in 0..<2 {
            let copied = try await one.copy(3000, &random, for: domain)
            let beside = try await two.copy(3000, &random, for: other)
            #expect(copied.isRight && beside.isRight)
        }
    }
}
