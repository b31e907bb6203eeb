// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMA
internal import DMACore
internal import DMAEngineKit

/// One channel of a measurement, from its making to its end. Everything happens on the thread, or in the task, that calls it.
struct Lane: Sendable {
    let point: BenchPoint
    let settings: BenchSettings
    let system: DMASystem
    let listing: EngineListing
    /// Which of the engine's channels, and which of the measurement's threads.
    let number: Int
    let stage: Stage
    let lastLevelCache: Int
    let demand: DemandLine?
    let processor: Int?
    /// For file transfers.
    let region: FileRegion?

    /// On a thread of its own.
    func run() -> LaneTally {
        LaneTally.collect(stage, on: processor) { (tally) throws(DMAError) in try drive(&tally) }
    }

    /// In a task.
    func runAwaiting() async -> LaneTally {
        var tally = LaneTally()
        do throws(DMAError) {
            try await driveAwaiting(&tally)
        } catch {
            tally.failure = error
            stage.callOff()
        }
        return tally
    }

    // MARK: Which types

    private func drive(_ tally: inout LaneTally) throws(DMAError) {
        let device = try system.use(listing)
        let domain = device.domain
        let shape = try LaneShape(point, settings, device.capabilities, cache: lastLevelCache)
        var memory = try LaneMemory(shape, domain, settings, stage)
        tally.notes += shape.notes
        tally.inFlight = shape.inFlight
        guard let mode = point.mode.transferMode(demand) else {
            return try drive(try device.open(channel: number), domain, shape, &memory, &tally, duty: { _ in nil })
        }
        let paced = try PacedEngine(try device.open(channel: number), mode: mode)
        try drive(paced, domain, shape, &memory, &tally, duty: { $0.totalDuty })
    }

    private func drive<E: Engine & ~Copyable>(
        _ engine: consuming E, _ domain: Domain, _ shape: LaneShape, _ memory: inout LaneMemory, _ tally: inout LaneTally,
        duty: (borrowing E) -> (busy: Int64, elapsed: Int64)?
    ) throws(DMAError) {
        switch shape.operation {
        case .copy, .copyCRC32C, .interleaved:
            var channel = try Channel(engine, domain: domain, of: Pair<Block, Block>.self)
            try drive(&channel, shape, &tally, duty: duty) { () throws(DMAError) in
                Pair(try memory.sourceBlock(), try memory.destinationBlock())
            } check: { (cargo, _) throws(DMAError) in
                try Check.copied(cargo, shape)
            }
        case .fill, .crc32c:
            var channel = try Channel(engine, domain: domain, of: Block.self)
            try drive(&channel, shape, &tally, duty: duty) { () throws(DMAError) in
                shape.operation == .fill ? try memory.destinationBlock() : try memory.sourceBlock()
            } check: { (cargo, _) throws(DMAError) in
                try Check.filled(cargo, shape)
            }
        case .fromPeripheral, .toPeripheral:
            var channel = try Channel(engine, domain: domain, of: Block.self)
            let file = try attach(&channel)
            try drive(&channel, shape, &tally, file: file, duty: duty) { () throws(DMAError) in
                try memory.fileBlock(file.region)
            } check: { (cargo, place) throws(DMAError) in
                try Check.read(cargo, file.region, place)
            }
        case .xor, .xorValidate, .pq, .pqValidate, .scatterGather:
            var channel = try Channel(engine, domain: domain, of: CargoList<Block>.self)
            try drive(&channel, shape, &tally, duty: duty) { () throws(DMAError) in
                try memory.list(shape)
            } check: { _, _ in
                (0, 0)
            }
        }
    }

    private func driveAwaiting(_ tally: inout LaneTally) async throws(DMAError) {
        let device = try system.use(listing)
        let domain = device.domain
        let shape = try LaneShape(point, settings, device.capabilities, cache: lastLevelCache)
        var memory = try LaneMemory(shape, domain, settings, stage)
        tally.notes += shape.notes
        tally.inFlight = shape.inFlight
        // A burst in a paced engine goes straight through; a task's turn is one type less to compile.
        let mode = point.mode.transferMode(demand) ?? .burst
        let engine = try PacedEngine(try device.open(channel: number), mode: mode)
        switch shape.operation {
        case .copy, .copyCRC32C, .interleaved:
            var channel = try Channel(engine, domain: domain, of: Pair<Block, Block>.self)
            try await driveAwaiting(&channel, shape, &tally) { () throws(DMAError) in
                Pair(try memory.sourceBlock(), try memory.destinationBlock())
            } check: { (cargo, _) throws(DMAError) in
                try Check.copied(cargo, shape)
            }
        case .fill, .crc32c:
            var channel = try Channel(engine, domain: domain, of: Block.self)
            try await driveAwaiting(&channel, shape, &tally) { () throws(DMAError) in
                shape.operation == .fill ? try memory.destinationBlock() : try memory.sourceBlock()
            } check: { (cargo, _) throws(DMAError) in
                try Check.filled(cargo, shape)
            }
        case .fromPeripheral, .toPeripheral:
            var channel = try Channel(engine, domain: domain, of: Block.self)
            let file = try attach(&channel)
            try await driveAwaiting(&channel, shape, &tally, file: file) { () throws(DMAError) in
                try memory.fileBlock(file.region)
            } check: { (cargo, place) throws(DMAError) in
                try Check.read(cargo, file.region, place)
            }
        case .xor, .xorValidate, .pq, .pqValidate, .scatterGather:
            var channel = try Channel(engine, domain: domain, of: CargoList<Block>.self)
            try await driveAwaiting(&channel, shape, &tally) { () throws(DMAError) in
                try memory.list(shape)
            } check: { _, _ in
                (0, 0)
            }
        }
    }

    // MARK: The measurement

    private var flags: DescriptorFlags { point.wait == .poll ? [] : .interrupt }

    private func drive<E: Engine & ~Copyable, C: LaneCargo & ~Copyable>(
        _ channel: inout Channel<E, C>, _ shape: LaneShape, _ tally: inout LaneTally, file: AttachedFile? = nil,
        duty: (borrowing E) -> (busy: Int64, elapsed: Int64)?, cargo: () throws(DMAError) -> C,
        check: (borrowing C, Int) throws(DMAError) -> (verified: Int, wrong: Int)
    ) throws(DMAError) {
        tally.implementation = channel.capabilities.implementation
        var client = LaneClient(
            shape, settings, stage, flags: flags, depth: channel.capabilities.depth, mayIdle: point.mode.isPaced, file: file)
        let sleeps = point.wait == .wait
        try client.begin(&channel, try cargo())
        if stage.measuresAlone {
            let batch = client.beginAlone()
            client.issue(&channel)
            stage.arrive(for: .alone)
            client.end = stage.end
            try client.run(&channel, sleeps: sleeps, stamped: true)
            tally.alone = client.endAlone(batch)
        }
        var idle = IdleCargo<C>()
        for _ in 1..<max(shape.inFlight, 1) {
            if point.rate == nil { try client.begin(&channel, try cargo()) } else { idle.put(try cargo(), at: nil) }
        }
        // Nothing is requested yet in demand mode, and a share is not to be used up before it counts.
        if !point.mode.isPaced {
            client.issue(&channel)
            client.end = Deadline.after(nanoseconds: Int64(settings.warmup * 1e9)).nanoseconds
            client.operations = 0
            try run(&client, &channel, &idle, sleeps: sleeps, stamped: false)
            client.issue(&channel)
        }
        stage.arrive(for: .throughput)
        begin(&client, &tally)
        let dutyBefore = channel.withEngine { duty($0) }
        client.issue(&channel)
        try run(&client, &channel, &idle, sleeps: sleeps, stamped: false)
        end(&client, &tally)
        if let after = channel.withEngine({ duty($0) }), let before = dutyBefore {
            tally.duty = (after.busy - before.busy, after.elapsed - before.elapsed)
        }
        client.issue(&channel)
        stage.arrive(for: .latency)
        client.end = stage.end
        try run(&client, &channel, &idle, sleeps: sleeps, stamped: true)
        finish(client, &tally)
        client.issue(&channel)
        let dropped = try settle(&channel, client, &tally, check)
        // At a rate most of the cargo waits outside of the channel.
        if tally.bytesVerified == 0, let found = try idle.checkOne(check) {
            tally.bytesVerified += UInt64(found.verified)
            tally.bytesWrong += UInt64(found.wrong)
        }
        if let file { try end(&channel, file, written: (client.walk?.steps ?? 0) - dropped, &tally) }
    }

    /// One part of the measurement, as fast as completions allow or at the point's rate.
    @inline(__always)
    private func run<E: Engine & ~Copyable, C: LaneCargo & ~Copyable>(
        _ client: inout LaneClient, _ channel: inout Channel<E, C>, _ idle: inout IdleCargo<C>, sleeps: Bool, stamped: Bool
    ) throws(DMAError) {
        guard let gap = point.gap else { return try client.run(&channel, sleeps: sleeps, stamped: stamped) }
        try client.runLimited(&channel, &idle, gap: gap, sleeps: sleeps, stamped: stamped)
    }

    private func driveAwaiting<E: Engine & ~Copyable, C: LaneCargo & ~Copyable>(
        _ channel: inout Channel<E, C>, _ shape: LaneShape, _ tally: inout LaneTally, file: AttachedFile? = nil,
        cargo: () throws(DMAError) -> C,
        check: (borrowing C, Int) throws(DMAError) -> (verified: Int, wrong: Int)
    ) async throws(DMAError) {
        tally.implementation = channel.capabilities.implementation
        var client = LaneClient(
            shape, settings, stage, flags: flags, depth: channel.capabilities.depth, mayIdle: point.mode.isPaced, file: file)
        try client.begin(&channel, try cargo())
        if stage.measuresAlone {
            let batch = client.beginAlone()
            await stage.arrive(for: .alone)
            client.end = stage.end
            try await client.runAwaiting(&channel, stamped: true)
            tally.alone = client.endAlone(batch)
        }
        for _ in 1..<max(shape.inFlight, 1) { try client.begin(&channel, try cargo()) }
        // Issued when it counts, by the loop itself.
        await stage.arrive(for: .throughput)
        begin(&client, &tally)
        try await client.runAwaiting(&channel, stamped: false)
        end(&client, &tally)
        client.issue(&channel)
        await stage.arrive(for: .latency)
        client.end = stage.end
        try await client.runAwaiting(&channel, stamped: true)
        finish(client, &tally)
        client.issue(&channel)
        let dropped = try settle(&channel, client, &tally, check)
        if let file { try end(&channel, file, written: (client.walk?.steps ?? 0) - dropped, &tally) }
    }

    private func begin(_ client: inout LaneClient, _ tally: inout LaneTally) {
        client.end = stage.end
        client.operations = 0
        client.log = stage.log(settings)
        tally.processorNanoseconds = -cdma_thread_nanoseconds()
        tally.runQueueWait = DisturbanceCounters.runQueueWaitOfThread.map { -$0 }
    }

    private func end(_ client: inout LaneClient, _ tally: inout LaneTally) {
        tally.end = cdma_monotonic_nanoseconds()
        client.log?.note(tally.end, client.operations)
        (tally.log, client.log) = (client.log, nil)
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

    /// Takes what is still in flight, and looks at what it did. Returns how many transactions were dropped: the last ones.
    private func settle<E: Engine & ~Copyable, C: LaneCargo & ~Copyable>(
        _ channel: inout Channel<E, C>, _ client: LaneClient, _ tally: inout LaneTally,
        _ check: (borrowing C, Int) throws(DMAError) -> (verified: Int, wrong: Int)
    ) throws(DMAError) -> Int {
        let limit = Deadline.after(nanoseconds: LaneClient.patience)
        var dropped = 0
        // Of a slow, paced channel one completion is checked if it comes soon, and the rest are dropped. In demand mode no request follows any more.
        demand?.request(UInt64(point.bytes * channel.inFlight))
        var soon = stage.isCalledOff ? Deadline.now : point.mode.isPaced ? Deadline.after(milliseconds: 200) : nil
        while channel.inFlight > 0 {
            if let end = soon, tally.bytesVerified > 0 || Deadline.now >= end {
                soon = nil
                try channel.terminateSync(by: limit)
            }
            guard let finished = channel.next() else {
                guard Deadline.now < limit else { throw DMAError(.deadlinePassed) }
                if soon != nil { _ = try channel.wait(until: .after(milliseconds: 1)) }
                continue
            }
            guard finished.status == .complete else {
                dropped += 1
                continue
            }
            let found = try check(finished.cargo, client.place(of: finished.cookie))
            tally.bytesVerified += UInt64(found.verified)
            tally.bytesWrong += UInt64(found.wrong)
        }
        return dropped
    }

    // MARK: Files

    private func attach<E: Engine & ~Copyable>(_ channel: inout Channel<E, Block>) throws(DMAError) -> AttachedFile {
        guard let region else { throw DMAError(.noSuchPeripheral) }
        let file = PeripheralFile(region.file.descriptor, cache: region.isDirect ? .direct : .buffered)
        return AttachedFile(region: region, number: try channel.attach(file))
    }

    /// Reads back what was written, and says what the engine could not do as it was asked to.
    private func end<E: Engine & ~Copyable, C: LaneCargo & ~Copyable>(
        _ channel: inout Channel<E, C>, _ file: AttachedFile, written: Int, _ tally: inout LaneTally
    ) throws(DMAError) {
        for figure in channel.withEngine({ $0.figures }) {
            switch figure.name {
            case "directRefusals": tally.notes.append("through the page cache: the file system refuses O_DIRECT")
            case "bufferedBytes" where region?.isDirect ?? false:
                tally.notes.append("in part through the page cache: the transfers are not aligned for O_DIRECT")
            case "refusedBuffers": tally.notes.append("memory not registered: the kernel refused to lock it")
            default: break
            }
        }
        // What a ring keeps of files it may give back only long after its own end.
        try channel.detach(file.number)
        guard !file.region.isRead, !stage.isCalledOff else { return }
        let found = try file.region.readBack(written)
        tally.bytesVerified += UInt64(found.verified)
        tally.bytesWrong += UInt64(found.wrong)
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

    /// A block for transfers with a file; one that is written holds what all of the measurement's blocks do.
    mutating func fileBlock(_ region: FileRegion) throws(DMAError) -> Block {
        guard !region.isRead else { return try destinationBlock() }
        var block = try sourceBlock()
        try block.withMutableBytes { (bytes) throws(DMAError) in region.walk.fill(&bytes) }
        return block
    }
}
