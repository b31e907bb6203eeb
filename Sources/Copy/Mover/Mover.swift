// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAEngineKit

/// The work of a mover.
struct MoverTask {
    var source: MoverSource
    var target: MoverTarget
    var sourceName: String
    var targetName: String
    /// Offsets in the source; `end` nil means up to its end.
    var start: UInt64 = 0
    var end: UInt64?
    /// The file whose holes are skipped; nil where everything is copied.
    var holesOf: OpenFile?
    /// Whether the CRC32C is computed; `crc` is that of what precedes `start`.
    var counts = false
    var crc: UInt32 = 0
    var chunk: UInt64
    var depth: Int
    var rate: UInt64?
    /// Whether a stream's data is passed on as it arrives.
    var isDemand = false
}

/// What a mover did.
struct MoverResult {
    var end: UInt64
    var moved: UInt64
    var crc: UInt32
    var figures: [EngineFigure]
}

/// Transfers the data of one copy over a channel: several blocks in flight, each read and then written.
///
/// Used by one thread. Checks for cancellation at least every tenth of a second.
struct Mover<E: Engine & ~Copyable>: ~Copyable {
    private var channel: Channel<E, CopyChunk>
    private var pool: Pool
    private let task: MoverTask
    private let control: CopyControl
    private var extents: ExtentWalk
    private var order: MoverOrder
    private var limit: RateLimit?
    private var parked: [UInt64: ParkedChunk] = [:]
    private var nextSequence: UInt64 = 0
    private var nextWrite: UInt64 = 0
    private var streamPosition: UInt64
    private var reads = 0
    private var writes = 0
    private var moved: UInt64 = 0
    private var sourceEnded = false
    /// Whether a read reached the end of the source before its reported size.
    private var endedEarly = false
    private var failure: CopyFailure?
    /// Called at intervals with the end of what is done and the CRC up to there.
    private let checkpoint: ((UInt64, UInt32) throws(CopyFailure) -> Void)?
    private var lastCheckpoint = CopyClock.now
    private var checkpointPlace: UInt64

    init(
        _ channel: consuming Channel<E, CopyChunk>, pool: consuming Pool, _ task: MoverTask, _ control: CopyControl,
        checkpoint: ((UInt64, UInt32) throws(CopyFailure) -> Void)? = nil
    ) {
        self.channel = channel
        self.pool = pool
        self.task = task
        self.control = control
        self.checkpoint = checkpoint
        extents = ExtentWalk(task.holesOf, from: task.start, to: task.end ?? .max)
        order = MoverOrder(from: task.start, crc: task.crc, counts: task.counts)
        limit = RateLimit(task.rate)
        streamPosition = task.start
        checkpointPlace = task.start
    }

    /// Transfers everything. Afterwards nothing is in flight, also after a failure.
    mutating func run() throws(CopyFailure) -> MoverResult {
        while failure == nil {
            if control.isCancelled {
                failure = .cancelled(task.targetName, after: order.done)
                break
            }
            startReads()
            channel.issuePending()
            var took = false
            while let finished = channel.next() {
                took = true
                settle(finished)
                if failure != nil { break }
            }
            if failure == nil { makeCheckpoint() }
            control.update { $0.bytes = order.done }
            if failure == nil, sourceEnded, reads == 0, writes == 0, parked.isEmpty { break }
            if !took, failure == nil, reads + writes > 0 {
                do throws(DMAError) {
                    _ = try channel.wait(until: .after(milliseconds: 100))
                } catch { failure = .engine(task.targetName, error, to: "transfer data to") }
            } else if !took, failure == nil, let limit {
                cdma_sleep_until(limit.nextTurn.nanoseconds)
            }
        }
        stop()
        letGo()
        control.update { $0.bytes = order.done }
        if let checkpoint, order.done > checkpointPlace { try checkpoint(order.done, order.crc) }
        if let failure { throw failure }
        if let end = task.end, !endedEarly { order.advance(to: end) }
        control.update { $0.bytes = order.done }
        return MoverResult(end: order.done, moved: moved, crc: order.crc, figures: channel.withEngine { $0.figures })
    }

    // MARK: Reading

    private mutating func startReads() {
        // A stream has one position to read at. Parked chunks hold blocks, so the pool bounds how far reads are ahead of writes.
        let atOnce = task.source.isStream ? 1 : task.depth
        // Between two ends in this process nothing is ever in flight: the rounds are bounded so that the caller checks for cancellation.
        var rounds = 0
        while !sourceEnded, reads < atOnce, failure == nil, rounds < 256, limit?.allows() ?? true {
            rounds += 1
            guard let block = pool.lease() else { return }
            do throws(CopyFailure) {
                guard let range = try nextRange() else {
                    sourceEnded = true
                    return
                }
                limit?.charge(UInt64(range.count))
                let chunk = CopyChunk(block, sequence: nextSequence, position: range.lowerBound, count: range.count)
                nextSequence += 1
                if task.source.isLocal { try make(chunk) } else { try submitRead(chunk) }
            } catch { failure = error }
        }
    }

    private mutating func nextRange() throws(CopyFailure) -> Range<UInt64>? {
        guard task.source.isStream else { return try extents.next(atMost: task.chunk) }
        let rest = (task.end ?? .max) - streamPosition
        return rest == 0 ? nil : streamPosition..<(streamPosition + min(task.chunk, rest))
    }

    private mutating func submitRead(_ chunk: consuming CopyChunk) throws(CopyFailure) {
        let place: PeripheralPlace
        switch task.source {
        case .file(let number, let base): place = PeripheralPlace(number: number, position: base + chunk.position)
        case .stream(let number): place = PeripheralPlace(number: number)
        default: return
        }
        let operation = Operation.fromPeripheral(0..<1, count: chunk.count, at: place, flags: .interrupt)
        switch channel.submit(operation, chunk) {
        case .queued: reads += 1
        case .refused(let error, _): throw .engine(task.sourceName, error, to: "read")
        }
    }

    private mutating func make(_ chunk: consuming CopyChunk) throws(CopyFailure) {
        let count = chunk.count
        let position = chunk.position
        let source = task.source
        do throws(DMAError) {
            try chunk.block.withMutableBytes { (bytes: inout MutableRawSpan) in
                var part = bytes._mutatingExtracting(0..<count)
                source.make(&part, at: position)
            }
        } catch { throw .engine(task.sourceName, error, to: "generate the data of") }
        try arrived(chunk)
    }

    // MARK: Completions

    private mutating func settle(_ finished: consuming Finished<CopyChunk>) {
        let status = finished.status
        let residue = finished.residue
        let errno = finished.errno
        var chunk = finished.takeCargo()
        do throws(CopyFailure) {
            switch chunk.leg {
            case .reading:
                reads -= 1
                guard status == .complete else {
                    throw .reading(task.sourceName, at: chunk.position, errno: errno, engine: engineError(status, errno))
                }
                let came = chunk.count - Int(clamping: residue)
                if task.source.isStream {
                    streamPosition += UInt64(max(came, 0))
                    if came <= 0 || (!task.isDemand && residue > 0) { sourceEnded = true }
                    guard came > 0 else {
                        // No write waits for its number.
                        nextSequence -= 1
                        return
                    }
                } else if residue > 0 {
                    sourceEnded = true
                    endedEarly = true
                    // Reads after this place are dropped, because the end is unknown: what is there is read again.
                    order.end(at: chunk.position + UInt64(max(came, 0)))
                    let sequence = chunk.sequence
                    parked = parked.filter { $0.key < sequence }
                }
                guard came > 0, task.source.isStream || !order.isBehindEnd(chunk.position) else { return }
                chunk.count = came
                try arrived(chunk)
            case .writing:
                writes -= 1
                guard status == .complete, residue == 0 else {
                    let code = status == .complete ? ENOSPC : errno
                    throw .writing(task.targetName, at: chunk.position, errno: code, engine: engineError(status, errno))
                }
                written(chunk.sequence, chunk.count)
                try writeParked()
            }
        } catch { failure = failure ?? error }
    }

    private func engineError(_ status: TransactionStatus, _ errno: Int32) -> DMAError {
        DMAError(.engineFailed, asked: UInt64(status.rawValue), errno: errno)
    }

    private mutating func arrived(_ chunk: consuming CopyChunk) throws(CopyFailure) {
        let range = chunk.position..<(chunk.position + UInt64(chunk.count))
        let count = chunk.count
        var crc: UInt32 = 0
        let counts = task.counts
        let target = task.target
        var refusal: CopyFailure?
        if counts || target.isLocal {
            do throws(DMAError) {
                try chunk.block.withBytes { (bytes: RawSpan) in
                    let part = bytes.extracting(0..<count)
                    if counts { crc = CRC32C.of(part) }
                    do throws(CopyFailure) { try target.take(part, at: range.lowerBound) } catch { refusal = error }
                }
            } catch { throw .engine(task.targetName, error, to: "read the data for") }
        }
        if let refusal { throw refusal }
        order.read(chunk.sequence, range, crc: crc)
        if target.isLocal { return written(chunk.sequence, count) }
        if target.isInOrder, chunk.sequence != nextWrite || writes > 0 {
            parked[chunk.sequence] = ParkedChunk(chunk)
            return
        }
        try submitWrite(chunk)
    }

    // MARK: Writing

    private mutating func writeParked() throws(CopyFailure) {
        guard task.target.isInOrder, writes == 0, let box = parked.removeValue(forKey: nextWrite) else { return }
        guard let chunk = box.take() else { return }
        try submitWrite(chunk)
    }

    private mutating func submitWrite(_ chunk: consuming CopyChunk) throws(CopyFailure) {
        let place: PeripheralPlace
        switch task.target {
        case .file(let number, let base, _): place = PeripheralPlace(number: number, position: base + chunk.position)
        case .stream(let number): place = PeripheralPlace(number: number)
        default: return
        }
        nextWrite = chunk.sequence + 1
        chunk.leg = .writing
        let operation = Operation.toPeripheral(0..<1, count: chunk.count, at: place, flags: .interrupt)
        switch channel.submit(operation, chunk) {
        case .queued: writes += 1
        case .refused(let error, _): throw .engine(task.targetName, error, to: "write")
        }
    }

    private mutating func written(_ sequence: UInt64, _ count: Int) {
        moved += UInt64(count)
        order.written(sequence)
    }

    // MARK: The end

    /// Calls `checkpoint`, where there is one, every two seconds.
    private mutating func makeCheckpoint() {
        guard let checkpoint, order.done > checkpointPlace, CopyClock.now - lastCheckpoint > 2_000_000_000 else { return }
        do throws(CopyFailure) { try checkpoint(order.done, order.crc) } catch { failure = error }
        lastCheckpoint = CopyClock.now
        checkpointPlace = order.done
    }

    /// Detaches the files from the engine: a ring may release them long after it is closed, and a device would be busy until then.
    private mutating func letGo() {
        if case .file(let number, _) = task.source { try? channel.detach(number) }
        if case .stream(let number) = task.source { try? channel.detach(number) }
        if case .file(let number, _, _) = task.target { try? channel.detach(number) }
        if case .stream(let number) = task.target { try? channel.detach(number) }
    }

    /// Terminates what is in flight, or leaves it to the end of the channel.
    private mutating func stop() {
        parked.removeAll()
        guard reads + writes > 0 else { return }
        channel.terminateAsync()
        do throws(DMAError) { try channel.synchronize(by: .after(milliseconds: 800)) } catch {
            // The end of the channel terminates it again, and keeps the memory mapped where the device does not stop.
            return
        }
        while let finished = channel.next() {
            let status = finished.status
            let residue = finished.residue
            let chunk = finished.takeCargo()
            // A write that completed before the stop counts, so that a resumed copy does not repeat it.
            if chunk.leg == .writing, status == .complete, residue == 0 { written(chunk.sequence, chunk.count) }
        }
        reads = 0
        writes = 0
    }
}
