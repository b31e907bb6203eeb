// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAEngineKit
import ScriptedEngines
import Testing

/// Rules 1 to 15, each with the simplest engine that can exercise it. The conformance suite checks them on every engine.
@Suite("Channel rules 1–15")
struct RuleTests {
    let place = Place()

    @Test("rule 1: a channel's end stops running work and unmaps it")
    func rule01_endOfScope() throws {
        do {
            var channel = try place.channel(QueuePairEngine())
            for _ in 0..<4 { _ = try channel.submit(.copy(), try place.two()).get() }
            channel.issuePending()
            #expect(place.domain.statistics.mappings == 8)
        }
        #expect(place.domain.statistics.mappings == 0)
        #expect(place.domain.statistics.quarantined == 0)
    }

    @Test("rule 2: a configuration is checked, and applies to later transactions only")
    func rule02_configuration() throws {
        var memory = try place.channel(RingEngine(entries: 4))
        #expect(refusal { () throws(DMAError) in try memory.configure(EngineConfiguration()) } == .notPeripheral)
        var channel = try Channel(try ChainEngine(domain: place.domain), domain: place.domain, of: MappedBuffer.self)
        #expect(refusal { () throws(DMAError) in try channel.configure(EngineConfiguration(priority: 2)) } == .badConfiguration)
        #expect(
            refusal { () throws(DMAError) in try channel.configure(EngineConfiguration(width: 65_537)) } == .badConfiguration)
        #expect(
            refusal { () throws(DMAError) in try channel.configure(EngineConfiguration(peripheral: 9)) } == .badConfiguration)
        let far = channel.withEngine { $0.peripheral }
        for line in [0, 1] as [UInt32] {
            try channel.configure(EngineConfiguration(peripheral: line))
            _ = try channel.submit(.toPeripheral(0..<1), try place.buffer(64, .toDevice, filledWith: UInt8(line) + 1)).get()
        }
        channel.issuePending()
        #expect(channel.all().map(\.status) == [.complete, .complete])
        #expect(far.drain(line: 0) == [UInt8](repeating: 1, count: 64))
        #expect(far.drain(line: 1) == [UInt8](repeating: 2, count: 64))
    }

    @Test("rule 3: region numbers at the end of their range are refused and do not trap")
    func rule03_lastRegion() throws {
        var channel = try place.channel(QueuePairEngine())
        let last = UInt16.max
        do {
            let code = channel.submit(.copy(from: 0, to: last), try place.two()).refusal()
            #expect(code == .noSuchRegion)
        }
        do {
            let code = channel.submit(.copy(from: last, to: last), try place.two()).refusal()
            #expect(code == .noSuchRegion)
        }
        do {
            let code = channel.submit(.fill(last, pattern: 0), try place.two()).refusal()
            #expect(code == .noSuchRegion)
        }
        do {
            let code = channel.submit(.crc32c(of: last), try place.two()).refusal()
            #expect(code == .noSuchRegion)
        }
        do {
            let code = channel.submit(.pq(sources: 0..<1, p: last), try place.two()).refusal()
            #expect(code == .noSuchRegion)
        }
        do {
            let code = channel.submit(.pqValidate(sources: 0..<1, p: last - 1), try place.two()).refusal()
            #expect(code == .noSuchRegion)
        }
    }

    @Test("rule 3: a list that names more regions than there are is refused")
    func rule03_longList() throws {
        var channel = try place.channel(QueuePairEngine())
        do {
            let code = channel.submit(.scatterGather(from: 0..<1, to: 1..<3), try place.two()).refusal()
            #expect(code == .noSuchRegion)
        }
        do {
            let code = channel.submit(.scatterGather(from: 0..<1, to: 1..<2), try place.two()).refusal()
            #expect(code == nil)
        }
    }

    @Test("rule 3: frames must match the engine's alignment and maximum transfer")
    func rule03_frames() throws {
        // The only engine with frames here accepts any alignment: the channel is made with one that declares another.
        var channel = try place.channel(AlignedEngine(alignment: 4, maximumCount: 8192))
        func asked(_ template: InterleavedTemplate) throws -> DMAError.Code? {
            channel.submit(.interleaved(template: template), try place.two()).refusal()
        }
        #expect(try asked(InterleavedTemplate(frames: 4, chunk: 1)) == .misaligned)
        #expect(try asked(InterleavedTemplate(frames: 2, chunk: 3, sourceGap: 2, destinationGap: 2)) == .misaligned)
        #expect(try asked(InterleavedTemplate(frames: 2, chunk: 4, sourceGap: 4, destinationGap: 4)) == nil)
        var still = InterleavedTemplate(frames: 4096, chunk: 16)
        still.sourceIncrements = false
        still.destinationIncrements = false
        #expect(try asked(still) == .sizeOverflow)
    }

    @Test("rule 4: a dropped transaction is unmapped, a refused one returned")
    func rule04_dropped() throws {
        _ = Transaction(.copy(), try place.two())
        #expect(place.domain.statistics.mappings == 0)
        var channel = try place.channel(RingEngine(entries: 4))
        switch channel.submit(.copy(count: 0), try place.two()) {
        case .queued: Issue.record("accepted")
        case .refused(_, let cargo): #expect(try cargo.first.holds(7))
        }
    }

    @Test("rule 5: submit starts nothing")
    func rule05_queuesOnly() throws {
        var channel = try place.channel(QueuePairEngine())
        let cookie = try channel.submit(.copy(), try place.two()).get()
        #expect(channel.all(200).isEmpty)
        #expect(try channel.status(of: cookie) == .queued)
        channel.issuePending()
        guard let finished = channel.soon() else { throw NotFinished() }
        #expect(try finished.cargo.second.holds(7))
    }

    @Test("rule 5: work held back by a fence and not issued stays back when the fence ends")
    func rule05_behindFence() throws {
        var channel = try place.channel(QueuePairEngine())
        let fenced = try channel.submit(.copy(flags: .fence), try place.two()).get()
        let issued = try channel.submit(.copy(), try place.two()).get()
        channel.issuePending()
        let unissued = try channel.submit(.copy(), try place.two()).get()
        #expect(channel.all().map(\.cookie) == [fenced, issued])
        #expect(try channel.status(of: unissued) == .queued)
        #expect(channel.faults.total == 0)
        channel.issuePending()
        #expect(channel.all().map(\.cookie) == [unissued])
    }

    @Test("rule 6: from submit on the channel owns the mapping")
    func rule06_ownership() throws {
        var channel = try place.channel(RingEngine(entries: 4))
        _ = try channel.submit(.copy(), try place.two()).get()
        #expect(channel.inFlight == 1)
        #expect(place.domain.statistics.mappings == 2)
        channel.issuePending()
        do {
            guard let finished = channel.soon() else { throw NotFinished() }
            #expect(channel.inFlight == 0)
            _ = finished.takeCargo()
        }
        #expect(place.domain.statistics.mappings == 0)
    }

    @Test("rule 7: issuePending starts what is queued, in order")
    func rule07_issue() throws {
        var channel = try place.channel(RingEngine(entries: 8))
        var cookies: [Cookie] = []
        for _ in 0..<5 { cookies.append(try channel.submit(.copy(), try place.two()).get()) }
        channel.issuePending()
        for _ in 0..<2 { cookies.append(try channel.submit(.copy(), try place.two()).get()) }
        #expect(channel.all(100).map(\.cookie) == Array(cookies.prefix(5)))
        channel.issuePending()
        #expect(channel.all(100).map(\.cookie) == Array(cookies.suffix(2)))
    }

    @Test("rule 8: cookies increase, and end with their completion")
    func rule08_cookies() throws {
        var channel = try place.channel(RingEngine(entries: 4))
        var last: UInt64 = 0
        for _ in 0..<50 {
            let cookie = try channel.submit(.copy(), try place.two()).get()
            #expect(cookie.rawValue > last)
            last = cookie.rawValue
            channel.issuePending()
            _ = channel.soon()
            #expect(refusal { () throws(DMAError) in _ = try channel.status(of: cookie) } == .staleCookie)
        }
    }

    @Test("rule 9: an out-of-order engine declares it, and each status is right")
    func rule09_anyOrder() throws {
        var channel = try place.channel(QueuePairEngine(seed: 5))
        #expect(!channel.capabilities.completesInOrder)
        var cookies: [Cookie] = []
        for _ in 0..<16 { cookies.append(try channel.submit(.copy(), try place.two()).get()) }
        channel.issuePending()
        let order = channel.all().map(\.cookie)
        #expect(order != cookies, "this seed keeps the order, and shows nothing")
        #expect(order.sorted() == cookies)
        #expect(channel.faults.total == 0)
    }

    @Test("rule 10: a transaction goes through its states")
    func rule10_states() throws {
        var channel = try place.channel(try ChainEngine(domain: place.domain))
        let cookie = try channel.submit(.copy(), try place.two(65_536)).get()
        #expect(try channel.status(of: cookie) == .queued)
        channel.issuePending()
        #expect(try channel.status(of: cookie) == .inProgress)
        try channel.pause()
        #expect(try channel.status(of: cookie) == .paused)
        try channel.resume()
        while try channel.status(of: cookie) == .inProgress {}
        #expect(try channel.status(of: cookie) == .complete)
        _ = channel.soon()
        let dropped = try channel.submit(.copy(), try place.two()).get()
        channel.terminateAsync()
        #expect(try channel.status(of: dropped) == .aborted)
    }

    @Test("rules 11 and 12: callbacks run only in runCallbacks, and submit more")
    func rule11_rule12_callbacks() throws {
        final class Log { var rounds = 0, isInside = false }
        let log = Log()
        var channel = CallbackChannel(try place.channel(QueuePairEngine()))
        func round(_ finished: consuming Finished<Two>, _ channel: inout CallbackChannel<QueuePairEngine, Two>) {
            #expect(log.isInside)
            log.rounds += 1
            if log.rounds < 5 {
                _ = channel.submit(.copy(), finished.takeCargo(), callback: round)
                channel.issuePending()
            }
        }
        _ = try channel.submit(.copy(), try place.two(), callback: round).get()
        channel.issuePending()
        for _ in 0..<1000 {
            log.isInside = true
            channel.runCallbacks()
            log.isInside = false
        }
        #expect(log.rounds == 5)
    }

    @Test(
        "rule 13: a failure carries its result and residue", arguments: [TransactionStatus.readFailed, .writeFailed, .failed])
    func rule13_result(status: TransactionStatus) throws {
        var channel = try place.channel(try ChainEngine(domain: place.domain))
        unsafe channel.withUnsafeEngine { $0.failNext(status) }
        for _ in 0..<2 { _ = try channel.submit(.copy(), try place.two()).get() }
        channel.issuePending()
        guard let first = channel.soon(), let second = channel.soon() else { throw NotFinished() }
        #expect(first.status == status && first.residue == 4096)
        #expect(second.status == .complete && second.residue == 0)
        #expect(try second.cargo.second.holds(7))
    }

    @Test("rule 14: interrupts for transactions with the flag; polling finds the others")
    func rule14_interrupts() throws {
        var channel = try place.channel(QueuePairEngine())
        _ = try channel.submit(.copy(), try place.two()).get()
        channel.issuePending()
        #expect(channel.soonStatus() == .complete)
        #expect(channel.interruptCount == 0)
        _ = try channel.submit(.copy(flags: .interrupt), try place.two()).get()
        channel.issuePending()
        let woke = try channel.wait(until: .after(milliseconds: 5000))
        #expect(woke)
        #expect(channel.soonStatus() == .complete)
        #expect(channel.interruptCount == 1)
    }

    @Test("rule 14: a wait for work behind a fence does not sleep past the fence's end", .timeLimit(.minutes(1)))
    func rule14_behindFence() async throws {
        var channel = try place.channel(QueuePairEngine())
        for turn in 0..<2 {
            _ = try channel.submit(.copy(flags: .fence), try place.two(65_536)).get()
            let held = try channel.submit(.copy(flags: .interrupt), try place.two()).get()
            channel.issuePending()
            if turn == 0 {
                let cookie = try await channel.finished(held).cookie
                #expect(cookie == held)
            } else {
                let woke = try channel.wait(until: .after(milliseconds: 5000))
                #expect(woke)
            }
            while channel.soon(2000) != nil {}
        }
        #expect(channel.faults.total == 0)
    }

    @Test("rule 15: the engine continues while completions wait to be taken")
    func rule15_goesOn() throws {
        var channel = try place.channel(QueuePairEngine())
        var cookies: [Cookie] = []
        for _ in 0..<6 { cookies.append(try channel.submit(.copy(), try place.two()).get()) }
        channel.issuePending()
        for _ in 0..<2000 { channel.poll() }
        for cookie in cookies { #expect(try channel.status(of: cookie) == .complete) }
        #expect(channel.inFlight == 6)
    }
}

/// A queue pair behind narrower capabilities, to test which requests the channel refuses.
struct AlignedEngine: ~Copyable, Engine {
    var addressing: EngineAddressing { base.addressing }
    var isGone: Bool { base.isGone }
    mutating func willBeParked() { base.willBeParked() }
    var base = QueuePairEngine()
    let alignment: UInt64
    let maximumCount: UInt64
    init(alignment: UInt64, maximumCount: UInt64) {
        self.alignment = alignment
        self.maximumCount = maximumCount
    }
    var capabilities: Capabilities {
        var capabilities = base.capabilities
        capabilities.alignment = alignment
        capabilities.maximumCount = maximumCount
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
