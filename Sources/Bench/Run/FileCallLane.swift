// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import Glibc

/// pread(2) or pwrite(2), one after the other: what a program does that gives file transfers no thought. The places in the file, and the
/// memory, are those of a channel with the same point.
struct FileCallLane: Sendable {
    let point: BenchPoint
    let settings: BenchSettings
    let stage: Stage
    let processor: Int?
    let region: FileRegion

    func run() -> LaneTally {
        LaneTally.collect(stage, on: processor) { (tally) throws(DMAError) in try drive(&tally) }
    }

    private func drive(_ tally: inout LaneTally) throws(DMAError) {
        let direct = region.isDirect ? openDirect(&tally) : nil
        defer { if let direct { close(direct) } }
        let stride = (point.bytes + 4095) / 4096 * 4096
        let blocks = max(min(point.depth, settings.memory / stride), 1)
        var memory = try NodeMemory.buffer(
            blocks * stride, stage, node: region.isRead ? settings.destinationNode : settings.sourceNode)
        tally.inFlight = 1
        let region = region
        let file = direct ?? region.file.descriptor
        // SAFETY: the loop does not outlive this closure, and with it the memory that it works on, which has `blocks` blocks of `stride`
        // bytes.
        try unsafe memory.withUnsafeMutableBytes { memory throws(DMAError) in
            var loop = unsafe FileCallLoop(stage, region, memory, stride: stride, blocks: blocks, file: file)
            try unsafe loop.run(until: Deadline.after(nanoseconds: Int64(settings.warmup * 1e9)).nanoseconds)
            stage.arrive(for: .throughput)
            let before = unsafe loop.walk.steps
            unsafe loop.log = stage.log(settings)
            let gap = point.gap
            try tally.measure { () throws(DMAError) in
                var unused = Latencies()
                if let gap {
                    try unsafe loop.runLimited(until: stage.end, gap, &unused)
                } else {
                    try unsafe loop.run(until: stage.end)
                }
            }
            unsafe tally.operations = loop.walk.steps - before
            unsafe (tally.log, loop.log) = (loop.log, nil)
            stage.arrive(for: .latency)
            if let gap {
                try unsafe loop.runLimited(until: stage.end, gap, &tally.latencies)
            } else {
                try unsafe loop.runStamped(until: stage.end, &tally.latencies)
            }
            guard !stage.isCalledOff else { return }
            let found = try unsafe loop.check()
            tally.bytesVerified += UInt64(found.verified)
            tally.bytesWrong += UInt64(found.wrong)
        }
    }

    /// A description past the page cache; nil, with a note, where there is none or the transfers do not fit it.
    private func openDirect(_ tally: inout LaneTally) -> Int32? {
        var facts = cdma_file_facts()
        // SAFETY: the C function fills `facts`.
        let examined = unsafe cdma_file_examine(region.file.descriptor, &facts)
        let grain = examined == 0 && facts.offset_alignment > 0 ? Int(facts.offset_alignment) : 4096
        guard point.bytes % grain == 0 else {
            tally.notes.append("through the page cache: the transfers are not aligned for O_DIRECT")
            return nil
        }
        let file = cdma_file_reopen(region.file.descriptor, true)
        guard file >= 0 else {
            tally.notes.append("through the page cache: the file system refuses O_DIRECT")
            return nil
        }
        return file
    }
}

/// The calls. Its memory outlives it: it is used inside the closure that lends it.
@unsafe
private struct FileCallLoop {
    let stage: Stage
    let region: FileRegion
    let memory: UnsafeMutableRawBufferPointer
    let stride: Int
    let file: Int32
    var walk: PlaceWalk
    /// Where each block's bytes came from last.
    private var places: [Int]
    private var block = 0
    private let between: Int
    /// What was finished by interval; nil where no time series is kept.
    var log: SpeedLog?

    init(
        _ stage: Stage, _ region: FileRegion, _ memory: UnsafeMutableRawBufferPointer, stride: Int, blocks: Int, file: Int32
    ) {
        // SAFETY: no memory is touched here: the caller that makes a loop keeps `memory` for as long as the loop.
        unsafe self.stage = stage
        unsafe self.region = region
        unsafe self.memory = unsafe memory
        unsafe self.stride = stride
        unsafe self.file = file
        unsafe walk = region.walk
        unsafe places = [Int](repeating: -1, count: blocks)
        unsafe between = max(1, min(1024, (256 << 10) / region.walk.bytes))
        guard !region.isRead else { return }
        for number in 0..<blocks {
            var bytes = unsafe MutableRawSpan(_unsafeBytes: part(number))
            region.walk.fill(&bytes)
        }
    }

    /// A block's bytes: `blocks` times `stride` are there.
    private func part(_ number: Int) -> UnsafeMutableRawBufferPointer {
        // SAFETY: `number` is below `blocks`, and a block is no shorter than one transfer.
        unsafe UnsafeMutableRawBufferPointer(rebasing: memory[number * stride..<number * stride + region.walk.bytes])
    }

    private mutating func one() throws(DMAError) {
        // SAFETY: `part` is inside the loop's memory, which its owner keeps, and has as many bytes as the call is told.
        let place = unsafe walk.step()
        let bytes = unsafe part(block)
        let moved: Int64
        if unsafe region.isRead {
            moved = unsafe cdma_read_all(file, bytes.baseAddress, bytes.count, Int64(place))
        } else {
            var span = unsafe MutableRawSpan(_unsafeBytes: bytes)
            unsafe walk.mark(&span, place)
            moved = unsafe cdma_write_all(file, bytes.baseAddress, bytes.count, Int64(place))
        }
        guard unsafe moved == Int64(walk.bytes) else {
            throw DMAError(.kernelRefused, errno: moved < 0 ? Int32(clamping: -moved) : EIO)
        }
        unsafe places[block] = place
        unsafe block = unsafe block + 1 < places.count ? block + 1 : 0
    }

    mutating func run(until end: Int64) throws(DMAError) {
        let first = unsafe walk.steps
        var now: Int64
        repeat {
            // One call alone may take long on a slow disk.
            // SAFETY: `one` stays inside the loop's memory, which its owner keeps.
            for _ in 0..<(unsafe between) where unsafe !stage.isCalledOff { try unsafe one() }
            now = cdma_monotonic_nanoseconds()
            unsafe log?.note(now, walk.steps - first)
        } while unsafe now < end && !stage.isCalledOff
    }

    /// At a rate: latencies count from when each call was due.
    mutating func runLimited(until end: Int64, _ gap: Double, _ latencies: inout Latencies) throws(DMAError) {
        let first = unsafe walk.steps
        var schedule = Schedule(began: cdma_monotonic_nanoseconds(), gap: gap)
        var over = schedule.began
        repeat {
            Schedule.wait(until: schedule.due)
            // SAFETY: as in `run(until:)`.
            try unsafe one()
            over = cdma_monotonic_nanoseconds()
            latencies.record(over - schedule.due)
            unsafe log?.note(over, walk.steps - first)
            schedule.step()
        } while unsafe max(schedule.due, over) < end && !stage.isCalledOff
    }

    mutating func runStamped(until end: Int64, _ latencies: inout Latencies) throws(DMAError) {
        let cost = ClockCost.nanoseconds
        var began = cdma_monotonic_nanoseconds()
        repeat {
            // SAFETY: as in `run(until:)`.
            try unsafe one()
            let over = cdma_monotonic_nanoseconds()
            latencies.record(over - began - cost)
            began = cdma_monotonic_nanoseconds()
        } while unsafe began < end && !stage.isCalledOff
    }

    /// Each byte that is in memory after reads, or in the file after writes.
    func check() throws(DMAError) -> (verified: Int, wrong: Int) {
        // SAFETY: `part` is inside the loop's memory, which its owner keeps for as long as the span is used.
        guard unsafe region.isRead else { return try unsafe region.readBack(walk.steps) }
        var (verified, wrong) = (0, 0)
        for number in unsafe places.indices where unsafe places[number] >= 0 {
            wrong += unsafe FilePattern.wrong(RawSpan(_unsafeBytes: part(number)), from: places[number])
            unsafe verified += walk.bytes
        }
        return (verified, wrong)
    }
}
