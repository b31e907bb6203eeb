// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import DMACore
import DMAEngineKit
import DMATestSupport
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Transfers with a peripheral that makes them wait.
@Suite("Peripherals of the CPU engine", .serialized)
struct PeripheralTests {
    static func configuration(_ setup: Setup, _ peripherals: FIFOPeripheral...) -> CPUConfiguration {
        var configuration = setup.configuration
        configuration.peripherals = peripherals
        return configuration
    }

    static func nap(milliseconds: Int) {
        var pause = timespec(tv_sec: 0, tv_nsec: milliseconds * 1_000_000)
        unsafe nanosleep(&pause, nil)
    }

    @Test("from memory to the wire: a list of segments, no faster than the FIFO empties", arguments: Setup.allCases)
    func toPeripheral(setup: Setup) throws {
        var random = Seeded("to peripheral")
        let fifo = try FIFOPeripheral(depth: 256, width: 4)
        var channel = try Channel<CPUEngine, Arena>.make(Self.configuration(setup, fifo))
        try channel.configure(EngineConfiguration(peripheral: 0, width: 4, burst: 8))
        let arena = try Arena([400, 4, 1000, 36], &random)
        let expected = arena.cuts.flatMap { arena.model[$0] }
        let cookie = try channel.submit(.toPeripheral(0..<4), arena).get()
        channel.issuePending()
        var wire: [UInt8] = []
        let deadline = Deadline.after(milliseconds: 10_000)
        while wire.count < expected.count, Deadline.now < deadline {
            // The FIFO is full and stays so: nothing overruns it, nothing completes.
            channel.poll()
            if wire.isEmpty, fifo.pending < 256 { continue }
            try check(wire.count > 0 || channel.status(of: cookie) == .inProgress)
            let wanted = Int.random(in: 1...100, using: &random)
            let got = fifo.collect(wanted)
            check(got.count <= wanted)
            wire.append(contentsOf: got)
        }
        check(wire == expected)
        let finished = try channel.finish(cookie)
        check(finished.status == .complete && finished.residue == 0 && finished.cargo.difference == nil)
    }

    @Test("demand: from the wire into memory, only the bytes that have arrived, burst by burst", arguments: Setup.allCases)
    func fromPeripheral(setup: Setup) throws {
        var random = Seeded("from peripheral")
        let fifo = try FIFOPeripheral(depth: 1024, width: 2)
        var channel = try Channel<CPUEngine, Arena>.make(Self.configuration(setup, fifo))
        try channel.configure(EngineConfiguration(peripheral: 0, burst: 16))
        var arena = try Arena([100, 300, 50], &random)
        let wire = KernelTests.bytes(450, &random)
        var at = 0
        for cut in arena.cuts {
            for place in cut {
                arena.model[place] = wire[at]
                at += 1
            }
        }
        let cookie = try channel.submit(.fromPeripheral(0..<3, flags: .interrupt), arena).get()
        channel.issuePending()
        // Less than a burst: the request line is down.
        fifo.deliver(wire[..<30])
        for _ in 0..<50 { channel.poll() }
        Self.nap(milliseconds: 5)
        try check(channel.residue(of: cookie) == 450)
        check(fifo.received == 30)
        fifo.deliver(wire[30..<70])
        let deadline = Deadline.after(milliseconds: 5000)
        while try channel.residue(of: cookie) != 450 - 64, Deadline.now < deadline {}
        try check(channel.residue(of: cookie) == 450 - 64)
        check(fifo.received == 6)
        fifo.deliver(wire[70...])
        check(try channel.wait(until: .after(milliseconds: 5000)))
        let finished = try channel.finish(cookie)
        check(finished.status == .complete && finished.cargo.difference == nil)
        check(fifo.overrun == 0)
    }

    @Test("a FIFO that is not emptied overruns, and counts the lost bytes")
    func overrun() throws {
        let fifo = try FIFOPeripheral(depth: 64)
        check(fifo.deliver([UInt8](repeating: 1, count: 100)[...]) == 64)
        check(fifo.overrun == 36)
        check(fifo.deliver([1, 2, 3][...], keepsRest: true) == 0)
        check(fifo.overrun == 36)
    }

    @Test("rule 18: a transfer that waits for ever is terminated at once, by sleeping workers", arguments: Setup.allCases)
    func rule18_terminateWaiting(setup: Setup) throws {
        var random = Seeded("terminate waiting")
        let fifo = try FIFOPeripheral()
        var channel = try Channel<CPUEngine, Arena>.make(Self.configuration(setup, fifo))
        let cookie = try channel.submit(.fromPeripheral(0..<1), try Arena([4000], &random)).get()
        channel.issuePending()
        fifo.deliver(ArraySlice(repeating: 9, count: 100))
        while try channel.residue(of: cookie) == 4000 {}
        Self.nap(milliseconds: 10)
        // Throws where it has not ended by then.
        try channel.terminateSync(by: .after(milliseconds: 2000))
        let finished = try channel.finish(cookie)
        check(finished.status == .aborted && finished.residue == 3900)
        check(channel.faults.total == 0)
    }

    @Test("rule 2: configuration applies to later transactions; values that the peripheral does not have are refused")
    func rule02_configuration() throws {
        var random = Seeded("rule02")
        let (first, second) = (try FIFOPeripheral(width: 4), try FIFOPeripheral(width: 8))
        var channel = try Channel<CPUEngine, Arena>.make(Self.configuration(.inline, first, second))
        let a = try channel.submit(.toPeripheral(0..<1), try Arena([64], &random)).get()
        try channel.configure(EngineConfiguration(peripheral: 1))
        let b = try channel.submit(.toPeripheral(0..<1), try Arena([128], &random)).get()
        channel.issuePending()
        for cookie in [a, b] { try check(channel.finish(cookie).status == .complete) }
        check(first.pending == 64 && second.pending == 128)
        for wrong in [
            EngineConfiguration(peripheral: 2), EngineConfiguration(peripheral: 1, width: 4),
            EngineConfiguration(peripheral: 0, burst: 5000), EngineConfiguration(priority: 1),
        ] {
            #expect(throws: DMAError.self) { try channel.configure(wrong) }
        }
        // Not a whole number of the peripheral's items.
        try check(channel.run(.toPeripheral(0..<1), try Arena([13], &random)).status == .failed)
        var plain = try Channel<CPUEngine, Arena>.make(Setup.inline.configuration)
        #expect(throws: DMAError(.notPeripheral)) { try plain.configure(EngineConfiguration()) }
        switch plain.submit(.toPeripheral(0..<1), try Arena([64], &random)) {
        case .queued: Issue.record("queued on an engine without peripherals")
        case .refused(let error, _): check(error.code == .unsupportedOperation)
        }
    }

    @Test("a looped-back peripheral returns the transmitted bytes to memory")
    func loopback() throws {
        var random = Seeded("loopback")
        let fifo = try FIFOPeripheral(depth: 512, width: 8, loopback: true)
        var channel = try Channel<CPUEngine, Arena>.make(Self.configuration(.workers, fifo))
        let source = try Arena([80_000], &random)
        var target = try Arena([80_000], &random)
        target.model.replaceSubrange(target.cuts[0], with: source.model[source.cuts[0]])
        let out = try channel.submit(.toPeripheral(0..<1), source).get()
        let back = try channel.submit(.fromPeripheral(0..<1), target).get()
        channel.issuePending()
        try check(channel.finish(back).cargo.difference == nil)
        try check(channel.finish(out).status == .complete)
    }

    static func ring(_ bytes: Int, _ direction: Direction) throws -> MappedBuffer {
        try Buffer(count: bytes).map(for: Domain(name: "cpu"), direction: direction).get()
    }

    @Test("rules 21 and 22: capture into a ring, every period intact and in order", arguments: Setup.allCases)
    func rule22_capture(setup: Setup) throws {
        var random = Seeded("rule22")
        let fifo = try FIFOPeripheral(depth: 1024, width: 4)
        let buffer = try Self.ring(4096, .fromDevice)
        let channel = try Channel<CPUEngine, MappedBuffer>(
            CPUEngine(Self.configuration(setup, fifo)), domain: buffer.domain)
        var ring = try CyclicRing(channel, ring: buffer, period: 512)
        let wire = KernelTests.bytes(512 * 40, &random)
        var sent = 0
        var heard: [UInt8] = []
        let deadline = Deadline.after(milliseconds: 10_000)
        while heard.count < wire.count, Deadline.now < deadline {
            if sent < wire.count {
                sent += fifo.deliver(wire[sent..<min(sent + 300, wire.count)], keepsRest: true)
            }
            let outcome = try ring.withNextPeriod { period in
                (0..<period.count).compactMap { period[$0] }
            }
            switch outcome {
            case .empty: break
            case .intact(let bytes): heard += bytes
            case .overrun(let lost): Issue.record("\(lost) periods lost")
            case .ended(let status): Issue.record("the ring ended: \(status)")
            }
        }
        check(heard == wire)
        check(try ring.completed() == 40 && ring.lost == 0)
        // Of the present pass, over a whole ring: 40 periods are five rounds.
        try check(ring.residue() == 4096)
        fifo.deliver(ArraySlice(repeating: 0, count: 600))
        check(try ring.wait(until: .after(milliseconds: 5000)))
        while try ring.residue() != 4096 - 600 {}
        _ = try ring.stop()
    }

    @Test("rule 22: a client that falls behind gets an overrun, counted", arguments: Setup.allCases)
    func rule22_overrun(setup: Setup) throws {
        let fifo = try FIFOPeripheral(depth: 1024, width: 4)
        let buffer = try Self.ring(2048, .fromDevice)
        let channel = try Channel<CPUEngine, MappedBuffer>(
            CPUEngine(Self.configuration(setup, fifo)), domain: buffer.domain)
        var ring = try CyclicRing(channel, ring: buffer, period: 256)
        var sent = 0
        while sent < 256 * 20 {
            sent += fifo.deliver(ArraySlice(repeating: 7, count: min(512, 256 * 20 - sent)), keepsRest: true)
            _ = try ring.completed()
        }
        let deadline = Deadline.after(milliseconds: 5000)
        while try ring.completed() < 20, Deadline.now < deadline {}
        check(try ring.withNextPeriod { _ in 0 } == .overrun(13))
        check(try ring.withNextPeriod { period in period[0] } == .intact(7))
        check(ring.lost == 13)
        _ = try ring.stop()
    }

    @Test(
        "rules 14 and 22: playback, one interrupt per period, and the wire receives the ring",
        arguments: [Setup.workers, .mixed])
    func rule22_playback(setup: Setup) throws {
        let fifo = try FIFOPeripheral(depth: 256, width: 4)
        var buffer = try Self.ring(1024, .toDevice)
        try buffer.withMutableCPUAccess { bytes in
            for index in 0..<1024 {
                bytes.storeBytes(of: UInt8(truncatingIfNeeded: index / 4), toByteOffset: index, as: UInt8.self)
            }
        }
        let channel = try Channel<CPUEngine, MappedBuffer>(
            CPUEngine(Self.configuration(setup, fifo)), domain: buffer.domain)
        let interrupts = channel.interruptLine
        let line = try #require(interrupts)
        var ring = try CyclicRing(channel, ring: buffer, period: 256)
        var wire: [UInt8] = []
        let deadline = Deadline.after(milliseconds: 10_000)
        while wire.count < 4096, Deadline.now < deadline { wire.append(contentsOf: fifo.collect(64)) }
        check(wire.count == 4096)
        check(wire.indices.allSatisfy { wire[$0] == UInt8(truncatingIfNeeded: $0 % 1024 / 4) })
        // The FIFO is full again: 4,096 bytes on the wire and 256 in the FIFO are 17 periods.
        while try ring.completed() < 17, Deadline.now < deadline {}
        check(try ring.completed() == 17)
        Self.nap(milliseconds: 5)
        check(line.count == 17)
        _ = try ring.stop()
    }
}
