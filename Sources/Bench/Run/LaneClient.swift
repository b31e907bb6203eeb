// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAEngineKit

/// The client of one channel in a measurement: keeps what is in flight going round, and notes what that costs.
///
/// A closed loop: each completion's cargo is submitted again at once. At a rate, an open one: see ``runLimited(_:_:gap:sleeps:stamped:)``.
struct LaneClient {
    let request: DMACore.Operation
    let step: UInt64
    let span: UInt64
    private(set) var batch: Int
    /// Transactions between two looks at the clock: about 256 KiB, or 1,024.
    let lookEvery: Int
    let clockCost = ClockCost.nanoseconds

    /// Whether a part may end without a transaction: in a paced mode there may have been no request for one.
    private let mayIdle: Bool
    let stage: Stage
    private let shape: LaneShape
    private let flags: DescriptorFlags
    /// Where the transfers go in a file, and the number of the file; nil for operations that need nothing but memory.
    private(set) var walk: PlaceWalk?
    private let peripheral: UInt32
    let marks: Bool
    /// The place of the next request, and of each one in flight, by the low bits of its cookie.
    private(set) var place = 0
    private var places: [Int]
    private var offset: UInt64 = 0
    var unissued = 0
    private var untilLook = 1
    /// When the present phase ends.
    var end: Int64 = 0
    var operations = 0
    /// When each transaction in flight was submitted, by the low bits of its cookie.
    var stamps: [Int64]
    private(set) var stampMask: UInt64
    var latencies = Latencies()
    var submitNanoseconds: Int64 = 0
    var submits = 0
    var issueNanoseconds: Int64 = 0
    var issues = 0
    private var failure: DMAError?
    /// What was finished by interval; nil where no time series is kept.
    var log: SpeedLog?
    /// What noting a latency costs, which lies between the two readings of the clock around a submission.
    private let latencyCost: Int64

    /// Nanoseconds without a completion after which an engine counts as stuck.
    static let patience: Int64 = 20_000_000_000

    init(
        _ shape: LaneShape, _ settings: BenchSettings, _ stage: Stage, flags: DescriptorFlags, depth: Int, mayIdle: Bool,
        file: AttachedFile? = nil
    ) {
        self.mayIdle = mayIdle
        self.stage = stage
        self.shape = shape
        self.flags = flags
        walk = file?.region.walk
        peripheral = file?.number ?? 0
        marks = file.map { !$0.region.isRead } ?? false
        request = shape.request(flags: flags)
        step = UInt64(shape.bytes)
        span = UInt64(shape.span)
        batch = min(max(settings.batch ?? (shape.inFlight + 1) / 2, 1), shape.inFlight)
        lookEvery = max(1, min(1024, (256 << 10) / shape.bytes))
        // The channel gives out slots up to the next power of two of the engine's depth.
        var slots = 1
        while slots < depth { slots *= 2 }
        stamps = [Int64](repeating: 0, count: slots)
        stampMask = UInt64(slots - 1)
        places = [Int](repeating: 0, count: file == nil ? 0 : slots)
        latencyCost = LaneClient.costOfNoting
    }

    /// Nanoseconds of one reading of the clock and one entry into a histogram.
    private static let costOfNoting: Int64 = {
        var shortest = Int64.max
        var scratch = Latencies()
        for _ in 0..<50 {
            let began = cdma_monotonic_nanoseconds()
            for number in 0..<100 { scratch.record(Int64(1000 + number)) }
            shortest = min(shortest, (cdma_monotonic_nanoseconds() - began) / 100)
        }
        return shortest + ClockCost.nanoseconds
    }()

    @inline(__always)
    mutating func nextRequest() -> DMACore.Operation {
        if walk != nil { return nextPlace() }
        guard span != step else { return request }
        var operation = request
        offset = offset + step < span ? offset + step : 0
        if operation.sourceCount > 0 { operation.sourceOffset = operation.kind == .interleaved ? 2 * offset : offset }
        if operation.destinationCount > 0 { operation.destinationOffset = offset }
        return operation
    }

    private mutating func nextPlace() -> DMACore.Operation {
        place = walk?.step() ?? 0
        return shape.request(flags: flags, at: PeripheralPlace(number: peripheral, position: UInt64(place)))
    }

    /// Submits a request; of a file transfer, notes where it goes.
    @inline(__always)
    mutating func submit<E: Engine & ~Copyable, C: LaneCargo & ~Copyable>(
        _ channel: inout Channel<E, C>, _ request: DMACore.Operation, _ cargo: consuming C
    ) throws(DMAError) -> Cookie {
        let cookie = try channel.submit(request, cargo).get()
        if walk != nil { places[Int(cookie.rawValue & stampMask)] = place }
        return cookie
    }

    /// Where a file transfer went: bytes from the file's beginning.
    func place(of cookie: Cookie) -> Int { walk == nil ? 0 : places[Int(cookie.rawValue & stampMask)] }

    /// Puts in flight what the loop keeps there.
    mutating func begin<E: Engine & ~Copyable, C: LaneCargo & ~Copyable>(
        _ channel: inout Channel<E, C>, _ cargo: consuming C
    ) throws(DMAError) {
        let request = nextRequest()
        if marks, let walk { try cargo.mark(walk, place) }
        _ = try submit(&channel, request, cargo)
    }

    /// From now on one is in flight, whose doorbell is rung at once. Returns the batch of later parts.
    mutating func beginAlone() -> Int {
        defer { batch = 1 }
        return batch
    }

    /// The latencies of one in flight; what is measured from now on has nothing of them.
    mutating func endAlone(_ batch: Int) -> Latencies {
        defer {
            latencies = Latencies()
            for slot in stamps.indices { stamps[slot] = 0 }
            (submitNanoseconds, submits, issueNanoseconds, issues) = (0, 0, 0, 0)
            self.batch = batch
        }
        return latencies
    }

    mutating func issue<E: Engine & ~Copyable, C: LaneCargo & ~Copyable>(_ channel: inout Channel<E, C>) {
        channel.issuePending()
        unissued = 0
    }

    /// Submits a completion's cargo again. False when the time is over, or when ``failure`` says what went wrong: a throw from
    /// here is more than the compiler's optimizer takes.
    @inline(__always)
    mutating func take<E: Engine & ~Copyable, C: LaneCargo & ~Copyable>(
        _ finished: consuming Finished<C>, _ channel: inout Channel<E, C>, stamped: Bool
    ) -> Bool {
        // Less than all of a transfer, as at the end of a file that was truncated, counts as none.
        guard finished.status == .complete, walk == nil || finished.residue == 0 else {
            failure = DMAError(.engineFailed, errno: finished.errno)
            return false
        }
        operations += 1
        let slot = Int(finished.cookie.rawValue & stampMask)
        let request = nextRequest()
        var cargo = finished.takeCargo()
        var began: Int64 = 0
        do throws(DMAError) {
            // Before the clock is read: it is no part of submitting.
            if marks, let walk { try cargo.mark(walk, place) }
            if stamped {
                began = cdma_monotonic_nanoseconds()
                // What was in flight before this part began has no stamp.
                if stamps[slot] != 0 { latencies.record(began - stamps[slot]) }
            }
            let cookie = try submit(&channel, request, cargo)
            if stamped { stamps[Int(cookie.rawValue & stampMask)] = began }
        } catch {
            failure = error
            return false
        }
        unissued += 1
        if stamped {
            let over = cdma_monotonic_nanoseconds()
            submitNanoseconds += over - began - latencyCost
            submits += 1
            if unissued >= batch {
                issue(&channel)
                issueNanoseconds += cdma_monotonic_nanoseconds() - over - clockCost
                issues += 1
            }
        } else if unissued >= batch {
            issue(&channel)
        }
        untilLook -= 1
        guard untilLook == 0 else { return true }
        untilLook = lookEvery
        let now = cdma_monotonic_nanoseconds()
        log?.note(now, operations)
        return !isOver(now, stamped)
    }

    /// Whether the present part ends now.
    func isOver(_ now: Int64, _ stamped: Bool) -> Bool { now >= end && hasEnough(stamped) || stage.isCalledOff }

    /// Whether the present part has anything to show. On a busy machine its time can be over before an engine's thread has had a turn; then
    /// the part is longer, not empty.
    private func hasEnough(_ stamped: Bool) -> Bool { mayIdle || (stamped ? latencies.count > 0 : operations > 0) }

    /// Runs until ``end``, on a thread.
    ///
    /// - Parameter sleeps: whether to wait for an interrupt where nothing is finished.
    @inline(__always)
    mutating func run<E: Engine & ~Copyable, C: LaneCargo & ~Copyable>(
        _ channel: inout Channel<E, C>, sleeps: Bool, stamped: Bool
    ) throws(DMAError) {
        untilLook = lookEvery
        var looks = 0
        var limit = Int64.max
        while true {
            if let finished = channel.next() {
                if !take(finished, &channel, stamped: stamped) { break }
                limit = .max
                continue
            }
            if unissued > 0 {
                issue(&channel)
                continue
            }
            if sleeps { _ = try channel.wait(until: .after(milliseconds: 100)) }
            looks += 1
            guard sleeps || looks & 1023 == 0 else { continue }
            let now = cdma_monotonic_nanoseconds()
            log?.note(now, operations)
            if isOver(now, stamped) { break }
            if limit == .max { limit = now + LaneClient.patience } else if now > limit { failure = DMAError(.deadlinePassed) }
            if failure != nil { break }
        }
        if let failure { throw failure }
    }

    /// The same in a task.
    mutating func runAwaiting<E: Engine & ~Copyable, C: LaneCargo & ~Copyable>(
        _ channel: inout Channel<E, C>, stamped: Bool
    ) async throws(DMAError) {
        untilLook = lookEvery
        issue(&channel)
        var client = self
        defer { self = client }
        do throws(DMAError) {
            try await channel.drain { (finished, channel) throws(DMAError) -> Bool in
                client.take(finished, &channel, stamped: stamped)
            }
        } catch {
            // A measurement that is called off wakes its tasks by cancelling them.
            guard stage.isCalledOff, error.code == .cancelled else { throw error }
        }
        if let failure = client.failure { throw failure }
    }
}
