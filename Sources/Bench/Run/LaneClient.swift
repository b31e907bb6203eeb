// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

/// The client of one channel in a measurement: keeps what is in flight going round, and notes what that costs.
///
/// A closed loop: each completion's cargo is submitted again at once.
struct LaneClient {
    let request: DMACore.Operation
    let step: UInt64
    let span: UInt64
    let batch: Int
    /// Transactions between two looks at the clock: about 256 KiB, or 1,024.
    let lookEvery: Int
    let clockCost = ClockCost.nanoseconds

    private var offset: UInt64 = 0
    private var unissued = 0
    private var untilLook = 1
    /// When the present phase ends.
    var end: Int64 = 0
    var operations = 0
    /// When each transaction in flight was submitted, by the low bits of its cookie.
    private var stamps: [Int64]
    private var stampMask: UInt64
    var latencies = Latencies()
    var submitNanoseconds: Int64 = 0
    var submits = 0
    var issueNanoseconds: Int64 = 0
    var issues = 0
    private var failure: DMAError?
    /// What noting a latency costs, which lies between the two readings of the clock around a submission.
    private let latencyCost: Int64

    /// Nanoseconds without a completion after which an engine counts as stuck.
    static let patience: Int64 = 20_000_000_000

    init(_ shape: LaneShape, _ settings: BenchSettings, flags: DescriptorFlags, depth: Int) {
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
    private mutating func nextRequest() -> DMACore.Operation {
        guard span != step else { return request }
        var operation = request
        offset = offset + step < span ? offset + step : 0
        if operation.sourceCount > 0 { operation.sourceOffset = operation.kind == .interleaved ? 2 * offset : offset }
        if operation.destinationCount > 0 { operation.destinationOffset = offset }
        return operation
    }

    /// Puts in flight what the loop keeps there.
    mutating func begin<E: Engine & ~Copyable, C: Cargo & ~Copyable>(
        _ channel: inout Channel<E, C>, _ cargo: consuming C
    ) throws(DMAError) {
        _ = try channel.submit(nextRequest(), cargo).get()
    }

    mutating func issue<E: Engine & ~Copyable, C: Cargo & ~Copyable>(_ channel: inout Channel<E, C>) {
        channel.issuePending()
        unissued = 0
    }

    /// Submits a completion's cargo again. False when the time is over, or when ``failure`` says what went wrong: a throw from
    /// here is more than the compiler's optimizer takes.
    @inline(__always)
    mutating func take<E: Engine & ~Copyable, C: Cargo & ~Copyable>(
        _ finished: consuming Finished<C>, _ channel: inout Channel<E, C>, stamped: Bool
    ) -> Bool {
        guard finished.status == .complete else {
            failure = DMAError(.engineFailed, errno: finished.errno)
            return false
        }
        operations += 1
        var began: Int64 = 0
        if stamped {
            began = cdma_monotonic_nanoseconds()
            // What was in flight before this part began has no stamp.
            let stamp = stamps[Int(finished.cookie.rawValue & stampMask)]
            if stamp != 0 { latencies.record(began - stamp) }
        }
        do throws(DMAError) {
            let cookie = try channel.submit(nextRequest(), finished.takeCargo()).get()
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
        return cdma_monotonic_nanoseconds() < end
    }

    /// Runs until ``end``, on a thread.
    ///
    /// - Parameter sleeps: whether to wait for an interrupt where nothing is finished.
    @inline(__always)
    mutating func run<E: Engine & ~Copyable, C: Cargo & ~Copyable>(
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
            if sleeps { _ = channel.wait(until: .after(milliseconds: 100)) }
            looks += 1
            guard sleeps || looks & 1023 == 0 else { continue }
            let now = cdma_monotonic_nanoseconds()
            // In demand mode nobody may ask any more.
            if now >= end { break }
            if limit == .max { limit = now + LaneClient.patience } else if now > limit { failure = DMAError(.deadlinePassed) }
            if failure != nil { break }
        }
        if let failure { throw failure }
    }

    /// The same in a task.
    mutating func runAwaiting<E: Engine & ~Copyable, C: Cargo & ~Copyable>(
        _ channel: inout Channel<E, C>, stamped: Bool
    ) async throws(DMAError) {
        untilLook = lookEvery
        issue(&channel)
        var client = self
        defer { self = client }
        try await channel.drain { (finished, channel) throws(DMAError) -> Bool in
            client.take(finished, &channel, stamped: stamped)
        }
        if let failure = client.failure { throw failure }
    }
}
