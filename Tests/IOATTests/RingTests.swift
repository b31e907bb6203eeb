// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMACore
import DMADeviceSide
import DMAEngineKit
import DMAIOATEngine
import DMAIOATModel
import DMAIOATSpecification
import DMAInProcessAccess
import DMATestSupport
import Testing

@Suite("I/OAT: the ring")
struct RingTests {
    @Test("four times round, while it runs, with one doorbell for a batch", arguments: [false, true])
    func rounds(_ threaded: Bool) throws {
        let recorder = Recorder()
        let rig = try Rig(IOATModel(burst: 3), pace: threaded ? .threaded : .stepped, recorder: recorder)
        let engine = try rig.engine()
        let domain = engine.domain
        var channel = try IOATChannelUnderTest(engine, domain: domain)
        var random = Seeded("ioat rounds")
        recorder.clear()
        var (batches, sent, ended) = (0, 0, 0)
        // 64 descriptors in the ring.
        while ended < 256 {
            let batch = Int.random(in: 1...5, using: &random)
            var queued = 0
            while queued < batch, sent - ended + queued < 15 {
                try channel.submitCopy(Int.random(in: 1...200, using: &random), &random, for: domain)
                queued += 1
            }
            if queued > 0 {
                channel.issuePending()
                channel.issuePending()
                batches += 1
                sent += queued
            }
            // Some of them, so that the chain grows while it runs.
            for _ in 0..<max(sent - ended - 5, 1) {
                let copied = try channel.end()
                #expect(copied.isRight, "\(ended)")
                ended += 1
            }
        }
        let doorbells = recorder.events.filter { event in
            if case .doorbell(0, 0x86, 2, _) = event { true } else { false }
        }
        #expect(doorbells.count == batches)
        let barriers = recorder.events.indices.filter { recorder.events[$0] == doorbells.first }
        if let first = barriers.first { #expect(recorder.events[first - 1] == .barrier) }
        #expect(rig.device.function.violations == [])
        #expect(channel.figure("channelResets") == 0 && channel.figure("strayCompletions") == 0)
    }

    @Test("the doorbell's 16 bits go round")
    func count() throws {
        let rig = try Rig(IOATModel(burst: 64))
        let engine = try rig.engine()
        let domain = engine.domain
        var channel = try Channel(engine, domain: domain, of: Pair<MappedBuffer, MappedBuffer>.self)
        let from = try Buffer(count: 64, for: domain).mapped(for: domain, direction: .toDevice)
        let to = try Buffer(count: 64, for: domain).mapped(for: domain, direction: .fromDevice)
        var cargo: Pair<MappedBuffer, MappedBuffer>? = Pair(from, to)
        for _ in 0..<66_000 {
            guard let own = cargo.take() else { throw Late() }
            _ = try channel.submit(.copy(), own).get()
            channel.issuePending()
            while cargo == nil {
                guard let finished = channel.next() else { continue }
                guard finished.status == .complete else { throw Late() }
                cargo = finished.takeCargo()
            }
        }
        #expect(rig.model.descriptors == 66_001)
        #expect(rig.device.function.violations == [])
    }

    @Test("extension descriptors count, and the ring refuses what does not fit until something has ended")
    func extensions() throws {
        let rig = try Rig(IOATModel(transferBits: 12, burst: 1))
        let engine = try rig.engine()
        let domain = engine.domain
        var channel = try IOATChannelUnderTest(engine, domain: domain)
        var random = Seeded("ioat extensions")
        var full = 0
        for _ in 0..<60 {
            let count = 4 * 4096
            var arena = try Arena(Array(repeating: count, count: 7), &random, for: domain)
            for place in 0..<count {
                arena.model[arena.cuts[6].lowerBound + place] = (0..<6).reduce(0) {
                    $0 ^ arena.model[arena.cuts[$1].lowerBound + place]
                }
            }
            // Eight descriptors each: 64 have room for seven of them.
            // One that is refused ends here, and another takes its place.
            switch channel.submit(.xor(sources: 0..<6, to: 6), arena) {
            case .queued: channel.issuePending()
            case .refused(let error, _):
                #expect(error.code == .queueFull)
                full += 1
                let ended = try channel.end()
                #expect(ended.isRight)
            }
        }
        #expect(full > 20)
        while channel.inFlight > 0 { check(try channel.end().isRight) }
        #expect(rig.device.function.violations == [])
    }

    @Test("a full ring behind a validation that differs: the device still names a reported descriptor that had an extension")
    func full() throws {
        let rig = try Rig(IOATModel(transferBits: 12, burst: 64))
        let engine = try rig.engine()
        let domain = engine.domain
        var channel = try IOATChannelUnderTest(engine, domain: domain)
        var random = Seeded("ioat full ring")
        func sum(_ count: Int, _ random: inout Seeded) throws -> Arena {
            var arena = try Arena(Array(repeating: count, count: 7), &random, for: domain)
            for place in 0..<count {
                arena.model[arena.cuts[6].lowerBound + place] = (0..<6).reduce(0) {
                    $0 ^ arena.model[arena.cuts[$1].lowerBound + place]
                }
            }
            return arena
        }
        let first = try channel.run(.xor(sources: 0..<6, to: 6), try sum(100, &random))
        #expect(first.isRight)
        // At the head: the channel halts there before it has completed anything else.
        _ = try channel.submit(.xorValidate(sources: 0..<2), try Arena([100, 100], &random, for: domain)).get()
        // Eight descriptors each, then one each until no more fits.
        for _ in 0..<7 { _ = try channel.submit(.xor(sources: 0..<6, to: 6), try sum(4 * 4096, &random)).get() }
        var copies = 0
        while copies < 8 {
            var arena = try Arena([100, 100], &random, for: domain)
            arena.model.replaceSubrange(arena.cuts[1], with: arena.model[arena.cuts[0]])
            guard case .queued = channel.submit(.copy(), arena) else { break }
            copies += 1
        }
        #expect((4...7).contains(copies), "\(copies)")
        channel.issuePending()
        let validation = try channel.end()
        #expect(validation.isRight && validation.value == 1, "\(validation)")
        for number in 0..<7 + copies {
            let ended = try channel.end()
            #expect(ended.isRight, "\(number): \(ended)")
        }
        #expect(rig.device.function.violations == [])
        #expect(channel.figure("channelResets") == 0)
    }

    @Test("a second driver is told that the device is busy; 100 times open, copy, close")
    func opening() throws {
        let rig = try Rig()
        var random = Seeded("ioat opening")
        for round in 0..<100 {
            let engine = try rig.engine()
            if round == 0 {
                let error = #expect(throws: AccessError.self) { _ = try rig.engine().capabilities }
                #expect(error?.code == .busy)
            }
            let domain = engine.domain
            var channel = try IOATChannelUnderTest(engine, domain: domain)
            let copied = try channel.copy(100, &random, for: domain)
            #expect(copied.isRight, "round \(round)")
        }
        #expect(!rig.device.function.isBusMaster)
        #expect(rig.device.function.violations == [])
    }

    @Test("pausing at every step of a chain: nothing is lost, and nothing is done twice", arguments: 0..<12)
    func pausing(_ polls: Int) throws {
        let rig = try Rig(IOATModel(transferBits: 12, burst: 1))
        let engine = try rig.engine()
        let domain = engine.domain
        var channel = try IOATChannelUnderTest(engine, domain: domain)
        var random = Seeded("ioat pausing")
        let before = rig.model.descriptors
        for _ in 0..<3 {
            // Continued: what is done twice is wrong. Three descriptors with an extension each.
            let count = 9000
            var arena = try Arena(Array(repeating: count, count: 7), &random, for: domain)
            for place in 0..<count {
                arena.model[arena.cuts[6].lowerBound + place] = (0..<7).reduce(0) {
                    $0 ^ arena.model[arena.cuts[$1].lowerBound + place]
                }
            }
            _ = try channel.submit(.xor(sources: 0..<6, to: 6, flags: .continue), arena).get()
        }
        channel.issuePending()
        var ended = 0
        for _ in 0..<polls {
            if let finished = channel.next() {
                check(try finished.takeCargo().difference() == nil)
                ended += 1
            }
        }
        try channel.pause()
        let paused = rig.model.descriptors
        for _ in 0..<50 { _ = rig.model.step() }
        #expect(rig.model.descriptors == paused)
        try channel.resume()
        while ended < 3 {
            let copied = try channel.end()
            #expect(copied.isRight, "\(copied)")
            ended += 1
        }
        #expect(rig.model.descriptors - before == 9)
        #expect(rig.device.function.violations == [])
    }

    @Test("several channels of a device, each with its own ring; a fault of one leaves the others alone")
    func channels() throws {
        let rig = try Rig(IOATModel(channels: 3))
        let device = try IOATDevice(opening: rig.device, Rig.configuration)
        #expect(device.channelCount == 3)
        let domain = device.domain
        var first = try IOATChannelUnderTest(try IOATEngine(device, channel: 0), domain: domain)
        var third = try IOATChannelUnderTest(try IOATEngine(device, channel: 2), domain: domain)
        let busy = #expect(throws: AccessError.self) { _ = try IOATEngine(device, channel: 2).capabilities }
        #expect(busy?.code == .busy)
        let none = #expect(throws: AccessError.self) { _ = try IOATEngine(device, channel: 3).capabilities }
        #expect(none?.code == .noWindow)
        var random = Seeded("ioat channels")
        rig.model.set(.wildSource, times: 5, channel: 2)
        for round in 0..<10 {
            check(try first.copy(700, &random, for: domain).isRight)
            let other = try third.copy(700, &random, for: domain)
            #expect(round < 5 ? other.status == .readFailed : other.isRight)
        }
        #expect(first.figure("failures") == 0 && third.figure("failures") == 5)
        // Closed, and taken again.
        _ = consume third
        var again = try IOATChannelUnderTest(try IOATEngine(device, channel: 2), domain: domain)
        check(try again.copy(700, &random, for: domain).isRight)
        #expect(rig.device.function.violations == [])
    }
}
