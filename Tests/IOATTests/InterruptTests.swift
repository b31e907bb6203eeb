// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMACore
import DMADeviceSide
import DMAEngineKit
import DMAIOATEngine
import DMAIOATModel
import DMAInProcessAccess
import DMATestSupport
import Testing

@Suite("I/OAT: interrupts", .serialized)
struct InterruptTests {
    @Test("one for each completion that asks, and none for the others", arguments: [true, false])
    func each(_ messages: Bool) async throws {
        let rig = try Rig(IOATModel(hasMessages: messages), pace: .threaded)
        let engine = try rig.engine()
        let domain = engine.domain
        var channel = try IOATChannelUnderTest(engine, domain: domain)
        var random = Seeded("ioat interrupts")
        for round in 0..<10 {
            try await Self.awaited(&channel, &random, domain)
            #expect(rig.device.function.interrupts == UInt64(round + 1))
            check(try channel.copy(100, &random, for: domain).isRight)
        }
        let count = channel.withEngine { $0.interruptLine?.count }
        #expect(count == 10)
        #expect(channel.figure("strayInterrupts") == 0)
        #expect(rig.device.function.violations == [])
    }

    private static func awaited(_ channel: inout IOATChannelUnderTest, _ random: inout Seeded, _ domain: Domain) async throws {
        var arena = try Arena([300, 300], &random, for: domain)
        arena.model.replaceSubrange(arena.cuts[1], with: arena.model[arena.cuts[0]])
        let cookie = try channel.submit(.copy(flags: .interrupt), arena).get()
        channel.issuePending()
        let finished = try await channel.finished(cookie)
        let status = finished.status
        #expect(status == .complete)
        check(try finished.takeCargo().difference() == nil)
    }

    @Test(
        "a delay gathers the interrupts of many completions; the engine's setting reaches the device, and one out of range is refused"
    )
    func delay() async throws {
        let rig = try Rig(IOATModel(burst: 1), pace: .threaded)
        let engine = try rig.engine()
        let domain = engine.domain
        var channel = try IOATChannelUnderTest(engine, domain: domain)
        var random = Seeded("ioat delay")
        for wrong in [-1, 16_384, .max] {
            let error = #expect(throws: DMAError.self) { try channel.apply(IOATSettings(interruptDelay: wrong)) }
            #expect(error?.code == .badConfiguration)
        }
        try channel.apply(IOATSettings(interruptDelay: 50))
        for _ in 0..<14 { try channel.submitCopy(100, &random, for: domain, flags: .interrupt) }
        channel.issuePending()
        for _ in 0..<14 { check(try channel.end().isRight) }
        try await Self.awaited(&channel, &random, domain)
        #expect(rig.device.function.interrupts <= 2)
        try channel.apply(IOATSettings())
        let before = rig.device.function.interrupts
        try await Self.awaited(&channel, &random, domain)
        #expect(rig.device.function.interrupts > before)
    }

    @Test("polling, and a synchronous wait, with and without interrupts", arguments: [true, false])
    func waits(_ threaded: Bool) throws {
        let rig = try Rig(pace: threaded ? .threaded : .stepped)
        var configuration = Rig.configuration
        if !threaded { configuration.interrupts = [] }
        let engine = try rig.engine(configuration)
        let domain = engine.domain
        var channel = try IOATChannelUnderTest(engine, domain: domain)
        var random = Seeded("ioat waits")
        for _ in 0..<5 {
            try channel.submitCopy(100, &random, for: domain, flags: threaded ? .interrupt : [])
            channel.issuePending()
            _ = try channel.wait(until: .after(milliseconds: 10_000))
            let finished = try channel.end(0 + 10_000)
            #expect(finished.isRight)
        }
    }
}
