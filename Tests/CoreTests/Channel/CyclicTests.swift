// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAEngineKit
import ScriptedEngines
import Testing

/// Rings whose device fails, stops, restarts, or shares its channel.
@Suite("Cyclic transactions")
struct CyclicTests {
    let place = Place()

    @Test("a ring reports that its transaction has failed: waiting ends, with the status")
    func failedRing() throws {
        var engine = ScriptedEngine()
        engine.ending = Completion(tag: 0, status: .failed, deviceStatus: 3)
        var ring = try CyclicRing(
            try Channel(engine, domain: place.domain), ring: try place.buffer(4096, .fromDevice), period: 1024)
        let began = Deadline.now
        let came = try ring.wait(until: .after(milliseconds: 60_000))
        #expect(came, "the end is worth a look")
        #expect(began.nanoseconds(until: .now) < 30_000_000_000)
        let outcome = try ring.withNextPeriod { _ in 0 }
        #expect(outcome == .ended(.failed))
        #expect(try ring.status == .failed)
        let memory = try ring.stop().takeMemory()
        #expect(memory.count == 4096)
    }

    @Test("a ring whose device is gone ends its waits")
    func goneRing() throws {
        var channel = try Channel(ScriptedEngine(), domain: place.domain, of: MappedBuffer.self)
        var cursor = try channel.startCyclic(try place.buffer(4096, .fromDevice), period: 1024)
        unsafe channel.withUnsafeEngine { $0.isGone = true }
        let came = try cursor.wait(on: &channel, until: .never)
        #expect(came)
        let outcome = try cursor.withNextPeriod(on: &channel) { _ in 0 }
        #expect(outcome == .ended(.deviceGone))
    }

    @Test("two rings on one channel: each counts its own periods")
    func twoRings() throws {
        var channel = try Channel(ScriptedEngine(), domain: place.domain, of: MappedBuffer.self)
        var capture = try channel.startCyclic(try place.buffer(4096, .fromDevice), period: 1024)
        var playback = try channel.startCyclic(try place.buffer(8192, .toDevice), period: 2048)
        let tag = UInt32(truncatingIfNeeded: capture.cookie.rawValue)
        unsafe channel.withUnsafeEngine { engine in
            engine.periods = [Completion(tag: tag, isPeriod: true, value: 2)]
        }
        channel.poll()
        #expect(try capture.completed(on: &channel) == 2)
        #expect(try playback.completed(on: &channel) == 0)
        let captured = try capture.withNextPeriod(on: &channel) { view in view.count }
        #expect(captured == .intact(1024))
        let played = try playback.withNextPeriod(on: &channel) { view in view.count }
        #expect(played == .empty)
        // A cursor is refused on another channel.
        var other = try Channel(ScriptedEngine(), domain: place.domain, of: MappedBuffer.self)
        _ = try other.startCyclic(try place.buffer(64, .fromDevice), period: 64)
        #expect(
            refusal { () throws(DMAError) in _ = try capture.withNextPeriod(on: &other) { _ in 0 } } == .unknownCookie)
        try channel.terminateSync()
        #expect(channel.all(10).count == 2)
        #expect(refusal { () throws(DMAError) in _ = try capture.completed(on: &channel) } == .staleCookie)
    }

    @Test("a stopped ring starts again, with another period and other settings")
    func restart() throws {
        let log = ScriptedEngine.Log()
        let channel = try Channel(ScriptedEngine(log: log), domain: place.domain, of: MappedBuffer.self)
        let ring = try CyclicRing(
            channel, ring: try place.buffer(4096, .fromDevice), period: 1024, settings: ScriptedEngine.Settings(rate: 48_000))
        var again = try ring.stop().start(period: 512, settings: ScriptedEngine.Settings(rate: 44_100))
        #expect(again.period == 512 && again.periodsInRing == 8)
        #expect(log.events.filter { $0.hasPrefix("rate") } == ["rate 48000", "rate 44100"])
        #expect(try again.completed() == 0)
    }

    @Test(
        "on a device that is not coherent the period's caches are maintained before and after the body",
        arguments: [Direction.fromDevice, .toDevice])
    func caches(direction: Direction) throws {
        var constraints = DeviceConstraints()
        constraints.isCoherent = false
        let domain = Domain(name: "incoherent", constraints: constraints)
        var channel = try Channel(ScriptedEngine(), domain: domain, of: MappedBuffer.self)
        let memory = try Buffer(count: 4096).mapped(for: domain, direction: direction)
        var cursor = try channel.startCyclic(memory, period: 1024)
        let tag = UInt32(truncatingIfNeeded: cursor.cookie.rawValue)
        unsafe channel.withUnsafeEngine { $0.periods = [Completion(tag: tag, isPeriod: true, value: 1)] }
        let before = domain.statistics.maintainedBytes
        let outcome = try cursor.withNextPeriod(on: &channel) { view in view[0] }
        #expect(outcome == .intact(0))
        #expect(domain.statistics.maintainedBytes == before + 2048, "before and after the body")
    }

    @Test("period counts beyond every bound are overruns, and do not trap")
    func hugePeriods() throws {
        var channel = try Channel(ScriptedEngine(), domain: place.domain, of: MappedBuffer.self)
        var cursor = try channel.startCyclic(try place.buffer(4096, .fromDevice), period: 1024)
        let tag = UInt32(truncatingIfNeeded: cursor.cookie.rawValue)
        unsafe channel.withUnsafeEngine { $0.periods = [Completion(tag: tag, isPeriod: true, value: .max)] }
        let first = try cursor.withNextPeriod(on: &channel) { _ in 0 }
        #expect(first == .overrun(.max - 3))
        for _ in 0..<3 {
            let next = try cursor.withNextPeriod(on: &channel) { _ in 0 }
            #expect(next == .intact(0))
        }
        let last = try cursor.withNextPeriod(on: &channel) { _ in 0 }
        #expect(last == .empty)
    }
}
