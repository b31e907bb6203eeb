// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAEngineKit
import ScriptedEngines
import Testing

/// Rules 16 to 28, each with the simplest engine that can exercise it.
@Suite("Channel rules 16–28")
struct LaterRuleTests {
    let place = Place()

    @Test("rule 16: transactions that did not complete are aborted, once, in order")
    func rule16_aborted() throws {
        var channel = try place.channel(try ChainEngine(entries: 16, domain: place.domain))
        var cookies: [Cookie] = []
        for _ in 0..<10 { cookies.append(try channel.submit(.copy(), try place.two()).get()) }
        channel.issuePending()
        for _ in 0..<4 { channel.poll() }
        try channel.terminateSync()
        let endings = channel.all(100)
        #expect(endings.map(\.cookie) == cookies)
        let complete = endings.prefix { $0.status == .complete }.count
        #expect(complete < 10)
        #expect(endings.dropFirst(complete).allSatisfy { $0.status == .aborted })
        #expect(channel.inFlight == 0 && channel.faults.total == 0)
    }

    @Test("rule 16: a wait on a terminated channel is an error and does not block for ever", .timeLimit(.minutes(1)))
    func rule16_waitAfterTerminate() async throws {
        var channel = try place.channel(QueuePairEngine())
        for flags in [DescriptorFlags(), .interrupt] {
            let cookie = try channel.submit(.copy(flags: flags), try place.two(65_536)).get()
            channel.terminateAsync()
            do throws(DMAError) {
                _ = try await channel.finished(cookie)
                Issue.record("finished")
            } catch { #expect(error.code == .terminating) }
            try channel.synchronize()
            let status = try await channel.finished(cookie).status
            #expect(status == .aborted)
        }
    }

    @Test("rule 17: terminateAsync from a callback; terminateSync there is an error")
    func rule17_callback() throws {
        final class Log { var codes: [DMAError.Code] = [], endings: [TransactionStatus] = [] }
        let log = Log()
        var channel = CallbackChannel(try place.channel(try ChainEngine(domain: place.domain)))
        for _ in 0..<3 {
            let submission = channel.submit(.copy(), try place.two()) { finished, channel in
                log.endings.append(finished.status)
                do throws(DMAError) { try channel.terminateSync() } catch { log.codes.append(error.code) }
                channel.terminateAsync()
            }
            _ = try submission.get()
        }
        channel.issuePending()
        while log.endings.isEmpty { channel.runCallbacks() }
        #expect(log.codes.first == .calledFromCallback)
        try channel.synchronize()
        #expect(log.endings == [.complete, .aborted, .aborted] || log.endings == [.complete, .complete, .aborted])
    }

    @Test("rule 18: terminated memory is returned after synchronize, not before")
    func rule18_synchronize() throws {
        var channel = try place.channel(QueuePairEngine())
        _ = try channel.submit(.copy(), try place.two(1 << 20)).get()
        channel.issuePending()
        channel.terminateAsync()
        #expect(place.domain.statistics.mappings == 2)
        do {
            let code = channel.submit(.copy(), try place.two()).refusal()
            #expect(code == .terminating)
        }
        try channel.synchronize()
        #expect(channel.all(20).map(\.status) == [.aborted] || channel.inFlight == 0)
        #expect(place.domain.statistics.mappings == 0)
        #expect(place.domain.statistics.quarantined == 0)
    }

    @Test("rule 18: a cancelled wait leaves the cargo with the channel", .timeLimit(.minutes(1)))
    func rule18_cancelled() async throws {
        let domain = place.domain
        let task = Task { () -> (DMAError.Code?, Int, TransactionStatus?) in
            do throws(DMAError) {
                var channel = try Channel(HostileEngine(.neverCompletes), domain: domain, of: Two.self)
                let cookie = try channel.submit(.copy(), try Place(domain: domain).two()).get()
                do throws(DMAError) {
                    _ = try await channel.finished(cookie)
                    return (nil, 0, nil)
                } catch {
                    let left = channel.inFlight
                    try channel.terminateSync()
                    guard let finished = try channel.take(cookie) else { return (error.code, left, nil) }
                    return (error.code, left, finished.status)
                }
            } catch { return (error.code, -1, nil) }
        }
        task.cancel()
        let (code, left, status) = await task.value
        #expect(code == .cancelled && left == 1 && status == .aborted)
        #expect(domain.statistics.mappings == 0)
    }

    @Test("rule 19: pause and resume; errors where they are not supported")
    func rule19_pause() throws {
        var plain = try place.channel(RingEngine(entries: 4))
        #expect(refusal { () throws(DMAError) in try plain.pause() } == .notPausable)
        #expect(refusal { () throws(DMAError) in try plain.resume() } == .notPausable)
        var channel = try place.channel(try ChainEngine(domain: place.domain))
        #expect(refusal { () throws(DMAError) in try channel.resume() } == .notPaused)
        for _ in 0..<4 { _ = try channel.submit(.copy(), try place.two(16_384)).get() }
        channel.issuePending()
        for _ in 0..<5 { channel.poll() }
        try channel.pause()
        let paused = channel.all(200).count
        #expect(paused < 4)
        try channel.resume()
        #expect(channel.all().count == 4 - paused)
        channel.terminateAsync()
        #expect(refusal { () throws(DMAError) in try channel.pause() } == .terminating)
    }

    @Test("rule 19: a wait on a paused channel throws, because only its owner could resume it", .timeLimit(.minutes(1)))
    func rule19_waits() async throws {
        var channel = try place.channel(try ChainEngine(domain: place.domain))
        for _ in 0..<4 { _ = try channel.submit(.copy(), try place.two(16_384)).get() }
        let last = try channel.submit(.copy(), try place.two(16_384)).get()
        channel.issuePending()
        for _ in 0..<5 { channel.poll() }
        try channel.pause()
        var ended = 0
        do throws(DMAError) {
            _ = try await channel.finished(last)
            Issue.record("it ended on a paused channel")
        } catch { #expect(error.code == .paused) }
        do throws(DMAError) {
            try await channel.drain { (_, _) throws(DMAError) in
                ended += 1
                return true
            }
            Issue.record("nothing was left on a paused channel")
        } catch { #expect(error.code == .paused) }
        try channel.resume()
        try await channel.drain { (_, _) throws(DMAError) in
            ended += 1
            return true
        }
        #expect(ended == 5)
        // With nothing in flight there is nothing to wait for.
        try channel.pause()
        try await channel.drain { (_, _) throws(DMAError) in true }
        var lent = try Channel(try ChainEngine(domain: place.domain), domain: place.domain, of: Loan.self)
        var target = try Buffer(count: 4096).mapped(for: place.domain, direction: .fromDevice)
        try lent.pause()
        do throws(DMAError) {
            try await lent.fill(&target, pattern: 1)
            Issue.record("a paused channel has filled")
        } catch { #expect(error.code == .paused) }
        #expect(lent.inFlight == 0)
        try lent.resume()
        try await lent.fill(&target, pattern: 1)
        _ = try target.unmap()
    }

    @Test("rules 20 and 21: a residue in its granularity, for its own cookie")
    func rule20_rule21_residue() throws {
        var channel = try place.channel(try ChainEngine(domain: place.domain))
        let long = try channel.submit(.copy(), try place.two(65_536)).get()
        let short = try channel.submit(.copy(), try place.two(64)).get()
        #expect(try channel.residue(of: long) == 65_536)
        #expect(try channel.residue(of: short) == 64)
        channel.issuePending()
        while try channel.status(of: long) == .inProgress {
            // A query polls, so that it may have ended by now; but the residue is never in between.
            #expect([0, 65_536].contains(try channel.residue(of: long)), "this engine knows descriptors alone")
        }
        #expect(try channel.residue(of: long) == 0)
        var fine = try place.channel(QueuePairEngine())
        let cookie = try fine.submit(.copy(), try place.two(65_536)).get()
        fine.issuePending()
        var values: [UInt64] = []
        while try fine.status(of: cookie) == .inProgress { values.append(try fine.residue(of: cookie)) }
        #expect(values == values.sorted(by: >))
        #expect(Set(values).count > 4, "a burst's granularity shows no progress")
    }

    @Test("rule 22: a ring that overruns reports and counts it; one in time is intact")
    func rule22_overrun() throws {
        let engine = CyclicEngine()
        let device = engine.device
        let channel = try Channel(engine, domain: place.domain, of: MappedBuffer.self)
        var ring = try CyclicRing(channel, ring: try place.buffer(4096, .fromDevice), period: 1024)
        device.advance(1024)
        #expect(try ring.withNextPeriod { view in view[1023] == CyclicDevice.captured(at: 1023) } == .intact(true))
        #expect(try ring.withNextPeriod { _ in true } == .empty)
        device.advance(6 * 1024)
        #expect(try ring.withNextPeriod { _ in true } == .overrun(3))
        #expect(ring.lost == 3)
        #expect(try ring.withNextPeriod { view in view[0] == CyclicDevice.captured(at: view.index * 1024) } == .intact(true))
        let back = try ring.stop().takeMemory()
        #expect(back.count == 4096)
    }

    @Test("rule 22: a period must match the engine's alignment")
    func rule22_alignment() throws {
        var channel = try Channel(AlignedCyclic(), domain: place.domain, of: MappedBuffer.self)
        let odd = channel.submit(.cyclic(period: 2, direction: .fromDevice), try place.buffer(4096, .fromDevice)).refusal()
        #expect(odd == .misaligned)
        let right = channel.submit(.cyclic(period: 1024, direction: .fromDevice), try place.buffer(4096, .fromDevice)).refusal()
        #expect(right == nil)
    }

    @Test("rule 23: frames with gaps, on either side or neither", arguments: 0..<4)
    func rule23_frames(gaps: Int) throws {
        var channel = try place.channel(QueuePairEngine())
        let template = InterleavedTemplate(
            frames: 4, chunk: 16, sourceGap: gaps & 1 == 1 ? 48 : 0, destinationGap: gaps & 2 == 2 ? 16 : 0)
        _ = try channel.submit(.interleaved(template: template), try place.two(256, from: 7, to: 1)).get()
        channel.issuePending()
        guard let finished = channel.soon() else { throw NotFinished() }
        let written = try finished.cargo.second.withCPUAccess { span throws(DMAError) in
            (0..<span.byteCount).filter { unsafe span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) == 7 }
        }
        #expect(written == (0..<4).flatMap { frame in (0..<16).map { frame * Int(template.destinationStride) + $0 } })
    }

    @Test("rule 24: an extension that comes too late restarts the chain; nothing is lost, nothing run twice")
    func rule24_extension() throws {
        var channel = try place.channel(try ChainEngine(entries: 8, seed: 9, domain: place.domain))
        var submitted: [Cookie] = []
        var finished: [Cookie] = []
        while submitted.count < 400 {
            if case .queued(let cookie) = channel.submit(.copy(), try place.two(256)) { submitted.append(cookie) }
            channel.issuePending()
            // At least one poll for each submission, or a full queue would stay full.
            for _ in 0...submitted.count % 3 { if let one = channel.next() { finished.append(one.cookie) } }
        }
        finished += channel.all().map(\.cookie)
        #expect(finished == submitted)
        let restarts = channel.withEngine { $0.restarts }
        #expect(restarts > 0, "the race did not occur")
        #expect(restarts < 400, "the chain was never extended while it ran")
    }

    @Test("rule 25: a descriptor is kept until its completion is taken, and is used again where supported")
    func rule25_reuse() throws {
        var channel = try place.channel(QueuePairEngine(entries: 4))
        for _ in 0..<4 { _ = try channel.submit(.copy(), try place.two()).get() }
        channel.issuePending()
        for _ in 0..<2000 { channel.poll() }
        do {
            let code = channel.submit(.copy(), try place.two()).refusal()
            #expect(code == .queueFull)
        }
        guard let first = channel.soon() else { throw NotFinished() }
        switch channel.resubmit(first) {
        case .queued: Issue.record("reused without the flag")
        case .refused(let error, _): #expect(error.code == .notReusable)
        }
        while channel.soon(500) != nil {}
        var last = try channel.submit(.copy(flags: .reuse), try place.two()).get()
        for _ in 0..<10 {
            channel.issuePending()
            guard let finished = channel.soon() else { throw NotFinished() }
            let next = try channel.resubmit(finished).get()
            #expect(next > last)
            last = next
        }
    }

    @Test("rule 26: nothing submitted after a fence ends before it", arguments: 1...8 as ClosedRange<UInt64>)
    func rule26_fence(seed: UInt64) throws {
        var channel = try place.channel(QueuePairEngine(seed: seed))
        var cookies: [Cookie] = []
        for index in 0..<8 {
            cookies.append(
                try channel.submit(.copy(flags: index == 2 ? .fence : []), try place.two(index == 2 ? 65_536 : 64)).get())
        }
        channel.issuePending()
        let order = channel.all().map(\.cookie)
        #expect(order.count == 8)
        guard let fence = order.firstIndex(of: cookies[2]) else { throw NotFinished() }
        #expect(order[..<fence].allSatisfy { $0 < cookies[2] })
    }

    @Test("rule 27: which of P and Q failed", arguments: 0..<4 as Range<UInt64>)
    func rule27_validation(broken: UInt64) throws {
        var channel = try Channel(QueuePairEngine(), domain: place.domain, of: CargoList<MappedBuffer>.self)
        var cargo = CargoList<MappedBuffer>(capacity: 4)
        // P of 7 and 9 is 14; Q is 7 + 2·9 = 7 ^ 18 = 21.
        for value in [7, 9, 14 + (broken & 1), 21 + (broken >> 1 & 1)] as [UInt64] {
            _ = cargo.append(try place.buffer(64, .toDevice, filledWith: UInt8(value)))
        }
        _ = try channel.submit(.pqValidate(sources: 0..<2, p: 2), cargo).get()
        channel.issuePending()
        #expect(channel.soonValue() == broken)
    }

    @Test("rule 28: metadata lives as long as its descriptor, and belongs to no other")
    func rule28_metadata() throws {
        // One slot, so that each descriptor reuses the previous one's metadata.
        var channel = try place.channel(QueuePairEngine(entries: 1))
        let bytes: [UInt8] = .init(repeating: 0xab, count: 8)
        // Bytes have no padding: their span may be read raw.
        let first = try unsafe channel.submit(.copy(), try place.two(), metadata: bytes.span.bytes).get()
        #expect(refusal { () throws(DMAError) in try channel.withMetadata(of: first) { _ in } } == .metadataInUse)
        channel.issuePending()
        #expect(channel.soonCookie() == first)
        #expect(refusal { () throws(DMAError) in try channel.withMetadata(of: first) { _ in } } == .staleCookie)
        let second = try channel.submit(.copy(), try place.two()).get()
        let stale = try channel.withMetadata(of: second) { span in
            (0..<span.byteCount).contains { unsafe span.bytes.unsafeLoad(fromByteOffset: $0, as: UInt8.self) != 0 }
        }
        #expect(!stale, "the first descriptor's metadata can be read in the second's")
        let long: [UInt8] = .init(repeating: 1, count: 17)
        do {
            let code = unsafe channel.submit(.copy(), try place.two(), metadata: long.span.bytes).refusal()
            #expect(code == .noMetadata)
        }
    }
}

/// A ring whose device requires aligned periods; it runs nothing.
struct AlignedCyclic: ~Copyable, Engine {
    var addressing: EngineAddressing { base.addressing }
    var isGone: Bool { base.isGone }
    mutating func willBeParked() { base.willBeParked() }
    var base = CyclicEngine()
    var capabilities: Capabilities {
        var capabilities = base.capabilities
        capabilities.alignment = 64
        return capabilities
    }
    @unsafe mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        unsafe base.enqueue(descriptor, tag: tag)
    }
    mutating func issuePending() { base.issuePending() }
    mutating func next() -> Completion? { base.next() }
    mutating func terminate() { base.terminate() }
    mutating func quiesce(by deadline: Deadline) -> Bool { base.quiesce(by: deadline) }
}
