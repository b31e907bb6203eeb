// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import Glibc

/// The C library's memcpy, going round as much memory as a channel with the same point would.
struct MemcpyLane: Sendable {
    let point: BenchPoint
    let settings: BenchSettings
    let stage: Stage
    let lastLevelCache: Int
    let processor: Int?

    func run() -> LaneTally {
        LaneTally.collect(stage, on: processor) { (tally) throws(DMAError) in try drive(&tally) }
    }

    private func drive(_ tally: inout LaneTally) throws(DMAError) {
        // As many places as are in flight on the channel that stands beside it, from the caches or past them.
        var places = max(min(point.depth, settings.memory / 2 / point.bytes), 1)
        if settings.cache == .cold { places = max(places, min(2 * lastLevelCache, settings.memory) / 2 / point.bytes) }
        let size = places * point.bytes
        var source = try NodeMemory.buffer(size, stage, node: settings.sourceNode)
        var target = try NodeMemory.buffer(size, stage, node: settings.destinationNode, filled: 0xa5)
        tally.inFlight = 1
        let point = point
        // SAFETY: the loop does not outlive these closures, and with them the two memories, which have `size` bytes each.
        try unsafe source.withUnsafeMutableBytes { from throws(DMAError) in
            try unsafe target.withUnsafeMutableBytes { to throws(DMAError) in
                guard let from = from.baseAddress, let to = to.baseAddress else { throw DMAError(.zeroLength) }
                var loop = unsafe MemcpyLoop(stage, from: from, to: to, bytes: point.bytes, size: size)
                unsafe loop.run(until: Deadline.after(nanoseconds: Int64(settings.warmup * 1e9)).nanoseconds)
                stage.arrive(for: .throughput)
                unsafe loop.operations = 0
                unsafe loop.log = stage.log(settings)
                if let gap = point.gap {
                    var unused = Latencies()
                    try tally.measure { unsafe loop.runLimited(until: stage.end, gap, &unused) }
                } else {
                    try tally.measure { unsafe loop.run(until: stage.end) }
                }
                unsafe tally.operations = loop.operations
                unsafe (tally.log, loop.log) = (loop.log, nil)
                stage.arrive(for: .latency)
                if let gap = point.gap {
                    unsafe loop.runLimited(until: stage.end, gap, &tally.latencies)
                } else {
                    unsafe loop.runStamped(until: stage.end, &tally.latencies)
                }
                guard !stage.isCalledOff else { return }
                tally.bytesVerified = UInt64(point.bytes)
                tally.bytesWrong = UInt64(unsafe loop.differing)
            }
        }
    }
}

/// Copies place after place. Its memory outlives it: it is used inside the closures that lend it.
@unsafe
private struct MemcpyLoop {
    let stage: Stage
    let from: UnsafeMutableRawPointer
    let to: UnsafeMutableRawPointer
    let bytes: Int
    let size: Int
    var offset = 0
    var last = 0
    var operations = 0
    /// What was finished by interval; nil where no time series is kept.
    var log: SpeedLog?

    init(_ stage: Stage, from: UnsafeMutableRawPointer, to: UnsafeMutableRawPointer, bytes: Int, size: Int) {
        // SAFETY: no memory is touched here: the caller that makes a loop keeps both memories for as long as the loop.
        unsafe self.stage = stage
        unsafe self.from = unsafe from
        unsafe self.to = unsafe to
        unsafe self.bytes = bytes
        unsafe self.size = size
    }

    private mutating func one() {
        // SAFETY: `offset` and `bytes` add up to `size` at most, which both memories have; they are apart.
        unsafe memcpy(to + offset, from + offset, bytes)
        // What is copied again over itself is copied all the same.
        unsafe cdma_keep(UInt64(UInt(bitPattern: to)))
        unsafe last = unsafe offset
        unsafe offset = unsafe offset + bytes < size ? offset + bytes : 0
        unsafe operations += 1
    }

    /// How many bytes of the last copy are not its source's.
    // SAFETY: the last place is one of those that `one` wrote, within both memories.
    var differing: Int {
        unsafe Check.differing(
            RawSpan(_unsafeStart: to + last, byteCount: bytes), RawSpan(_unsafeStart: from + last, byteCount: bytes), bytes)
    }

    /// Not inlined: `Benchmarks/loops` looks for it in the release build.
    @inline(never)
    mutating func run(until end: Int64) {
        // SAFETY: `one` stays inside the loop's memories, which their owner keeps.
        let between = unsafe max(1, min(1024, (256 << 10) / bytes))
        var now: Int64
        repeat {
            for _ in 0..<between { unsafe one() }
            now = cdma_monotonic_nanoseconds()
            unsafe log?.note(now, operations)
        } while unsafe now < end && !stage.isCalledOff
    }

    /// At a rate: latencies count from when each copy was due.
    mutating func runLimited(until end: Int64, _ gap: Double, _ latencies: inout Latencies) {
        var schedule = Schedule(began: cdma_monotonic_nanoseconds(), gap: gap)
        var over = schedule.began
        repeat {
            Schedule.wait(until: schedule.due)
            // SAFETY: as in `run(until:)`.
            unsafe one()
            over = cdma_monotonic_nanoseconds()
            latencies.record(over - schedule.due)
            unsafe log?.note(over, operations)
            schedule.step()
        } while unsafe max(schedule.due, over) < end && !stage.isCalledOff
    }

    mutating func runStamped(until end: Int64, _ latencies: inout Latencies) {
        let cost = ClockCost.nanoseconds
        var began = cdma_monotonic_nanoseconds()
        repeat {
            // SAFETY: as in `run(until:)`.
            unsafe one()
            let over = cdma_monotonic_nanoseconds()
            latencies.record(over - began - cost)
            began = cdma_monotonic_nanoseconds()
        } while unsafe began < end && !stage.isCalledOff
    }
}

extension NodeMemory {
    /// Memory of a node whose pages are there and hold something.
    static func buffer(_ count: Int, _ stage: Stage, node: Int?, filled: Int32 = 0x5a) throws(DMAError) -> Buffer {
        var buffer = try Buffer(count: count, alignment: 4096)
        if let node { try prefer(node) }
        // SAFETY: each piece ends at the buffer's end or before.
        unsafe buffer.withUnsafeMutableBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            // In pieces: memory without end is not filled for a measurement that is called off.
            for offset in stride(from: 0, to: bytes.count, by: 1 << 24) where !stage.isCalledOff {
                unsafe memset(base + offset, filled, min(1 << 24, bytes.count - offset))
            }
        }
        if node != nil { try prefer(nil) }
        return buffer
    }
}
