// SPDX-License-Identifier: Apache-2.0
// Operations with lists through the CPU engine in the caller's hands, and what their bytes cost alone: the difference is the channel's and
// the engine's.

import DMACPUEngine
import DMACore

/// Bytes of each segment: few, so that what they cost is a small part.
let segmentBytes = 64

/// Segments of one leased block, one after the other.
struct Stripe: ~Copyable, Cargo {
    private var memory: Block
    let regionCount: Int

    init(_ memory: consuming Block, members: Int) {
        regionCount = members
        self.memory = memory
    }

    @_lifetime(borrow self)
    @inline(__always)
    func region(at index: Int) -> Region {
        guard index >= 0, index < regionCount else { return .none }
        return memory.region(at: 0).part(from: UInt64(index * segmentBytes), count: UInt64(segmentBytes))
    }
}

/// One operation on a stripe, submitted and taken.
@inline(never)
func hotLists(
    _ channel: inout Channel<CPUEngine, Stripe>, _ pool: consuming Pool, _ operation: Operation, members: Int,
    _ operations: UInt64
) -> UInt64 {
    var sum: UInt64 = 0
    while sum < operations {
        guard let block = pool.lease() else { return 0 }
        switch channel.submit(operation, Stripe(block, members: members)) {
        case .queued: break
        case .refused: return 0
        }
        channel.issuePending()
        if let finished = channel.next() { sum = finished.cookie.rawValue }
    }
    return sum
}

/// The same for what the wire delivers.
@inline(never)
func hotPeripheral(
    _ channel: inout Channel<CPUEngine, Stripe>, _ pool: consuming Pool, _ fifo: FIFOPeripheral, _ operations: UInt64
) -> UInt64 {
    let bytes = [UInt8](repeating: 7, count: 4 * segmentBytes)
    var sum: UInt64 = 0
    while sum < operations {
        guard let block = pool.lease(), fifo.deliver(unsafe bytes.span.bytes) == bytes.count else { return 0 }
        switch channel.submit(.fromPeripheral(0..<4), Stripe(block, members: 4)) {
        case .queued: break
        case .refused: return 0
        }
        channel.issuePending()
        if let finished = channel.next() { sum = finished.cookie.rawValue }
    }
    return sum
}

/// What a FIFO costs without a channel: the same bytes, delivered and collected segment by segment.
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

/// A kernel alone, on memory of its own.
@inline(never)
func hotKernel(_ variant: String, _ kernels: Kernels, _ memory: UnsafeMutableRawPointer, _ operations: UInt64) -> UInt64 {
    // SAFETY: `memory` has 4 KiB, and no variant goes beyond eight segments.
    let segments = unsafe (0..<8).map { unsafe memory + $0 * segmentBytes }
    let sources = unsafe segments.map { unsafe UnsafeRawPointer?($0) }
    let coefficients = (0..<32).map { UInt8(1 << ($0 % 8)) }
    unsafe sources.withUnsafeBufferPointer { sources in
        unsafe coefficients.withUnsafeBufferPointer { coefficients in
            let (two, four) = unsafe (Kernels.Sources(rebasing: sources[..<2]), Kernels.Sources(rebasing: sources[..<4]))
            guard let coefficients = coefficients.baseAddress else { return }
            for _ in 0..<operations {
                switch variant {
                case "xor2-kernel": unsafe kernels.xor(to: segments[2], from: two, count: segmentBytes)
                case "pq4-kernel":
                    unsafe kernels.pq(
                        p: segments[4], q: segments[5], from: four, coefficients: coefficients, count: segmentBytes,
                        options: [.p, .q])
                default:
                    for index in 0..<4 {
                        unsafe kernels.copy(to: segments[index + 4], from: segments[index], count: segmentBytes)
                    }
                }
            }
        }
    }
    return operations
}

func runLists(_ variant: String, _ operations: UInt64) throws(DMAError) -> UInt64? {
    let domain = Domain(name: "lists")
    let memory = try Buffer(count: Int(depth) * 2 * 4096).mapped(for: domain, direction: .bidirectional)
    // The best ones are found by measuring time, and have instructions that valgrind does not know.
    var configuration = CPUConfiguration(kernels: .portable)
    let fifo = try FIFOPeripheral(loopback: true)
    configuration.peripherals = [fifo]
    let operation: Operation
    let members: Int
    switch variant {
    case "xor2": (operation, members) = (.xor(sources: 0..<2, to: 2), 3)
    case "pq4": (operation, members) = (.pq(sources: 0..<4, p: 4), 6)
    case "sg4x4": (operation, members) = (.scatterGather(from: 0..<4, to: 4..<8), 8)
    case "peripheral4":
        let wired = try FIFOPeripheral()
        configuration.peripherals = [wired]
        var channel = try Channel(CPUEngine(configuration), domain: domain, of: Stripe.self)
        return hotPeripheral(&channel, try Pool(memory, blockSize: 4096), wired, operations)
    case "peripheral4-kernel": return hotFIFO(fifo, operations)
    case "xor2-kernel", "pq4-kernel", "sg4x4-kernel":
        let scratch = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 64)
        defer { unsafe scratch.deallocate() }
        return unsafe hotKernel(
            variant, .portable, scratch.initializeMemory(as: UInt8.self, repeating: 3, count: 4096), operations)
    default: return nil
    }
    var channel = try Channel(CPUEngine(configuration), domain: domain, of: Stripe.self)
    return hotLists(&channel, try Pool(memory, blockSize: 4096), operation, members: members, operations)
}
