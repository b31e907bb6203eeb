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

@Suite("Sockets", .serialized)
struct SocketTests {
    /// Two ends of a TCP connection over the loopback.
    static func connection() throws -> [Int32] {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(listener) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let outgoing = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        let isConnected = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                unsafe bind(listener, pointer, length) == 0 && listen(listener, 1) == 0
                    && getsockname(listener, pointer, &length) == 0 && connect(outgoing, pointer, length) == 0
            }
        }
        try #require(isConnected)
        let incoming = accept(listener, nil, nil)
        return [incoming, outgoing]
    }

    @Test("large zero-copy sends: whole, in order, and complete only when the memory is free", arguments: Carrying.allCases)
    func zeroCopy(_ carrying: Carrying) throws {
        var random = Seeded("zero copy")
        let ends = try Self.connection()
        defer { for end in ends { close(end) } }
        var channel = try Channel<IOUringEngine, Freight>.make(carrying.configuration())
        let from = try channel.attach(PeripheralFile(ends[0]))
        let to = try channel.attach(PeripheralFile(ends[1]))
        for round in 0..<6 {
            // One piece, then a list.
            let parts =
                round % 2 == 0 ? [random.bytes(300_000)] : [random.bytes(100_000), random.bytes(1), random.bytes(200_000)]
            let range = 0..<UInt16(parts.count)
            let send = try channel.submit(.toPeripheral(range, at: PeripheralPlace(number: to)), try freight(parts, .toDevice))
                .get()
            let target = try freight(parts.map { [UInt8](repeating: 0, count: $0.count) }, .fromDevice)
            _ = try channel.submit(.fromPeripheral(range, at: PeripheralPlace(number: from)), target).get()
            channel.issuePending()
            for _ in 0..<2 {
                let finished = try channel.await()
                let (status, residue, value) = (finished.status, finished.residue, finished.value)
                #expect(status == .complete && residue == 0, "errno \(value)")
                guard finished.cookie != send else { continue }
                for (index, part) in parts.enumerated() {
                    let isRight = try bytes(finished.cargo, index) == part
                    #expect(isRight)
                }
            }
        }
        let statistics = channel.withEngine { $0.statistics }
        print("\(carrying): \(statistics.zeroCopySends) sends without a copy, \(statistics.zeroCopyCopied) copied all the same")
        #expect(carrying == .threads || statistics.zeroCopySends > 0)
        #expect(statistics.unknownCompletions == 0)
    }

    @Test("a socket without zero-copy sends makes a copy, and it is counted")
    func fallback() throws {
        let ends = StreamTests.ends(socket: true)
        defer { for end in ends { close(end) } }
        var channel = try Channel<IOUringEngine, Freight>.make(Carrying.ring.configuration())
        let to = try channel.attach(PeripheralFile(ends[1]))
        let image = [UInt8](repeating: 7, count: 20_000)
        let finished = try channel.perform(
            .toPeripheral(0..<1, at: PeripheralPlace(number: to)), try freight([image], .toDevice))
        let status = finished.status
        #expect(status == .complete)
        let statistics = channel.withEngine { $0.statistics }
        #expect(statistics.zeroCopyRefusals == 1)
    }

    @Test("a broken connection is a failure with an error number, not a signal", arguments: Carrying.allCases, [false, true])
    func broken(_ carrying: Carrying, _ isSocket: Bool) throws {
        let ends = StreamTests.ends(socket: isSocket)
        var channel = try Channel<IOUringEngine, Freight>.make(carrying.configuration())
        let to = try channel.attach(PeripheralFile(ends[1]))
        close(ends[0])
        for parts in [[[1, 2, 3]], [[1], [2, 3]]] as [[[UInt8]]] {
            let finished = try channel.perform(
                .toPeripheral(0..<UInt16(parts.count), at: PeripheralPlace(number: to)), try freight(parts, .toDevice))
            let (status, value, residue) = (finished.status, finished.value, finished.residue)
            #expect(status == .writeFailed && value == UInt64(EPIPE) && residue == 3)
        }
        close(ends[1])
    }
}

@Suite("Streams round a ring", .serialized)
struct CyclicTests {
    static func byte(_ offset: Int) -> UInt8 { UInt8(truncatingIfNeeded: offset &* 31 &+ offset >> 8) }

    /// Waits for the ring's progress; at most a minute.
    static func reach(_ periods: Int, _ ring: inout CyclicRing<IOUringEngine>) throws {
        let limit = Deadline.after(milliseconds: 60_000)
        while try ring.completed() < UInt64(periods) { if Deadline.now >= limit { throw Late() } }
    }

    @Test(
        "capture: every period equals what was sent, in order; a client that falls behind gets an overrun",
        arguments: Carrying.allCases,
        [true, false])
    func capture(_ carrying: Carrying, _ isSocket: Bool) throws {
        var random = Seeded("capture \(isSocket)")
        let ends = StreamTests.ends(socket: isSocket)
        defer { for end in ends { close(end) } }
        var engine = try IOUringEngine(carrying.configuration())
        let number = try engine.attach(PeripheralFile(ends[0]))
        try engine.configure(EngineConfiguration(peripheral: number))
        let channel = try Channel(engine, domain: home, of: MappedBuffer.self)
        let (period, periods) = (1000, 5)
        let memory = try Buffer(count: period * periods).mapped(for: home, direction: .fromDevice)
        var ring = try CyclicRing(channel, ring: memory, period: period)
        var sent = 0
        func send(_ count: Int) {
            let piece = (sent..<sent + count).map(Self.byte)
            #expect(unsafe write(ends[1], piece, count) == count)
            sent += count
        }
        for _ in 0..<200 {
            let room = (Int(ring.taken) + periods - 1) * period + period - 1 - sent
            send(min(Int.random(in: 1...2 * period, using: &random), max(room, 0)))
            try Self.reach(sent / period, &ring)
            while ring.taken < UInt64(sent / period) {
                let outcome = try ring.withNextPeriod { view in
                    (0..<period).allSatisfy { view[$0] == Self.byte(Int(view.index) * period + $0) }
                }
                #expect(outcome == .intact(true))
            }
        }
        // A whole ring and more that the client does not read.
        let behind = UInt64(sent / period) - ring.taken
        send(3 * periods * period)
        try Self.reach(sent / period, &ring)
        let lost = behind + UInt64(3 * periods) - UInt64(periods) + 1
        let overrun = try ring.withNextPeriod { _ in true }
        #expect(overrun == .overrun(lost))
        let next = try ring.withNextPeriod { view in
            (0..<period).allSatisfy { view[$0] == Self.byte(Int(view.index) * period + $0) }
        }
        #expect(next == .intact(true))
        let residue = try ring.residue()
        let exact = UInt64(period * periods - sent % (period * periods))
        #expect(residue >= exact)
        let back = try ring.stop(by: .after(milliseconds: 10_000)).takeMemory()
        // Nothing writes to it any more.
        let before = try back.withCPUAccess { span throws(DMAError) in
            unsafe span.unsafeLoad(fromByteOffset: 0, as: UInt64.self)
        }
        send(periods * period)
        let after = try back.withCPUAccess { span throws(DMAError) in unsafe span.unsafeLoad(fromByteOffset: 0, as: UInt64.self)
        }
        #expect(before == after)
    }

    @Test("playback: the ring is sent as it was filled, pass after pass", arguments: Carrying.allCases, [true, false])
    func playback(_ carrying: Carrying, _ isSocket: Bool) throws {
        let ends = StreamTests.ends(socket: isSocket)
        defer { for end in ends { close(end) } }
        var engine = try IOUringEngine(carrying.configuration())
        let number = try engine.attach(PeripheralFile(ends[1]))
        try engine.configure(EngineConfiguration(peripheral: number))
        let channel = try Channel(engine, domain: home, of: MappedBuffer.self)
        let (period, periods) = (4000, 4)
        var buffer = try Buffer(count: period * periods)
        buffer.withMutableBytes { span in
            for index in 0..<period * periods { span.storeBytes(of: Self.byte(index), toByteOffset: index, as: UInt8.self) }
        }
        var ring = try CyclicRing(channel, ring: try buffer.mapped(for: home, direction: .toDevice), period: period)
        var played = 0
        let limit = Deadline.after(milliseconds: 60_000)
        var piece = [UInt8](repeating: 0, count: 5000)
        while played < 40 * period, Deadline.now < limit {
            _ = try ring.completed()
            var left = 0 as Int32
            unsafe _ = ioctl(ends[0], UInt(FIONREAD), &left)
            guard left > 0 else { continue }
            let count = unsafe read(ends[0], &piece, min(piece.count, Int(left)))
            for index in 0..<count {
                let isRight = piece[index] == Self.byte((played + index) % (period * periods))
                if !isRight { #expect(isRight, "byte \(played + index)") }
            }
            played += count
        }
        #expect(played >= 40 * period)
        #expect(try ring.completed() >= 40)
        _ = try ring.stop(by: .after(milliseconds: 10_000))
    }

    @Test("where the kernel supports it, one request receives for as long as the ring runs")
    func multishot() throws {
        let ends = StreamTests.ends(socket: true)
        defer { for end in ends { close(end) } }
        var engine = try IOUringEngine(Carrying.ring.configuration())
        let number = try engine.attach(PeripheralFile(ends[0]))
        try engine.configure(EngineConfiguration(peripheral: number))
        var channel = try Channel(engine, domain: home, of: MappedBuffer.self)
        let memory = try Buffer(count: 4096).mapped(for: home, direction: .fromDevice)
        let cookie = try channel.submit(.cyclic(period: 1024, direction: .fromDevice), memory).get()
        channel.issuePending()
        let piece = [UInt8](repeating: 1, count: 512)
        for step in 1...64 {
            #expect(unsafe write(ends[1], piece, 512) == 512)
            let limit = Deadline.after(milliseconds: 60_000)
            while try channel.periodCount(of: cookie) < UInt64(step / 2), Deadline.now < limit {}
        }
        #expect(try channel.periodCount(of: cookie) == 32)
        let statistics = channel.withEngine { $0.statistics }
        #expect(statistics.multishotReceives == 1, "\(statistics.multishotReceives) requests")
        try channel.terminateSync(by: .after(milliseconds: 10_000))
        let finished = try channel.take(cookie)
        let isBack = finished != nil
        #expect(isBack)
    }
}
