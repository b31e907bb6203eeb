// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAEngineKit
import ScriptedEngines
import Testing

/// The protocol between engine and channel, beyond the contract's rules.
@Suite("Engine protocol")
struct ProtocolTests {
    let place = Place()

    private func submit(_ channel: inout Channel<ScriptedEngine, Two>) throws -> DMAError.Code? {
        channel.submit(.copy(), try place.two(64)).refusal()
    }

    private func submitAny(_ channel: inout Channel<AnyEngine, Two>) throws -> DMAError.Code? {
        channel.submit(.copy(), try place.two(64)).refusal()
    }

    @Test("enqueue returns the outcome: full, refused with a reason, or the device is gone")
    func enqueueResults() throws {
        var channel = try place.channel(ScriptedEngine())
        unsafe channel.withUnsafeEngine { $0.result = .full }
        #expect(try submit(&channel) == .queueFull)
        #expect(channel.faults.refusedEnqueue == 1, "an engine with room in its depth that says it is full")
        unsafe channel.withUnsafeEngine { $0.result = .refused(DMAError(.misaligned, asked: 3, limit: 512)) }
        switch channel.submit(.copy(), try place.two(64)) {
        case .queued: Issue.record("queued")
        case .refused(let error, let cargo):
            #expect(error == DMAError(.misaligned, asked: 3, limit: 512))
            #expect(cargo.regionCount == 2, "the cargo comes back")
        }
        #expect(channel.channelState == .running)
        unsafe channel.withUnsafeEngine { $0.result = .deviceGone }
        #expect(try submit(&channel) == .deviceGone)
        #expect(channel.channelState == .gone)
        #expect(try submit(&channel) == .deviceGone)
    }

    @Test(
        "the same through AnyEngine",
        arguments: [EnqueueResult.full, .refused(DMAError(.sizeOverflow, asked: 9, limit: 8)), .deviceGone])
    func enqueueThroughAny(result: EnqueueResult) {
        var engine = ScriptedEngine([.copy, .xor, .command])
        engine.result = result
        engine.capabilities.maximumSources = 2
        engine.capabilities.maximumSegments = 4
        var any = AnyEngine(engine)
        let plain = unsafe any.enqueue(Descriptor(kind: .copy, source: 1, destination: 2, count: 3), tag: 4)
        #expect(plain == result)
        let full = unsafe any.enqueue(Descriptor(kind: .xor, source: 1, destination: 2, count: 3), tag: 4)
        #expect(full == result)
    }

    @Test(
        "AnyEngine passes on every word of a descriptor, and every word of a completion",
        arguments: [OperationKind.copy, .fill, .crc32c, .copyCRC32C, .xor, .cyclic])
    func anyEngineWords(kind: OperationKind) {
        var engine = ScriptedEngine()
        engine.ending = Completion(tag: 0, status: .writeFailed, deviceStatus: 0xdead, isPeriod: true, residue: 5, value: 6)
        var any = AnyEngine(engine)
        var descriptor = unsafe Descriptor(
            kind: kind, flags: [.interrupt, .fence], source: 0x1111_2222_3333_4444, destination: 0x5555_6666_7777_8888,
            count: 0x9999, value: .max)
        descriptor.detail = kind == .xor ? SIMD4(1, 2, 3, 4) : .zero
        #expect(unsafe any.enqueue(descriptor, tag: 0xffff_fffe) == .accepted)
        any.issuePending()
        #expect(
            any.next()
                == Completion(
                    tag: 0xffff_fffe, status: .writeFailed, deviceStatus: 0xdead, isPeriod: true, residue: 5, value: 6))
        #expect(any.next() == nil)
    }

    @Test("a device's status word accompanies the channel's status, in the completion and in its error")
    func deviceStatus() throws {
        var channel = try place.channel(ScriptedEngine())
        unsafe channel.withUnsafeEngine {
            $0.ending = Completion(tag: 0, status: .readFailed, deviceStatus: 0x4281, residue: 64, value: 5)
        }
        #expect(try submit(&channel) == nil)
        channel.issuePending()
        guard let finished = channel.soon() else { throw NotFinished() }
        #expect(finished.status == .readFailed)
        #expect(finished.deviceStatus == 0x4281)
        let found = finished.error
        let error = try #require(found)
        #expect(error.code == .engineFailed && error.deviceStatus == 0x4281 && error.errno == 5)
        #expect("\(error)".contains("0x4281"), "\(error)")
        #expect("\(error)".contains("errno 5"), "\(error)")
    }

    @Test("a success with a device status is a success, and keeps the word")
    func warning() throws {
        var channel = try place.channel(ScriptedEngine())
        unsafe channel.withUnsafeEngine { $0.ending = Completion(tag: 0, deviceStatus: 7) }
        #expect(try submit(&channel) == nil)
        channel.issuePending()
        guard let finished = channel.soon() else { throw NotFinished() }
        #expect(finished.status == .complete && finished.deviceStatus == 7 && finished.error == nil)
    }

    @Test("a device that is gone ends every wait, and returns the memory if it has stopped")
    func goneAndStopped() async throws {
        var channel = try place.channel(ScriptedEngine())
        let cookie = try channel.submit(.copy(), try place.two(64)).get()
        channel.issuePending()
        unsafe channel.withUnsafeEngine { $0.isGone = true }
        let finished = try await channel.finished(cookie)
        #expect(finished.status == .deviceGone)
        #expect(finished.error?.code == .deviceGone)
        #expect(refusal { () throws(DMAError) in _ = try channel.wait(until: .never) } == .deviceGone)
        #expect(try submit(&channel) == .deviceGone)
        #expect(refusal { () throws(DMAError) in try channel.pause() } == .deviceGone)
    }

    @Test("a device that is gone and has not stopped: waits end with the error, the memory stays")
    func goneAndRunning() async throws {
        do {
            var engine = ScriptedEngine()
            engine.stops = false
            var channel = try place.channel(engine)
            let cookie = try channel.submit(.copy(), try place.two(64)).get()
            channel.issuePending()
            unsafe channel.withUnsafeEngine { $0.isGone = true }
            do {
                _ = try await channel.finished(cookie)
                Issue.record("it finished")
            } catch { #expect(error.code == .deviceGone) }
            do {
                try await channel.drain { (_, _) throws(DMAError) in true }
                Issue.record("drained")
            } catch { #expect(error.code == .deviceGone) }
            #expect(refusal { () throws(DMAError) in _ = try channel.wait(until: .never) } == .deviceGone)
            #expect(place.domain.statistics.mappings == 2)
        }
        #expect(place.domain.statistics.mappings == 2, "memory was given back under a device that runs")
        try unsafe Quarantine.unsafeReleaseAll(of: place.domain.id)
        #expect(place.domain.statistics.mappings == 0)
    }

    @Test("an engine that does not stop is informed, and quarantined with the cargo; it ends when the quarantine is released")
    func parked() throws {
        let log = ScriptedEngine.Log()
        do {
            var engine = ScriptedEngine(log: log)
            engine.stops = false
            var channel = try place.channel(engine)
            _ = try channel.submit(.copy(), try place.two(64)).get()
            channel.issuePending()
        }
        #expect(log.events == ["terminate", "quiesce", "parked"])
        #expect(place.domain.statistics.mappings == 2 && place.domain.statistics.quarantined == 1)
        try unsafe Quarantine.unsafeReleaseAll(of: place.domain.id)
        #expect(log.events.last == "end")
        #expect(place.domain.statistics.mappings == 0)
    }

    @Test("a cargo's code cannot prevent it: the channel quarantines what it cannot stop")
    func cargoDecidesNothing() throws {
        struct Lazy: ~Copyable, Cargo {
            var mapped: MappedBuffer
            var regionCount: Int { 1 }
            @_lifetime(borrow self)
            func region(at index: Int) -> Region { mapped.region(at: index) }
        }
        do {
            var engine = ScriptedEngine()
            engine.stops = false
            var channel = try Channel(engine, domain: place.domain, of: Lazy.self)
            _ = try channel.submit(.fill(pattern: 7), Lazy(mapped: try place.buffer(4096, .fromDevice))).get()
            channel.issuePending()
        }
        #expect(place.domain.statistics.mappings == 1, "unmapped while the device runs")
        let entries = Quarantine.entries.filter { $0.domain == place.domain.id }
        #expect(entries.count == 1 && entries[0].bytes == 4096 && entries[0].ranges[0].access == .write)
        try unsafe Quarantine.unsafeReleaseAll(of: place.domain.id)
    }

    @Test("an engine on CPU addresses is refused for a domain that translates, and one of another domain everywhere")
    func addressing() throws {
        final class NullBackend: MappingBackend {
            func map(at iova: IOVA, _ source: MappingSource, count: UInt64, access: DeviceAccess) throws(DMAError) {}
            func unmap(at iova: IOVA, count: UInt64) throws(DMAError) -> UInt64 { count }
        }
        let translated = try Domain(
            name: "iommu", translation: .translated(NullBackend(), apertures: [0x10000...0xfffff], pageSizes: [4096]))
        func open(_ addressing: EngineAddressing, _ domain: Domain) -> DMAError.Code? {
            refusal { () throws(DMAError) in
                var engine = ScriptedEngine()
                engine.addressing = addressing
                _ = try Channel(engine, domain: domain, of: Two.self)
            }
        }
        #expect(open(.cpu, translated) == .foreignEngine)
        #expect(open(.bus(translated.id), translated) == nil)
        #expect(open(.bus(translated.id), place.domain) == .foreignEngine)
        #expect(open(.cpu, place.domain) == nil)
    }

    @Test("an engine's own settings, directly and through AnyEngine")
    func settings() throws {
        let log = ScriptedEngine.Log()
        var channel = try place.channel(ScriptedEngine(log: log))
        try channel.apply(ScriptedEngine.Settings(rate: 48_000))
        #expect(refusal { () throws(DMAError) in try channel.apply(ScriptedEngine.Settings(rate: .max)) } == .badConfiguration)
        var any = try place.channel(AnyEngine(ScriptedEngine(log: log)))
        try any.apply(AnySettings(ScriptedEngine.Settings(rate: 44_100)))
        #expect(refusal { () throws(DMAError) in try any.apply(AnySettings(1)) } == .foreignSettings)
        #expect(log.events == ["rate 48000", "rate 44100"])
    }

    @Test("out-of-order reports of an in-order engine are counted, whether the order is known statically or at run time")
    func order() throws {
        var channel = try place.channel(AnyEngine(HostileEngine(.reversesOrder)))
        for _ in 0..<4 { #expect(try submitAny(&channel) == nil) }
        channel.issuePending()
        #expect(channel.all(50).count == 4)
        #expect(channel.faults.outOfOrder > 0)
    }

    @Test("a deadline long past is late at once, by as much as fits", arguments: [Int64.min, Int64.min + 1, -1])
    func longPast(nanoseconds: Int64) throws {
        var channel = try place.channel(ScriptedEngine())
        _ = try channel.submit(Transaction(.copy(), try place.two(64), deadline: .after(nanoseconds: nanoseconds))).get()
        let found = channel.nextLate()
        let late = try #require(found)
        #expect(late.lateness > 0)
        channel.issuePending()
        guard let finished = channel.soon() else { throw NotFinished() }
        #expect(finished.lateness > 0)
    }

    @Test("a cookie that was never assigned is distinguished from one whose completion was taken")
    func cookies() throws {
        var one = try place.channel(ScriptedEngine())
        var two = try place.channel(ScriptedEngine())
        let first = try one.submit(.copy(), try place.two(64)).get()
        #expect(refusal { () throws(DMAError) in _ = try two.status(of: first) } == .unknownCookie)
        one.issuePending()
        #expect(one.soonStatus() == .complete)
        #expect(refusal { () throws(DMAError) in _ = try one.status(of: first) } == .staleCookie)
    }

    @Test("work queued when the channel was terminated is not started by a later issuePending")
    func issueWhileTerminating() throws {
        var channel = try place.channel(ScriptedEngine())
        let cookie = try channel.submit(.copy(), try place.two(64)).get()
        channel.terminateAsync()
        channel.issuePending()
        unsafe channel.withUnsafeEngine { engine in
            engine.periods = [Completion(tag: UInt32(truncatingIfNeeded: cookie.rawValue))]
        }
        channel.poll()
        #expect(channel.faults.beforeIssue == 1, "a completion of what was never issued was believed")
        try channel.synchronize()
        #expect(channel.soonStatus() == .aborted)
    }

    @Test(
        "out of order, at full depth: every slot is used, a refusal is a refusal, and nothing is lost",
        arguments: [1, 2, 64, 32_768])
    func fullDepth(depth: Int) throws {
        var channel = try Channel(ShuffledEngine(depth: depth), domain: place.domain, of: NoCargo.self)
        var last = try channel.submit(.null(flags: []), NoCargo()).get()
        for _ in 1..<depth {
            let cookie = try channel.submit(.null(flags: []), NoCargo()).get()
            #expect(cookie > last)
            last = cookie
        }
        #expect(channel.submit(.null(flags: []), NoCargo()).refusal() == .queueFull)
        channel.issuePending()
        var taken = Set<Cookie>()
        for _ in 0..<(3 * depth + 100) {
            guard let finished = channel.next() else { throw NotFinished() }
            let isNew = taken.insert(finished.cookie).inserted
            #expect(isNew)
            let cookie = try channel.submit(.null(flags: []), NoCargo()).get()
            #expect(cookie > last)
            last = cookie
            channel.issuePending()
        }
        #expect(channel.all(2 * depth).count == depth)
        #expect(channel.inFlight == 0 && channel.faults.total == 0, "\(channel.faults)")
    }

    @Test("memory of a device that is proved gone leaves the quarantine, and no other memory does")
    func deadBackend() throws {
        final class Backend: MappingBackend, @unchecked Sendable {
            var isDead = false
            func map(at iova: IOVA, _ source: MappingSource, count: UInt64, access: DeviceAccess) throws(DMAError) {}
            func unmap(at iova: IOVA, count: UInt64) throws(DMAError) -> UInt64 { throw DMAError(.backendFailed, errno: 19) }
        }
        let backend = Backend()
        let domain = try Domain(
            name: "gone", translation: .translated(backend, apertures: [0x10000...0xfffff], pageSizes: [4096]))
        let mapped = try Buffer(count: 4096).mapped(for: domain, direction: .fromDevice)
        do throws(DMAError) {
            _ = try mapped.unmap()
            Issue.record("unmapped")
        } catch { #expect(error.code == .backendFailed) }
        func parked() -> Int { Quarantine.entries.count { $0.domain == domain.id } }
        #expect(parked() == 1)
        #expect(refusal { () throws(DMAError) in _ = try unsafe Quarantine.unsafeReleaseAll(of: domain.id) } == .backendFailed)
        Quarantine.releaseDead()
        #expect(parked() == 1, "a backend that still refuses has proved nothing")
        backend.isDead = true
        Quarantine.releaseDead()
        #expect(parked() == 0)
        #expect(domain.statistics.mappings == 0)
        // From then on an unmap that the kernel refuses is unnecessary.
        let later = try Buffer(count: 4096).mapped(for: domain, direction: .fromDevice)
        _ = try later.unmap()
    }
}

/// Completes issued transactions in its own order.
private struct ShuffledEngine: ~Copyable, Engine {
    let capabilities: Capabilities
    let addressing = EngineAddressing.cpu
    private var tags: [UInt32] = []
    private var issued = 0
    private var seed: UInt64 = 88_172_645_463_325_252

    init(depth: Int) {
        var capabilities = Capabilities(name: "shuffled", operations: [.null], depth: depth)
        capabilities.completesInOrder = false
        self.capabilities = capabilities
    }
    @unsafe mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        tags.append(tag)
        return .accepted
    }
    mutating func issuePending() { issued = tags.count }
    mutating func next() -> Completion? {
        guard issued > 0 else { return nil }
        seed ^= seed << 13
        seed ^= seed >> 7
        seed ^= seed << 17
        tags.swapAt(Int(seed % UInt64(issued)), issued - 1)
        issued -= 1
        return Completion(tag: tags.remove(at: issued))
    }
    mutating func terminate() {}
    mutating func quiesce(by deadline: Deadline) -> Bool {
        (tags, issued) = ([], 0)
        return true
    }
}
