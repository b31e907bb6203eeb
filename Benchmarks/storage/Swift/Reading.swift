// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAIOUringEngine

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A read workload.
struct Workload {
    let name: String
    let block: Int
    let depth: Int
    let isRandom: Bool

    static let all = [
        Workload(name: "sequential reads of 1 MiB", block: 1 << 20, depth: 8, isRandom: false),
        Workload(name: "random reads of 4 KiB", block: 4096, depth: 32, isRandom: true),
    ]
}

/// The result of a run.
struct Rates: Codable {
    var bytesPerSecond: Double
    var readsPerSecond: Double
    /// Processor time, user and system, per second of the run.
    var processor: Double
}

/// Reads for that long through a channel, direct, with registered memory, a registered file and one thread, with fio's
/// settings.
func read(_ path: String, _ bytes: UInt64, _ workload: Workload, seconds: Int) throws(DMAError) -> Rates {
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw DMAError(.kernelRefused, errno: errno) }
    defer { close(file) }
    let registrar = IOUringRegistrar()
    let domain = try Domain(name: "storage", translation: .announced(registrar))
    var configuration = IOUringConfiguration(depth: workload.depth, path: .ring)
    configuration.threading = .pinnedToThread
    configuration.registrar = registrar
    configuration.buffers = .always
    var channel = try Channel(try IOUringEngine(configuration), domain: domain, of: Block.self)
    _ = try channel.attach(PeripheralFile(file, cache: .direct))
    var pool = try Pool(
        try Buffer(count: workload.block * workload.depth, alignment: 1 << 20).mapped(for: domain, direction: .fromDevice),
        blockSize: workload.block, alignment: 4096)
    let blocks = bytes / UInt64(workload.block)
    var random: UInt64 = 88_172_645_463_325_252
    var next: UInt64 = 0
    var reads: UInt64 = 0
    let processor = processorSeconds()
    let began = Deadline.now
    let end = Deadline.after(nanoseconds: Int64(seconds) * 1_000_000_000)
    while true {
        while let block = pool.lease() {
            random ^= random << 13
            random ^= random >> 7
            random ^= random << 17
            let number = workload.isRandom ? random % blocks : next % blocks
            next += 1
            _ = try channel.submit(.fromPeripheral(0..<1, at: .at(number * UInt64(workload.block))), block).get()
            // At once, as fio does without batching options: a virtual disk handles bursts more slowly.
            channel.issuePending()
        }
        var took = false
        while let finished = channel.next() {
            guard finished.status == .complete, finished.residue == 0 else {
                throw DMAError(.engineFailed, errno: finished.errno)
            }
            reads += 1
            took = true
        }
        if !took { _ = try channel.wait(until: .after(milliseconds: 1000)) }
        if reads % 64 < 8, Deadline.now >= end { break }
    }
    let taken = Double(Deadline.now.nanoseconds - began.nanoseconds) / 1e9
    let used = processorSeconds() - processor
    try channel.terminateSync(by: .after(milliseconds: 10_000))
    while channel.next() != nil {}
    return Rates(
        bytesPerSecond: Double(reads) * Double(workload.block) / taken, readsPerSecond: Double(reads) / taken,
        processor: used / taken)
}

func processorSeconds() -> Double {
    var time = timespec()
    unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}
