// SPDX-License-Identifier: Apache-2.0

#if Logging && Metrics && ServiceLifecycle
    import CoreMetrics
    import DMACPUEngine
    import DMACore
    import DMALogging
    import DMAMetrics
    import DMAServiceLifecycle
    import Logging
    import MetricsTestKit
    import ScriptedEngines
    import ServiceLifecycle
    import Synchronization
    import Testing

    /// Records log messages.
    final class LogBook: Sendable {
        struct Entry: Sendable {
            let level: Logger.Level
            let message: String
            let metadata: Logger.Metadata
            let file: String
            let line: UInt
        }
        private let entries = Locked<[Entry]>([])

        var all: [Entry] { entries.withLock { $0 } }
        func add(_ entry: Entry) { entries.withLock { $0.append(entry) } }

        var logger: Logger { Logger(label: "test") { _ in Handler(book: self) } }

        struct Handler: LogHandler {
            let book: LogBook
            var logLevel = Logger.Level.trace
            var metadata: Logger.Metadata = [:]
            subscript(metadataKey key: String) -> Logger.Metadata.Value? {
                get { metadata[key] }
                set { metadata[key] = newValue }
            }

            func log(event: LogEvent) {
                book.add(
                    Entry(
                        level: event.level, message: "\(event.message)", metadata: event.metadata ?? [:], file: event.file,
                        line: event.line))
            }
        }
    }

    @Suite("Adapters", .serialized)
    struct AdapterTests {
        typealias Copies = Pair<MappedBuffer, MappedBuffer>

        static func channel(_ domain: Domain) throws(DMAError) -> Channel<CPUEngine, Copies> {
            try Channel(try CPUEngine(CPUConfiguration(depth: 8)), domain: domain, of: Copies.self)
        }

        static func cargo(_ domain: Domain, _ count: Int = 4096) throws(DMAError) -> Copies {
            Pair(
                try Buffer(count: count).mapped(for: domain, direction: .toDevice),
                try Buffer(count: count).mapped(for: domain, direction: .fromDevice))
        }

        // MARK: swift-log

        @Test("a sanitizer's report is logged with its identifier, its rule and the source locations")
        func sanitizer() async throws {
            // The sanitizer is a global of the process.
            await #expect(processExitsWith: .success) {
                let book = LogBook()
                Sanitizer.enable(logger: book.logger)
                let domain = Domain(name: "log")
                do {
                    // No part of this mapping ends before its domain is closed.
                    let kept = try Buffer(count: 64).mapped(for: domain, direction: .toDevice)
                    _ = try? domain.close()
                    _ = try kept.unmap()
                }
                let entry = try #require(book.all.first)
                #expect(entry.level == .error)
                #expect(entry.metadata["dma.rule"] == "33")
                #expect(entry.metadata["dma.sanitizer"] != nil)
                #expect(entry.metadata["dma.mapping"]?.description.contains("AdapterTests.swift:") == true)
            }
        }

        @Test("an engine's faults are logged once, with their number")
        func faults() throws {
            let book = LogBook()
            let domain = Domain(name: "faults")
            let engine = FlawedEngine(QueuePairEngine(entries: 16, seed: 3), .completesTwice)
            var channel = try Channel(engine, domain: domain, of: Copies.self)
            var log = FaultLog("flawed/0", logger: book.logger)
            #expect(log.look(at: channel) == 0)
            for _ in 0..<4 {
                _ = try channel.submit(.copy(), try Self.cargo(domain)).get()
                channel.issuePending()
                let limit = Deadline.after(milliseconds: 60_000)
                while channel.inFlight > 0, Deadline.now < limit { _ = channel.next() }
            }
            channel.poll()
            let counted = channel.faults.total
            #expect(counted > 0)
            let logged = log.look(at: channel)
            #expect(logged == counted)
            #expect(log.look(at: channel) == 0)
            let entry = try #require(book.all.first)
            #expect(book.all.count == 1)
            #expect(entry.level == .warning)
            #expect(entry.metadata["dma.channel"] == "flawed/0")
            #expect(entry.metadata["dma.fault"] == "notInFlight")
            #expect(entry.metadata["dma.count"] == "\(counted)")
        }

        // MARK: swift-metrics

        @Test("completions are counted by status and bytes, latencies are timed, the rest is read from the channel")
        func metrics() throws {
            let test = TestMetrics()
            let domain = Domain(name: "metrics")
            var channel = try Self.channel(domain)
            var metrics = ChannelMetrics("cpu/0", factory: test)
            let began = Deadline.now
            for _ in 0..<3 { _ = try channel.submit(.copy(count: 1000), try Self.cargo(domain)).get() }
            metrics.look(at: channel)
            #expect(try test.expectGauge("dma_in_flight", [("channel", "cpu/0")]).lastValue == 3)
            channel.issuePending()
            let limit = Deadline.after(milliseconds: 60_000)
            while channel.inFlight > 0, Deadline.now < limit {
                if let finished = channel.next() { metrics.note(finished, count: 1000, submitted: began) }
            }
            _ = try channel.submit(.copy(), try Self.cargo(domain)).get()
            try channel.terminateSync()
            while let finished = channel.next() { metrics.note(finished, count: 4096) }
            metrics.look(at: channel)
            let complete = try test.expectCounter("dma_transactions", [("channel", "cpu/0"), ("status", "complete")])
            #expect(complete.totalValue == 3)
            let aborted = try test.expectCounter("dma_transactions", [("channel", "cpu/0"), ("status", "aborted")])
            #expect(aborted.totalValue == 1)
            #expect(try test.expectCounter("dma_bytes", [("channel", "cpu/0")]).totalValue == 3000)
            // No transaction ends as queued.
            #expect(throws: (any Error).self) {
                _ = try test.expectCounter("dma_transactions", [("channel", "cpu/0"), ("status", "queued")])
            }
            let times = try test.expectTimer("dma_latency", [("channel", "cpu/0")]).values
            #expect(times.count == 3 && times.allSatisfy { $0 >= 0 })
            #expect(try test.expectGauge("dma_in_flight", [("channel", "cpu/0")]).lastValue == 0)
            #expect(try test.expectCounter("dma_engine_faults", [("channel", "cpu/0")]).totalValue == 0)
        }

        // MARK: swift-service-lifecycle

        @Test("a graceful shutdown finishes the transactions in flight, and the service ends")
        func gracefulShutdown() async throws {
            let domain = Domain(name: "service")
            let box = Counts()
            let service = ChannelService<CPUEngine, Copies>(
                open: { () throws(DMAError) in try Self.channel(domain) },
                turn: { channel in
                    while channel.inFlight < 4 { _ = try channel.submit(.copy(), try Self.cargo(domain)).get() }
                    channel.issuePending()
                    if channel.next() != nil { box.taken.wrappingAdd(1, ordering: .relaxed) }
                    // Four are in flight, or three.
                    box.turns.wrappingAdd(1, ordering: .relaxed)
                    return true
                },
                rest: { finished in box.note(finished.status) })
            let group = ServiceGroup(services: [service], logger: LogBook().logger)
            async let running: Void = group.run()
            let limit = Deadline.after(milliseconds: 60_000)
            while box.turns.load(ordering: .relaxed) < 20, Deadline.now < limit { try await Task.sleep(for: .milliseconds(1)) }
            await group.triggerGracefulShutdown()
            try await running
            #expect(box.taken.load(ordering: .relaxed) > 0)
            #expect((3...4).contains(box.restComplete.load(ordering: .relaxed)))
            #expect(box.restAborted.load(ordering: .relaxed) == 0)
        }

        @Test("transactions that do not end in time are aborted, and their memory is returned")
        func impatient() async throws {
            let domain = Domain(name: "impatient")
            let box = Counts()
            // Demand mode on a line that is never raised: the transfers never move.
            let service = ChannelService<PacedEngine<CPUEngine>, Copies>(
                patience: 1_000_000,
                open: { () throws(DMAError) in
                    let paced = try PacedEngine(try CPUEngine(CPUConfiguration(depth: 8)), mode: .demand(DemandLine()))
                    return try Channel(paced, domain: domain, of: Copies.self)
                },
                turn: { channel in
                    for _ in 0..<3 { _ = try channel.submit(.copy(), try Self.cargo(domain)).get() }
                    return false
                },
                rest: { finished in box.note(finished.status) })
            try await service.run()
            #expect(box.restAborted.load(ordering: .relaxed) == 3)
            #expect(box.restComplete.load(ordering: .relaxed) == 0)
        }

        @Test("a cancellation does not wait for a transfer that would never end", .timeLimit(.minutes(1)))
        func cancelledWhileEnding() async throws {
            let domain = Domain(name: "cancelled")
            let box = Counts()
            let service = ChannelService<PacedEngine<CPUEngine>, Copies>(
                patience: 3_600_000_000_000,
                open: { () throws(DMAError) in
                    let paced = try PacedEngine(try CPUEngine(CPUConfiguration(depth: 8)), mode: .demand(DemandLine()))
                    return try Channel(paced, domain: domain, of: Copies.self)
                },
                turn: { channel in
                    _ = try channel.submit(.copy(), try Self.cargo(domain)).get()
                    box.turns.store(1, ordering: .relaxed)
                    return false
                },
                rest: { finished in box.note(finished.status) })
            let running = Task { try await service.run() }
            let limit = Deadline.after(milliseconds: 30_000)
            while box.turns.load(ordering: .relaxed) == 0, Deadline.now < limit { try await Task.sleep(for: .milliseconds(1)) }
            // It now waits for the transfer, up to an hour.
            try await Task.sleep(for: .milliseconds(50))
            running.cancel()
            try await running.value
            #expect(box.restAborted.load(ordering: .relaxed) == 1)
        }

        @Test("bytes that moved before a failure count")
        func partial() throws {
            let test = TestMetrics()
            let domain = Domain(name: "partial")
            let metrics = ChannelMetrics("paced/0", factory: test)
            let line = DemandLine()
            let paced = try PacedEngine(try CPUEngine(CPUConfiguration(depth: 8)), mode: .demand(line), quantum: 1024)
            var channel = try Channel(paced, domain: domain, of: Copies.self)
            let cookie = try channel.submit(.copy(), try Self.cargo(domain)).get()
            channel.issuePending()
            line.request(1024)
            let limit = Deadline.after(milliseconds: 30_000)
            while try channel.residue(of: cookie) == 4096, Deadline.now < limit { channel.poll() }
            try channel.terminateSync()
            guard let finished = channel.next() else {
                Issue.record("nothing was returned")
                return
            }
            metrics.note(finished, count: 4096)
            let status = finished.status
            #expect(status == .aborted)
            #expect(try test.expectCounter("dma_bytes", [("channel", "paced/0")]).totalValue == 1024)
        }

        @Test("an error thrown by a turn is rethrown after everything was returned")
        func failing() async throws {
            let domain = Domain(name: "failing")
            let box = Counts()
            let service = ChannelService<CPUEngine, Copies>(
                open: { () throws(DMAError) in try Self.channel(domain) },
                turn: { channel in
                    _ = try channel.submit(.copy(), try Self.cargo(domain)).get()
                    throw DMAError(.engineFailed)
                },
                rest: { _ in box.restAborted.wrappingAdd(1, ordering: .relaxed) })
            await #expect(throws: DMAError(.engineFailed)) { try await service.run() }
            #expect(box.restAborted.load(ordering: .relaxed) == 1)
        }

        final class Counts: Sendable {
            let turns = Atomic<Int>(0)
            let taken = Atomic<Int>(0)
            let restComplete = Atomic<Int>(0)
            let restAborted = Atomic<Int>(0)

            func note(_ status: TransactionStatus) {
                if status == .complete {
                    restComplete.wrappingAdd(1, ordering: .relaxed)
                } else {
                    restAborted.wrappingAdd(1, ordering: .relaxed)
                }
            }
        }
    }
#endif
