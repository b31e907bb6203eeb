// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAIOUringEngine
import DMATestSupport
import Testing

@Suite("Turns and gates")
struct TurnTests {
    @Test("a write that waited for its turn also waits at the file's gate")
    func turnThenGate() throws {
        var random = Seeded("turn then gate")
        let scratch = try Scratch(Scratch.disk)
        scratch.fill(random.bytes(64 << 10))
        // One worker runs its requests in order, so that the first one started ends first.
        var configuration = Carrying.threads.configuration()
        configuration.workers = 1
        var channel = try Channel<IOUringEngine, Freight>.make(configuration)
        let number = try channel.attach(PeripheralFile(scratch.descriptor, cache: .direct))
        let isDirect = channel.withEngine { $0.directAlignment(of: number) != nil }
        try #require(isDirect, "\(Scratch.disk) takes no direct transfers")
        // Two without position, which take turns and are buffered; and one direct, whose interrupt flag keeps it from being a
        // plain request that nothing delays.
        let standing = DMACore.Operation.toPeripheral(0..<1, at: PeripheralPlace(number: number))
        let direct = DMACore.Operation.toPeripheral(
            0..<1, at: PeripheralPlace(number: number, position: 16 << 10), flags: .interrupt)
        var cookies: [UInt64] = []
        for (operation, count) in [(standing, 10), (standing, 10), (direct, 8192)] {
            let cargo = try freight([random.bytes(count)], .toDevice, alignment: 4096)
            cookies.append(try channel.submit(operation, cargo).get().rawValue)
        }
        channel.issuePending()
        var order: [Int] = []
        while order.count < 3 {
            let finished = try channel.await()
            let (status, cookie) = (finished.status, finished.cookie.rawValue)
            #expect(status == .complete)
            order.append(cookies.firstIndex(of: cookie) ?? -1)
        }
        // The second of those without position begins when the direct one, which was at the gate before it, has ended.
        #expect(order == [0, 2, 1])
        let statistics = channel.withEngine { $0.statistics }
        #expect(statistics.unexpectedEvents == 0 && statistics.directBytes == 8192 && statistics.directRefusals == 0)
    }
}
