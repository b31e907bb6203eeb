// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAEngineKit

/// Rule 22 and the check of cyclic transfers.
extension SuiteRun where E: ~Copyable {
    /// A ring without a client: rules 16, 18, 19 and 22 on a transaction that never ends on its own.
    func rule22() throws(DMAError) {
        guard capabilities.operations.contains(.cyclic) else { return skip(lacks(.cyclic)) }
        guard provisions.stream != nil || provisions.ringsRunFreely else {
            return skip(lacks(provision: "stream") + ", and ringsRunFreely is false")
        }
        var channel = try open()
        // SAFETY: the provider's function neither replaces the engine nor stops it or takes its completions.
        let stream = provisions.stream.map { provide in unsafe channel.withUnsafeEngine { provide(&$0) } }
        let period = 64 * unit
        for _ in 0..<2 {
            var cargo = Freight(capacity: 1)
            let image = random.bytes(4 * period)
            _ = cargo.append(try Plan.mapped(image, .fromDevice, for: suite.domain))
            let cookie = try channel.submit(.cyclic(period: period, direction: .fromDevice), cargo).get()
            expect(try channel.periodCount(of: cookie) == 0, "periods before issuePending")
            channel.issuePending()
            if let stream {
                // Seven passes and one period: it does not end on its own.
                stream.advance(7 * 4 * period + period)
            }
            let ran = try waits(&channel) { channel throws(DMAError) in
                try channel.periodCount(of: cookie) >= (stream == nil ? 3 : 29)
            }
            let periods = try channel.periodCount(of: cookie)
            expect(ran, "\(periods) periods in \(suite.patience / 1_000_000) ms")
            if stream != nil { expect(periods == 29, "\(periods) periods, 29 expected") }
            expect(channel.next() == nil, "a cyclic transaction ended by itself")
            let residue = try channel.residue(of: cookie)
            expect(residue <= UInt64(4 * period), "more is left than the ring has")
            if stream != nil {
                expect(residue == UInt64(3 * period), "\(residue) bytes left of the pass, \(3 * period) expected")
            }
            if capabilities.canPause { try pauseRing(&channel, cookie, stream, period) }
            channel.terminateAsync()
            try channel.synchronize(by: .after(nanoseconds: suite.patience))
            let finished = try nextFinished(&channel)
            expect(finished.cookie == cookie && finished.status == .aborted, "ended as \(finished.status)")
            expect(channel.next() == nil, "ended twice")
            let cargo2 = finished.takeCargo()
            let left = try ringBytes(cargo2)
            stream?.advance(4 * period)
            linger(&channel, 50)
            expect(try ringBytes(cargo2) == left, "the ring was written after it had stopped")
            countBytes(left.count)
        }
        close(channel)
    }

    private func pauseRing(
        _ channel: inout Channel<E, Freight>, _ cookie: Cookie, _ stream: (any ConformanceStream)?, _ period: Int
    ) throws(DMAError) {
        try channel.pause()
        linger(&channel, 10)
        let before = try channel.periodCount(of: cookie)
        stream?.advance(2 * period)
        linger(&channel, 50)
        expect(try channel.periodCount(of: cookie) == before, "the ring moves while it is paused")
        try channel.resume()
        stream?.advance(period)
        let moved = try waits(&channel) { channel throws(DMAError) in try channel.periodCount(of: cookie) > before }
        expect(moved, "the ring does not move after a resume")
    }

    private func ringBytes(_ cargo: borrowing Freight) throws(DMAError) -> [UInt8] {
        try cargo.elements.withElement(at: 0) { buffer throws(DMAError) in
            try buffer.withCPUAccess { span throws(DMAError) in span.copied() }
        } ?? []
    }

    func cyclic() throws(DMAError) {
        guard let provide = provisions.stream else { return skip(lacks(provision: "stream")) }
        try repeatedly(min(suite.iterations, 6)) { _ throws(DMAError) in
            try capture(provide)
            try playback(provide)
            try race(provide)
        }
    }

    /// The hardware moves at every access of the engine, and while the client reads: a period reported as intact must be right,
    /// and all others must be counted.
    private func race(_ provide: (inout E) -> any ConformanceStream) throws(DMAError) {
        var channel = try Channel(try make(), domain: suite.domain, of: MappedBuffer.self)
        // SAFETY: the provider's closure only reads the engine, with nothing in flight.
        let stream = unsafe channel.withUnsafeEngine { provide(&$0) }
        let period = random.int(2...8) * unit
        let number = random.int(3...5)
        parameters = "a race, \(number) periods of \(period) bytes"
        let memory = try Plan.mapped(random.bytes(period * number), .fromDevice, for: suite.domain)
        var ring = try CyclicRing(channel, ring: memory, period: period)
        let rounds = "a ring that went round ten times while it was looked at"
        seek(rounds)
        var (released, intact) = (0, UInt64(0))
        for _ in 0..<2000 where wrong == 0 {
            let step = random.int(0...period * 2)
            stream.release(step)
            released += step
            let moves = random.once(in: 3) ? random.int(1...period * (number + 1)) : 0
            released += moves
            let half = period / 2
            let outcome = try ring.withNextPeriod { view -> Bool in
                func isRight(_ range: Range<Int>) -> Bool {
                    range.allSatisfy { view[$0] == stream.captured(at: view.index * UInt64(period) + UInt64($0)) }
                }
                let first = isRight(0..<half)
                stream.advance(moves)
                return isRight(half..<period) && first
            }
            switch outcome {
            case .empty: released -= moves
            case .intact(let isRight):
                expect(isRight, "period \(ring.taken - 1) was reported intact, and mixes two passes")
                intact += 1
            case .overrun: break
            case .ended: throw giveUp("the ring ended by itself")
            }
            let completed = try ring.completed()
            expect(completed <= UInt64(released / period), "\(completed) periods of \(released) bytes")
            expect(ring.taken <= completed, "\(ring.taken) periods taken of \(completed)")
            expect(ring.taken == intact + ring.lost, "\(intact) intact and \(ring.lost) lost of \(ring.taken)")
            if completed >= UInt64(10 * number) { meet(rounds) }
        }
        countBytes(Int(clamping: intact) * period)
        _ = try ring.stop(by: .after(nanoseconds: suite.patience))
    }

    private func capture(_ provide: (inout E) -> any ConformanceStream) throws(DMAError) {
        var channel = try Channel(try make(), domain: suite.domain, of: MappedBuffer.self)
        // SAFETY: the provider's function neither replaces the engine nor stops it or takes its completions.
        let stream = unsafe channel.withUnsafeEngine { provide(&$0) }
        let period = random.int(4...100) * unit
        let number = random.int(3...8)
        parameters = "capture, \(number) periods of \(period) bytes"
        let memory = try Plan.mapped(random.bytes(period * number), .fromDevice, for: suite.domain)
        var ring = try CyclicRing(channel, ring: memory, period: period)
        var moved = 0
        expect(try ring.withNextPeriod { _ in true } == .empty, "a period before the hardware moved")
        for _ in 0..<40 {
            let step = random.int(1...period * (number - 1))
            // Never so far that the ring overruns: overruns are tested below.
            let room = (Int(ring.taken) + number - 1) * period + period - 1 - moved
            let count = min(step, max(room, 0))
            stream.advance(count)
            moved += count
            let periods = try ring.completed()
            expect(periods == UInt64(moved / period), "\(periods) periods after \(moved) bytes")
            let residue = try ring.residue()
            let exact = UInt64(period * number - moved % (period * number))
            expect(
                residue >= exact && residue <= UInt64(period * number), "\(residue) bytes left of the pass, \(exact) expected")
            while ring.taken < UInt64(moved / period) {
                let before = ring.taken
                let outcome = try ring.withNextPeriod { view -> Bool in
                    (0..<period).allSatisfy { view[$0] == stream.captured(at: view.index * UInt64(period) + UInt64($0)) }
                }
                expect(outcome == .intact(true), "period \(ring.taken - 1): \(outcome)")
                countBytes(period)
                // A ring that has ended has no further period.
                guard ring.taken > before else { break }
            }
        }
        try overruns(&ring, stream, period, number, &moved)
        let back = try ring.stop(by: .after(nanoseconds: suite.patience)).takeMemory()
        expect(back.count == period * number, "another ring came back")
    }

    /// Behind by more than a whole ring: counted, reported, and correct afterwards. And once while the client reads.
    private func overruns(
        _ ring: inout CyclicRing<E>, _ stream: any ConformanceStream, _ period: Int, _ number: Int, _ moved: inout Int
    ) throws(DMAError) {
        let count = period * (number + random.int(0...3 * number)) + random.int(0...period - 1)
        stream.advance(count)
        moved += count
        // An engine that reports more periods than there were has the ring ahead of the stream.
        let behind = UInt64(moved / period) &- ring.taken
        let lost = behind &- UInt64(number) &+ 1
        let outcome = try ring.withNextPeriod { _ in true }
        expect(outcome == .overrun(lost), "\(outcome), \(lost) lost expected")
        expect(ring.lost == lost, "\(ring.lost) lost are counted, \(lost) expected")
        let next = try ring.withNextPeriod { view -> Bool in
            (0..<period).allSatisfy { view[$0] == stream.captured(at: view.index * UInt64(period) + UInt64($0)) }
        }
        expect(next == .intact(true), "after an overrun: \(next)")
        let torn = try ring.withNextPeriod { view -> Bool in
            stream.advance(period * number)
            return view[0] != nil
        }
        moved += period * number
        expect(torn == .overrun(1), "overrun while the client reads: \(torn)")
        expect(ring.lost == lost &+ 1, "\(ring.lost) lost are counted, \(lost &+ 1) expected")
        countBytes(2 * period)
    }

    private func playback(_ provide: (inout E) -> any ConformanceStream) throws(DMAError) {
        var channel = try Channel(try make(), domain: suite.domain, of: MappedBuffer.self)
        // SAFETY: the provider's function neither replaces the engine nor stops it or takes its completions.
        let stream = unsafe channel.withUnsafeEngine { provide(&$0) }
        let period = random.int(4...100) * unit
        let number = random.int(3...8)
        parameters = "playback, \(number) periods of \(period) bytes"
        var expected = random.bytes(period * number)
        let memory = try Plan.mapped(expected, .toDevice, for: suite.domain)
        var ring = try CyclicRing(channel, ring: memory, period: period)
        for _ in 0..<3 * number {
            stream.advance(period)
            // A played period may be overwritten, and is played again in the next pass.
            let image = random.bytes(period)
            let outcome = try ring.withNextPeriod { view in unsafe view.write(image.span.bytes) }
            expect(outcome == .intact(period), "a period to be written: \(outcome)")
            expected += image
        }
        let played = stream.played
        expect(played.count == 3 * number * period, "\(played.count) bytes played, \(3 * number * period) expected")
        expect(Array(expected.prefix(played.count)) == played, "what was played is not what was written")
        countBytes(played.count)
        _ = try ring.stop(by: .after(nanoseconds: suite.patience))
    }
}
