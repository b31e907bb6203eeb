// SPDX-License-Identifier: Apache-2.0

import DMACore

/// Operations whose other side is no memory.
extension Bench where E: ~Copyable {
    func peripheral() throws(DMAError) {
        if provisions.storage != nil { try plainOperation(.peripheral) }
        guard let provide = provisions.peripheral else {
            return provisions.storage == nil ? skip("the maker gave no peripheral") : ()
        }
        var channel = try open()
        // SAFETY: the maker's function neither exchanges the engine nor stops it or takes its completions.
        let device = unsafe channel.withUnsafeEngine { provide(&$0) }
        guard let line = device.lines.first else { return skip("the peripheral has no request line") }
        try channel.configure(EngineConfiguration(peripheral: line))
        let unit = max(unit, device.unit)
        try repeatedly { number throws(DMAError) in
            let count = max(length(atMost: largest / 2) / unit, 1) * unit
            let parts = cut(count, pieces: min(capabilities.maximumSegments, 6))
            let stream = random.bytes(count)
            let sends = number % 2 == 0
            parameters = "\(sends ? "to" : "from") a peripheral, \(parts)"
            var cargo = Freight(capacity: parts.count)
            var start = 0
            for part in parts {
                let image = sends ? Array(stream[start..<start + part]) : random.bytes(part)
                _ = cargo.append(try Plan.mapped(image, sends ? .toDevice : .fromDevice, for: suite.domain))
                start += part
            }
            let range = 0..<UInt16(parts.count)
            let cookie = try channel.submit(sends ? .toPeripheral(range) : .fromPeripheral(range), cargo).get()
            channel.issuePending()
            if !sends { try starve(&channel, device, line, stream, cookie) }
            let finished = try nextFinished(&channel)
            expect(
                finished.status == .complete && finished.residue == 0, "ended as \(finished.status), \(finished.residue) left")
            var moved: [UInt8] = []
            if sends {
                moved = device.drain(line: line)
            } else {
                for index in parts.indices {
                    moved +=
                        try finished.cargo.elements.withElement(at: index) { buffer throws(DMAError) in
                            try buffer.withCPUAccess { span throws(DMAError) in span.copied() }
                        } ?? []
                }
            }
            expect(moved == stream, "\(moved.count) bytes arrived, not the \(count) that were sent")
            countBytes(count)
        }
        close(channel)
    }

    /// Feeds the peripheral in two portions: between them the transfer waits, and says how much is left.
    private func starve(
        _ channel: inout Channel<E, Freight>, _ device: any ConformancePeripheral, _ line: UInt32, _ stream: [UInt8],
        _ cookie: Cookie
    ) throws(DMAError) {
        let half = stream.count / 2 / device.unit * device.unit
        device.feed(Array(stream[..<half]), line: line)
        if half < stream.count {
            linger(&channel, 100)
            expect(try channel.status(of: cookie) == .inProgress, "over with half of its bytes")
            let residue = try channel.residue(of: cookie)
            expect(
                residue >= UInt64(stream.count - half),
                "\(residue) bytes left, though \(stream.count - half) were not there yet")
        }
        device.feed(Array(stream[half...]), line: line)
    }

    /// A flush ends by itself, with nothing left; a command that the engine does not have is refused.
    func command() throws(DMAError) {
        try storageCommands()
        guard let provide = provisions.peripheral else {
            return provisions.storage == nil ? skip("the maker gave no peripheral") : ()
        }
        var channel = try open()
        // SAFETY: the maker's function neither exchanges the engine nor stops it or takes its completions.
        let device = unsafe channel.withUnsafeEngine { provide(&$0) }
        guard let line = device.lines.first else { return skip("the peripheral has no request line") }
        try channel.configure(EngineConfiguration(peripheral: line))
        for command in PeripheralCommand.allCases where !capabilities.commands.contains(PeripheralCommandSet(command)) {
            switch channel.submit(.command(command, count: UInt64(unit)), Freight(capacity: 0)) {
            case .queued: expect(false, "\(command): accepted")
            case .refused(let error, _): expect(error.code == .unsupportedCommand, "\(command): \(error.code)")
            }
        }
        guard capabilities.commands.contains(PeripheralCommandSet(.flush)) else { return close(channel) }
        try repeatedly { _ throws(DMAError) in
            let cookie = try channel.submit(.command(.flush), Freight(capacity: 0)).get()
            channel.issuePending()
            let finished = try nextFinished(&channel)
            expect(
                finished.cookie == cookie && finished.status == .complete && finished.residue == 0,
                "a flush ended as \(finished.status), error \(finished.errno)")
        }
        close(channel)
    }

    // MARK: Cyclic

    /// A ring without a client: rules 16, 18, 19 and 22 on a transaction that never ends by itself.
    func rule22() throws(DMAError) {
        guard capabilities.operations.contains(.cyclic) else { return skip("no cyclic transfers") }
        guard provisions.stream != nil || provisions.ringsRunFreely else {
            return skip("the maker gave no stream, and rings do not run by themselves")
        }
        var channel = try open()
        // SAFETY: the maker's function neither exchanges the engine nor stops it or takes its completions.
        let stream = provisions.stream.map { provide in unsafe channel.withUnsafeEngine { provide(&$0) } }
        let period = 64 * unit
        for _ in 0..<2 {
            var cargo = Freight(capacity: 1)
            let image = random.bytes(4 * period)
            _ = cargo.append(try Plan.mapped(image, .fromDevice, for: suite.domain))
            let cookie = try channel.submit(.cyclic(period: UInt64(period), direction: .fromDevice), cargo).get()
            expect(try channel.periodCount(of: cookie) == 0, "periods before issuePending")
            channel.issuePending()
            if let stream {
                // Seven passes and a bit: it does not end by itself.
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
        guard let provide = provisions.stream else { return skip("the maker gave no stream") }
        try repeatedly(min(suite.iterations, 6)) { _ throws(DMAError) in
            try capture(provide)
            try playback(provide)
        }
    }

    private func capture(_ provide: (inout E) -> any ConformanceStream) throws(DMAError) {
        var channel = try Channel(try make(), domain: suite.domain, of: MappedBuffer.self)
        // SAFETY: the maker's function neither exchanges the engine nor stops it or takes its completions.
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
            // Never so far that the ring overruns: those come below.
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
                let outcome = try ring.withNextPeriod { view -> Bool in
                    (0..<period).allSatisfy { view[$0] == stream.captured(at: view.index * UInt64(period) + UInt64($0)) }
                }
                expect(outcome == .intact(true), "period \(ring.taken - 1): \(outcome)")
                countBytes(period)
            }
        }
        try overruns(&ring, stream, period, number, &moved)
        let back = try ring.stop(by: .after(nanoseconds: suite.patience)).takeMemory()
        expect(back.count == period * number, "another ring came back")
    }

    /// Behind by a whole ring and more: counted, said, and then right again. And once under the client's eyes.
    private func overruns(
        _ ring: inout CyclicRing<E>, _ stream: any ConformanceStream, _ period: Int, _ number: Int, _ moved: inout Int
    ) throws(DMAError) {
        let count = period * (number + random.int(0...3 * number)) + random.int(0...period - 1)
        stream.advance(count)
        moved += count
        let behind = UInt64(moved / period) - ring.taken
        let lost = behind - UInt64(number) + 1
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
        expect(torn == .overrun(1), "overrun under the client's eyes: \(torn)")
        expect(ring.lost == lost + 1, "\(ring.lost) lost are counted, \(lost + 1) expected")
        countBytes(2 * period)
    }

    private func playback(_ provide: (inout E) -> any ConformanceStream) throws(DMAError) {
        var channel = try Channel(try make(), domain: suite.domain, of: MappedBuffer.self)
        // SAFETY: the maker's function neither exchanges the engine nor stops it or takes its completions.
        let stream = unsafe channel.withUnsafeEngine { provide(&$0) }
        let period = random.int(4...100) * unit
        let number = random.int(3...8)
        parameters = "playback, \(number) periods of \(period) bytes"
        var expected = random.bytes(period * number)
        let memory = try Plan.mapped(expected, .toDevice, for: suite.domain)
        var ring = try CyclicRing(channel, ring: memory, period: period)
        for _ in 0..<3 * number {
            stream.advance(period)
            // What was played may be written anew, and will be played a round later.
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
