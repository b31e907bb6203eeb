// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMA
internal import DMACore

/// One channel of a measurement, from its making to its end. Everything happens on the thread, or in the task, that calls it.
struct Lane: Sendable {
    let point: BenchPoint
    let settings: BenchSettings
    let provider: any EngineProvider
    let offer: EngineOffer
    /// Which of the engine's channels, and which of the measurement's threads.
    let number: Int
    let stage: Stage
    let lastLevelCache: Int
    let demand: DemandLine?
    let processor: Int?

    var waits: CompletionWait { point.wait }

    /// On a thread of its own.
    func run() -> LaneTally {
        var tally = LaneTally()
        if let processor, !Processors.pin(processor) { tally.notes.append("processor \(processor) is not allowed: not pinned") }
        do throws(DMAError) {
            try drive(&tally)
        } catch {
            fail(&tally, error)
        }
        return tally
    }

    /// In a task.
    func runAwaiting() async -> LaneTally {
        var tally = LaneTally()
        do throws(DMAError) {
            try await driveAwaiting(&tally)
        } catch {
            fail(&tally, error)
        }
        return tally
    }

    private func fail(_ tally: inout LaneTally, _ error: DMAError) {
        tally.failure = error
        stage.callOff()
    }

    // MARK: Which types

    private func drive(_ tally: inout LaneTally) throws(DMAError) {
        let domain = Domain(name: offer.name, constraints: offer.constraints)
        let shape = try LaneShape(point, settings, offer.capabilities, cache: lastLevelCache)
        var memory = try LaneMemory(shape, domain, settings)
        tally.notes += shape.notes
        tally.inFlight = shape.inFlight
        guard let mode = point.mode.transferMode(demand) else {
            return try drive(try provider.open(offer, channel: number), domain, shape, &memory, &tally, duty: { _ in nil })
        }
        let paced = try PacedEngine(try provider.open(offer, channel: number), mode: mode)
        try drive(paced, domain, shape, &memory, &tally, duty: { $0.totalDuty })
    }

    private func drive<E: Engine & ~Copyable>(
        _ engine: consuming E, _ domain: Domain, _ shape: LaneShape, _ memory: inout LaneMemory, _ tally: inout LaneTally,
        duty: (borrowing E) -> (busy: Int64, elapsed: Int64)?
    ) throws(DMAError) {
        switch shape.operation {
        case .copy, .copyCRC32C, .interleaved:
            var channel = try Channel(engine, domain: domain.id, of: Pair<Block, Block>.self)
            try drive(&channel, shape, &tally, duty: duty) { () throws(DMAError) in
                Pair(try memory.sourceBlock(), try memory.destinationBlock())
            } check: { (cargo) throws(DMAError) in
                try Check.copied(cargo, shape)
            }
        case .fill, .crc32c:
            var channel = try Channel(engine, domain: domain.id, of: Block.self)
            try drive(&channel, shape, &tally, duty: duty) { () throws(DMAError) in
                shape.operation == .fill ? try memory.destinationBlock() : try memory.sourceBlock()
            } check: { (cargo) throws(DMAError) in
                try Check.filled(cargo, shape)
            }
        case .xor, .xorValidate, .pq, .pqValidate, .scatterGather:
            var channel = try Channel(engine, domain: domain.id, of: CargoList<Block>.self)
            try drive(&channel, shape, &tally, duty: duty) { () throws(DMAError) in
                try memory.list(shape)
            } check: { _ in
                (0, 0)
            }
        }
    }

    private func driveAwaiting(_ tally: inout LaneTally) async throws(DMAError) {
        let domain = Domain(name: offer.name, constraints: offer.constraints)
        let shape = try LaneShape(point, settings, offer.capabilities, cache: lastLevelCache)
        var memory = try LaneMemory(shape, domain, settings)
        tally.notes += shape.notes
        tally.inFlight = shape.inFlight
        // A burst in a paced engine goes straight through; a task's turn is one type less to compile.
        let mode = point.mode.transferMode(demand) ?? .burst
        let engine = try PacedEngine(try provider.open(offer, channel: number), mode: mode)
        switch shape.operation {
        case .copy, .copyCRC32C, .interleaved:
            var channel = try Channel(engine, domain: domain.id, of: Pair<Block, Block>.self)
            try await driveAwaiting(&channel, shape, &tally) { () throws(DMAError) in
                Pair(try memory.sourceBlock(), try memory.destinationBlock())
            } check: { (cargo) throws(DMAError) in
                try Check.copied(cargo, shape)
            }
        case .fill, .crc32c:
            var channel = try Channel(engine, domain: domain.id, of: Block.self)
            try await driveAwaiting(&channel, shape, &tally) { () throws(DMAError) in
                shape.operation == .fill ? try memory.destinationBlock() : try memory.sourceBlock()
            } check: { (cargo) throws(DMAError) in
                try Check.filled(cargo, shape)
            }
        case .xor, .xorValidate, .pq, .pqValidate, .scatterGather:
            var channel = try Channel(engine, domain: domain.id, of: CargoList<Block>.self)
            try await driveAwaiting(&channel, shape, &tally) { () throws(DMAError) in
                try memory.list(shape)
            } check: { _ in
                (0, 0)
            }
        }
    }

    // MARK: The measurement

    private var flags: DescriptorFlags { point.wait == .poll ? [] : .interrupt }

    private func drive<E: Engine & ~Copyable, C: Cargo & ~Copyable>(
        _ channel: inout Channel<E, C>, _ shape: LaneShape, _ tally: inout LaneTally,
        duty: (borrowing E) -> (busy: Int64, elapsed: Int64)?, cargo: () throws(DMAError) -> C,
        check: (borrowing C) throws(DMAError) -> (verified: Int, wrong: Int)
    ) throws(DMAError) {
        var client = LaneClient(
            shape, settings, flags: flags, depth: channel.capabilities.depth, mayIdle: point.mode.isPaced)
        for _ in 0..<shape.inFlight { try client.begin(&channel, try cargo()) }
        let sleeps = point.wait == .wait
        // Nobody asks for anything yet in demand mode, and a share is not to be used up before it counts.
        if !point.mode.isPaced {
            client.issue(&channel)
            client.end = Deadline.after(nanoseconds: Int64(settings.warmup * 1e9)).nanoseconds
            client.operations = 0
            try client.run(&channel, sleeps: sleeps, stamped: false)
            client.issue(&channel)
        }
        stage.arrive(for: .throughput)
        begin(&client, &tally)
        let dutyBefore = channel.withEngine { duty($0) }
        client.issue(&channel)
        try client.run(&channel, sleeps: sleeps, stamped: false)
        end(client, &tally)
        if let after = channel.withEngine({ duty($0) }), let before = dutyBefore {
            tally.duty = (after.busy - before.busy, after.elapsed - before.elapsed)
        }
        client.issue(&channel)
        stage.arrive(for: .latency)
        client.end = stage.end
        try client.run(&channel, sleeps: sleeps, stamped: true)
        finish(client, &tally)
        client.issue(&channel)
        try settle(&channel, shape, &tally, check)
    }

    private func driveAwaiting<E: Engine & ~Copyable, C: Cargo & ~Copyable>(
        _ channel: inout Channel<E, C>, _ shape: LaneShape, _ tally: inout LaneTally, cargo: () throws(DMAError) -> C,
        check: (borrowing C) throws(DMAError) -> (verified: Int, wrong: Int)
    ) async throws(DMAError) {
        var client = LaneClient(
            shape, settings, flags: flags, depth: channel.capabilities.depth, mayIdle: point.mode.isPaced)
        for _ in 0..<shape.inFlight { try client.begin(&channel, try cargo()) }
        client.issue(&channel)
        await stage.arrive(for: .throughput)
        begin(&client, &tally)
        try await client.runAwaiting(&channel, stamped: false)
        end(client, &tally)
        client.issue(&channel)
        await stage.arrive(for: .latency)
        client.end = stage.end
        try await client.runAwaiting(&channel, stamped: true)
        finish(client, &tally)
        client.issue(&channel)
        try settle(&channel, shape, &tally, check)
    }

    private func begin(_ client: inout LaneClient, _ tally: inout LaneTally) {
        client.end = stage.end
        client.operations = 0
        tally.processorNanoseconds = -cdma_thread_nanoseconds()
        tally.runQueueWait = DisturbanceCounters.runQueueWaitOfThread.map { -$0 }
    }

    private func end(_ client: LaneClient, _ tally: inout LaneTally) {
        tally.end = cdma_monotonic_nanoseconds()
        tally.processorNanoseconds += cdma_thread_nanoseconds()
        // A task may end on another thread than it began on: then the difference says nothing.
        tally.runQueueWait = DisturbanceCounters.runQueueWaitOfThread.flatMap { now in tally.runQueueWait.map { now + $0 } }
        if point.wait == .await { tally.runQueueWait = nil }
        tally.operations = client.operations
    }

    private func finish(_ client: LaneClient, _ tally: inout LaneTally) {
        tally.latencies = client.latencies
        (tally.submitNanoseconds, tally.submits) = (client.submitNanoseconds, client.submits)
        (tally.issueNanoseconds, tally.issues) = (client.issueNanoseconds, client.issues)
    }

    /// Takes what is still in flight, and looks at what it did.
    private func settle<E: Engine & ~Copyable, C: Cargo & ~Copyable>(
        _ channel: inout Channel<E, C>, _ shape: LaneShape, _ tally: inout LaneTally,
        _ check: (borrowing C) throws(DMAError) -> (verified: Int, wrong: Int)
    ) throws(DMAError) {
        let limit = Deadline.after(nanoseconds: LaneClient.patience)
        // Of a slow, paced channel the rest is dropped: what is finished is enough to look at.
        if point.mode.isPaced { try channel.terminateSync(by: limit) }
        while channel.inFlight > 0 {
            guard let finished = channel.next() else {
                guard Deadline.now < limit else { throw DMAError(.deadlinePassed) }
                continue
            }
            guard finished.status == .complete else { continue }
            let found = try check(finished.cargo)
            tally.bytesVerified += UInt64(found.verified)
            tally.bytesWrong += UInt64(found.wrong)
        }
    }
}

extension BenchMode {
    /// Nil for a burst, which wants no pacing.
    func transferMode(_ line: DemandLine?) -> TransferMode? {
        switch self {
        case .burst: nil
        case .cycleStealing(let share): .cycleStealing(share: share)
        case .demand: line.map { .demand($0) }
        }
    }
}

extension LaneMemory {
    /// The blocks of an operation with several on a side.
    mutating func list(_ shape: LaneShape) throws(DMAError) -> CargoList<Block> {
        var list = CargoList<Block>(capacity: shape.sources + shape.destinations)
        // There is room for each.
        for _ in 0..<shape.sources { _ = list.append(try sourceBlock()) }
        for _ in 0..<shape.destinations { _ = list.append(try destinationBlock()) }
        return list
    }
}
