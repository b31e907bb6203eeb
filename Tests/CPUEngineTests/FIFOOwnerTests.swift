// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import DMACore
import DMATestSupport
import Testing

/// One user at a time for each direction of a FIFO: transfers of one engine, of two engines, and the wire.
@Suite("Ownership of a FIFO's directions", .serialized)
struct FIFOOwnerTests {
    static let bytes = 32_768

    /// 32-bit numbers from `first` on, as many as fill `count` bytes.
    static func numbers(from first: Int, bytes count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: (first + $0 / 4) >> ($0 % 4 * 8)) }
    }

    static func configuration(workers: Int, _ fifo: FIFOPeripheral) -> CPUConfiguration {
        var configuration = CPUConfiguration(depth: 8, workers: workers)
        configuration.peripherals = [fifo]
        return configuration
    }

    /// Delivers all of `wire`, as fast as the FIFO takes it, and calls `meanwhile` repeatedly until it returns true.
    static func play(_ wire: [UInt8], to fifo: FIFOPeripheral, until meanwhile: () throws -> Bool) throws -> Bool {
        let deadline = Deadline.after(milliseconds: 10_000)
        var sent = 0
        while Deadline.now < deadline {
            if sent < wire.count { sent += fifo.deliver(wire[sent..<min(sent + 256, wire.count)], keepsRest: true) }
            if try meanwhile(), sent == wire.count { return true }
        }
        return false
    }

    @Test("two receptions of one engine get the wire's bytes one after the other", arguments: [0, 1, 2, 3])
    func receptions(workers: Int) throws {
        var random = Seeded("receptions")
        let wire = Self.numbers(from: 0, bytes: 2 * Self.bytes)
        for round in 0..<10 {
            let fifo = try FIFOPeripheral(depth: 4096, width: 4)
            var channel = try Channel<CPUEngine, Arena>.make(Self.configuration(workers: workers, fifo))
            let first = try channel.submit(.fromPeripheral(0..<1), try Arena([Self.bytes], &random)).get()
            _ = try channel.submit(.fromPeripheral(0..<1), try Arena([Self.bytes], &random)).get()
            channel.issuePending()
            var heard: [Bool: [UInt8]] = [:]
            let isOver = try Self.play(wire, to: fifo) {
                if let finished = channel.next() {
                    heard[finished.cookie == first] = Array(finished.cargo.bytes(of: 0))
                }
                return heard.count == 2
            }
            check(isOver, "round \(round): a reception never ended")
            check(heard[true] == Array(wire[..<Self.bytes]), "round \(round): the first")
            check(heard[false] == Array(wire[Self.bytes...]), "round \(round): the second")
        }
    }

    @Test("two transmissions of one engine reach the wire one after the other", arguments: [0, 1, 2, 3])
    func transmissions(workers: Int) throws {
        var random = Seeded("transmissions")
        for round in 0..<10 {
            let fifo = try FIFOPeripheral(depth: 4096, width: 4)
            var channel = try Channel<CPUEngine, Arena>.make(Self.configuration(workers: workers, fifo))
            let first = try Arena([Self.bytes], &random)
            let second = try Arena([Self.bytes], &random)
            let expected = Array(first.bytes(of: 0)) + Array(second.bytes(of: 0))
            _ = try channel.submit(.toPeripheral(0..<1), first).get()
            _ = try channel.submit(.toPeripheral(0..<1), second).get()
            channel.issuePending()
            var heard: [UInt8] = []
            let deadline = Deadline.after(milliseconds: 10_000)
            while heard.count < expected.count, Deadline.now < deadline {
                channel.poll()
                heard += fifo.collect(500)
            }
            check(heard == expected, "round \(round)")
        }
    }

    @Test("of two engines over one FIFO the second waits for the first", arguments: [0, 1, 2])
    func twoEngines(workers: Int) throws {
        var random = Seeded("two engines")
        let wire = Self.numbers(from: 7, bytes: 2 * Self.bytes)
        for round in 0..<10 {
            let fifo = try FIFOPeripheral(depth: 4096, width: 4)
            let configuration = Self.configuration(workers: workers, fifo)
            var early = try Channel<CPUEngine, Arena>.make(configuration)
            var late = try Channel<CPUEngine, Arena>.make(configuration)
            let one = try early.submit(.fromPeripheral(0..<1), try Arena([Self.bytes], &random)).get()
            early.issuePending()
            fifo.deliver(wire[..<4])
            let begun = Deadline.after(milliseconds: 5000)
            while try early.residue(of: one) == UInt64(Self.bytes), Deadline.now < begun { early.poll() }
            let two = try late.submit(.fromPeripheral(0..<1), try Arena([Self.bytes], &random)).get()
            late.issuePending()
            var (heardEarly, heardLate): ([UInt8]?, [UInt8]?)
            let isOver = try Self.play(Array(wire[4...]), to: fifo) {
                // The later engine is polled first: it still gets its turn only when the other has finished.
                if heardLate == nil, let finished = try late.take(two) { heardLate = Array(finished.cargo.bytes(of: 0)) }
                if heardEarly == nil, let finished = try early.take(one) { heardEarly = Array(finished.cargo.bytes(of: 0)) }
                return heardEarly != nil && heardLate != nil
            }
            check(isOver, "round \(round): a reception never ended")
            check(heardEarly == Array(wire[..<Self.bytes]), "round \(round): the earlier engine")
            check(heardLate == Array(wire[Self.bytes...]), "round \(round): the later engine")
        }
    }

    @Test("a transfer that waits for its turn can be terminated, and so can the one before it", arguments: [0, 1])
    func terminated(workers: Int) throws {
        var random = Seeded("terminated")
        let fifo = try FIFOPeripheral(depth: 1024, width: 4)
        let configuration = Self.configuration(workers: workers, fifo)
        var owner = try Channel<CPUEngine, Arena>.make(configuration)
        var second = try Channel<CPUEngine, Arena>.make(configuration)
        var third = try Channel<CPUEngine, Arena>.make(configuration)
        let deadline = Deadline.after(milliseconds: 5000)
        let one = try owner.submit(.fromPeripheral(0..<1), try Arena([4000], &random)).get()
        owner.issuePending()
        fifo.deliver(Self.numbers(from: 0, bytes: 8)[...])
        while try owner.residue(of: one) == 4000, Deadline.now < deadline { owner.poll() }
        let two = try second.submit(.fromPeripheral(0..<1), try Arena([400], &random)).get()
        second.issuePending()
        for _ in 0..<10 { second.poll() }
        PeripheralTests.nap(milliseconds: 5)
        let three = try third.submit(.fromPeripheral(0..<1), try Arena([400], &random)).get()
        third.issuePending()
        for _ in 0..<10 { third.poll() }
        PeripheralTests.nap(milliseconds: 5)
        try second.terminateSync(by: .after(milliseconds: 2000))
        let dropped = try second.finish(two)
        check(dropped.status == .aborted && dropped.residue == 400)
        try owner.terminateSync(by: .after(milliseconds: 2000))
        try check(owner.finish(one).residue == 3992)
        let wire = Self.numbers(from: 100, bytes: 400)
        fifo.deliver(wire[...])
        let finished = try third.finish(three)
        check(finished.status == .complete && Array(finished.cargo.bytes(of: 0)) == wire)
    }

    @Test("an engine that ends passes the FIFO to the next")
    func ended() throws {
        var random = Seeded("ended")
        let fifo = try FIFOPeripheral(depth: 1024, width: 4)
        let configuration = Self.configuration(workers: 0, fifo)
        do {
            var owner = try Channel<CPUEngine, Arena>.make(configuration)
            _ = try owner.submit(.fromPeripheral(0..<1), try Arena([4000], &random)).get()
            owner.issuePending()
            owner.poll()
        }
        var next = try Channel<CPUEngine, Arena>.make(configuration)
        fifo.deliver(Self.numbers(from: 0, bytes: 400)[...])
        try check(next.run(.fromPeripheral(0..<1), try Arena([400], &random)).status == .complete)
    }

    @Test("looped back: two transmissions and two receptions, in order", arguments: [2, 3, 4])
    func loopback(workers: Int) throws {
        var random = Seeded("looped back")
        for round in 0..<10 {
            let fifo = try FIFOPeripheral(depth: 4096, width: 4, loopback: true)
            var channel = try Channel<CPUEngine, Arena>.make(Self.configuration(workers: workers, fifo))
            let targets = try [
                channel.submit(.fromPeripheral(0..<1), try Arena([Self.bytes], &random)).get(),
                channel.submit(.fromPeripheral(0..<1), try Arena([Self.bytes], &random)).get(),
            ]
            var sources: [[UInt8]] = []
            for _ in 0..<2 {
                let arena = try Arena([Self.bytes], &random)
                sources.append(Array(arena.bytes(of: 0)))
                _ = try channel.submit(.toPeripheral(0..<1), arena).get()
            }
            channel.issuePending()
            for (target, source) in zip(targets, sources) {
                let finished = try channel.finish(target)
                check(Array(finished.cargo.bytes(of: 0)) == source, "round \(round)")
            }
        }
    }

    @Test("on a loopback the wire moves nothing while a transfer uses its side")
    func loopbackWire() throws {
        var random = Seeded("loopback wire")
        let fifo = try FIFOPeripheral(depth: 1024, width: 4, loopback: true)
        check(fifo.deliver([1, 2, 3, 4][...]) == 4)
        check(fifo.collect(8) == [1, 2, 3, 4])
        var channel = try Channel<CPUEngine, Arena>.make(Self.configuration(workers: 0, fifo))
        let cookie = try channel.submit(.toPeripheral(0..<1), try Arena([4096], &random)).get()
        channel.issuePending()
        channel.poll()
        try check(channel.residue(of: cookie) == 3072)
        check(fifo.collect(512).count == 512)
        check(fifo.deliver([1, 2, 3, 4][...]) == 0)
        check(fifo.overrun == 4)
        try channel.terminateSync(by: .after(milliseconds: 1000))
        check(fifo.deliver([1, 2, 3, 4][...]) == 4)
    }

    @Test("threads that share one wire lose and duplicate nothing")
    func wires() async throws {
        // Looped back, and no transfer: what is delivered is collected.
        let fifo = try FIFOPeripheral(depth: 256, width: 4, loopback: true)
        let (senders, words) = (4, 5000)
        let heard = await withTaskGroup(of: [UInt8].self) { group in
            for sender in 0..<senders {
                group.addTask {
                    for word in 0..<words {
                        let bytes = Self.numbers(from: sender << 24 | word, bytes: 4)
                        while fifo.deliver(bytes[...], keepsRest: true) == 0 { await Task.yield() }
                    }
                    return []
                }
            }
            for _ in 0..<2 {
                group.addTask {
                    var bytes: [UInt8] = []
                    // Each takes its half, in whole words.
                    while bytes.count < senders * words * 2 {
                        let got = fifo.collect(min(64, senders * words * 2 - bytes.count))
                        if got.isEmpty { await Task.yield() }
                        bytes += got
                    }
                    return bytes
                }
            }
            var all: [UInt8] = []
            for await part in group { all += part }
            return all
        }
        var seen: Set<UInt32> = []
        for index in stride(from: 0, to: heard.count, by: 4) {
            seen.insert((0..<4).reduce(0) { $0 | UInt32(heard[index + $1]) << UInt32($1 * 8) })
        }
        #expect(heard.count == senders * words * 4)
        #expect(seen == Set((0..<senders).flatMap { sender in (0..<words).map { UInt32(sender << 24 | $0) } }))
    }
}
