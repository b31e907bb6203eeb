// SPDX-License-Identifier: Apache-2.0

import DMACore
import ScriptedEngines
import Testing

/// A hostile engine: the channel does not trap, does not hang, returns no cargo twice, frees nothing that was not stopped, and
/// counts each violation.
@Suite("Hostile engines", .serialized)
struct HostileTests {
    let place = Place()

    /// The outcome of eight transactions: how each ended, and the channel's count of faults.
    private func run(_ misdeed: Misdeed) throws -> (endings: [TransactionStatus], residues: [UInt64], faults: EngineFaults) {
        var channel = try place.channel(HostileEngine(misdeed))
        var submitted: Set<Cookie> = []
        for _ in 0..<8 {
            if case .queued(let cookie) = channel.submit(.copy(), try place.two()) { submitted.insert(cookie) }
        }
        channel.issuePending()
        var endings: [TransactionStatus] = []
        var residues: [UInt64] = []
        var seen: Set<Cookie> = []
        for _ in 0..<2000 {
            guard let finished = channel.next() else { continue }
            let cookie = finished.cookie
            #expect(submitted.contains(cookie), "a cookie that was never given out")
            #expect(seen.insert(cookie).inserted, "cookie \(cookie.rawValue) came out twice")
            #expect(finished.residue <= 4096)
            endings.append(finished.status)
            residues.append(finished.residue)
            // The cargo is whole, and belongs to the client alone.
            #expect(try finished.cargo.first.holds(7))
        }
        let polls = channel.withEngine { $0.polls }
        #expect(polls < 2000 * 64, "\(polls) questions for 2,000 polls")
        if misdeed != .refusesToQuiesce {
            try channel.terminateSync()
            while let finished = channel.soon(20) {
                #expect(seen.insert(finished.cookie).inserted, "an aborted transaction came out twice")
                if misdeed != .floods { #expect(finished.status == .aborted) }
            }
            #expect(seen == submitted, "\(submitted.count - seen.count) transactions are lost")
            #expect(channel.inFlight == 0)
        }
        return (endings, residues, channel.faults)
    }

    @Test("each violation is counted in its own counter, and does no harm")
    func counted() throws {
        var (endings, residues, faults) = try run(.completesTwice)
        #expect(endings.count == 8 && faults.notInFlight == 8)
        (endings, residues, faults) = try run(.neverCompletes)
        #expect(endings.isEmpty && faults.total == 0)
        (endings, residues, faults) = try run(.reversesOrder)
        #expect(endings.count == 8 && faults.outOfOrder >= 1)
        (endings, residues, faults) = try run(.unknownTags)
        #expect(endings.isEmpty && faults.unknownTag == 8)
        (endings, residues, faults) = try run(.staleTags)
        #expect(endings.isEmpty && faults.notInFlight == 8)
        (endings, residues, faults) = try run(.foreignSlots)
        #expect(faults.total >= 1)
        (endings, residues, faults) = try run(.hugeResidue)
        #expect(residues == [UInt64](repeating: 4096, count: 8) && faults.badResidue == 8)
        (endings, residues, faults) = try run(.badStatus)
        #expect(endings == [TransactionStatus](repeating: .failed, count: 8) && faults.badStatus == 8)
        (endings, residues, faults) = try run(.unfinishedStatus)
        #expect(endings == [TransactionStatus](repeating: .failed, count: 8) && faults.badStatus == 8)
        (endings, residues, faults) = try run(.contradicts)
        #expect(endings == [TransactionStatus](repeating: .failed, count: 8) && faults.badResidue == 8)
        (endings, residues, faults) = try run(.reportsPeriods)
        #expect(endings.isEmpty)
        (endings, residues, faults) = try run(.floods)
        #expect(faults.total > 1000)
        (endings, residues, faults) = try run(.refusesToEnqueue)
        #expect(faults.refusedEnqueue >= 1)
    }

    @Test("rule 5: a completion before the issue is ignored")
    func rule05_beforeIssue() throws {
        var channel = try place.channel(HostileEngine(.completesBeforeIssue))
        let cookie = try channel.submit(.copy(), try place.two()).get()
        #expect(channel.all(100).isEmpty)
        #expect(try channel.status(of: cookie) == .queued)
        #expect(channel.faults.beforeIssue == 1)
        try channel.terminateSync()
        #expect(channel.soonStatus() == .aborted)
    }

    @Test("rule 16: a completion after termination is dropped, also when the slot was reused")
    func rule16_late() throws {
        var channel = try place.channel(HostileEngine(.completesAfterTermination))
        for _ in 0..<8 { _ = try channel.submit(.copy(), try place.two()).get() }
        channel.issuePending()
        try channel.terminateSync()
        #expect(channel.all(50).map(\.status) == [TransactionStatus](repeating: .aborted, count: 8))
        // The same slots, with other cookies.
        for _ in 0..<8 { _ = try channel.submit(.copy(), try place.two()).get() }
        channel.issuePending()
        unsafe channel.withUnsafeEngine { $0.releaseLate() }
        #expect(channel.all(50).isEmpty)
        #expect(channel.faults.notInFlight == 8)
        try channel.terminateSync()
        #expect(channel.all(50).count == 8)
    }

    @Test("rule 18: memory that cannot be stopped is quarantined, neither unmapped nor freed")
    func rule18_quarantine() throws {
        let before = Quarantine.entries.count { $0.domain == place.domain.id }
        do {
            var channel = try place.channel(HostileEngine(.refusesToQuiesce))
            for _ in 0..<3 { _ = try channel.submit(.copy(), try place.two()).get() }
            channel.issuePending()
            #expect(
                refusal { () throws(DMAError) in try channel.terminateSync(by: .after(milliseconds: 1)) } == .quiesceTimeout)
            #expect(channel.faults.didNotQuiesce == 1)
            #expect(channel.all(10).isEmpty, "memory came back that a device may still write")
            do {
                let code = channel.submit(.copy(), try place.two()).refusal()
                #expect(code == .terminating)
            }
            // The call can be repeated.
            #expect(refusal { () throws(DMAError) in try channel.synchronize(by: .after(milliseconds: 1)) } == .quiesceTimeout)
            #expect(place.domain.statistics.mappings == 6)
        }
        let parked = Quarantine.entries.filter { $0.domain == place.domain.id }
        #expect(parked.count - before == 1, "one entry for what one channel left")
        #expect(place.domain.statistics.mappings == 6, "quarantined memory was unmapped")
        #expect(parked.allSatisfy { $0.ranges.count == 6 && $0.bytes == 6 * 4096 })
        // This engine only reported it: nothing accesses the memory.
        #expect(try unsafe Quarantine.unsafeReleaseAll(of: place.domain.id) == 1)
        #expect(place.domain.statistics.mappings == 0)
    }

    @Test("rule 19: a pause that the engine refuses is an error, and changes nothing")
    func rule19_refused() throws {
        var channel = try place.channel(HostileEngine(.refusesToPause))
        #expect(refusal { () throws(DMAError) in try channel.pause() } == .engineFailed)
        #expect(channel.channelState == .running)
        #expect(refusal { () throws(DMAError) in try channel.resume() } == .notPaused)
    }

    @Test("rule 20: a residue larger than the transaction is clamped to its length", arguments: Misdeed.allCases)
    func rule20_bounded(misdeed: Misdeed) throws {
        // SAFETY: the engine moves nothing. The remains that it refuses to stop are quarantined when the channel ends, before
        // this.
        defer { _ = try? unsafe Quarantine.unsafeReleaseAll(of: place.domain.id) }
        var channel = try place.channel(HostileEngine(misdeed))
        let cookie = try channel.submit(.copy(), try place.two()).get()
        #expect(try channel.residue(of: cookie) == 4096)
        #expect(channel.faults.badResidue == 1)
        _ = try? channel.terminateSync(by: .after(milliseconds: 1))
        while channel.soon(20) != nil {}
        if misdeed == .refusesToQuiesce { return }
        #expect(channel.inFlight == 0)
    }

    @Test("rule 22: unbounded period counts do not break a ring")
    func rule22_periods() throws {
        let channel = try Channel(HostileEngine(.reportsPeriods), domain: place.domain, of: MappedBuffer.self)
        var ring = try CyclicRing(channel, ring: try place.buffer(4096, .fromDevice), period: 1024)
        #expect(try ring.completed() == .max)
        #expect(try ring.withNextPeriod { _ in true } == .overrun(.max - 3))
        for _ in 0..<10 { _ = try ring.withNextPeriod { _ in true } }
        #expect(ring.lost >= .max - 3)
        _ = try ring.stop()
    }

    @Test("await on an engine that never completes ends with the task", arguments: [Misdeed.neverCompletes, .floods])
    func awaiting(misdeed: Misdeed) async {
        let domain = place.domain
        let task = Task { () -> DMAError.Code? in
            do throws(DMAError) {
                var channel = try Place.channel(HostileEngine(misdeed), in: domain)
                let cookie = try channel.submit(.null(), NoCargo()).get()
                // A flood may guess the tag; it is complete then.
                _ = try await channel.finished(cookie)
                return nil
            } catch { return error.code }
        }
        try? await Task.sleep(nanoseconds: 5_000_000)
        task.cancel()
        let code = await task.value
        #expect(code == .cancelled || (misdeed == .floods && code == nil))
    }
}

extension Place {
    static func channel(_ engine: consuming HostileEngine, in domain: Domain) throws(DMAError) -> Channel<
        HostileEngine, NoCargo
    > {
        try Channel(engine, domain: domain, of: NoCargo.self)
    }
}
