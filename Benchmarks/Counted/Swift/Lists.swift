// SPDX-License-Identifier: Apache-2.0
// Operations with lists through the inline CPU engine, and the cost of their bytes alone: the difference is the cost of the
// channel and the engine.

import DMACPUEngine
import DMACore

/// Bytes of each segment: few, so that their cost is small.
let segmentBytes = 64

/// XOR of two segments of one leased block into a third, submitted and taken.
@inline(never)
func hotXOR(_ channel: inout Channel<CPUEngine, Block>, _ pool: consuming Pool, _ operations: UInt64) -> UInt64 {
    var sum: UInt64 = 0
    while sum < operations {
        guard let block = pool.lease() else { return 0 }
        switch channel.submit(.xor(sources: 0..<2, to: 2), block) {
        case .queued(_): break
        case .refused(_, _): return 0
        }
        channel.issuePending()
        if let finished = channel.next() {
            sum = finished.cookie.rawValue
            pool.giveBack(finished.takeCargo())
        }
    }
    return sum
}

/// P and Q of four segments into two others.
@inline(never)
func hotPQ(_ channel: inout Channel<CPUEngine, Block>, _ pool: consuming Pool, _ operations: UInt64) -> UInt64 {
    var sum: UInt64 = 0
    while sum < operations {
        guard let block = pool.lease() else { return 0 }
        switch channel.submit(.pq(sources: 0..<4, p: 4), block) {
        case .queued(_): break
        case .refused(_, _): return 0
        }
        channel.issuePending()
        if let finished = channel.next() {
            sum = finished.cookie.rawValue
            pool.giveBack(finished.takeCargo())
        }
    }
    return sum
}

/// Four segments into four others.
@inline(never)
func hotScatter(_ channel: inout Channel<CPUEngine, Block>, _ pool: consuming Pool, _ operations: UInt64) -> UInt64 {
    var sum: UInt64 = 0
    while sum < operations {
        guard let block = pool.lease() else { return 0 }
        switch channel.submit(.scatterGather(from: 0..<4, to: 4..<8), block) {
        case .queued(_): break
        case .refused(_, _): return 0
        }
        channel.issuePending()
        if let finished = channel.next() {
            sum = finished.cookie.rawValue
            pool.giveBack(finished.takeCargo())
        }
    }
    return sum
}

/// The same for bytes from the wire.
@inline(never)
func hotPeripheral(
    _ channel: inout Channel<CPUEngine, Block>, _ pool: consuming Pool, _ fifo: FIFOPeripheral, _ operations: UInt64
) -> UInt64 {
    let bytes = [UInt8](repeating: 7, count: 4 * segmentBytes)
    var sum: UInt64 = 0
    while sum < operations {
        guard let block = pool.lease(), fifo.deliver(unsafe bytes.span.bytes) == bytes.count else { return 0 }
        switch channel.submit(.fromPeripheral(0..<4), block) {
        case .queued(_): break
        case .refused(_, _): return 0
        }
        channel.issuePending()
        if let finished = channel.next() {
            sum = finished.cookie.rawValue
            pool.giveBack(finished.takeCargo())
        }
    }
    return sum
}

/// The cost of a FIFO without a channel: the same bytes, delivered and collected segment by segment.
@inline(never)
func hotFIFO(_ fifo: FIFOPeripheral, _ operations: UInt64) -> UInt64 {
    let bytes = [UInt8](repeating: 7, count: 4 * segmentBytes)
    var part = [UInt8](repeating: 0, count: segmentBytes)
    for _ in 0..<operations {
        guard fifo.deliver(unsafe bytes.span.bytes) == bytes.count else { return 0 }
        for _ in 0..<4 {
            var span = part.mutableSpan
            var raw = unsafe span.mutableBytes
            guard fifo.collect(into: &raw) == segmentBytes else { return 0 }
        }
    }
    return operations
}

/// The kernels alone, on memory of their own: `pointers` are the segments.

@inline(never)
func hotXORKernel(_ kernels: Kernels, _ pointers: UnsafePointer<UnsafeRawPointer?>, _ operations: UInt64) -> UInt64 {
    guard let to = unsafe UnsafeMutableRawPointer(mutating: pointers[2]) else { return 0 }
    for _ in 0..<operations {
        unsafe kernels.xor(to: to, from: Kernels.Sources(start: pointers, count: 2), count: segmentBytes)
    }
    return operations
}

@inline(never)
func hotPQKernel(_ kernels: Kernels, _ pointers: UnsafePointer<UnsafeRawPointer?>, _ operations: UInt64) -> UInt64 {
    let (p, q) = unsafe (UnsafeMutableRawPointer(mutating: pointers[4]), UnsafeMutableRawPointer(mutating: pointers[5]))
    let coefficients = (0..<32).map { UInt8(1 << ($0 % 8)) }
    let both: ParityOptions = [.p, .q]
    return unsafe coefficients.withUnsafeBufferPointer { list in
        guard let list = list.baseAddress else { return 0 }
        for _ in 0..<operations {
            unsafe kernels.pq(
                p: p, q: q, from: Kernels.Sources(start: pointers, count: 4), coefficients: list, count: segmentBytes,
                options: both)
        }
        return operations
    }
}

@inline(never)
func hotCopyKernel(
    _ kernels: Kernels, _ pointers: UnsafePointer<UnsafeRawPointer?>, _ counts: [Int], _ operations: UInt64
) -> UInt64 {
    for _ in 0..<operations {
        for index in 0..<4 {
            guard let from = unsafe pointers[index], let to = unsafe UnsafeMutableRawPointer(mutating: pointers[index + 4])
            else { return 0 }
            unsafe kernels.copy(to: to, from: from, count: counts[index])
        }
    }
    return operations
}

/// A kernel alone. The portable ones: selecting the best ones measures time, and they use instructions that valgrind does not
/// support.
func runKernel(_ variant: String, _ operations: UInt64) -> UInt64? {
    // SAFETY: eight segments, initialized, and freed when the kernels have run.
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 8 * segmentBytes, alignment: 64)
    defer { unsafe memory.deallocate() }
    unsafe memory.initializeMemory(as: UInt8.self, repeating: 3, count: 8 * segmentBytes)
    let pointers = unsafe (0..<8).map { unsafe UnsafeRawPointer?(memory + $0 * segmentBytes) }
    return unsafe pointers.withUnsafeBufferPointer { list -> UInt64? in
        guard let list = list.baseAddress else { return nil }
        switch variant {
        case "xor2-kernel": return unsafe hotXORKernel(.portable, list, operations)
        case "pq4-kernel": return unsafe hotPQKernel(.portable, list, operations)
        case "sg4x4-kernel":
            // Lengths from memory, like those of a list: the compiler would inline a copy of constant length.
            return unsafe hotCopyKernel(.portable, list, Array(repeating: segmentBytes, count: 4), operations)
        default: return nil
        }
    }
}

/// A pool whose blocks have `segments` segments of ``segmentBytes``.
func stripes(_ domain: Domain, segments: Int) throws(DMAError) -> Pool {
    let memory = try Buffer(count: Int(depth) * 2 * 4096).mapped(for: domain, direction: .bidirectional)
    return try Pool(memory, blockSize: segments * segmentBytes, segments: segments)
}

func runLists(_ variant: String, _ operations: UInt64) throws(DMAError) -> UInt64? {
    let domain = Domain(name: "lists")
    var configuration = CPUConfiguration(kernels: .portable)
    let wired = try FIFOPeripheral()
    configuration.peripherals = [wired]
    var channel = try Channel(CPUEngine(configuration), domain: domain, of: Block.self)
    switch variant {
    case "xor2": return hotXOR(&channel, try stripes(domain, segments: 3), operations)
    case "pq4": return hotPQ(&channel, try stripes(domain, segments: 6), operations)
    case "sg4x4": return hotScatter(&channel, try stripes(domain, segments: 8), operations)
    case "peripheral4": return hotPeripheral(&channel, try stripes(domain, segments: 4), wired, operations)
    case "peripheral4-kernel": return hotFIFO(try FIFOPeripheral(loopback: true), operations)
    default: return runKernel(variant, operations)
    }
}
