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

@Suite("Pipes and sockets as peripherals", .serialized)
struct StreamTests {
    /// A pair of descriptors: bytes written to the second are read from the first.
    static func ends(socket isSocket: Bool) -> [Int32] {
        var ends: [Int32] = [0, 0]
        let result = unsafe isSocket ? socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) : pipe(&ends)
        #expect(result == 0)
        return ends
    }

    @Test("transactions on a stream keep their order, whatever their sizes", arguments: Carrying.allCases, [false, true])
    func order(_ carrying: Carrying, _ isSocket: Bool) throws {
        var random = Seeded("order \(isSocket)")
        let ends = Self.ends(socket: isSocket)
        defer { for end in ends { close(end) } }
        var channel = try Channel<IOUringEngine, Freight>.make(carrying.configuration())
        let from = try channel.attach(PeripheralFile(ends[0]))
        let to = try channel.attach(PeripheralFile(ends[1]))
        // More than a pipe's capacity.
        let images = (0..<8).map { _ in random.bytes(Int.random(in: 1...60_000, using: &random)) }
        let stream = images.flatMap { $0 }
        var left = stream.count
        var starts: [UInt64: Range<Int>] = [:]
        var inFlight = 0
        for image in images {
            _ = try channel.submit(.toPeripheral(0..<1, at: PeripheralPlace(number: to)), try freight([image], .toDevice)).get()
            inFlight += 1
        }
        for index in 0..<8 {
            let count = index == 7 ? left : Int.random(in: 1...left - (7 - index), using: &random)
            let cargo = try freight([[UInt8](repeating: 0, count: count)], .fromDevice)
            let cookie = try channel.submit(.fromPeripheral(0..<1, at: PeripheralPlace(number: from)), cargo).get()
            let start = stream.count - left
            starts[cookie.rawValue] = start..<start + count
            left -= count
            inFlight += 1
        }
        channel.issuePending()
        while inFlight > 0 {
            let finished = try channel.await()
            inFlight -= 1
            let (status, residue) = (finished.status, finished.residue)
            #expect(status == .complete && residue == 0)
            guard let range = starts[finished.cookie.rawValue] else { continue }
            let got = try bytes(finished.cargo)
            #expect(got == Array(stream[range]))
        }
    }

    @Test("a read that ends short, and the end of a stream", arguments: Carrying.allCases, [false, true])
    func short(_ carrying: Carrying, _ isSocket: Bool) throws {
        let ends = Self.ends(socket: isSocket)
        var channel = try Channel<IOUringEngine, Freight>.make(carrying.configuration())
        let number = try channel.attach(PeripheralFile(ends[0], endsShort: true))
        let hello = Array("hello".utf8)
        #expect(unsafe write(ends[1], hello, 5) == 5)
        let read = DMACore.Operation.fromPeripheral(0..<1, at: PeripheralPlace(number: number))
        let finished = try channel.perform(read, try freight([[UInt8](repeating: 0, count: 100)], .fromDevice))
        let (status, residue) = (finished.status, finished.residue)
        #expect(status == .complete && residue == 95)
        close(ends[1])
        let end = try channel.perform(read, try freight([[UInt8](repeating: 0, count: 100)], .fromDevice))
        let (endStatus, endResidue) = (end.status, end.residue)
        #expect(endStatus == .complete && endResidue == 100)
        close(ends[0])
    }

    @Test(
        "termination returns transactions that wait for a stream, and nothing writes to their memory afterwards",
        arguments: Carrying.allCases)
    func termination(_ carrying: Carrying) throws {
        let ends = Self.ends(socket: false)
        defer { for end in ends { close(end) } }
        var channel = try Channel<IOUringEngine, Freight>.make(carrying.configuration())
        let number = try channel.attach(PeripheralFile(ends[0]))
        let read = DMACore.Operation.fromPeripheral(0..<1, at: PeripheralPlace(number: number))
        for _ in 0..<3 { _ = try channel.submit(read, try freight([[5, 5, 5, 5]], .fromDevice)).get() }
        channel.issuePending()
        #expect(unsafe write(ends[1], [1, 2] as [UInt8], 2) == 2)
        let limit = Deadline.after(milliseconds: 60_000)
        while Deadline.now < limit {
            var left = 0 as Int32
            unsafe _ = ioctl(ends[0], UInt(FIONREAD), &left)
            channel.poll()
            if left == 0 { break }
        }
        try channel.terminateSync(by: .after(milliseconds: 10_000))
        #expect(unsafe write(ends[1], [3, 4, 5, 6] as [UInt8], 4) == 4)
        for index in 0..<3 {
            let finished = try channel.await()
            let (status, residue) = (finished.status, finished.residue)
            #expect(status == .aborted && residue == (index == 0 ? 2 : 4))
            let got = try bytes(finished.cargo)
            #expect(got == (index == 0 ? [1, 2, 5, 5] : [5, 5, 5, 5]))
        }
        // The channel continues.
        let again = try channel.perform(read, try freight([[0, 0, 0, 0]], .fromDevice))
        let got = try bytes(again.cargo)
        #expect(got == [3, 4, 5, 6])
    }

    @Test("consecutive transactions on a stream proceed while the client only polls", arguments: Carrying.allCases)
    func polled(_ carrying: Carrying) throws {
        let ends = Self.ends(socket: false)
        defer { for end in ends { close(end) } }
        var channel = try Channel<IOUringEngine, Freight>.make(carrying.configuration())
        let number = try channel.attach(PeripheralFile(ends[0]))
        let read = DMACore.Operation.fromPeripheral(0..<1, at: PeripheralPlace(number: number))
        for _ in 0..<4 { _ = try channel.submit(read, try freight([[0, 0]], .fromDevice)).get() }
        channel.issuePending()
        #expect(unsafe write(ends[1], [1, 2, 3, 4, 5, 6, 7, 8] as [UInt8], 8) == 8)
        var heard: [UInt8] = []
        let limit = Deadline.after(milliseconds: 10_000)
        while heard.count < 8, Deadline.now < limit {
            // No wait, which would also submit issued requests.
            if let finished = channel.next() { heard += try bytes(finished.cargo) }
        }
        #expect(heard == [1, 2, 3, 4, 5, 6, 7, 8])
    }
}
