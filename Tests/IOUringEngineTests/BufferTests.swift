// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAIOUringEngine
import DMATestSupport
import Foundation
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

@Suite("Registered memory", .serialized)
struct BufferTests {
    static func configuration(_ buffers: IOUringConfiguration.Buffers, _ registrar: IOUringRegistrar) -> IOUringConfiguration {
        var configuration = IOUringConfiguration(depth: 8, path: .ring)
        configuration.buffers = buffers
        configuration.registrar = registrar
        return configuration
    }

    @Test("blocks of a pool are registered once, at the second use, and read and written through it")
    func pool() throws {
        let registrar = IOUringRegistrar()
        let domain = try Domain(name: "registered", translation: .announced(registrar))
        let scratch = try Scratch(Scratch.disk)
        var random = Seeded("pool")
        let image = random.bytes(64 << 10)
        scratch.fill(image)
        let engine = try IOUringEngine(Self.configuration(.whenReused, registrar))
        var channel = try Channel(engine, domain: domain, of: Block.self)
        let number = try channel.attach(PeripheralFile(scratch.descriptor))
        var pool = try Pool(
            try Buffer(count: 256 << 10, alignment: 4096).mapped(for: domain, direction: .bidirectional), blockSize: 4096)
        for round in 0..<16 {
            guard let block = pool.lease() else { throw Late() }
            let place = PeripheralPlace(number: number, position: UInt64(round) * 4096)
            _ = try channel.submit(.fromPeripheral(0..<1, at: place), block).get()
            channel.issuePending()
            _ = try channel.wait(until: .after(milliseconds: 60_000))
            guard let finished = channel.next() else { throw Late() }
            let status = finished.status
            #expect(status == .complete)
            let block2 = finished.takeCargo()
            let got = try block2.withBytes { span in
                (0..<span.byteCount).map { unsafe span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
            }
            #expect(got == Array(image[round * 4096..<round * 4096 + 4096]))
        }
        let statistics = channel.withEngine { $0.statistics }
        #expect(statistics.registeredBuffers == 1 && statistics.refusedBuffers == 0)
        #expect(statistics.fixedRequests == 15)
    }

    @Test("memory mapped at a reused address is never mistaken for the earlier one", arguments: [true, false])
    func sameAddress(_ always: Bool) throws {
        let registrar = IOUringRegistrar()
        let domain = try Domain(name: "registered", translation: .announced(registrar))
        let scratch = try Scratch(Scratch.memory)
        var random = Seeded("same address")
        let image = random.bytes(8192)
        scratch.fill(image)
        let engine = try IOUringEngine(Self.configuration(always ? .always : .whenReused, registrar))
        var channel = try Channel(engine, domain: domain, of: MappedBuffer.self)
        let number = try channel.attach(PeripheralFile(scratch.descriptor))
        var addresses: Set<UInt64> = []
        var repeats = 0
        for round in 0..<40 {
            // The kernel returns the same address again and again, with other pages behind it.
            let mapped = try Buffer(count: 8192, alignment: 4096).mapped(for: domain, direction: .fromDevice)
            if !addresses.insert(mapped.ranges[0].start.rawValue).inserted { repeats += 1 }
            var cargo: MappedBuffer? = mapped
            for _ in 0..<3 {
                guard let buffer = cargo.take() else { throw Late() }
                let cookie = try channel.submit(
                    .fromPeripheral(0..<1, at: PeripheralPlace(number: number, position: 0)), buffer
                ).get()
                channel.issuePending()
                _ = try channel.wait(until: .after(milliseconds: 60_000))
                guard let finished = try channel.take(cookie) else { throw Late() }
                let status = finished.status
                #expect(status == .complete, "round \(round)")
                cargo = finished.takeCargo()
            }
            guard let buffer = cargo.take() else { throw Late() }
            let got = try buffer.withCPUAccess { span throws(DMAError) in
                (0..<span.byteCount).map { unsafe span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
            }
            #expect(got == image)
        }
        #expect(repeats > 0, "no address was reused: the race did not occur")
        let statistics = channel.withEngine { $0.statistics }
        #expect(statistics.fixedRequests == (always ? 120 : 80))
    }

    @Test("where no memory may be locked, transfers run without registration, and are counted")
    func locked() async {
        // The limit belongs to the process, so it is set in a separate one. Root is exempt, so that it becomes another user.
        // The process ends at once: the system does not permit a leak check of one that has changed its user.
        await #expect(processExitsWith: .exitCode(0)) {
            // RLIMIT_MEMLOCK, include/uapi/asm-generic/resource.h.
            var limit = rlimit(rlim_cur: 64 << 10, rlim_max: 64 << 10)
            unsafe setrlimit(__rlimit_resource_t(8), &limit)
            let scratch = try Scratch("/dev/shm")
            scratch.fill([UInt8](repeating: 3, count: 1 << 20))
            if getuid() == 0 { setuid(65_534) }
            let registrar = IOUringRegistrar()
            let domain = try Domain(name: "registered", translation: .announced(registrar))
            let engine = try IOUringEngine(BufferTests.configuration(.always, registrar))
            var channel = try Channel(engine, domain: domain, of: MappedBuffer.self)
            let number = try channel.attach(PeripheralFile(scratch.descriptor))
            let mapped = try Buffer(count: 1 << 20, alignment: 4096).mapped(for: domain, direction: .fromDevice)
            _ = try channel.submit(.fromPeripheral(0..<1, at: PeripheralPlace(number: number, position: 0)), mapped).get()
            channel.issuePending()
            _ = try channel.wait(until: .after(milliseconds: 60_000))
            guard let finished = channel.next() else { _exit(1) }
            let status = finished.status
            let statistics = channel.withEngine { $0.statistics }
            let isRight = status == .complete && statistics.refusedBuffers == 1 && statistics.fixedRequests == 0
            _exit(isRight ? 0 : 2)
        }
    }
}

@Suite("Awaiting the kernel", .serialized)
struct AwaitTests {
    @Test("a suspended task is woken by its completion", arguments: Carrying.allCases.filter { $0 != .pinned })
    func woken(_ carrying: Carrying) async throws {
        let ends = StreamTests.ends(socket: false)
        defer { for end in ends { close(end) } }
        var channel = try Channel<IOUringEngine, Freight>.make(carrying.configuration())
        let number = try channel.attach(PeripheralFile(ends[0]))
        for round in 0..<20 {
            let cargo = try freight([[0, 0]], .fromDevice)
            let read = DMACore.Operation.fromPeripheral(0..<1, at: PeripheralPlace(number: number), flags: [.interrupt])
            let cookie = try channel.submit(read, cargo).get()
            let end = ends[1]
            let writer = Task.detached {
                try await Task.sleep(nanoseconds: round % 2 == 0 ? 1_000_000 : 1)
                // One byte, then the other: the first completion does not end it.
                let one = unsafe write(end, [UInt8(round)], 1)
                try await Task.sleep(nanoseconds: round % 3 == 0 ? 1_000_000 : 1)
                let two = unsafe write(end, [UInt8(round + 1)], 1)
                return one + two
            }
            let finished = try await channel.finished(cookie)
            let got = try bytes(finished.cargo)
            #expect(got == [UInt8(round), UInt8(round + 1)])
            #expect(try await writer.value == 2)
            let interrupts = channel.interruptCount
            #expect(interrupts == UInt64(round + 1))
        }
    }
}
